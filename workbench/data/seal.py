"""The sealed test set: a promise that can be kept once.

While a study searches, `SealedTest` is all there is: a name, a number of rows and their fingerprint. `unseal`
loads the rows again from where they came, and gives them out against an `Opening`, which the ledger makes
when it has written it down. Nothing else in the package loads test rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from workbench.core.errors import DataError
from workbench.core.formatting import toml
from workbench.core.records import Opening
from workbench.core.types import Array, DataSpec
from workbench.data import fingerprints, marks
from workbench.data.defined import undefined
from workbench.data.division import Division, divide
from workbench.data.leakage.overlap import overlap
from workbench.data.met import Table, met
from workbench.data.preprocessing import cells
from workbench.data.preprocessing.kinds import censuses
from workbench.data.preprocessing.numerals import Written, judge
from workbench.data.preprocessing.tables import conform
from workbench.data.raw import Source, holds_target, joined, take
from workbench.data.sketches import Sketch, sketch
from workbench.data.sources import read, read_official
from workbench.data.targets import encode_rows, form_of
from workbench.data.weights import check_parts, row_weights

if TYPE_CHECKING:
    from workbench.data.dataset import Dataset


#: Columns of unknown names that may be the target.
_STRANGE = 8
#: What to do with official test rows whose targets nobody has.
_LEAVE_OUT = (
    "leave out [data] test, let [data] split set rows aside for the test, and have workbench predict say "
    "what this file lacks"
)


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
    known    what they and the development rows are recognized by
    group    [N] integers: rows that belong together by [data] group; None: all stand alone
    weight   [N] float64, how much each counts; None: all alike
    """

    x: pd.DataFrame | Array
    target: Array
    known: Known
    notes: tuple[str, ...] = ()
    group: Array | None = None
    weight: Array | None = None

    @property
    def marks(self) -> Array:
        """[N, 2] uint64, see `marks`."""
        return self.known.marks


class Known(NamedTuple):
    """What rows are recognized by in another file.

    marks   [N, 2] uint64, see `marks`
    others  [M, 2], of as many development rows, where there are so many
    table   sketches of test and development rows, see `sketches`
    """

    marks: Array
    others: Array
    table: Table


def promise(source: Source, division: Division, dataset: Dataset) -> tuple[SealedTest, str]:
    """The seal of the test rows, which are looked at once, hashed and forgotten; what must be said of them.

    Whether they can be opened later (columns, classes, blank targets), which metrics have a value on them,
    and whether official ones are new to the model, is found out now, before anything is spent. Raises
    DataError if not.
    """
    test, said = _test_rows(source, division, dataset), ""
    n, without = len(test.rows), {}
    if n:
        target = _target(test, dataset, None if source.official else division.test)
        if isinstance(test.rows, pa.Table):
            conform(test.rows.slice(0, 0), dataset.columns, test.name)
        else:
            _check_shape(test, dataset)
        _check_targets(target, test, dataset)
        weight = _weight(test, division, dataset)
        without = dict(undefined(target if weight is None else target[weight > 0], dataset.classes))
        if source.official:
            said = overlap(source, dataset, test, target)
    return SealedTest(test.name, n, _fingerprint(test), without), said


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
        places = None if source.official else division.test
        x, notes = conform(
            test.rows, dataset.columns, test.name, strict=False, same=not source.official, places=places
        )
    known = _known(source, division, test, dataset.targets[0])
    target = _target(test, dataset, None if source.official else division.test)
    group, weight = _group(test, division, dataset), _weight(test, division, dataset)
    return Rows(x, target, known, notes, group, weight)


def changed(name: str, sealed: SealedTest) -> DataError:
    """The sentence for rows that are not those of the seal."""
    return DataError(
        f"{name}: its test rows are not the {sealed.rows} that were sealed (fingerprint "
        f"{sealed.fingerprint[:12]}); bring the old file back, or give the study a new name"
    )


def row_marks(rows: Rows | pa.Table | pd.DataFrame | Array) -> Array:
    """Hashes that recognize rows in another file, [N, 2] uint64; see `marks`."""
    return rows.marks if isinstance(rows, Rows) else marks.row_marks(rows)


def sealed_among(rows: Source, spec: DataSpec) -> Known | None:
    """What those of some labelled rows are recognized by that are test rows of a study; None if none is.

    The test rows are looked at once, hashed and forgotten. A target of another name is tried for among the
    columns that the study's table does not have. Raises DataError if the rows cannot be read.
    """
    source = read(spec)
    division = divide(source, spec)
    test = read_official(spec) if source.official else take(source, division.test)
    target = next((name for name in division.targets if holds_target(rows, name)), division.targets[0])
    given_as = _with_target(rows, source, target)
    found = (_among(given, source, division, test, target) for given in given_as)
    return next((known for known in found if known is not None), None)


