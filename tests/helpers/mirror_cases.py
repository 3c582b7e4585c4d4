"""Trials of every ending for the Optuna study that is written behind, and Optuna's own look at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages.journal import JournalFileBackend, JournalStorage
from optuna.trial import FrozenTrial, TrialState

from workbench.core.records import Curves, Selection, TrialRecord
from workbench.core.types import Choice, Range
from workbench.storage.optuna_mirror import Described, OptunaMirror, Running

AXES = {
    "depth": Range(1, 3, integer=True),
    "width": Range(16, 256, log=True, integer=True),
    "activation": Choice(("relu", "tanh")),
    "batch_size": Choice((32, 64, 128)),
    "bias": Choice((True, False)),
    "learning_rate": Range(1e-4, 1e-1, log=True),
    "dropout": Range(0.0, 0.5, step=0.1),
}
DISTRIBUTIONS = {
    "depth": IntDistribution(1, 3),
    "width": IntDistribution(16, 256, log=True),
    "activation": CategoricalDistribution(("relu", "tanh")),
    "batch_size": CategoricalDistribution((32, 64, 128)),
    "bias": CategoricalDistribution((True, False)),
    "learning_rate": FloatDistribution(1e-4, 1e-1, log=True),
    "dropout": FloatDistribution(0.0, 0.5, step=0.1),
}
NOTHING = Curves(*(np.zeros(0, np.float32),) * 3)


def record(number: int, **changes: Any) -> TrialRecord:
    rng = np.random.default_rng(number)
    fields: dict[str, Any] = {
        "number": number,
        "params": {
            "depth": int(rng.integers(1, 4)),
            "width": int(rng.integers(16, 257)),
            "activation": str(rng.choice(["relu", "tanh"])),
            "batch_size": int(rng.choice([32, 64, 128])),
            "bias": bool(rng.integers(2)),
            "learning_rate": float(np.exp(rng.uniform(np.log(1e-4), np.log(1e-1)))),
            "dropout": round(0.1 * int(rng.integers(6)), 1),
        },
        "state": "complete",
        "reason": "finished",
        "value": float(rng.uniform()),
        "epochs": 50,
        "best_epoch": 31,
        "curves": NOTHING,
        "seed": number,
        "recipe": "a1b2",
        "seconds": 1.5,
        "rungs": {6: float(rng.uniform()), 17: float(rng.uniform()), 50: float(rng.uniform())},
        "finished": 1_700_000_000.0 + number,
    }
    return TrialRecord(**(fields | changes))


#: Every way in which a trial can end, with the values that databases and Optuna find hard.
ENDINGS = [
    record(0),
    record(1, state="pruned", reason="pruned", epochs=6, rungs={6: 0.1}),
    record(2, state="pruned", reason="diverged", value=None, rungs={6: float("nan")}),
    record(3, state="failed", reason="error", value=None, rungs={}),
    record(4, value=float("inf"), rungs={1: float("inf"), 2: float("-inf")}),
    record(5, value=float("nan")),
    record(6, value=None, best_epoch=0),
    record(7, state="complete", reason="early stopped", value=float(np.float32(0.1))),
]
STATES = [
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.PRUNED,
    TrialState.FAIL,
    TrialState.COMPLETE,
    TrialState.PRUNED,
    TrialState.PRUNED,
    TrialState.COMPLETE,
]


STUDY = Described("s", "accuracy", "maximize", AXES, "why?")
Where = Path | str
BEST = Selection(
    trial=4,
    params={},
    settings={},
    validation=1.0,
    default=0.5,
    optimism=0.0,
    considered=8,
    seeds=(),
    parameters=1,
)


def store(where: Where, study: Described = STUDY, heard: list[str] | None = None) -> OptunaMirror:
    return OptunaMirror(where, study, tell=print if heard is None else heard.append)


def open_study(where: Where, name: str = "s") -> optuna.Study:
    """As a user opens it."""
    storage = JournalStorage(JournalFileBackend(str(where))) if isinstance(where, Path) else where
    return optuna.load_study(study_name=name, storage=storage)


def load(where: Where, name: str = "s") -> list[FrozenTrial]:
    return open_study(where, name).get_trials(deepcopy=False)


def in_training(*numbers: int, rungs: int = 1) -> dict[int, Running]:
    found = {number: record(number) for number in numbers}
    return {n: Running(one.params, dict([*one.rungs.items()][:rungs])) for n, one in found.items()}


def check_everything(where: Where) -> None:
    study = open_study(where)
    assert study.direction.name == "MAXIMIZE"
    assert study.metric_names == ["accuracy"]
    assert study.user_attrs == {"question": "why?"}
    trials = study.get_trials(deepcopy=False)
    assert [trial.number for trial in trials] == list(range(len(ENDINGS)))
    assert [trial.state for trial in trials] == STATES
    for trial, source in zip(trials, ENDINGS, strict=True):
        assert trial.params == dict(source.params)
        assert list(trial.params) == list(source.params)
        assert {name: type(value) for name, value in trial.params.items()} == {
            name: type(value) for name, value in source.params.items()
        }
        assert trial.distributions == DISTRIBUTIONS
        assert trial.user_attrs["reason"] == source.reason
        assert (trial.user_attrs["recipe"], trial.user_attrs["seed"]) == ("a1b2", source.number)
        assert trial.user_attrs["best_epoch"] == source.best_epoch
        np.testing.assert_array_equal(
            list(trial.intermediate_values.items()), [*source.rungs.items()] or np.zeros(0)
        )
        trial._validate()
    assert [trial.value for trial in trials] == [
        ENDINGS[0].value,
        ENDINGS[1].value,
        None,
        None,
        float("inf"),
        None,
        None,
        ENDINGS[7].value,
    ]
