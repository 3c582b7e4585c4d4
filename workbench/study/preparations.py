"""What a study trains on and in: variants of its data, each prepared once; its plan; its engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np

from workbench import data
from workbench.core.target_transform import seen
from workbench.core.types import Fold
from workbench.data import Dataset
from workbench.data.preprocessing import Preprocessor
from workbench.study.config import Study, also_of, metric_of
from workbench.training.engine import Engine
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.space import ALL_ROWS, OWN, Problem, Variant


class Preparations:
    """Development rows as programs take them. It never sees a test row."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._known: dict[Variant, tuple[Fold, Preprocessor]] = {}

    def fold(self, variant: Variant) -> Fold:
        """The arrays, as a model sees them. Raises DataError if the data cannot be prepared so."""
        fold = self.compact(variant)
        train, validation = (
            rows._replace(x=seen(rows.x, fold.pixels, np)) for rows in (fold.train, fold.validation)
        )
        return fold._replace(train=train, validation=validation, pixels=None)

    def compact(self, variant: Variant) -> Fold:
        """The arrays as programs take them: images that are bytes stay bytes. Raises what `fold` raises."""
        return self._prepared(variant)[0]

    def preprocessor(self, variant: Variant) -> Preprocessor:
        """What the arrays went through, fitted on training rows."""
        return self._prepared(variant)[1]

    def problem(self, variant: Variant) -> Problem:
        """What a program must know of the arrays."""
        x, y, _ = self.compact(variant).train
        targets = 1 if y.ndim == 1 else y.shape[-1]
        preprocessor = self.preprocessor(variant)
        return Problem(
            self.dataset.task, x.shape[1:], len(self.dataset.classes), targets, len(x),
            preprocessor.padded, preprocessor.n_numbers,
        )  # fmt: skip

    def _prepared(self, variant: Variant) -> tuple[Fold, Preprocessor]:
        if variant not in self._known:
            self._known[variant] = data.prepare(
                self._divided(variant.division),
                scale=variant.scale,
                degree=variant.degree,
                numbers=variant.numbers,
                bins=variant.bins,
                class_weight=variant.class_weight,
                target_transform=variant.target_transform,
                room=self._room(variant.division),
                compact=True,
            )
        return self._known[variant]

    @cached_property
    def _divisions(self) -> tuple[Dataset, ...]:
        return data.divisions(self.dataset)

    def _divided(self, division: int) -> Dataset:
        if division == ALL_ROWS:
            return replace(self.dataset, train=np.arange(len(self.dataset.target)))
        return self.dataset if division == OWN else self._divisions[division - 1]

    def _room(self, division: int) -> tuple[int, int]:
        """Rows that all folds are filled up to, so that they share programs.

        Folds in time, of which the last is many times the first, do not.
        """
        if division in (OWN, ALL_ROWS) or self.dataset.time is not None:
            return 0, 0
        parts = self._divisions
        return max(len(part.train) for part in parts), max(len(part.validation) for part in parts)


def resume(study: Study, preparations: Preparations, begun: Mapping[str, Any]) -> LanePlan:
    """The plan of a study that has begun.

    begun  the first record of its journal
    """
    metric, widths = metric_of(study, preparations.dataset.task), tuple(begun["rooms"])
    return LanePlan(
        study.settings, preparations.problem, metric, widths, rules=begun.get("rules", 1),
        also=also_of(study, metric), stop_at=study.search.stop_at,
    )  # fmt: skip


def open_engine(plan: LanePlan, preparations: Preparations, *, seed: int, lanes: int = 1) -> Engine:
    """What trains the lanes of a study; `seed` and `lanes` as in `Engine`."""
    return Engine(preparations.compact, capacity=plan.epochs, seed=seed, lanes=lanes, also=plan.also)
