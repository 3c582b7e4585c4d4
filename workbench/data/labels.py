"""Several labels of a row, each of which it has or has not: columns of 0 and 1, true and false, yes and no.

As targets they are numbers, zeros and ones [N, K]. Rows are not divided within each combination of labels, of
which there are too many: see `division`. A label that all training rows have, or none, teaches nothing; of
steps of sequences it may be so, where a key of a piano is never played.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from workbench.core.errors import DataError
from workbench.core.formatting import toml
from workbench.core.types import Array
from workbench.data.preprocessing import cells

#: What a label may be written as, in a sentence.
_WRITTEN = "0 and 1, true and false, or yes and no"


def are_labels(columns: Sequence[pa.Array | Array]) -> bool:
    """Whether all of several columns of a table hold nothing but yes and no, however that is written."""
    arrow = [column for column in columns if isinstance(column, pa.Array)]
    if len(arrow) < max(2, len(columns)) or any(pa.types.is_timestamp(column.type) for column in arrow):
        return False
    return not any(cells.booleans(column)[1].any() for column in arrow)


def encode_labels(column: pa.Array | Array, where: str) -> Array:
    """Zeros and ones [N, K] float32 of a column, or of an archive's targets [N, K].

    Raises DataError for anything else that stands there.
    """
    if isinstance(column, np.ndarray):
        values, unread = column, ~np.isin(column, (0, 1)).all(axis=1)
        shown = values[unread][:1].tolist()
    else:
        single, unread = cells.booleans(column)
        values, shown = single[:, np.newaxis], cells.texts(column).filter(pa.array(unread))[:1].to_pylist()
    if unread.any():
        n, first = int(unread.sum()), int(np.flatnonzero(unread)[0]) + 1
        raise DataError(
            f"{where} holds {toml(shown[0])} in {n} row{'s' * (n > 1)}, first in row {first}, but task = "
            f'"multilabel" needs {_WRITTEN}; mend them, or write another [data] task'
        )
    return values.astype(np.float32)


def check_labels(columns: Sequence[pa.Array | Array], names: Sequence[str], where: str) -> None:
    """Raises DataError for a target that is none of several labels, or is no label."""
    width = sum(column.shape[1] if isinstance(column, np.ndarray) else 1 for column in columns)
    if width < 2:
        raise DataError(
            f'{where}: [data] task = "multilabel" is for several labels, but the target is one column, '
            f"{toml(names[0])}; list the others as well, target = [{toml(names[0])}, ...], or leave task out"
        )
    for name, column in zip(names, columns, strict=False):
        encode_labels(column, f"{where}: target {toml(name)}")


def check_taught(target: Array, train: Array, names: Sequence[str], where: str) -> None:
    """Raises DataError for a label [N, K] that all training rows have, or none of them."""
    still = np.flatnonzero((target[train] == target[train[:1]]).all(axis=0))
    if still.size:
        have = "all have" if target[train[0], still[0]] else "none has"
        raise DataError(
            f"{where}: of the {len(train):,} training rows {have} the label {toml(names[still[0]])}, so "
            "nothing can be learned of it; take it out of [data] target, or divide by another split_seed"
        )
