"""Samplers: Optuna's own draws, inside the axes, a pure function of the history, better than chance."""

from __future__ import annotations

import importlib.util
import inspect
import itertools
import json
import math
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers._tpe import _truncnorm
from optuna.trial import TrialState, create_trial
from scipy.stats import qmc

import workbench as wb
from tests.helpers.bad_input_cases import refused, study_text
from tests.helpers.suggest_cases import AXES, Seen, loss, past, search, uniform
from tests.tuning.test_loop import SETTINGS, Journal, comparable
from workbench.core import vocabulary
from workbench.core.errors import StudyError
from workbench.core.records import Curves, TrialRecord
from workbench.core.types import Axis, Choice, Range, Value
from workbench.tuning import samplers
from workbench.tuning.jobs import LaneResult, Part
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.loop import Search
from workbench.tuning.samplers import Sampler, Suggester, bounded, check, rank, read, seeded
from workbench.tuning.scheduler import Scheduler
from workbench.tuning.space import Problem, default, distributions

#: Axes of few values: 3 x 6 x 4 x 2 cells.
GRID: dict[str, Axis] = {
    "depth": Range(1, 3, integer=True),
    "dropout": Range(0.0, 0.5, step=0.1),
    "width": Range(4, 7, log=True, integer=True),
    "activation": Choice(("relu", "tanh")),
}
CELLS = 3 * 6 * 4 * 2
#: The Gaussian process takes a second for a draw: its tests are slow.
WORDS = [pytest.param(word, marks=pytest.mark.slow) if word == "gp" else word for word in vocabulary.SAMPLERS]
FAST = [word for word in vocabulary.SAMPLERS if word != "gp"]


def axes_of(word: str) -> dict[str, Axis]:
    return GRID if word in vocabulary.EXHAUSTIVE else AXES


def suggest(
    axes: Mapping[str, Axis],
    history: Sequence[Seen],
    n: int,
    *,
    sampler: Sampler,
    seed: int = 0,
    direction: samplers.Direction = "minimize",
) -> list[dict[str, Value]]:
    return Suggester(axes, sampler=sampler, seed=seed, direction=direction).suggest(history, n)


def test_every_sampler_of_optuna_has_a_word() -> None:
    """But those that are made of another one."""
    found = {name for name in optuna.samplers.__all__ if inspect.isclass(getattr(optuna.samplers, name))}
    assert set(vocabulary.SAMPLERS.values()) == found - {
        "BaseSampler",
        "BaseGASampler",
        "PartialFixedSampler",
    }


# ── inside the axes ──


@st.composite
def axis(draw: st.DrawFn, finite: bool = False) -> Axis:
    kinds = ["choice", "integer", "log integer", "step", *([] if finite else ["float", "log float"])]
    kind = draw(st.sampled_from(kinds))
    low, span = draw(st.integers(-20, 20)), draw(st.integers(0, 40))
    if kind == "choice":
        return Choice(tuple(draw(st.lists(st.text(max_size=3), min_size=1, max_size=5, unique=True))))
    if kind == "integer":
        step = draw(st.integers(1, 5))
        return Range(low, low + span * step, step=draw(st.sampled_from([None, step])) or step, integer=True)
    if kind == "log integer":
        return Range(1 + abs(low), 1 + abs(low) + span, log=True, integer=True)
    if kind == "step":
        step = draw(st.sampled_from([0.1, 0.25, 0.3]))
        return Range(low / 10, float(round(Decimal(low) / 10 + span * Decimal(str(step)), 6)), step=step)
    if kind == "float":
        return Range(low / 7, (low + span) / 7)
    return Range(10.0 ** (low / 4), 10.0 ** ((low + span) / 4), log=True)


@pytest.mark.parametrize("word", FAST)
@settings(max_examples=15, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**31 - 1))
def test_values_lie_in_optunas_distributions(word: str, data: st.DataObject, seed: int) -> None:
    finite = word in vocabulary.EXHAUSTIVE
    axes = data.draw(
        st.dictionaries(st.sampled_from("abcdef"), axis(finite), min_size=1, max_size=3 if finite else 5)
    )
    own = distributions(axes)
    for params in suggest(axes, past(14, seed, axes), 4, sampler=word, seed=seed, direction="maximize"):
        assert list(params) == list(axes)
        for name, value in params.items():
            assert own[name]._contains(own[name].to_internal_repr(value))
            one = axes[name]
            assert type(value) is (str if isinstance(one, Choice) else int if one.integer else float)
            if isinstance(one, Range):
                assert one.low <= value <= one.high + 1e-9


