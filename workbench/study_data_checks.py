"""What keys of a study's `[data]` must agree on, before any data are read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from workbench.errors import StudyError
from workbench.wording import toml

if TYPE_CHECKING:
    from workbench.study import Study

__all__ = ["check_data"]


def check_data(study: Study) -> None:
    """Raises StudyError if keys of `[data]` contradict each other."""
    _check_split(study)
    _check_columns(study)
    data, file = study.data, study.path
    if data.folds and data.holdouts:
        raise StudyError(f"{file}: [data] folds and holdouts exclude each other; drop one")
    if data.time and data.holdouts:
        raise StudyError(
            f"{file}: [data] holdouts = {data.holdouts} shuffles rows that [data] time = {toml(data.time)} "
            "keeps in their order; write folds instead"
        )


def _check_split(study: Study) -> None:
    split, place = study.data.split, f"{study.path}: [data] split = {toml(study.data.split._asdict())}"
    total = math.fsum(split)
    if abs(total - 1.0) > 1e-6:
        raise StudyError(f"{place} sums to {total:.6g}; the fractions must sum to 1")
    archive = study.data.source.endswith(".npz")  # may hold official test rows of its own
    if study.data.test is None and split.test == 0.0 and not archive:
        raise StudyError(
            f'{place} leaves no test rows; give test a share, or name an official file: test = "..."'
        )
    if study.data.test is not None and split.test > 0.0:
        raise StudyError(
            f"{place} takes test rows beside the official file {toml(study.data.test)}; write test = 0 and "
            "let train and validation sum to 1"
        )


def _check_columns(study: Study) -> None:
    data, file = study.data, study.path
    for key in ("features", "drop", "categorical"):
        if data.target is not None and data.target in (getattr(data, key) or ()):
            raise StudyError(f"{file}: [data] {key} names the target {toml(data.target)}; drop it from {key}")
    for column in data.features or ():
        if column in data.drop:
            raise StudyError(f"{file}: [data] features and drop both name {toml(column)}; drop it from one")
    for key in ("group", "time"):
        column = getattr(data, key)
        if column is not None and column == data.target:
            raise StudyError(f"{file}: [data] {key} = {toml(column)} is the target; name another column")
