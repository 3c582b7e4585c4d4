"""The refit: the choice trained once more on training and validation rows, and whether that was any good.

No rows are left to judge a refitted model. One thing can be asked of it all the same: it should fit the rows
that it was trained on no worse than the judged model does, which has seen only a part of them. If it does not
(training went astray, or was cut short), the judged model is delivered, and that is said.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from workbench.core.records import Average, Calibration, SeedRecord, fits
from workbench.core.types import Array
from workbench.evaluation.calibration import log_loss, temperature
from workbench.evaluation.evaluate import as_rows, train_loss
from workbench.study.averaging import averaged, validated
from workbench.study.config import Study
from workbench.study.workspace import Workspace
from workbench.tuning.selection import Delivered, Retrained, joined, refit


class Refitted(NamedTuple):
    """What a study delivers of a configuration."""

    model: Delivered
    judged: Delivered  # the same, by training rows alone, which validation rows have judged
    average: Average | None = None  # of the networks of all seeds, if it was considered
    record: SeedRecord | None = None  # of the refit; None if the study asks for none
    losses: tuple[float, float] | None = None  # see `Selection.refit_losses`
    calibration: Calibration | None = None  # by the judged model, if the study asks for it

    @property
    def note(self) -> str:
        """Why the refitted model is not the one delivered; empty if it is, or if there is none."""
        if fits(self.losses) or self.losses is None:
            return ""
        again, judged = self.losses
        return (
            f"the refitted model fits the development rows worse (mean loss {again:.4g}) than the judged one "
            f"({judged:.4g}), which is delivered instead"
        )


def refitted(study: Study, here: Workspace, again: Retrained) -> Refitted:
    """The model to deliver: averaged over seeds where that is no worse, refitted and calibrated if asked for.

    Raises WorkbenchError if the refit diverges.
    """
    again, average = averaged(study, here, again)
    judged = joined(again.networks)
    found = calibrated(here, judged) if study.calibrate else None
    if not study.refit:
        return Refitted(judged, judged, average, calibration=found)
    model, record = refit(here.engine, here.plan, again)
    if here.plan.rules < 2:
        return Refitted(model, judged, average, record, calibration=found)
    losses = development_losses(here, model, judged)
    return Refitted(model if fits(losses) else judged, judged, average, record, losses, found)


def calibrated(here: Workspace, model: Delivered) -> Calibration | None:
    """The temperature that the validation rows ask of a model; None for regression."""
    if here.dataset.task == "regression":
        return None
    *said, weight = validated(here, model)
    outputs, targets = as_rows(*said)
    found = temperature(outputs, targets, weight)
    return Calibration(found, log_loss(outputs, targets, weight), log_loss(outputs / found, targets, weight))


def development_losses(here: Workspace, again: Delivered, judged: Delivered) -> tuple[float, float]:
    """The mean losses of a refitted and of a judged model over all development rows, in evaluation mode.

    Both in the units, and with the weights, that the refit was trained with.
    """
    together = here.preparations.fold(again.program.variant)  # its rows are in the order of the data
    own = here.preparations.fold(judged.program.variant)
    seen = np.empty(together.train.x.shape[:1] + own.train.x.shape[1:], np.asarray(own.train.x).dtype)
    seen[here.dataset.train], seen[here.dataset.validation] = own.train.x, own.validation.x

    def loss(model: Delivered, x: Array) -> float:
        recipe = model.program.recipe
        outputs = here.engine.outputs(recipe, model.program.variant, model.hyper, model.params, x)
        return train_loss(recipe, outputs, together)

    return loss(again, np.asarray(together.train.x)), loss(judged, seen)