@pytest.mark.parametrize("word", FAST)
def test_axes_with_one_value_and_no_axes(word: str) -> None:
    axes: dict[str, Axis] = {"a": Range(3, 3, integer=True), "b": Choice(("x",)), "c": Range(0.5, 0.5)}
    assert suggest(axes, past(12, axes=axes), 2, sampler=word) == [{"a": 3, "b": "x", "c": 0.5}] * 2
    assert suggest({}, [], 2, sampler=word) == [{}, {}]
    mixed = axes | {"d": Choice(tuple(range(90)))}
    for params in suggest(mixed, past(12, axes=mixed), 2, sampler=word):
        assert list(params) == ["a", "b", "c", "d"]


# ── Optuna's own draws ──


def own_study(word: str, number: int, seed: int, direction: str, **arguments: Any) -> optuna.Study:
    """An ordinary study in memory with the sampler of one trial."""
    make = getattr(optuna.samplers, vocabulary.SAMPLERS[word])
    return optuna.create_study(direction=direction, sampler=make(**arguments, seed=seeded(seed, number)))


def same(found: Mapping[str, Value], own: Mapping[str, Any]) -> bool:
    return found == {
        name: pytest.approx(value, rel=1e-6) if isinstance(value, float) else value
        for name, value in own.items()
    }


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize(
    ("count", "arguments"),
    [
        (4, {}),
        (30, {}),
        (400, {}),
        (60, {"multivariate": False}),
        (60, {"group": True}),
        (60, {"constant_liar": False, "n_ei_candidates": 50}),
        (60, {"n_startup_trials": 50}),
    ],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_tpe_is_optunas(direction: samplers.Direction, count: int, arguments: dict[str, Any]) -> None:
    history, own = past(count), distributions(AXES)
    study = own_study("tpe", count, 7, direction, **arguments)
    for trial in history:
        states = {"complete": TrialState.COMPLETE, "failed": TrialState.FAIL}
        state = states.get(trial.state, TrialState.PRUNED)
        if trial.state == "running" and not trial.rungs:
            state = TrialState.RUNNING
        study.add_trial(
            create_trial(
                state=state, value=trial.value, params=dict(trial.params), distributions=own,
                intermediate_values=dict(trial.rungs),
            )
        )  # fmt: skip
    sampler = {"name": "tpe", **arguments}
    (found,) = suggest(AXES, history, 1, sampler=sampler, seed=7, direction=direction)
    assert same(found, study.ask(own).params)


def test_random_is_optunas() -> None:
    found = suggest(AXES, [], 5, sampler="random", seed=2)
    for number, params in enumerate(found):
        assert params == own_study("random", number, 2, "minimize").ask(distributions(AXES)).params


@pytest.mark.parametrize("arguments", [{}, {"qmc_type": "halton"}, {"scramble": False}])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_qmc_is_optunas_sequence(arguments: dict[str, Any]) -> None:
    sampler = optuna.samplers.QMCSampler(**({"scramble": True} | arguments), seed=5)
    study, own = optuna.create_study(sampler=sampler), distributions(AXES)
    found = suggest(AXES, [], 40, sampler={"name": "qmc", **arguments}, seed=5)
    expected = [study.ask(own).params for _ in found]  # the first of which is drawn at random
    assert found[1:] == expected[1:]


def test_grid_is_optunas_order() -> None:
    sizes = {"depth": [1, 2, 3], "dropout": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5], "width": [4, 5, 6, 7]}
    study = optuna.create_study(
        sampler=optuna.samplers.GridSampler(sizes | {"activation": ["relu", "tanh"]}, seed=3)
    )
    expected = [study.ask(distributions(GRID)).params for _ in range(CELLS)]
    assert suggest(GRID, [], CELLS, sampler="grid", seed=3) == expected


@pytest.mark.parametrize("count", [0, 40, CELLS - 1])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_brute_force_is_optunas(count: int) -> None:
    cells = itertools.product((1, 2, 3), (0.0, 0.1, 0.2, 0.3, 0.4, 0.5), (4, 5, 6, 7), ("relu", "tanh"))
    tried = [dict(zip(GRID, cell, strict=True)) for cell in itertools.islice(cells, count)]
    study, own = own_study("brute_force", count, 4, "minimize"), distributions(GRID)
    for number, params in enumerate(tried):
        study.add_trial(create_trial(value=float(number), params=params, distributions=own))
    history = [Seen(number, params, "complete", float(number)) for number, params in enumerate(tried)]
    (found,) = suggest(GRID, history, 1, sampler="brute_force", seed=4)
    assert found == study.ask(own).params
    assert found not in tried


