"""Outcomes as a real study leaves them, made from a seed: pruned and diverged trials, NaN curves, seeds."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from workbench.core.records import Curves, Outcome, SeedRecord, Selection, TestScore, TrialRecord
from workbench.core.types import Axis, Choice, Range, Value

AXES: dict[str, Axis] = {
    "learning_rate": Range(1e-4, 1e-1, log=True),
    "width": Range(16, 256, log=True, integer=True),
    "depth": Range(1, 3, integer=True),
    "activation": Choice(("relu", "tanh", "sigmoid")),
    "optimizer": Choice(("adam", "momentum", "rmsprop")),
    "l2": Range(1e-8, 1e-2, log=True),
    "dropout": Range(0.0, 0.5),
    "batch_size": Choice((32, 64, 128)),
}
IMPORTANCES = {
    "learning_rate": 0.52,
    "optimizer": 0.17,
    "width": 0.12,
    "dropout": 0.08,
    "activation": 0.06,
    "depth": 0.03,
    "l2": 0.015,
    "batch_size": 0.005,
}
RUNGS = (6, 18, 54)


def classification(trials: int = 200, confirmed: bool = True, classes: int = 10, seed: int = 0) -> Outcome:
    """Digits-like: accuracy, maximized."""
    rng = np.random.default_rng(seed)
    records = tuple(_trial(rng, number, "classification") for number in range(trials))
    targets = rng.integers(0, classes, 360)
    logits = rng.normal(0, 1.0, (360, max(classes, 2))).astype(np.float32)
    logits[np.arange(360), targets] += 4.0
    outputs = logits if classes > 2 else (logits[:, 1:] - logits[:, :1])
    hits = float((_predicted(outputs) == targets).mean())
    test = TestScore("accuracy", hits, hits - 0.021, hits + 0.011, 360, 1)
    return _outcome(records, "classification", confirmed, test, outputs, targets, classes)


def regression(trials: int = 120, confirmed: bool = True, outputs: int = 1, seed: int = 1) -> Outcome:
    """Housing-like: RMSE in the target's units, minimized, with a few enormous scores."""
    rng = np.random.default_rng(seed)
    records = tuple(_trial(rng, number, "regression") for number in range(trials))
    actual = rng.gamma(4.0, 50_000.0, (800, outputs)).astype(np.float32)
    predicted = (actual * rng.normal(1.0, 0.15, actual.shape) + rng.normal(0, 20_000, actual.shape)).astype(
        np.float32
    )
    rmse = float(np.sqrt(((predicted - actual) ** 2).mean()))
    test = TestScore("rmse", rmse, rmse * 0.95, rmse * 1.06, 800, 1)
    return _outcome(records, "regression", confirmed, test, predicted, actual, 0)


def with_look(outcome: Outcome, look: int) -> Outcome:
    """The same, as if others had opened these test rows before."""
    assert outcome.test is not None
    return replace(outcome, test=outcome.test.__class__(**{**vars(outcome.test), "look": look}))


def _predicted(outputs: np.ndarray) -> np.ndarray:
    return (outputs[:, 0] > 0).astype(int) if outputs.shape[1] == 1 else outputs.argmax(axis=1)


def _trial(rng: np.random.Generator, number: int, task: str) -> TrialRecord:
    params = {name: _sample(rng, axis, first=number == 0) for name, axis in AXES.items()}
    rate = float(params["learning_rate"])
    merit = np.exp(-(((np.log10(rate) + 2.3) / 1.3) ** 2)) * (1 - 0.3 * float(params["dropout"]))
    merit *= 1.0 if params["optimizer"] != "momentum" else 0.9
    ceiling = 0.90 + 0.085 * merit + rng.normal(0, 0.003)
    diverged = rate > 0.05 and params["optimizer"] == "momentum"
    epochs = 100 if number == 0 else int(rng.choice([6, 18, 54, 100], p=[0.45, 0.2, 0.1, 0.25]))
    if merit > 0.85:
        epochs = int(rng.integers(60, 101))
    reason: str = "pruned" if epochs in RUNGS else ("finished" if epochs == 100 else "early stopped")
    t = np.arange(1, epochs + 1)
    rise = 1 - np.exp(-t * (0.02 + 0.25 * merit))
    score = 0.1 + (ceiling - 0.1) * rise + rng.normal(0, 0.004, epochs)
    train = 2.3 * np.exp(-t * (0.01 + 0.12 * merit)) + 0.01 + rng.normal(0, 0.003, epochs).clip(-0.005)
    validation = 2.3 * np.exp(-t * (0.01 + 0.1 * merit)) + 0.11 + 0.0009 * t + rng.normal(0, 0.008, epochs)
    if task == "regression":
        score = 150_000 - 100_000 * score
        train, validation = train / 3, validation / 3
    if diverged:
        epochs, reason = 6, "diverged"
        score, train, validation = score[:6].copy(), train[:6].copy(), validation[:6].copy()
        score[2:] = train[2:] = validation[2:] = np.nan
        validation[2] = np.inf
    curves = Curves(*(curve.astype(np.float32) for curve in (train, validation, score)))
    best = int((score.argmax() if task == "classification" else score.argmin()) + 1) if not diverged else 0
    value = None if diverged else float(score[best - 1])
    if number % 37 == 5 and task == "regression" and value is not None:
        value = 4e7  # a trial that went astray without leaving the numbers
    state: Literal["complete", "pruned"] = "pruned" if reason in ("pruned", "diverged") else "complete"
    rungs = {rung: float(score[rung - 1]) for rung in RUNGS if rung <= epochs and not diverged}
    ended = 1_700_000_000.0 + 0.12 * (number + 1)
    return TrialRecord(
        number, params, state, reason, value, epochs, best, curves, 7, "1a2b3c4d", 0.11, rungs, ended
    )  # type: ignore[arg-type]


