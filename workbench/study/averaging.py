"""The average of the networks that a choice was trained to from several seeds, and whether it is delivered.

Finalists are trained again over seeds so that no lucky one decides; then these networks are there. Their
average (of probabilities, or of numbers) predicts better than one of them does on average: by its squared
error and log loss always, by other metrics mostly (Lakshminarayanan et al. 2017, arXiv:1612.01474). So it is
delivered, unless the validation rows score it below what its networks score there on average. No test row is
asked, and none of the seeds is picked.

Networks without hidden layers differ in the order of their rows alone, so the first seed's is as good.
"""

from __future__ import annotations

import numpy as np

from workbench.core.records import Average
from workbench.core.types import Array
from workbench.core.vocabulary import FAMILIES, METRICS
from workbench.evaluation.evaluate import score_of
from workbench.study.config import Study
from workbench.study.workspace import Workspace
from workbench.tuning.selection import Delivered, Retrained, joined


def averaged(study: Study, here: Workspace, again: Retrained) -> tuple[Retrained, Average | None]:
    """The networks whose average is delivered, and what was found of the average.

    Args:
        study: whose `[select] average` may rule it out.
        here: its validation rows.
        again: the configuration after all seeds.

    Returns:
        `again` with all of its networks or the first alone; None beside it where nothing was averaged.
    """
    if (
        not averages(study, here)
        or len(again.networks) < 2
        or not FAMILIES[str(again.values["family"])].hidden
    ):
        return again.first, None
    together = validation_score(here, joined(again.networks))
    single = float(np.mean([one.validation for one in again.seeds if np.isfinite(one.validation)]))
    gain = together - single if METRICS[here.metric].direction == "maximize" else single - together
    found = Average(len(again.networks), together, single, delivered=bool(gain >= 0.0))
    return (again if found.delivered else again.first), found


def averages(study: Study, here: Workspace) -> bool:
    """Whether this study may deliver an average; one that began under earlier rules does not."""
    return study.average and here.plan.rules >= 3 and study.search.seeds > 1


def validation_score(here: Workspace, model: Delivered) -> float:
    """What a model scores on the validation rows of the split."""
    outputs, targets, weight = validated(here, model)
    return score_of(here.metric, outputs, targets, float(model.hyper.threshold), weight)


def validated(here: Workspace, model: Delivered) -> tuple[Array, Array, Array | None]:
    """What a model gives for the validation rows of the split, their targets, and how much they count."""
    recipe, variant = model.program.recipe, model.program.variant
    rows = here.preparations.fold(variant).validation
    outputs = here.engine.outputs(recipe, variant, model.hyper, model.params, np.asarray(rows.x))
    return outputs, np.asarray(rows.y), here.dataset.weights(here.dataset.validation)
