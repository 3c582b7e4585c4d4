"""Rows that change sides when a file is edited: trained on before and now under test, or the other way round.

A split by content moves a few rows when rows are appended. The content of each part's rows is kept in the
folder of a study when it begins; a study of the same name that begins later, on an edited file, is held
against it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from workbench.core.files import replaced
from workbench.core.types import Array
from workbench.data import Dataset
from workbench.study.config import Study
from workbench.study.locating import others_of

#: What the rows of a study held when it began.
KEPT = "rows.npz"


class Parts(NamedTuple):
    """The content of the rows, [N] and [M] uint64: see `data.content`."""

    development: Array
    test: Array


class Crossed(NamedTuple):
    """Rows that both files hold, on another side each time."""

    to_development: int  # that were under test
    to_test: int  # that were trained or selected on


def crossed(before: Parts, after: Parts) -> Crossed:
    """How many rows are on another side than before; those that only one file holds do not count."""
    to_development = np.isin(after.development, before.test) & ~np.isin(after.development, before.development)
    to_test = np.isin(after.test, before.development) & ~np.isin(after.test, before.test)
    return Crossed(int(to_development.sum()), int(to_test.sum()))


def save(dataset: Dataset, folder: Path) -> None:
    """Keep the content of a study's rows, if they are divided by it."""
    parts = _parts(dataset)
    if parts is not None:
        with replaced(folder / KEPT) as file:
            np.savez(file, **parts._asdict())


def earlier(study: Study, dataset: Dataset, folder: Path) -> str:
    """What must be said against the latest study of this name beside `folder`; often nothing."""
    after = _parts(dataset)
    if after is None or not folder.parent.is_dir():
        return ""
    latest = next(others_of(study.name, folder, KEPT), None)
    if latest is None:
        return ""
    with np.load(latest / KEPT, allow_pickle=False) as archive:
        before = Parts(archive["development"], archive["test"])
    sides = crossed(before, after)
    if not any(sides):
        return ""
    return (
        f"{dataset.name}: against {latest.name}, {sides.to_development:,} rows that were under test are now "
        f"trained or selected on, and {sides.to_test:,} that were trained or selected on are now under test"
    )


def _parts(dataset: Dataset) -> Parts | None:
    if dataset.content is None or dataset.test_content is None:
        return None
    return Parts(dataset.content, dataset.test_content)