def _sample(rng: np.random.Generator, axis: Axis, first: bool) -> Value:
    if isinstance(axis, Choice):
        return axis.choices[0] if first else axis.choices[int(rng.integers(len(axis.choices)))]
    place = 0.5 if first else float(rng.beta(2, 1.6))
    value = (
        axis.low * (axis.high / axis.low) ** place if axis.log else axis.low + place * (axis.high - axis.low)
    )
    return round(value) if axis.integer else float(value)


def _selection(records: tuple[TrialRecord, ...], task: str, confirmed: bool) -> Selection | None:
    complete = [trial for trial in records if trial.state == "complete" and trial.value is not None]
    if not complete:
        return None
    winner = (max if task == "classification" else min)(complete, key=lambda trial: float(trial.value or 0))
    assert winner.value is not None
    rng = np.random.default_rng(5)
    seeds = tuple(
        SeedRecord(
            s,
            float(winner.value) * (1 + 0.003 * (i - 1)),
            max(1, winner.best_epoch - 3 * i),
            Curves(
                *(
                    (c * (1 + 0.12 * i) * rng.normal(1, 0.04, len(c))).astype(np.float32)
                    for c in winner.curves
                )
            ),
        )
        for i, s in enumerate((7, 8, 9))
    )
    settings: dict[str, Value] = {
        "family": "mlp",
        "initializer": "auto",
        "schedule": "cosine",
        "epochs": 100,
        "patience": 10,
        "scale": "standardize",
        "loss": "cross_entropy" if task == "classification" else "mse",
        **winner.params,
    }
    default = records[0].value
    gap = 0.004 if task == "classification" else 900.0
    return Selection(
        winner.number,
        winner.params,
        settings,
        float(winner.value),
        float("nan") if default is None else float(default),
        gap,
        len(complete),
        seeds if confirmed else (),
        17_482,
    )


def _outcome(
    records: tuple[TrialRecord, ...],
    task: Literal["classification", "regression"],
    confirmed: bool,
    test: TestScore,
    outputs: np.ndarray,
    targets: np.ndarray,
    classes: int,
) -> Outcome:
    digits = task == "classification"
    names = ("malignant", "benign") if classes == 2 else tuple(str(i) for i in range(classes))
    study = "digits-mlp" if digits else "housing-mlp"
    return Outcome(
        study=study,
        question="How well does a small MLP read 8x8 digits?"
        if digits
        else "What does a house in a district cost?",
        task=task,
        metric="accuracy" if digits else "rmse",
        direction="maximize" if digits else "minimize",
        axes=AXES,
        trials=records,
        selection=_selection(records, task, confirmed),
        test=test if confirmed else None,
        data={
            "name": "digits" if digits else "housing.csv",
            "rows": 1797 if digits else 4000,
            "train": 1077 if digits else 2400,
            "validation": 360 if digits else 800,
            "test": 360 if digits else 800,
            "features": 64 if digits else 9,
            "target": "digit" if digits else "median_house_value",
            "divided": "at random within each class, seed 0" if digits else "at random, seed 0",
            "fingerprint": "sha256:5d1c9c6f0b1f7a7d",
        },
        classes=names if digits else (),
        outputs=outputs,
        targets=targets,
        outputs_on="test" if confirmed else "validation",
        seconds={"total": 24.6, "compile": 6.1, "train": 12.0, "sample": 3.9, "track": 1.5, "other": 1.1},
        programs=3,
        mlflow={
            "tracking_uri": "sqlite:///runs/mlflow.db",
            "experiment": study,
            "run_id": "0123456789abcdef",
        },
        environment={
            "python": "3.11.7",
            "jax": "0.10.2",
            "optuna": "5.0.0",
            "hardware": "2 CPU cores",
            "platform": "Linux",
        },
        study_file=f'name     = "{study}"\nquestion = "…"\nseed     = 0\n\n[search]\ntrials = 200\n',
    )
