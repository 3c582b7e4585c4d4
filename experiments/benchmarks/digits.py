"""The study that everybody runs: its space, its budget and its rows, for us and for the peers.

200 trials of 50 epochs on the 1,797 digits of scikit-learn; depth, width, activation, optimizer, learning
rate, L2, dropout and batch size are searched by TPE. A trial is judged by its validation accuracy after the
last epoch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmarks.common import toml

__all__ = ["Rows", "load_rows", "save_rows", "space", "study_file"]


class Rows(NamedTuple):
    """The same rows for everybody, standardized by the training rows: x [N, F] float32, y [N] int64."""

    x: np.ndarray
    y: np.ndarray
    x_validation: np.ndarray
    y_validation: np.ndarray


def study_file(
    folder: Path,
    *,
    trials: int = 200,
    epochs: int = 50,
    seed: int = 0,
    pruner: str = "none",
    sampler: str = "tpe",
    name: str = "benchmark-digits",
    **tables: dict[str, Any],
) -> Path:
    """Write the study, with keys of its tables replaced, and say where."""
    study: dict[str, Any] = {
        "name": name,
        "seed": seed,
        "data": {"source": "digits", "split": {"train": 0.6, "validation": 0.2, "test": 0.2}},
        "model": {
            "family": "mlp",
            "depth": {"low": 1, "high": 3},
            "width": {"low": 16, "high": 256, "log": True},
            "activation": {"choices": ["relu", "tanh"]},
        },
        "optimizer": {
            "name": {"choices": ["adam", "momentum", "rmsprop"]},
            "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
            "schedule": "cosine",
        },
        "regularization": {
            "l2": {"low": 1e-8, "high": 1e-2, "log": True},
            "dropout": {"low": 0.0, "high": 0.5},
        },
        "training": {"epochs": epochs, "batch_size": {"choices": [32, 64, 128]}},
        "search": {"trials": trials, "sampler": sampler, "pruner": pruner, "seeds": 1},
        "select": {"metric": "accuracy"},
    }
    for table, keys in tables.items():
        study[table] = {**study[table], **keys}
    path = folder / f"{name}-{pruner}-{seed}.toml"
    path.write_text(toml(study), encoding="utf-8")
    return path


def space(trial: Any) -> dict[str, Any]:
    """The same axes in Optuna's words."""
    return {
        "depth": trial.suggest_int("depth", 1, 3),
        "width": trial.suggest_int("width", 16, 256, log=True),
        "activation": trial.suggest_categorical("activation", ["relu", "tanh"]),
        "optimizer": trial.suggest_categorical("optimizer", ["adam", "momentum", "rmsprop"]),
        "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True),
        "l2": trial.suggest_float("l2", 1e-8, 1e-2, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        "batch_size": trial.suggest_categorical("batch_size", [32, 64, 128]),
    }


def save_rows(study: Path, path: Path) -> None:
    """Write the rows that a study trains and validates on, as its own loader splits and scales them."""
    from workbench import data
    from workbench.study.config import read_study

    dataset, _ = data.load(read_study(study).data)
    fold, _ = data.prepare(dataset)
    np.savez(
        path,
        x=fold.train.x,
        y=fold.train.y.astype(np.int64),
        x_validation=fold.validation.x,
        y_validation=fold.validation.y.astype(np.int64),
    )


def load_rows(path: Path) -> Rows:
    """What `save_rows` has written."""
    with np.load(path, allow_pickle=False) as archive:
        return Rows(**{name: archive[name] for name in Rows._fields})
