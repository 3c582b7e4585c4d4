"""Which trial is better: one rule for the choice, the tables and the report.

Many trials of a small validation set share a score; among them the validation loss, which sees how sure a
model is and not only whether it is right, says more than the accident of which was tried first.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

from workbench.types import SeedRecord, TrialRecord

__all__ = ["counted_loss", "ranked"]


def ranked(trials: Iterable[TrialRecord], direction: Literal["maximize", "minimize"]) -> list[TrialRecord]:
    """The complete trials, best first: by score, then by loss at the epoch that counts, then by number."""
    sign = -1.0 if direction == "maximize" else 1.0

    def key(trial: TrialRecord) -> tuple[float, float, int]:
        return sign * (trial.value or 0.0), counted_loss(trial), trial.number

    return sorted(
        (trial for trial in trials if trial.state == "complete" and trial.value is not None), key=key
    )


def counted_loss(trial: TrialRecord | SeedRecord) -> float:
    """Validation loss at the epoch that counts; infinite where it is not known."""
    losses = trial.curves.validation_loss
    loss = float(losses[trial.best_epoch - 1]) if 0 < trial.best_epoch <= len(losses) else math.nan
    return math.inf if math.isnan(loss) else loss
