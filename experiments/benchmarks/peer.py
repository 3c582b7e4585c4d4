"""The loop that users run today: Optuna on SQLite asks, a function trains, MLflow on SQLite records.

`run` is the driver that the three peers share; what differs is how a trial is trained and how it is logged:
every epoch by a call of its own, as the examples of both libraries do, or in one batch when the trial ends.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.benchmarks.digits import Rows, load_rows, space

__all__ = ["Epochs", "main", "run"]

#: (parameters, rows, epochs, seed) -> metrics of each epoch, the validation accuracy among them.
Epochs = Callable[[Mapping[str, Any], Rows, int, int], Iterator[dict[str, float]]]


def main(epochs_of: Epochs, *, batched: bool, description: str | None) -> None:
    """Run a peer from the command line; its last line of output is JSON."""
    began = time.perf_counter()
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help="the rows, as digits.save_rows writes them")
    parser.add_argument("--home", type=Path, required=True, help="folder of both databases")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    result = run(
        epochs_of,
        load_rows(chosen.data),
        home=chosen.home,
        trials=chosen.trials,
        epochs=chosen.epochs,
        seed=chosen.seed,
        batched=batched,
    )
    print(json.dumps({**result, "seconds": time.perf_counter() - began}))


def run(
    epochs_of: Epochs, rows: Rows, *, home: Path, trials: int, epochs: int, seed: int, batched: bool
) -> dict[str, Any]:
    """Search; the best accuracy and how long each trial took."""
    import mlflow
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    mlflow.set_tracking_uri(f"sqlite:///{home / 'mlflow.db'}")
    mlflow.set_experiment("digits")
    took: list[float] = []

    def objective(trial: optuna.Trial) -> float:
        params = space(trial)
        with mlflow.start_run(run_name=f"trial {trial.number}", nested=True):
            mlflow.log_params(params)
            history = []
            for epoch, metrics in enumerate(epochs_of(params, rows, epochs, seed + trial.number)):
                history.append(metrics)
                if not batched:
                    mlflow.log_metrics(metrics, step=epoch)
                    trial.report(metrics["validation_accuracy"], epoch)
            if batched:
                _log_batch(history)
        return history[-1]["validation_accuracy"]

    def timed(trial: optuna.Trial) -> float:
        began = time.perf_counter()
        try:
            return objective(trial)
        finally:
            took.append(time.perf_counter() - began)

    study = optuna.create_study(
        study_name="digits",
        storage=f"sqlite:///{home / 'optuna.db'}",
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.NopPruner(),
    )
    began = time.perf_counter()
    with mlflow.start_run(run_name="study"):
        study.optimize(
            timed, n_trials=trials, catch=(ValueError,)
        )  # scikit-learn refuses weights that are NaN
        mlflow.log_metric("best_validation_accuracy", study.best_value)
    searching = time.perf_counter() - began
    # Asking and telling take the rest of the search: per trial, so that a few trials stand for many.
    return {"best": study.best_value, "trials": took, "search": searching}


def _log_batch(history: list[dict[str, float]]) -> None:
    """All curves of a trial in one call."""
    import mlflow
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    points = [
        Metric(name, value, now, step) for step, row in enumerate(history) for name, value in row.items()
    ]
    active = mlflow.active_run()
    assert active is not None
    for first in range(0, len(points), 1000):
        mlflow.MlflowClient().log_batch(active.info.run_id, metrics=points[first : first + 1000])
