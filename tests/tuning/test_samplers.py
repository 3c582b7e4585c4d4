"""Suggestions: inside their axes, a pure function of the history, better than chance."""

from __future__ import annotations

import importlib.util
import itertools
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers._tpe import _truncnorm
from scipy.stats import qmc

from tests.helpers.suggest_cases import AXES, Seen, loss, past, search
from workbench.core.errors import StudyError
from workbench.core.types import Axis, Choice, Range, Value
from workbench.tuning.samplers import Suggester, at, check_sampler, suggest, uniform
from workbench.tuning.space import default, distributions

# ── inside the axes ──


@st.composite
def axis(draw: st.DrawFn) -> Axis:
    kind = draw(st.sampled_from(["choice", "integer", "log integer", "step", "float", "log float"]))
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


@settings(max_examples=60, deadline=None)
@given(
    axes=st.dictionaries(st.sampled_from("abcdef"), axis(), min_size=1, max_size=5),
    sampler=st.sampled_from(["random", "qmc", "tpe"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_values_lie_in_optunas_distributions(axes: dict[str, Axis], sampler: str, seed: int) -> None:
    words = distributions(axes)
    history = past(14, seed, axes)
    for params in suggest(axes, history, 4, sampler=sampler, seed=seed, direction="maximize"):
        assert list(params) == list(axes)
        for name, value in params.items():
            assert words[name]._contains(words[name].to_internal_repr(value))
            one = axes[name]
            assert type(value) is (str if isinstance(one, Choice) else int if one.integer else float)
            if isinstance(one, Range):
                assert one.low <= value <= one.high + 1e-9


@given(u=st.floats(0, 1, exclude_max=True))
def test_ends_of_the_unit_interval_are_inside(u: float) -> None:
    for one in AXES.values():
        value = at(one, u)
        if isinstance(one, Choice):
            assert value in one.choices
        else:
            assert one.low <= float(value) <= one.high


def test_a_uniform_draw_gives_every_value_its_share() -> None:
    grid = (np.arange(20_000) + 0.5) / 20_000
    for one in (Range(1, 3, integer=True), Range(0.0, 0.5, step=0.125), Choice(("a", "b", "c"))):
        shares = Counter(at(one, float(u)) for u in grid)
        assert max(shares.values()) - min(shares.values()) <= 1
    shares = Counter(at(Range(1, 9, log=True, integer=True), float(u)) for u in grid)
    for k in range(1, 10):
        expected = math.log((k + 0.5) / (k - 0.5)) / math.log(9.5 / 0.5)
        assert shares[k] / len(grid) == pytest.approx(expected, abs=1e-4)
    logs = [math.log10(float(at(Range(1e-4, 1e-1, log=True), float(u)))) for u in grid]
    np.testing.assert_allclose(logs, -4 + 3 * grid, atol=1e-9)


@pytest.mark.parametrize("sampler", ["random", "qmc", "tpe", "grid"])
def test_axes_with_one_value_and_no_axes(sampler: str) -> None:
    axes: dict[str, Axis] = {"a": Range(3, 3, integer=True), "b": Choice(("x",)), "c": Range(0.5, 0.5)}
    found = suggest(axes, past(12, axes=axes), 2, sampler=sampler, seed=0, direction="minimize")
    assert found == [{"a": 3, "b": "x", "c": 0.5}] * 2
    assert suggest({}, [], 2, sampler=sampler, seed=0, direction="minimize") == [{}, {}]
    mixed = axes | {"d": Choice((1, 2, 3))}
    for params in suggest(mixed, past(12, axes=mixed), 2, sampler=sampler, seed=0, direction="minimize"):
        assert list(params) == ["a", "b", "c", "d"]


# ── a pure function ──


@pytest.mark.parametrize("sampler", ["random", "qmc", "tpe"])
@pytest.mark.parametrize("count", [0, 5, 40])
def test_same_history_same_suggestions(sampler: str, count: int) -> None:
    history = past(count)

    def again(trials: Sequence[Seen], seed: int = 3) -> list[dict[str, Value]]:
        return suggest(AXES, trials, 6, sampler=sampler, seed=seed, direction="maximize")

    first = again(history)
    assert again(history) == first
    assert again([trial._replace(params=dict(trial.params)) for trial in reversed(history)]) == first
    assert again(history, seed=4) != first
    assert len({tuple(params.values()) for params in first}) == 6
    suggester = Suggester(AXES, sampler=sampler, seed=3, direction="maximize")
    for until in range(count):  # what it keeps from earlier calls changes nothing
        suggester.suggest(
            [trial._replace(state="running", value=None, rungs={}) for trial in history[:until]], 1
        )
    assert suggester.suggest(history, 6) == first
    script = (
        "from tests.helpers.suggest_cases import AXES, past; from workbench.tuning.samplers import suggest; "
        f"print(suggest(AXES, past({count}), 6, sampler={sampler!r}, seed=3, direction='maximize'))"
    )
    if count == 40 and sampler == "tpe":  # another process, another order of hashes
        shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert shown.stdout.strip() == str(first)


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_a_trial_does_not_depend_on_how_it_was_asked_for(sampler: str) -> None:
    together = suggest(AXES, [], 20, sampler=sampler, seed=0, direction="minimize")
    one_by_one: list[Seen] = []
    for number in range(20):
        (params,) = suggest(AXES, one_by_one, 1, sampler=sampler, seed=0, direction="minimize")
        one_by_one.append(Seen(number, params, "running"))
    assert [trial.params for trial in one_by_one] == together


def test_failed_trials_count_as_asked() -> None:
    history = past(20)
    (first,) = suggest(AXES, history, 1, sampler="tpe", seed=0, direction="minimize")
    (second,) = suggest(
        AXES, [*history, Seen(20, first, "failed")], 1, sampler="tpe", seed=0, direction="minimize"
    )
    assert first != second


def test_nothing_is_printed_and_nothing_stays_changed(capfd: pytest.CaptureFixture[str]) -> None:
    own = _truncnorm._log_ndtr
    suggest(AXES, past(60), 3, sampler="tpe", seed=0, direction="minimize")
    assert _truncnorm._log_ndtr is own
    assert capfd.readouterr() == ("", "")


def test_simple_samplers_do_not_load_optuna() -> None:
    script = (
        "import sys; from workbench.tuning.samplers import suggest; from workbench.core.types import Range; "
        "suggest({'a': Range(0.0, 1.0)}, [], 3, sampler='random', seed=0, direction='minimize'); "
        "sys.exit(bool({'optuna', 'jax', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


# ── the others ──


def test_qmc_covers_the_space_more_evenly_than_chance() -> None:
    axes: dict[str, Axis] = {"x": Range(0.0, 1.0), "y": Range(0.0, 1.0), "z": Range(0.0, 1.0)}

    def discrepancy(sampler: str) -> float:
        found = suggest(axes, [], 64, sampler=sampler, seed=0, direction="minimize")
        return float(qmc.discrepancy(np.array([list(map(float, params.values())) for params in found])))

    assert discrepancy("qmc") < 0.3 * discrepancy("random")


GRID: dict[str, Axis] = {
    "depth": Range(1, 3, integer=True),
    "dropout": Range(0.0, 0.5, step=0.1),
    "width": Range(4, 7, log=True, integer=True),
    "activation": Choice(("relu", "tanh")),
}


def test_grid_gives_every_cell_once_and_then_ends() -> None:
    cells = set(itertools.product((1, 2, 3), (0.0, 0.1, 0.2, 0.3, 0.4, 0.5), (4, 5, 6, 7), ("relu", "tanh")))
    history = [Seen(0, default(GRID), "running")]
    while new := suggest(GRID, history, 10, sampler="grid", seed=0, direction="minimize"):
        history += [Seen(len(history) + i, params) for i, params in enumerate(new)]
    seen = [
        (t.params["depth"], round(float(t.params["dropout"]), 6), t.params["width"], t.params["activation"])
        for t in history
    ]
    assert Counter(seen) == Counter(cells)


def test_grid_spreads_from_the_start() -> None:
    found = suggest(GRID, [], 12, sampler="grid", seed=0, direction="minimize")
    for name in GRID:
        sizes = {"depth": 3, "dropout": 6, "width": 4, "activation": 2}
        assert len({params[name] for params in found}) >= min(sizes[name], 5)


def test_grid_of_an_endless_axis() -> None:
    with pytest.raises(StudyError, match=r'"grid" needs axes with finitely many values, learning_rate'):
        check_sampler(AXES, "grid")


@pytest.mark.parametrize(("sampler", "package"), [("gp", "PyTorch"), ("cmaes", "cmaes")])
def test_a_missing_package_is_a_sentence(sampler: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(StudyError, match=f'"{sampler}" needs {package}, which is not installed'):
        check_sampler(AXES, sampler)


def test_cmaes_beats_random() -> None:
    pytest.importorskip("cmaes")
    best = {name: [min(search(name, seed, 120, 12)) for seed in range(6)] for name in ("cmaes", "random")}
    assert np.median(best["cmaes"]) < 0.5 * np.median(best["random"])
    history = past(60)
    first = suggest(AXES, history, 5, sampler="cmaes", seed=0, direction="maximize")
    assert suggest(AXES, history, 5, sampler="cmaes", seed=0, direction="maximize") == first


@pytest.mark.slow
def test_gp() -> None:
    pytest.importorskip("torch")
    history = [trial._replace(state="complete", value=loss(trial.params), rungs={}) for trial in past(24)] + [
        Seen(24, uniform(AXES, 24, 0), "running")
    ]
    first = suggest(AXES, history, 2, sampler="gp", seed=0, direction="minimize")
    assert suggest(AXES, history, 2, sampler="gp", seed=0, direction="minimize") == first
    assert np.mean([loss(params) for params in first]) < np.median(
        [float(t.value or 0) for t in history[:24]]
    )
