"""The refit: the choice trained once more on training and validation rows, and whether that was any good.

No rows are left to judge a refitted model. One thing can be asked of it all the same: it should fit the rows
that it was trained on no worse than the judged model does, which has seen only a part of them. If it does not
(training went astray, or was cut short), the judged model is delivered, and that is said.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from workbench.core.records import SeedRecord, fits
from workbench.core.target_transform import to_training
from workbench.core.types import Array, Fold
from workbench.nn.losses import LOSSES, batch_loss
from workbench.study.config.study import Study
from workbench.study.workspace import Workspace
from workbench.training.scoring import per_target
from workbench.tuning.selection import Delivered, Retrained, refit


class Refitted(NamedTuple):
    """What a study delivers of a configuration."""

    model: Delivered
    record: SeedRecord | None = None  # of the refit; None if the study asks for none
    losses: tuple[float, float] | None = None  # see `Selection.refit_losses`

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
    """The model to deliver, and how it was refitted if the study says so. Raises WorkbenchError."""
    if not study.refit:
        return Refitted(again.model)
    model, record = refit(here.engine, here.plan, again)
    if here.plan.rules < 2:
        return Refitted(model, record)
    losses = development_losses(here, model, again.model)
    return Refitted(model if fits(losses) else again.model, record, losses)


def development_losses(here: Workspace, again: Delivered, judged: Delivered) -> tuple[float, float]:
    """The mean losses of a refitted and of a judged model over all development rows, in evaluation mode.

    Both in the units, and with the weights, that the refit was trained with.
    """
    together = here.preparations.fold(again.program.variant)
    own = here.preparations.fold(judged.program.variant)
    # `together` has the rows in the order of the data, `own` those for training before those for validation.
    order = np.concatenate([here.dataset.train, here.dataset.validation])
    rows = np.concatenate([np.asarray(part.x) for part in (own.train, own.validation)])
    return (
        _mean_loss(here, again, together, np.asarray(together.train.x)[order], order),
        _mean_loss(here, judged, together, rows, order),
    )


def _mean_loss(here: Workspace, model: Delivered, together: Fold, x: Array, order: Array) -> float:
    """Of a model that sees the rows `order` of `together` as `x`."""
    recipe = model.program.recipe
    out = here.engine.outputs(recipe, model.program.variant, model.hyper, model.params, x)
    y, weight = np.asarray(together.train.y)[order], np.asarray(together.train.weight)[order]
    if here.dataset.task == "regression":
        out, y = to_training(out, together), to_training(y, together)
    targets = per_target(recipe, jnp.asarray(out), jnp.asarray(y), jnp.asarray(weight))
    return float(batch_loss(LOSSES[recipe.loss], *targets))
