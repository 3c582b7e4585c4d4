"""The sealed test set: a promise that can be kept once.

While a study searches, `SealedTest` is all there is: a name, a number of rows and their fingerprint. `unseal`
loads the rows again from where they came, and gives them out against an `Opening`, which the ledger makes
when it has written it down. Nothing else in the package loads test rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.data import cells, fingerprints, marks
from workbench.data.defined import undefined
from workbench.data.division import Division, divide
from workbench.data.raw import Source, take
from workbench.data.sources import read, read_official
from workbench.data.tables import conform
from workbench.data.targets import encode_rows
from workbench.errors import DataError
from workbench.types import Array, Opening
from workbench.wording import toml

if TYPE_CHECKING:
    from workbench.data.dataset import Dataset

__all__ = ["Rows", "SealedTest", "changed", "promise", "row_marks", "unseal"]


@dataclass(frozen=True)
class SealedTest:
    """A promise of test rows; it holds none of them."""

    name: str
    rows: int
    fingerprint: str  # SHA-256 of the rows with all their columns, as they stand in the source
    undefined: Mapping[str, str] = field(default_factory=dict)  # metric -> why it has no value on these rows


class Rows(NamedTuple):
    """Test rows, out of the seal.

    x        a table of the columns of the Dataset, or an array [N, *F]; raw, for `Preprocessor.transform`
    target   int32 codes [N], or float32 [N, K]; of steps as in Dataset
    marks    [N, 2] uint64, see `marks`
    group    [N] integers: rows that belong together by [data] group; None: all stand alone
    """

    x: pd.DataFrame | Array
    target: Array
    marks: Array
    notes: tuple[str, ...] = ()
    group: Array | None = None


def promise(source: Source, division: Division, dataset: Dataset) -> SealedTest:
    """The seal of the test rows, which are looked at once, hashed and forgotten.

    Whether they can be opened later (columns, classes, blank targets), and which metrics have a value on
    them, is found out now, before anything is spent.
    Raises DataError if not.
    """
    test = _test_rows(source, division, dataset)
    n, without = len(test.rows), {}
    if n:
        target = _target(test, dataset)
        if isinstance(test.rows, pa.Table):
            conform(test.rows.slice(0, 0), dataset.columns, test.name)
        else:
            _check_shape(test, dataset)
        _check_targets(target, test, dataset)
        without = dict(undefined(target, dataset.classes))
    return SealedTest(test.name, n, _fingerprint(test), without)


def unseal(sealed: SealedTest, dataset: Dataset, opening: Opening) -> Rows:
    """The test rows.

    Raises DataError if the opening is for another seal, or if the source gives other rows than were sealed.
    """
    if opening.seal != sealed.fingerprint:
        raise DataError(
            f"{sealed.name}: the opening is for the seal {opening.seal[:12]}, but these test rows have "
            f"the seal {sealed.fingerprint[:12]}; open them through the ledger"
        )
    source = read(dataset.spec)
    division = divide(source, dataset.spec)
    test = _test_rows(source, division, dataset)
    if _fingerprint(test) != sealed.fingerprint or len(test.rows) != sealed.rows:
        raise changed(test.name, sealed)
    if not sealed.rows:
        raise DataError(f"{sealed.name}: no rows were set aside for the test; give [data] split a test share")
    x: pd.DataFrame | Array = test.rows
    notes: tuple[str, ...] = ()
    if isinstance(test.rows, pa.Table):
        x, notes = conform(test.rows, dataset.columns, test.name, strict=False)
    return Rows(x, _target(test, dataset), marks.row_marks(test.rows), notes, _group(test, division, dataset))


def changed(name: str, sealed: SealedTest) -> DataError:
    """The sentence for rows that are not those of the seal."""
    return DataError(
        f"{name}: its test rows are not the {sealed.rows} that were sealed (fingerprint "
        f"{sealed.fingerprint[:12]}); bring the old file back, or give the study a new name"
    )


def row_marks(rows: Rows | pa.Table | pd.DataFrame | Array) -> Array:
    """Hashes that recognize rows in another file, [N, 2] uint64; see `marks`."""
    return rows.marks if isinstance(rows, Rows) else marks.row_marks(rows)


def _test_rows(source: Source, division: Division, dataset: Dataset) -> Source:
    """All columns of the test rows. Raises DataError if the official file lacks the target."""
    if not source.official:
        return take(source, division.test)
    test = read_official(dataset.spec)
    if isinstance(test.rows, pa.Table) != isinstance(source.rows, pa.Table):
        raise DataError(f"{test.name}: [data] test and source must both be tables or both .npz archives")
    if isinstance(test.rows, pa.Table) and dataset.target_name not in test.rows.column_names:
        raise DataError(f"{test.name}: lacks the target column {toml(dataset.target_name)}; add it")
    if not isinstance(test.rows, pa.Table) and test.y is None:
        raise DataError(f"{test.name}: holds no targets; add the array y_test")
    return test


def _group(test: Source, division: Division, dataset: Dataset) -> Array | None:
    """Which test rows belong together, if the study names a column that says so and the test rows have it."""
    name = dataset.spec.group
    if name is None or not isinstance(test.rows, pa.Table) or name not in test.rows.column_names:
        return None
    if not test.official and division.group is not None:
        mine: Array = division.group[division.test]
        return mine
    codes, _ = cells.labels(cells.as_arrow(test.rows[name]))
    blank = codes < 0
    return np.where(blank, codes.max(initial=0) + 1 + np.arange(len(codes)), codes)  # a blank stands alone


def _target(test: Source, dataset: Dataset) -> Array:
    where = f"{test.name}: target {toml(dataset.target_name)} (test rows)"
    return encode_rows(test, dataset.target_name, dataset.task, dataset.classes, where)


def _check_shape(test: Source, dataset: Dataset) -> None:
    assert isinstance(dataset.rows, np.ndarray)
    if test.rows.shape[1:] != dataset.rows.shape[1:]:
        raise DataError(
            f"{test.name}: test rows have the shape {test.rows.shape[1:]}, but development rows have "
            f"{dataset.rows.shape[1:]}; they must be alike"
        )


def _check_targets(target: Array, test: Source, dataset: Dataset) -> None:
    if target.shape[1:] != dataset.target.shape[1:]:
        raise DataError(
            f"{test.name}: a test row has targets of the shape {target.shape[1:]}, but a development row "
            f"{dataset.target.shape[1:]}; they must be alike"
        )


def _fingerprint(test: Source) -> str:
    return fingerprints.of_rows(test.rows, test.y)
