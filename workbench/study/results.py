"""The object that `--json` prints, drawn from an outcome."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.core.addresses import redact
from workbench.core.files import read_record, write_record
from workbench.core.locations import Locations, local_store
from workbench.core.records import NO_SCORE, Outcome, TestScore, ranked
from workbench.core.types import Value
from workbench.evaluation.declarations import in_order, reached

if TYPE_CHECKING:
    from workbench.storage.ledger import Ledger
    from workbench.storage.ledger.looks import Look


class Held(NamedTuple):
    """A result as it is kept for the next call."""

    result: dict[str, Any]
    budget: int  # trials that were asked for; a grid may have had fewer
    settled: bool  # whether MLflow and the Optuna storage have everything
    stopped: bool = False  # whether its rule ended the search before the budget
    model: str = ""  # fingerprint of the delivered model, which it belongs to


def result(outcome: Outcome, report: Path | None, status: str | None = None) -> dict[str, Any]:
    """The contract's object. Numbers that JSON cannot say are None."""
    test = outcome.test
    states = [trial.state for trial in outcome.trials]
    best, default = _best(outcome)
    without = Counter(NO_SCORE[trial.reason] for trial in outcome.trials if trial.reason in NO_SCORE)
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
        "without_score": dict(without) or None,
        "stopped": outcome.stopped or None,
        "best": best,
        "default": {"validation": default},
        "choice": _how(outcome),
        "encoded": _encoded(outcome),
        "declared": _declared(outcome),
        "average": _average(outcome),
        "calibration": _calibration(outcome),
        "refit": _refit(outcome),
        "optimism": None if outcome.selection is None else _finite(outcome.selection.optimism),
        "test": None if test is None else _test(test),
        "also": _also(outcome, best),
        "targets": {name: {**one, "on": outcome.outputs_on} for name, one in outcome.by_target.items()}
        or None,
        "note": outcome.withheld or None,
        "weighted": outcome.data.get("weighted by"),
        "baselines": {name: dict(figures) for name, figures in in_order(outcome.baselines).items()},
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
            "also": {name: _finite(value) for name, value in trial.also.items()},
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
        "by_hand": look.hand,
        "rows_opened_before": look.opening.rows_opened_before,
        "test_rows": look.rows,
        "who": look.who,
        "host": look.host,
        **{
            name: _finite(score[name]) for name in ("metric", "value", "low", "high", "note") if name in score
        },
    }


def ledger_of(locations: Locations) -> Ledger:
    """The ledger beside the study records, with its witness under the home directory, and the user's."""
    from workbench.storage.ledger import (
        Ledger,  # and with it SQLAlchemy, which a recorded result does not need
    )
    from workbench.storage.ledger.user_ledger import address

    own = locations.storage == local_store(locations.home, "workbench")
    name = "home" if own else hashlib.sha256(redact(locations.storage).encode()).hexdigest()[:8]
    shared = locations.home / "ledger.witness" if own else None
    return Ledger(locations.storage, locations.home / f"ledger-{name}.witness", shared, address())


def save(held: Held, folder: Path) -> None:
    """Keep the object, so that the next call of a finished study needs nothing else."""
    write_record(folder / "result.json", held._asdict())


def load(folder: Path) -> Held | None:
    """What `save` kept in a study's folder; None if there is nothing, or not what was written."""
    try:
        document, whole = read_record(folder / "result.json")
        return Held(**document) if whole else None
    except (FileNotFoundError, NotADirectoryError, TypeError, ValueError):
        return None  # the journal and the ledger have all of it


def _how(outcome: Outcome) -> dict[str, Any] | None:
    """By which rule was chosen, and among which finalists."""
    chosen = outcome.selection
    if chosen is None:
        return None
    finalists = [{key: _finite(value) for key, value in asdict(one).items()} for one in chosen.finalists]
    kept = chosen.trial == 0 and len(finalists) > 1
    return {"rule": chosen.rule, "seeds": len(chosen.seeds), "finalists": finalists, "default_kept": kept}


def _also(outcome: Outcome, best: Mapping[str, Any] | None) -> dict[str, Any]:
    """Further metrics: of the best trial on the validation rows, of the choice on the test rows."""
    found = {trial.number: trial.also for trial in outcome.trials}
    of_trial = {} if best is None else found.get(best["trial"], {})
    return {
        name: {"validation": _finite(value), "test": outcome.also.get(name)}
        for name, value in of_trial.items()
    }


def _encoded(outcome: Outcome) -> dict[str, Any] | None:
    """How the choice encodes numbers, and how many features that makes of the columns."""
    chosen = outcome.selection
    if chosen is None or chosen.settings.get("numbers", "plain") == "plain":
        return None
    columns = outcome.data.get("columns") or outcome.data["shape"]
    said = {key: chosen.settings[key] for key in ("numbers", "bins")}
    return {**said, "columns": int(columns), "inputs": math.prod(chosen.inputs)}


def _declared(outcome: Outcome) -> dict[str, Any] | None:
    """What the study said beforehand, since when, and whether it was reached."""
    if not outcome.declared:
        return None
    *earlier, last = outcome.declared
    return {**asdict(last), "earlier": [asdict(one) for one in earlier], "reached": reached(outcome)}


def _average(outcome: Outcome) -> dict[str, Any] | None:
    """What the average of the networks of all seeds scores on validation rows; whether it is delivered."""
    found = outcome.selection.average if outcome.selection is not None else None
    return None if found is None else {name: _finite(value) for name, value in asdict(found).items()}


def _calibration(outcome: Outcome) -> dict[str, Any] | None:
    """By which temperature probabilities are calibrated, and the log loss on validation rows."""
    found = outcome.selection.calibration if outcome.selection is not None else None
    return None if found is None else {name: _finite(value) for name, value in asdict(found).items()}


def _refit(outcome: Outcome) -> dict[str, Any] | None:
    """How the choice was trained on training and validation rows together, if it was; whether that stays."""
    chosen = outcome.selection
    if chosen is None or chosen.refit is None:
        return None
    rows = int(outcome.data["train"]) + int(outcome.data["validation"])
    again, judged = chosen.refit_losses or (math.nan, math.nan)
    return {
        "rows": rows,
        "epochs": chosen.refit.best_epoch,
        "delivered": chosen.delivers_refit,
        "loss": _finite(again),
        "judged_loss": _finite(judged),
    }


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


def _test(test: TestScore) -> dict[str, Any]:
    """A score; what is not said is left out."""
    said = {name: _finite(value) for name, value in asdict(test).items()}
    return {name: value for name, value in said.items() if value != "" or name not in ("remarks", "verdict")}


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
