"""The object that `--json` prints, drawn from an outcome."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.files import write_text
from workbench.places import Places
from workbench.ranking import ranked
from workbench.types import Outcome, Value

if TYPE_CHECKING:
    from workbench.ledger import Ledger, Look

__all__ = ["Held", "best_trials", "ledger_of", "load", "opening", "result", "save"]


class Held(NamedTuple):
    """A result as it is kept for the next call."""

    result: dict[str, Any]
    budget: int  # trials that were asked for; a grid may have had fewer
    settled: bool  # whether MLflow and the Optuna storage have everything
    stopped: bool = False  # whether its rule ended the search before the budget


def result(outcome: Outcome, report: Path | None, status: str | None = None) -> dict[str, Any]:
    """The contract's object. Numbers that JSON cannot say are None."""
    test = outcome.test
    states = [trial.state for trial in outcome.trials]
    best, default = _best(outcome)
    return {
        "study": outcome.study,
        "status": status or ("searched" if test is None else "confirmed"),
        "task": outcome.task,
        "trials": {
            "total": len(states),
            "complete": states.count("complete"),
            "pruned": states.count("pruned"),
            "failed": states.count("failed"),
        },
        "stopped": outcome.stopped or None,
        "best": best,
        "default": {"validation": default},
        "refit": _refit(outcome),
        "optimism": None if outcome.selection is None else _finite(outcome.selection.optimism),
        "test": None if test is None else {name: _finite(value) for name, value in asdict(test).items()},
        "baselines": {name: dict(figures) for name, figures in outcome.baselines.items()},
        "programs": outcome.programs,
        "seconds": {name: round(value, 3) for name, value in outcome.seconds.items()},
        "mlflow": dict(outcome.mlflow),
        "report": None if report is None else str(report),
    }


def best_trials(outcome: Outcome, count: int = 10) -> list[dict[str, Any]]:
    """The best complete trials, best first."""
    return [
        {
            "trial": trial.number,
            "validation": trial.value,
            "epochs": trial.epochs,
            "params": dict(trial.params),
            "curve": [_finite(float(score)) for score in trial.curves.validation_score],
        }
        for trial in ranked(outcome.trials, outcome.direction)[:count]
    ]


def opening(look: Look) -> dict[str, Any]:
    """A line of the ledger."""
    score: Mapping[str, Any] = {} if look.recorded is None else asdict(look.recorded.score)
    return {
        "number": look.number,
        "time": look.time,
        "study": look.opening.study,
        "data": look.name,
        "seal": look.opening.seal,
        "choice": look.opening.choice,
        "look": look.opening.look,
        "test_rows": look.rows,
        "who": look.who,
        "host": look.host,
        **{
            name: _finite(score[name]) for name in ("metric", "value", "low", "high", "note") if name in score
        },
    }


def ledger_of(places: Places) -> Ledger:
    """The ledger beside the study records, with its witness under the home directory."""
    from workbench.ledger import Ledger  # and with it SQLAlchemy, which a recorded result does not need

    return Ledger(places.storage, places.home / "ledger.witness")


def save(held: Held, folder: Path) -> None:
    """Keep the object, so that the next call of a finished study needs nothing else."""
    write_text(folder / "result.json", json.dumps(held._asdict(), allow_nan=False))


def load(folder: Path) -> Held | None:
    """What `save` kept in a study's folder, None if there is nothing."""
    path = folder / "result.json"
    return Held(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def _refit(outcome: Outcome) -> dict[str, int] | None:
    """How the delivered model was trained on training and validation rows together, if it was."""
    if outcome.selection is None or outcome.selection.refit is None:
        return None
    rows = int(outcome.data["train"]) + int(outcome.data["validation"])
    return {"rows": rows, "epochs": outcome.selection.refit.best_epoch}


def _best(outcome: Outcome) -> tuple[dict[str, Any] | None, float | None]:
    """The choice and the default's score; of a search that was stopped, what they are so far."""
    chosen = outcome.selection
    if chosen is not None:
        best = _choice(outcome, chosen.trial, chosen.validation, chosen.params)
        return best, _finite(chosen.default)
    default = next((trial.value for trial in outcome.trials if trial.number == 0), None)
    leader = next(iter(best_trials(outcome, 1)), None)
    if leader is None:
        return None, default
    return _choice(outcome, leader["trial"], leader["validation"], leader["params"]), default


def _choice(outcome: Outcome, trial: int, validation: float, params: Mapping[str, Value]) -> dict[str, Any]:
    score = {"metric": outcome.metric, "validation": _finite(validation)}
    return {"trial": trial, **score, "params": dict(params)}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
