"""Samplers on axes with conditions: an axis is drawn where it takes part, and learnt from there."""

from __future__ import annotations

import importlib.util
import math

import optuna
import pytest

from workbench.core.conditions import met
from workbench.core.records import Curves, TrialRecord
from workbench.core.types import Axis, Choice, Range
from workbench.core.vocabulary import EXHAUSTIVE, SAMPLERS
from workbench.tuning.importances import importances
from workbench.tuning.loop import Known
from workbench.tuning.samplers import NEEDS, Suggester, seeded
from workbench.tuning.space import combinations

AXES: dict[str, Axis] = {
    "kernel": Range(1, 4, integer=True, when=(("family", ("cnn",)),), otherwise=3),
    "family": Choice(("mlp", "cnn")),
    "depth": Range(1, 3, integer=True, when=(("family", ("mlp",)),), otherwise=2),
    "dropout": Range(0.0, 0.5, step=0.25, when=(("depth", (2, 3)),), otherwise=0.0),
    "rate": Range(0.001, 0.1, log=True),
}
FINITE = {name: axis for name, axis in AXES.items() if name != "rate"}


def searched(sampler: str, trials: int, seed: int = 0) -> list[Known]:
    """A search one trial at a time for a cnn with kernel 2 and a rate near 0.01."""
    axes = FINITE if sampler in EXHAUSTIVE else AXES
    suggester, history = Suggester(axes, sampler=sampler, seed=seed, direction="minimize"), []
    while len(history) < trials and (drawn := suggester.suggest(history, 1)):
        (params,) = drawn
        score = abs(math.log(float(params.get("rate", 0.01))) - math.log(0.01))
        score += abs(float(params.get("kernel", 9)) - 2)
        history.append(Known(len(history), params, "complete", score, {}))
    return history


def known(sampler: str) -> bool:
    return all(importlib.util.find_spec(module) for module in NEEDS.get(sampler, ()))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_trial_has_the_axes_that_take_part_and_no_others(sampler: str) -> None:
    if not known(sampler):
        pytest.skip(f"{sampler} needs a package that is not there")
    history = searched(sampler, 70 if sampler != "gp" else 14)
    for trial in history:
        expected = [name for name in trial.params if met(AXES[name].when, trial.params)]
        assert list(trial.params) == expected
        assert ("kernel" in trial.params) != ("depth" in trial.params)
        assert ("dropout" in trial.params) == (trial.params.get("depth") in (2, 3))
    again = Suggester(
        FINITE if sampler in EXHAUSTIVE else AXES, sampler=sampler, seed=0, direction="minimize"
    ).suggest(history[:-1], 1)
    assert again == [history[-1].params]  # a function of seed, number and history, as when it is resumed


@pytest.mark.parametrize("sampler", EXHAUSTIVE)
def test_each_configuration_is_tried_once(sampler: str) -> None:
    history = searched(sampler, 1000)
    different = {tuple(sorted(trial.params.items())) for trial in history}
    assert len(history) == len(different) == combinations(FINITE) == 4 + 1 + 2 * 3


def test_tpe_learns_where_an_axis_takes_part() -> None:
    """Of its last trials more are good than of random ones: its model of the kernel is made of the cnns."""

    def good(sampler: str) -> int:
        return sum(trial.params.get("kernel") == 2 for trial in searched(sampler, 60, seed=1)[30:])

    assert good("tpe") > 2 * good("random")


@pytest.mark.parametrize("seed", range(4))
def test_what_is_drawn_is_what_optuna_draws_of_one_axis_after_the_other(seed: int) -> None:
    (params,) = Suggester(AXES, sampler="random", seed=seed, direction="minimize").suggest([], 1)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seeded(seed, 0)))
    trial = study.ask()
    family = trial.suggest_categorical("family", ["mlp", "cnn"])
    theirs: dict[str, object] = {"family": family}
    if family == "cnn":
        theirs["kernel"] = trial.suggest_int("kernel", 1, 4)
    else:
        theirs["depth"] = trial.suggest_int("depth", 1, 3)
        if theirs["depth"] != 1:
            theirs["dropout"] = trial.suggest_float("dropout", 0.0, 0.5, step=0.25)
    theirs["rate"] = trial.suggest_float("rate", 0.001, 0.1, log=True)
    assert params == theirs


def test_an_axis_matters_within_the_trials_that_have_it() -> None:
    """Conditional PED-ANOVA: the kernel decides among cnns, and nothing else decides."""
    draws = Suggester(AXES, sampler="random", seed=0, direction="minimize").suggest([], 200)
    nothing = Curves(*([0.0],) * 3)  # type: ignore[arg-type]
    records = [
        TrialRecord(
            number, params, "complete", "finished", abs(float(params.get("kernel", 9)) - 2), 1, 1, nothing,
            0, "", 0.0,
        )
        for number, params in enumerate(draws)
    ]  # fmt: skip
    shares = importances(AXES, records, "minimize")
    assert set(shares) == set(AXES)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert sorted(shares, key=lambda name: -shares[name])[:2] in (["kernel", "family"], ["family", "kernel"])
    assert shares["kernel"] > 5 * shares["rate"]
