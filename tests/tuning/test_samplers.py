"""Samplers: Optuna's own draws, inside the axes, a pure function of the history, better than chance."""

from __future__ import annotations

import inspect
import itertools
import json
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers._tpe import _truncnorm
from optuna.trial import TrialState, create_trial
from scipy.stats import qmc

from tests.helpers.suggest_cases import (
    AXES,
    CELLS,
    FAST,
    GRID,
    WORDS,
    Seen,
    axes_of,
    loss,
    past,
    search,
    suggest,
    uniform,
)
from workbench.core import vocabulary
from workbench.core.types import Axis, Choice, Range, Value
from workbench.tuning import sampler_words, samplers, tpe
from workbench.tuning.history import Direction, History, Window, rank
from workbench.tuning.samplers import Suggester, seeded
from workbench.tuning.space import default, distributions


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
def test_tpe_is_optunas(direction: Direction, count: int, arguments: dict[str, Any]) -> None:
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
    word, arguments = sampler_words.named(sampler)
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
def test_tpe_without_the_faster_normal_draws_the_same(count: int, seed: int, direction: Direction) -> None:
    history = past(count, seed)
    fast = suggest(AXES, history, 2, sampler="tpe", seed=seed, direction=direction)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tpe, "FAST_IN", ())
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
    assert optuna.__version__ in tpe.FAST_IN, "measure the fast normal on this version, or take it out"
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
    kept = Window(history, "minimize", 1000).seen
    scored = [trial for trial in kept if trial.state in ("complete", "pruned") or trial.rungs]
    assert len(scored) == 1000
    assert numbers_of(kept) == sorted(numbers_of(kept))
    waiting = [trial for trial in history if trial.state == "running" and not trial.rungs]
    assert set(numbers_of(kept)) >= set(numbers_of(waiting))
    complete = sorted((t for t in history if t.state == "complete"), key=lambda t: float(t.value or 0))
    assert set(numbers_of(complete[:333])) <= set(numbers_of(kept))
    assert Window(history[:900], "minimize", 1000).seen == history[:900]
    assert rank(complete[0], "minimize") < rank(complete[1], "minimize")


def grown(steps: int, seed: int) -> tuple[History, list[Seen]]:
    """A history that has come about as in a search, and the same trials at once."""
    rng = np.random.default_rng(seed)
    history = History()
    for number in range(steps):
        history.append(Seen(number, uniform(AXES, number, seed), "running"))
        for at in rng.integers(0, number + 1, 2).tolist():
            trial = history[at]
            if trial.state != "running":
                continue
            rungs = {**trial.rungs, 3 ** (1 + len(trial.rungs)): round(float(rng.random()), 1)}
            state = ["running", "pruned", "complete"][rng.integers(3)]
            value = round(float(rng.random()), 1) if state == "complete" else None
            history.replace(Seen(at, trial.params, state, value, rungs if rng.random() < 0.9 else {}))
    return history, [Seen(t.number, t.params, t.state, t.value, t.rungs) for t in history]


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_a_window_on_a_history_that_grows_is_that_on_the_whole(direction: Direction) -> None:
    history, trials = grown(300, 1)
    window = Window(History(trials[:1]), direction, 60)
    for trial in trials[1:]:  # some twice, as they are dropped and come again
        window.put(trial._replace(state="complete", value=0.5))
        window.drop(trial.number)
        window.put(trial)
    scored = [t for t in trials if t.state != "running" or t.rungs]
    best = sorted(scored, key=lambda t: (rank(t, direction), t.number))[:20]
    others = [t for t in scored if t not in best][-40:]
    waiting = [t for t in trials if t not in scored]
    expected = sorted(t.number for t in [*best, *others, *waiting])
    assert window.numbers == Window(history, direction, 60).numbers == expected
    assert list(window.ranked)[:20] == [t.number for t in best]


@pytest.mark.parametrize("arguments", [{}, {"multivariate": False}, {"constant_liar": False}])
@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_tpe_on_a_history_that_grows_draws_to_the_bit_what_optuna_does(
    direction: Direction, arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is asked step by step, and where Optuna is given all trials at once."""
    monkeypatch.setitem(samplers.LIMITS, "tpe", 80)
    history, trials = grown(150, 2)
    sampler = {"name": "tpe", **arguments}
    grows, suggester = History(), Suggester(AXES, sampler=sampler, seed=4, direction=direction)
    for trial in trials:
        grows.append(trial._replace(state="running", value=None, rungs={}))
        if trial.number % 40 == 39:
            suggester.suggest(grows, 2)
        if trial.number > 20:
            grows.replace(trials[trial.number - 20])
    for trial in trials:
        grows.replace(trial)
    found = suggester.suggest(grows, 3)
    asked = []
    monkeypatch.setattr(tpe.Model, "draw", lambda self, seed: asked.append(seed))
    assert found == suggest(AXES, list(history), 3, sampler=sampler, seed=4, direction=direction)
    assert len(asked) == 3, "Optuna was asked"


@pytest.mark.parametrize("word", ["random", "qmc", "tpe"])
def test_no_question_goes_through_all_trials(word: str) -> None:
    """That would make a search cost the square of its trials."""

    class Once(History):
        def __iter__(self) -> Any:
            raise AssertionError("all trials were gone through")

    history, looked = Once(past(40)), []
    suggester = Suggester(AXES, sampler=word, seed=0, direction="minimize")
    suggester.suggest(history, 1)
    at = Once.__getitem__
    Once.__getitem__ = lambda self, place: looked.append(place) or at(self, place)  # type: ignore[method-assign,assignment,func-returns-value]
    history.replace(history[7])
    looked.clear()
    suggester.suggest(history, 2)
    assert len(looked) <= 3


def numbers_of(trials: Sequence[Seen]) -> list[int]:
    return [trial.number for trial in trials]


def test_a_cut_history_finds_as_good_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.array([min(search("tpe", seed, 110, 22)) for seed in range(4)])
    monkeypatch.setitem(samplers.LIMITS, "tpe", 75)  # the least that keeps the 25 best
    cut = np.array([min(search("tpe", seed, 110, 22)) for seed in range(4)])
    assert np.median(cut) < 2 * np.median(whole) + 0.01
