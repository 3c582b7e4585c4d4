"""SHA-256 of rows: what a seal is checked against.

Content counts and not how it is stored: Arrow tables are hashed cell by cell through their lengths and bytes,
numbers as float64, so that a table that was sliced, chunked or written anew with the same cells has the same
fingerprint.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workbench.core.types import Array
from workbench.data.preprocessing.cells import as_arrow


def of_rows(rows: pa.Table | pd.DataFrame | Array, *others: Array | tuple[str, ...] | None) -> str:
    """The fingerprint of a table or an array, and of what stands beside it: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    if isinstance(rows, pa.Table):
        for name in rows.column_names:
            _text(digest, (name,))
            _cells(digest, as_arrow(rows[name]))
    elif isinstance(rows, pd.DataFrame):
        for name in rows.columns:
            _text(digest, (str(name),))
            column = rows[name]
            if isinstance(column.dtype, pd.CategoricalDtype):
                _text(digest, tuple(column.cat.categories))
                _array(digest, np.asarray(column.cat.codes))
            else:
                _array(digest, column.to_numpy())
    else:
        _array(digest, rows)
    for other in others:
        if isinstance(other, np.ndarray):
            _array(digest, other)
        else:
            _text(digest, other or ())
    return digest.hexdigest()


def _text(digest: Any, words: tuple[str, ...]) -> None:
    for word in (str(len(words)), *words):
        data = word.encode()
        digest.update(len(data).to_bytes(8, "little"))
        digest.update(data)


def _array(digest: Any, array: Array) -> None:
    """Kind, shape and little-endian bytes."""
    if array.dtype.kind == "U":
        _text(digest, tuple(array.ravel().tolist()))
        return
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.asarray(np.nan, array.dtype), array)
    if array.dtype.kind == "M":
        array = array.astype("datetime64[us]").astype(np.int64)
    ordered = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    _text(digest, (f"{array.dtype.kind}{array.dtype.itemsize}{array.shape}",))
    digest.update(ordered.data if ordered.size else b"")


def _cells(digest: Any, cells: pa.Array) -> None:
    if pa.types.is_string(cells.type):
        lengths = pc.fill_null(pc.binary_length(cells), -1).to_numpy(zero_copy_only=False)
        _array(digest, lengths.astype(np.int64))
        full = pa.concat_arrays([pc.fill_null(cells, "")])
        if len(full):
            _, offsets, data = full.buffers()
            ends = np.frombuffer(offsets, np.int32)[full.offset : full.offset + len(full) + 1]
            if data is not None:
                digest.update(memoryview(data)[int(ends[0]) : int(ends[-1])])
    elif pa.types.is_timestamp(cells.type):
        _array(digest, cells.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False))
    else:
        _array(digest, cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64))
