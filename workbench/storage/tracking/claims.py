"""Experiments in MLflow: one experiment each, a run for every time it was run, its figure and verdict."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.core.addresses import redact
from workbench.core.errors import StoreError
from workbench.storage.tracking.client import connect, find_experiment
from workbench.storage.tracking.process import ENVIRONMENT


def log(uri: str, record: Mapping[str, Any], figure: Path | None, artifacts: Path) -> str:
    """Write the run of an experiment and give its id. Raises StoreError if MLflow cannot take it."""
    os.environ.update({name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()})
    from mlflow.entities import Metric
    from mlflow.exceptions import MlflowException

    store = connect(uri, artifacts.absolute().as_uri())
    try:
        where = find_experiment(store, f"experiment-{record['name']}")
        tags = {
            "verdict": record["conclusion"], "claim": record["claim"], "source": record["source"],
            "mlflow.runName": record["conclusion"], "mlflow.note.content": _note(record),
        }  # fmt: skip
        run = store.client.create_run(where, tags=tags).info.run_id
        figures = {name: record[name] for name in ("effect", "low", "high", "seconds")} | record["facts"]
        points = [Metric(name, float(value), 0, 0) for name, value in figures.items()]
        points += [Metric("effect_by_seed", value, 0, seed) for seed, value in enumerate(record["effects"])]
        store.client.log_batch(run, metrics=points)
        store.client.log_text(run, json.dumps(record, indent=1), "record.json")
        if figure is not None:
            store.client.log_artifact(run, str(figure))
        store.client.set_terminated(run)
    except (MlflowException, OSError) as error:
        reason = redact(str(error).partition("\n")[0])
        raise StoreError(f"{redact(uri)}: MLflow cannot take the experiment ({reason})") from error
    return str(run)


def _note(record: Mapping[str, Any]) -> str:
    interval = f"{record['low']:.4g} to {record['high']:.4g}"
    return (
        f"**{record['title']}**\n\n{record['claim']}\n\n**{record['conclusion']}**: {record['unit']} is "
        f"{record['effect']:.4g} (95 % interval {interval} over {len(record['effects'])} seeds)."
    )
