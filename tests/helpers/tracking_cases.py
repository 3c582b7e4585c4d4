"""Trials and studies that the tests of the tracker share."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from workbench.core.records import Curves, TrialRecord
from workbench.storage.tracking import Parent
from workbench.storage.tracking.client import ENVIRONMENT

os.environ.update({key: value for key, value in ENVIRONMENT.items() if key != "PYTHONWARNINGS"})

PARENT = Parent(
    study="digits-mlp-0a1b2c3d", name="digits-mlp", metric="accuracy", direction="maximize",
    question="How well?", seed=0, params={"epochs": 50}, tags={"sampler": "tpe"},
)  # fmt: skip


def look_at(uri: str) -> None:
    """Point MLflow's own readers in this process at a store: runs and registered models alike.

    MLflow writes the addresses into the environment too, where the programs of later tests would find them.
    """
    import mlflow

    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        os.environ.pop(variable, None)


def trial(number: int, epochs: int = 4, **changes: object) -> TrialRecord:
    """A finished trial whose every number follows from its own."""
    draw = np.random.default_rng(number)
    fields: dict[str, object] = {
        "number": number,
        "params": {
            "learning_rate": float(draw.uniform(1e-4, 1e-1)),
            "width": int(draw.integers(8, 64)),
            "activation": "relu",
        },
        "state": "complete",
        "reason": "finished",
        "value": float(draw.uniform(0.5, 1.0)),
        "epochs": epochs,
        "best_epoch": max(1, epochs // 2),
        "curves": Curves(*draw.random((3, epochs), dtype=np.float32)),
        "seed": number + 100,
        "recipe": "abcd1234",
        "seconds": 1.5,
        "finished": 1_700_000_000.25,
    } | changes
    return TrialRecord(**fields)  # type: ignore[arg-type]


def odd_trials() -> list[TrialRecord]:
    """One of every state, with values that are no numbers among them."""
    nan, inf = float("nan"), float("inf")
    curve = np.array([0.5, inf, nan], np.float32)
    return [
        trial(0),
        trial(
            1,
            3,
            state="pruned",
            reason="diverged",
            value=None,
            best_epoch=0,
            curves=Curves(curve, -curve, curve),
        ),
        trial(2, 2, state="pruned", reason="pruned", value=0.9999),
        trial(3, 0, state="failed", reason="error", value=None, best_epoch=0),
        trial(4, 5, reason="early stopped", params={}),
        trial(5, 3, value=nan),
        trial(6, params={"note": "x" * 7000, "names": "ünïcode 'quoted' \"twice\" %s :p ?"}),
    ]


def finished(trials: list[TrialRecord], at: float) -> list[TrialRecord]:
    """The same, all finished at another time."""
    return [replace(record, finished=at) for record in trials]