def _with_target(rows: Source, source: Source, target: str) -> Iterator[Source]:
    """The rows; where they lack the target, the rows with each unknown column in its place."""
    if holds_target(rows, target) or not isinstance(rows.rows, pa.Table):
        yield rows
        return
    known = set(source.rows.column_names) if isinstance(source.rows, pa.Table) else set()
    names = rows.rows.column_names
    for strange in [name for name in names if name not in known][:_STRANGE]:
        renamed = [target if name == strange else name for name in names]
        yield rows._replace(rows=rows.rows.rename_columns(renamed))


def _among(rows: Source, source: Source, division: Division, test: Source, target: str) -> Known | None:
    """`sealed_among` for rows with their target."""
    parts = [rows, test, take(source, np.sort(np.concatenate([division.train, division.validation])))]
    whole = joined(parts)
    if not len(test.rows) or whole is None or not holds_target(whole, target):
        return None
    ends = np.cumsum([len(part.rows) for part in parts])
    sketched = _sketched(whole, target)
    given, test_rows, others = (sketched.take(part) for part in np.split(np.arange(ends[-1]), ends[:-1]))
    found = np.flatnonzero(met(given, test_rows, Table(test_rows, others)).rows)
    if not found.size:
        return None
    table = Table(given.take(found), others)
    return Known(marks.row_marks(take(rows, found).rows)[:, :1], np.zeros((0, 1), np.uint64), table)


def _known(source: Source, division: Division, test: Source, target: str) -> Known:
    development = np.sort(np.concatenate([division.train, division.validation]))
    if source.official:
        table = Table(_sketched(test, target), _sketched(source, target).take(development))
    else:
        whole = _sketched(source, target)
        table = Table(whole.take(division.test), whole.take(development))
    some = np.random.default_rng(0).permutation(development)[: len(test.rows)]
    return Known(marks.row_marks(test.rows), marks.row_marks(take(source, np.sort(some)).rows), table)


def _sketched(source: Source, target: str) -> Sketch:
    return sketch(source.rows, source.y, target)


def _test_rows(source: Source, division: Division, dataset: Dataset) -> Source:
    """All columns of the test rows. Raises DataError if the official file lacks the target."""
    if not source.official:
        return take(source, division.test)
    test = read_official(dataset.spec)
    if isinstance(test.rows, pa.Table) != isinstance(source.rows, pa.Table):
        raise DataError(f"{test.name}: [data] test and source must both be tables or both .npz archives")
    missing = [name for name in dataset.targets if not holds_target(test, name)]
    if missing and isinstance(test.rows, pa.Table):
        raise DataError(
            f"{test.name}: lacks the target column {toml(missing[0])}, so nothing can be tested on "
            f"it; add the column, or {_LEAVE_OUT}"
        )
    if missing:
        raise DataError(
            f"{test.name}: holds no targets, so nothing can be tested on it; add the array y_test, or "
            f"{_LEAVE_OUT}"
        )
    return test


def _group(test: Source, division: Division, dataset: Dataset) -> Array | None:
    """Which test rows belong together, if the study names a column that says so and the test rows have it."""
    name = dataset.spec.group
    if name is None or not isinstance(test.rows, pa.Table) or name not in test.rows.column_names:
        return None
    if len(division.test) and division.group is not None:
        mine: Array = division.group[division.test]
        return mine
    codes, _ = cells.labels(cells.as_arrow(test.rows[name]))
    blank = codes < 0
    return np.where(blank, codes.max(initial=0) + 1 + np.arange(len(codes)), codes)  # a blank stands alone


def _weight(test: Source, division: Division, dataset: Dataset) -> Array | None:
    """How much test rows count. Raises DataError where an official file does not say so, or all weigh 0."""
    if division.weight is None:
        return None
    if len(division.test):
        mine: Array = division.weight[division.test]
        return mine
    weight = row_weights(test, dataset.spec, _written(test, dataset))
    check_parts(weight, {"test": np.arange(len(test.rows))}, test.name)
    return weight


def _written(test: Source, dataset: Dataset) -> Written | None:
    """How an official file writes its numbers."""
    if not isinstance(test.rows, pa.Table):
        return None
    return judge(censuses(test.rows).values(), decimal=dataset.spec.decimal, lists=test.separator)


def _target(test: Source, dataset: Dataset, places: Array | None) -> Array:
    """The target of test rows, which stand at these places in the file; None: in an official file."""
    forms = list(dataset.forms)
    if places is None and isinstance(test.rows, pa.Table):  # another file, written in its own way
        written = _written(test, dataset) or Written()
        for place, (name, form) in enumerate(zip(dataset.targets, forms, strict=True)):
            if form and written.sure:
                forms[place] = form_of(cells.as_arrow(test.rows[name]), written) or form
    return encode_rows(
        test,
        dataset.targets,
        dataset.task,
        dataset.classes,
        forms=forms,
        places=places,
        which=" (test rows)",
    )


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