@pytest.mark.parametrize(
    "sampler",
    [
        {"name": "cmaes"},
        {"name": "cmaes", "sigma0": 0.05, "popsize": 5, "n_startup_trials": 7},
        {"name": "cmaes", "use_separable_cma": True},
        {"name": "cmaes", "lr_adapt": True},
        {"name": "nsgaii", "population_size": 8},
        {"name": "nsgaii", "population_size": 8, "mutation_prob": 0.5, "crossover_prob": 0.2},
        {"name": "nsgaiii", "population_size": 8},
    ],
    ids=lambda sampler: "-".join(map(str, sampler.values())),
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning", "ignore::FutureWarning")
def test_generations_are_optunas(sampler: dict[str, Any]) -> None:
    """One trial after the other: the notes that Optuna's own samplers have written into its trials."""
    word, arguments = samplers.named(sampler)
    noted: list[optuna.trial.FrozenTrial] = []
    history: list[Seen] = []
    for number in range(60):
        study = own_study(word, number, 1, "minimize", **arguments)
        study.add_trials(noted)
        trial = study.ask(distributions(AXES))
        (found,) = suggest(AXES, history, 1, sampler=sampler, seed=1)
        assert same(found, trial.params), number
        score = loss(trial.params)
        study.tell(trial, score)
        noted = study.get_trials()
        history.append(Seen(number, trial.params, "complete", score))


@pytest.mark.slow
def test_gp_is_optunas() -> None:
    pytest.importorskip("torch")
    history = [
        Seen(n, params, "complete", loss(params)) for n in range(24) if (params := uniform(AXES, n, 0))
    ]
    history.append(Seen(24, uniform(AXES, 24, 0), "running"))
    own = distributions(AXES)
    study = own_study("gp", 25, 0, "minimize")
    for trial in history:
        state = TrialState.COMPLETE if trial.value is not None else TrialState.RUNNING
        params = dict(trial.params)
        study.add_trial(create_trial(state=state, value=trial.value, params=params, distributions=own))
    first, second = suggest(AXES, history, 2, sampler="gp", seed=0)
    assert same(first, study.ask(own).params)
    middle = np.median([float(trial.value or 0) for trial in history[:24]])
    assert np.mean([loss(first), loss(second)]) < middle


# ── the faster normal ──


@settings(max_examples=12, deadline=None)
@given(
    count=st.integers(10, 80),
    seed=st.integers(0, 2**31 - 1),
    direction=st.sampled_from(["maximize", "minimize"]),
)
def test_tpe_without_the_faster_normal_draws_the_same(
    count: int, seed: int, direction: samplers.Direction
) -> None:
    history = past(count, seed)
    fast = suggest(AXES, history, 2, sampler="tpe", seed=seed, direction=direction)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(samplers, "FAST_IN", ())
        slow = suggest(AXES, history, 2, sampler="tpe", seed=seed, direction=direction)
    assert all(map(same, fast, slow))


def test_a_normal_that_does_not_agree_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []

    def another(x: np.ndarray) -> np.ndarray:
        used.append(len(x))
        return np.full_like(x, -1.0)

    monkeypatch.setattr(_truncnorm, "_log_ndtr", another)
    suggest(AXES, past(30), 1, sampler="tpe")
    assert len(used) > 1, "once for the self-test, and then by TPE"


def test_nothing_is_printed_and_nothing_stays_changed(capfd: pytest.CaptureFixture[str]) -> None:
    own = _truncnorm._log_ndtr
    assert optuna.__version__ in samplers.FAST_IN, "measure the fast normal on this version, or take it out"
    for word in FAST:
        suggest(axes_of(word), past(60, axes=axes_of(word)), 3, sampler=word)
    assert _truncnorm._log_ndtr is own
    assert capfd.readouterr() == ("", "")


# ── a pure function ──


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("count", [0, 5, 40])
def test_same_history_same_suggestions(word: str, count: int) -> None:
    n = 6
    if word == "gp":
        pytest.importorskip("torch")
        n, count = 2, min(count, 24)
    axes = axes_of(word)
    history = past(count, axes=axes)

    def again(trials: Sequence[Seen], seed: int = 3) -> list[dict[str, Value]]:
        return suggest(axes, trials, n, sampler=word, seed=seed, direction="maximize")

    first = again(history)
    assert again([trial._replace(params=dict(trial.params)) for trial in reversed(history)]) == first
    assert again(history, seed=4) != first
    assert len({tuple(params.values()) for params in first}) == n
    suggester = Suggester(axes, sampler=word, seed=3, direction="maximize")
    for until in range(count):  # what it keeps from earlier calls changes nothing
        early = [trial._replace(state="running", value=None, rungs={}) for trial in history[:until]]
        suggester.suggest(early, 1)
        suggester.suggest(history[: until // 2], 1)
    assert suggester.suggest(history, n) == first


def test_another_process_draws_the_same() -> None:
    """With another order of hashes."""
    found = {word: suggest(axes_of(word), past(40, axes=axes_of(word)), 3, sampler=word) for word in FAST}
    script = (
        "import json; from tests.tuning.test_samplers import FAST, axes_of, past, suggest; "
        "print(json.dumps({w: suggest(axes_of(w), past(40, axes=axes_of(w)), 3, sampler=w) for w in FAST}))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout) == found


@pytest.mark.parametrize("word", FAST)
@pytest.mark.parametrize("count", [0, 30])
def test_a_trial_does_not_depend_on_how_it_was_asked_for(word: str, count: int) -> None:
    axes = axes_of(word)
    history = past(count, axes=axes)
    together = suggest(axes, history, 12, sampler=word)
    for number in range(count, count + 12):
        (params,) = suggest(axes, history, 1, sampler=word)
        history.append(Seen(number, params, "running"))
    assert [trial.params for trial in history[count:]] == together


def test_failed_trials_count_as_asked() -> None:
    history = past(20)
    (first,) = suggest(AXES, history, 1, sampler="tpe")
    (second,) = suggest(AXES, [*history, Seen(20, first, "failed")], 1, sampler="tpe")
    assert first != second


# ── a whole search: the loop, with scores from a formula in the place of training ──


class Formula:
    """What stands in for the engine: scores rise with the epochs, towards what the parameters deserve.

    pool  of threads in which they come in any order; without one they are there at once
    """

    def __init__(self, pool: Executor | None = None) -> None:
        self._pool = pool

    def foresee(self, *lane: Any) -> None: ...

    def foresee_blocks(self, *lane: Any) -> None: ...

    def template(self, *lane: Any) -> None: ...

    def __call__(self, part: Part) -> list[Future[LaneResult]]:
        if self._pool is not None:
            return [self._pool.submit(self._brought, part)]
        done: Future[LaneResult] = Future()
        done.set_result(self._brought(part))
        return [done]

    def _brought(self, part: Part) -> LaneResult:
        (member,) = part.members
        if self._pool is not None:
            time.sleep(0.002 * random.random())
        epochs = np.arange(part.first + 1, part.last + 1)
        score = 1.0 / (1.0 + goodness(member.params)) * (1.0 - 0.5 ** (epochs / 4))
        status: Any = "diverged" if float(member.params["dropout"]) > 0.45 else "running"
        status = "stopped" if status == "running" and part.final else status
        curves = Curves(*(np.asarray(curve, np.float32) for curve in (1 - score, 1 - score, score)))
        return LaneResult(status, float(score[-1]), part.last, 0.0, curves, None, None)


def goodness(params: Mapping[str, Value]) -> float:
    off = math.log(float(params["width"]) / 6) ** 2 + (float(params["dropout"]) - 0.1) ** 2
    return (
        off
        + (params["activation"] != "tanh")
        + math.log10(float(params.get("learning_rate", 1e-2)) / 1e-2) ** 2
    )


class Nowhere:
    """No checkpoints: there are no lanes."""

    def put(self, lanes: Any) -> None: ...

    def get(self, *lane: Any) -> None: ...

    def drop(self, numbers: Any) -> None:
        list(numbers)


def whole_search(
    sampler: Sampler, journal: Journal, trials: int = 60, pool: Executor | None = None
) -> dict[int, TrialRecord]:
    """A study of four axes to its end, ten trials at a time."""
    word, _ = samplers.named(sampler)
    free: dict[str, Axis] = GRID | (
        {} if word in vocabulary.EXHAUSTIVE else {"learning_rate": Range(1e-4, 1.0, log=True)}
    )
    chosen = {**SETTINGS, "l2": 0.0, "optimizer": "adam", "learning_rate": 0.01, "batch_size": 32, **free}
    problem = Problem("classification", (5,), 3, 1, 60)
    engine = Formula(pool)
    running = Search(
        plan=LanePlan(chosen, lambda variant: problem, "accuracy", (8,)),
        divisions=lambda number: (0,),
        trials=trials,
        scheduler=Scheduler(
            epochs=20, pruner="none" if word == "gp" else "asha", parallel=10, lag=2, maximize=True
        ),
        engine=engine,  # type: ignore[arg-type]
        train=engine,
        suggest=Suggester(free, sampler=sampler, seed=3, direction="maximize").suggest,
        enough=None,
        commit=journal.commit,
        store=Nowhere(),  # type: ignore[arg-type]
        recorded=list(journal.events),
    )
    for _ in running.rounds():
        pass
    return running.trials


@pytest.mark.parametrize("word", WORDS)
def test_every_sampler_searches_and_an_interrupted_search_ends_the_same(word: str) -> None:
    if word == "gp":
        pytest.importorskip("torch")
    trials = 32 if word == "gp" else 60  # its model begins when ten of them are complete
    journal = Journal()
    whole = whole_search(word, journal, trials)
    assert sorted(whole) == list(range(trials))
    assert {trial.state for trial in whole.values()} == {"complete", "pruned"}  # some diverge
    assert len({tuple(trial.params.values()) for trial in whole.values()}) > 0.9 * trials
    best = max(float(trial.value or 0) for trial in whole.values())
    assert best > max(float(trial.value or 0) for number, trial in whole.items() if number < 3)
    for events in (1, len(journal.events) // 3, len(journal.events) - 3):
        while journal.events[events - 1]["kind"] == "trial":  # a record, of the launch that comes with it
            events += 1
        resumed = Journal(journal.events[:events])
        assert comparable(whole_search(word, resumed, trials)) == comparable(whole)
        assert resumed.events[0] == journal.events[0]
        asked = [[e for e in one.events if e["kind"] == "ask"] for one in (resumed, journal)]
        assert json.dumps(asked[0]) == json.dumps(asked[1]), "to the bit"


@pytest.mark.parametrize("word", FAST)
@pytest.mark.parametrize("workers", [1, 7])
def test_the_order_in_which_trials_come_back_decides_nothing(word: str, workers: int) -> None:
    with ThreadPoolExecutor(workers) as pool:
        scattered = whole_search(word, Journal(), pool=pool)
    assert comparable(scattered) == comparable(whole_search(word, Journal()))


@pytest.mark.parametrize("word", vocabulary.EXHAUSTIVE)
def test_a_search_ends_when_every_cell_was_tried(word: str) -> None:
    trials = whole_search(word, Journal(), trials=2 * CELLS)
    assert len(trials) == CELLS
    cells = {
        (p["depth"], round(float(p["dropout"]), 6), p["width"], p["activation"])
        for p in (trial.params for trial in trials.values())
    }
    assert len(cells) == CELLS
    assert trials[0].params == default(GRID)


STUDY = """
name = "words"
[data]
source = "wine"
[model]
family = "softmax"
[optimizer]
name = {{ choices = ["adam", "sgd"] }}
learning_rate = {{ low = 0.01, high = 0.1, step = 0.01 }}
[regularization]
l2 = {{ low = 0.0, high = 0.1, step = 0.05 }}
[training]
epochs = 4
[search]
trials = 14
seeds = 1
sampler = {sampler}
[select]
rule = "single"
"""


@pytest.mark.slow
@pytest.mark.parametrize("word", vocabulary.SAMPLERS)
def test_a_study_file_of_every_sampler_runs(word: str, tmp_path: Path) -> None:
    if word == "gp":
        pytest.importorskip("torch")
    (tmp_path / "x.toml").write_text(STUDY.format(sampler=f'"{word}"'))
    result = wb.run(
        wb.read_study(tmp_path / "x.toml"), wb.resolve(home=str(tmp_path / "home")), search_only=True
    )
    assert result["status"] == "searched"
    assert result["trials"]["total"] == 14
    assert result["trials"]["failed"] == 0


# ── better than chance, and what is made of trials ──


def test_qmc_covers_the_space_more_evenly_than_chance() -> None:
    axes: dict[str, Axis] = {"x": Range(0.0, 1.0), "y": Range(0.0, 1.0), "z": Range(0.0, 1.0)}

    def discrepancy(sampler: str) -> float:
        found = suggest(axes, [], 65, sampler=sampler)[1:]
        return float(qmc.discrepancy(np.array([list(map(float, params.values())) for params in found])))

    assert discrepancy("qmc") < 0.3 * discrepancy("random")


@pytest.mark.parametrize("word", vocabulary.EXHAUSTIVE)
def test_every_cell_once_and_then_no_more(word: str) -> None:
    cells = set(itertools.product((1, 2, 3), (0.0, 0.1, 0.2, 0.3, 0.4, 0.5), (4, 5, 6, 7), ("relu", "tanh")))
    history = [Seen(0, default(GRID), "running")]
    while new := suggest(GRID, history, 10, sampler=word):
        history += [Seen(len(history) + i, params) for i, params in enumerate(new)]
    seen = [
        (t.params["depth"], round(float(t.params["dropout"]), 6), t.params["width"], t.params["activation"])
        for t in history
    ]
    assert Counter(seen) == Counter(cells)


@pytest.mark.parametrize("word", vocabulary.EXHAUSTIVE)
def test_grids_spread_from_the_start(word: str) -> None:
    found = suggest(GRID, [], 24, sampler=word)
    for name, size in {"depth": 3, "dropout": 6, "width": 4, "activation": 2}.items():
        assert len({params[name] for params in found}) >= min(size, 5)


def test_cmaes_beats_random() -> None:
    best = {name: [min(search(name, seed, 120, 12)) for seed in range(6)] for name in ("cmaes", "random")}
    assert np.median(best["cmaes"]) < 0.5 * np.median(best["random"])


def test_genes_beat_random() -> None:
    small = {"name": "nsgaii", "population_size": 12}
    best = [[min(search(name, seed, 150, 12)) for seed in range(6)] for name in (small, "random")]
    assert np.median(best[0]) < 0.7 * np.median(best[1])


def test_tpe_beats_random_over_seeds() -> None:
    best = {
        name: np.array([min(search(name, seed, 70, 14)) for seed in range(20)]) for name in ("tpe", "random")
    }
    assert np.mean(best["tpe"] < best["random"]) >= 0.75
    assert np.median(best["tpe"]) < 0.5 * np.median(best["random"])


def test_running_trials_with_good_scores_attract_suggestions() -> None:
    axes: dict[str, Axis] = {"x": Range(0.0, 1.0)}
    rng = np.random.default_rng(0)
    bad = [
        Seen(i, {"x": float(x)}, "pruned", None, {4: 1.0 + float(x)})
        for i, x in enumerate(rng.uniform(0, 1, 60))
    ]
    good = [Seen(60 + i, {"x": 0.9 + 0.01 * i}, "running", None, {4: 0.1, 12: 0.01 * i}) for i in range(6)]
    blind = [trial._replace(rungs={}) for trial in good]

    def mean(history: list[Seen]) -> float:
        found = suggest(axes, history, 24, sampler="tpe")
        return float(np.mean([float(params["x"]) for params in found]))

    assert mean(bad + good) > 0.75
    assert mean(bad + blind) < 0.4


def test_diverged_trials_repel_suggestions() -> None:
    axes: dict[str, Axis] = {"x": Range(0.0, 1.0)}
    points = np.random.default_rng(0).uniform(0, 1, 80)
    history = [
        Seen(i, {"x": float(x)}, "pruned", None, {} if x > 0.4 else {4: 2.0 + float(x)})
        for i, x in enumerate(points)
    ]
    found = suggest(axes, history, 16, sampler="tpe")
    assert np.mean([float(params["x"]) < 0.4 for params in found]) > 0.9


@pytest.mark.parametrize("word", FAST)
def test_infinite_scores_are_borne(word: str) -> None:
    axes = axes_of(word)
    history = [
        trial._replace(value=math.inf if i % 3 else -math.inf) for i, trial in enumerate(past(40, axes=axes))
    ]
    assert len(suggest(axes, history, 2, sampler=word)) == 2


@pytest.mark.parametrize("consider", [True, False])
def test_pruned_trials_take_part_in_generations_by_their_rank(consider: bool) -> None:
    """All the complete ones are on the left, and the pruned ones are worse the further right."""
    axes: dict[str, Axis] = {"x": Range(0.0, 1.0), "y": Range(0.0, 1.0)}
    rng = np.random.default_rng(0)
    history = [
        Seen(number, {"x": float(x), "y": float(y)}, "pruned", None, {4: float(x)})
        if number % 6
        else Seen(number, {"x": 0.9 + 0.1 * float(x), "y": float(y)}, "complete", 1.0, {4: 1.0, 8: 1.0})
        for number, (x, y) in enumerate(rng.uniform(0.5, 1.0, (60, 2)))
    ]
    sampler = {"name": "cmaes", "consider_pruned_trials": consider}
    pruned = [
        trial._replace(state="complete", value=10.0 + (trial.rungs or {4: 0})[4])
        if trial.value is None
        else trial
        for trial in history
    ]
    found = suggest(axes, history, 3, sampler=sampler)
    without = [trial for trial in history if trial.value is not None]
    only = [trial._replace(number=trial.number) for trial in without] + [
        Seen(59, {"x": 0.5, "y": 0.5}, "failed")
    ]
    assert (found == suggest(axes, pruned, 3, sampler=sampler)) is consider
    assert (found == suggest(axes, only, 3, sampler=sampler)) is not consider


@pytest.mark.parametrize("word", ["cmaes", "nsgaii"])
def test_cmaes_with_margin_and_choices_alone(word: str) -> None:
    choices: dict[str, Axis] = {"a": Choice(("x", "y")), "b": Choice((1, 2, 3, 4, 5))}
    size = {"cmaes": "popsize", "nsgaii": "population_size"}[word]
    for sampler in (word, {"name": word, size: 7}):
        assert len(suggest(choices, past(60, axes=choices), 3, sampler=sampler)) == 3
    if word == "cmaes":
        margin = {"name": "cmaes", "with_margin": True}
        best = [min(search(margin, seed, 120, 12)) for seed in range(4)]
        assert np.median(best) < 0.5 * np.median([min(search("random", seed, 120, 12)) for seed in range(4)])


def test_a_long_history_is_cut_to_the_best_and_the_latest() -> None:
    history = past(3000)
    kept = bounded(history, "minimize", 1000)
    scored = [trial for trial in kept if trial.state in ("complete", "pruned") or trial.rungs]
    assert len(scored) == 1000
    assert numbers_of(kept) == sorted(numbers_of(kept))
    waiting = [trial for trial in history if trial.state == "running" and not trial.rungs]
    assert set(numbers_of(kept)) >= set(numbers_of(waiting))
    complete = sorted((t for t in history if t.state == "complete"), key=lambda t: float(t.value or 0))
    assert set(numbers_of(complete[:333])) <= set(numbers_of(kept))
    assert bounded(history[:900], "minimize", 1000) == history[:900]
    assert rank(complete[0], "minimize") < rank(complete[1], "minimize")


def numbers_of(trials: Sequence[Seen]) -> list[int]:
    return [trial.number for trial in trials]


def test_a_cut_history_finds_as_good_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.array([min(search("tpe", seed, 110, 22)) for seed in range(4)])
    monkeypatch.setitem(samplers.LIMITS, "tpe", 75)  # the least that keeps the 25 best
    cut = np.array([min(search("tpe", seed, 110, 22)) for seed in range(4)])
    assert np.median(cut) < 2 * np.median(whole) + 0.01


# ── what a study file says ──


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("tpe", "tpe"),
        ("brute force", "brute_force"),
        ({"name": "tpe"}, "tpe"),
        ({"name": "cmaes", "sigma0": 0.2}, {"name": "cmaes", "sigma0": 0.2}),
        ({"name": "tpe", "multivariate": False, "n_startup_trials": 4}, None),
        (
            {"name": "brute force", "avoid_premature_stop": True},
            {"name": "brute_force", "avoid_premature_stop": True},
        ),
    ],
)
def test_what_a_file_may_hold(value: Any, kept: Any, tmp_path: Path) -> None:
    assert read(value) == (kept or value)
    (tmp_path / "x.toml").write_text(STUDY.format(sampler=samplers.toml(value)))
    study = wb.read_study(tmp_path / "x.toml")
    assert study.search.sampler == (kept or value)
    assert study.search.sampler_name == samplers.named(kept or value)[0]
    check(study.axes, study.search.sampler)
    varied = wb.vary(wb.vary(study, sampler="random"), sampler=value)
    (tmp_path / "y.toml").write_text(varied.text)
    assert wb.read_study(tmp_path / "y.toml").search == varied.search
    assert varied.id == study.id
    assert wb.vary(study, sampler="random").id != study.id


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("tp", 'is not known; did you mean "tpe"?'),
        (3, 'must be "tpe", "random", "qmc"'),
        ({"choices": ["tpe"]}, "cannot be searched"),
        ({"sigma0": 0.2}, "has no name"),
        ({"name": "cma", "sigma0": 0.2}, 'has the name "cma", which is not known; did you mean "cmaes"?'),
        ({"name": "cmaes", "sigma": 0.2}, "argument sigma, which Optuna's CmaEsSampler does not take; did"),
        ({"name": "random", "x": 1}, "argument x, which Optuna's RandomSampler does not take; it takes none"),
        ({"name": "tpe", "seed": 1}, "the study's own seed decides"),
        ({"name": "tpe", "gamma": 3}, "argument gamma, which is an object of Python"),
        ({"name": "grid", "search_space": {}}, "argument search_space, which is an object of Python"),
        ({"name": "tpe", "n_startup_trials": 2.5}, "n_startup_trials = 2.5, which must be a whole number"),
        ({"name": "tpe", "n_startup_trials": True}, "n_startup_trials = true, which must be a whole number"),
        ({"name": "tpe", "group": 1}, "group = 1, which must be true or false"),
        ({"name": "cmaes", "sigma0": "a"}, 'sigma0 = "a", which must be a number'),
        ({"name": "qmc", "qmc_type": 1}, "qmc_type = 1, which must be text in quotes"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_refused_when_it_is_read(
    value: Any, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.toml"
    file.write_text(study_text("search", f"sampler = {samplers.toml(value)}"))
    argv = ["check", str(file), "--home", str(tmp_path / "home")]
    refused(argv, (f"{file}: [search] sampler = {samplers.toml(value)}", says), tmp_path, capsys)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({"name": "nsgaii", "population_size": 1}, "population_size"),
        ({"name": "tpe", "n_ei_candidates": 0}, "must be positive"),
        ({"name": "qmc", "qmc_type": "sobel"}, "Choose either `halton` or `sobol`"),
        ({"name": "cmaes", "x0": {"learning_rat": 0.1}}, "must contain all distributions"),
        ({"name": "cmaes", "lr_adapt": True, "with_margin": True}, "lr_adapt"),
    ],
    ids=str,
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_what_optuna_refuses_is_refused_before_anything_trains(
    value: Any, says: str, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.toml"
    text = study_text("search", f"sampler = {samplers.toml(value)}")
    file.write_text(text.replace("learning_rate = 0.01", "learning_rate = { low = 0.01, high = 0.1 }"))
    argv = [command, str(file), "--home", str(tmp_path / "home")]
    refused(argv, (f"{file}: [search] sampler = ", "is refused by Optuna", says), tmp_path, capsys)


@pytest.mark.parametrize("word", vocabulary.EXHAUSTIVE)
def test_an_endless_axis(word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.toml"
    text = study_text("optimizer", "learning_rate = { low = 0.1, high = 0.2 }")
    file.write_text(text.replace("trials", f"sampler = '{word}'\ntrials"))
    says = (f"{file}: [optimizer] learning_rate", f'sampler = "{word}"', "add step")
    refused(["check", str(file), "--home", str(tmp_path / "home")], says, tmp_path, capsys)


def test_a_grid_that_is_too_large_to_list() -> None:
    axes: dict[str, Axis] = {name: Range(1, 100, integer=True) for name in "abcd"}
    with pytest.raises(
        StudyError, match=r'"grid" lists all combinations, and 100,000,000 are more.*brute_force'
    ):
        check(axes, "grid")
    check(axes, "brute_force")
    assert len(suggest(axes, past(20, axes=axes), 3, sampler="brute_force")) == 3


@pytest.mark.parametrize(
    ("word", "module", "package"), [("gp", "torch", "PyTorch"), ("cmaes", "cmaes", "cmaes")]
)
@pytest.mark.parametrize("command", ["check", "run"])
def test_a_missing_package_is_a_sentence(
    word: str, module: str, package: str, command: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == module else found(name, *rest)
    )
    file = tmp_path / "x.toml"
    file.write_text(study_text("search", f"sampler = '{word}'"))
    says = (
        f'{file}: [search] sampler = "{word}" needs {package}, which is not installed',
        f"pip install {module}",
    )
    refused([command, str(file), "--home", str(tmp_path / "home")], says, tmp_path, capsys)
