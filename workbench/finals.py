"""Final models: the choice and its baselines, trained again, refitted where the study says so, and saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.savedmodel import save
from workbench.select import Again, Delivered, Retrained, refit, retrain, train_again, trainings
from workbench.study import Study
from workbench.types import SeedRecord, TrialRecord, Value
from workbench.workspace import Workspace

__all__ = ["compared", "keep", "refitted", "retrained"]


def compared(study: Study, here: Workspace, trials: Sequence[TrialRecord]) -> list[list[Again]]:
    """Finalists, each trained from every seed of the study, [trial][training]."""
    return train_again(
        here.engine, study.settings, here.preparations.problem, here.metric, [one.params for one in trials],
        rooms=here.rooms, blocks=True,
        trainings=trainings(study.data, study.search.seeds),
    )  # fmt: skip


def retrained(study: Study, here: Workspace, params: Mapping[str, Value], *, seeds: int) -> Retrained:
    """A configuration of the study, trained again. Raises WorkbenchError if it diverges."""
    return retrain(
        here.engine, study.settings, here.preparations.problem, here.metric, params,
        rooms=here.rooms, seeds=seeds,
    )  # fmt: skip


def refitted(study: Study, here: Workspace, again: Retrained) -> tuple[Delivered, SeedRecord | None]:
    """The model to deliver, and how it was refitted if the study says so. Raises WorkbenchError."""
    if not study.refit:
        return again.model, None
    return refit(
        here.engine, study.settings, here.preparations.problem, here.metric, again,
        rooms=here.rooms,
    )  # fmt: skip


def keep(folder: Path, here: Workspace, model: Delivered, *, threshold: float, **more: Any) -> Path:
    """Save a model with the preparation of the rows it was trained on; `more` as in `savedmodel.save`."""
    variant = model.program.variant
    fold = here.preparations.fold(variant)
    return save(
        folder,
        recipe=model.program.recipe,
        hyper=model.hyper,
        params=model.params,
        preprocessor=here.preparations.preprocessor(variant),
        task=here.dataset.task,
        classes=here.dataset.classes,
        threshold=threshold,
        shift=np.asarray(fold.shift),
        scale=np.asarray(fold.scale),
        transform=fold.transform,
        **more,
    )
