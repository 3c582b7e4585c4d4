"""What the cells of one column say: nothing, a number, yes or no, a moment, or a label.

Cells come as an Arrow array, of text or of a type. Spaces around text do not count, and `BLANKS` are read as
nothing. Numbers may be written in many ways, of which a column keeps to one: see `numerals`. Infinite numbers
count as blank, because no statistic of theirs is finite.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workbench.core.formatting import toml
from workbench.core.types import Array
from workbench.data.preprocessing import dates, numerals

#: Text that means "no value", in lower case.
BLANKS = ("", "?", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "nat")
_TRUE, _FALSE = ("true", "yes", "t", "y", "1", "1.0"), ("false", "no", "f", "n", "0", "0.0")
_WHOLE = re.compile(r"([+-]?\d+)\.0+")


def as_arrow(values: Any) -> pa.Array:
    """One Arrow array of a pandas Series, a NumPy array or a chunked column; mixed types become text."""
    if isinstance(values, pa.ChunkedArray):
        array = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    elif isinstance(values, pa.Array):
        array = values
    else:
        if isinstance(getattr(values, "dtype", None), pd.CategoricalDtype):
            values = values.astype(object)
        if isinstance(getattr(values, "dtype", None), pd.DatetimeTZDtype):
            # Arrow asks pandas for the values in a way that pandas is to change.
            zoned = pa.timestamp(values.dt.unit, str(values.dt.tz))
            return pa.array(values.dt.tz_convert(None), zoned, from_pandas=True)
        try:
            array = pa.array(values, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            array = pa.array([None if _absent(v) else str(v) for v in values], pa.string())
        if isinstance(array, pa.ChunkedArray):
            return as_arrow(array)
    if pa.types.is_dictionary(array.type):
        return as_arrow(array.dictionary_decode())
    other_text = (pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return array.cast(pa.string()) if any(test(array.type) for test in other_text) else array


def texts(cells: pa.Array, blanks: Sequence[str] = BLANKS) -> pa.Array:
    """Trimmed text, null where blank. Whole numbers lose their point: 1.0 and 1 are one label."""
    if not pa.types.is_string(cells.type):
        if pa.types.is_floating(cells.type):
            values = cells.to_numpy(zero_copy_only=False)
            finite = np.isfinite(values)
            whole = finite & (np.abs(values) < 2**53) & (values == np.trunc(values))
            if np.array_equal(whole, finite):
                cells = pa.array(np.where(whole, values, 0.0).astype(np.int64), mask=~finite)
        cells = cells.cast(pa.string())
    trimmed = pc.utf8_trim_whitespace(cells)
    blank = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(list(blanks), pa.string()))
    return pc.if_else(blank, pa.scalar(None, pa.string()), trimmed)


def numbers(cells: pa.Array, form: str | None = None) -> tuple[str | None, Array, Array]:
    """(how they are written, values [N] float64 with NaN for blanks, what could not be read [N] bool).

    Without a form, the one that fits all cells is found, or None; then nothing was read.
    """
    if pa.types.is_timestamp(cells.type):
        text = texts(cells)
    elif not pa.types.is_string(cells.type):
        return "plain", _floats(cells), np.zeros(len(cells), bool)
    else:
        text = texts(cells)
    if form is not None:
        return form, *numerals.read(text, numerals.Form.of(form))
    found = numerals.form_of(text, numerals.Written())
    if found is None or found[2].any():
        return None, np.full(len(cells), np.nan), np.ones(len(cells), bool)
    return found[0].words, found[1], found[2]


def booleans(cells: pa.Array) -> tuple[Array, Array]:
    """(1.0, 0.0 or NaN for blanks [N], what could not be read [N] bool)."""
    if pa.types.is_boolean(cells.type):
        return _floats(cells), np.zeros(len(cells), bool)
    text = texts(cells)
    lower = pc.utf8_lower(text)
    true, false = (
        pc.is_in(lower, value_set=pa.array(words)).to_numpy(zero_copy_only=False) for words in (_TRUE, _FALSE)
    )
    blank = text.is_null().to_numpy(zero_copy_only=False)
    return np.where(true, 1.0, np.where(false, 0.0, np.nan)), ~(true | false | blank)


def moments(
    cells: pa.Array, form: str | None = None, *, day_first: bool = False
) -> tuple[str | None, Array, Array]:
    """(how they are written, datetime64[us] [N] with NaT for blanks, what could not be read [N] bool).

    Times with a zone become UTC. Without a form, the one that fits all cells is found, or None.

    day_first  01/02/2024 is in February; without it, in January
    """
    if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
        values = cells.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False)
        return "ISO8601", values.astype("datetime64[us]"), np.zeros(len(cells), bool)
    codes, levels = labels(cells)
    if form is None:
        form = dates.form_of(levels, day_first=day_first)
    if form is None:
        return None, np.full(len(cells), np.datetime64("NaT"), "datetime64[us]"), codes >= 0
    values = np.append(dates.read(levels, form), np.datetime64("NaT"))[codes]
    return form, values, np.isnat(values) & (codes >= 0)


def day_or_month(cells: pa.Array) -> dates.First:
    """What comes first where days are written with two numbers; "" for none. A few cells are asked first."""
    if not pa.types.is_string(cells.type) or not len(cells):
        return ""
    some = np.linspace(0, len(cells) - 1, min(len(cells), dates.FEW)).astype(np.int64)
    return dates.first(labels(cells)[1]) if dates.numbered(cells.take(pa.array(some))) else ""


def labels(cells: pa.Array, blanks: Sequence[str] = BLANKS) -> tuple[Array, tuple[str, ...]]:
    """(codes [N] int32, -1 for blanks; the labels they index, numbers by size, else by the alphabet)."""
    coded = texts(cells, blanks).dictionary_encode()
    found = coded.dictionary.to_pylist()
    canonical = [_WHOLE.sub(r"\1", label) if _WHOLE.fullmatch(label) else label for label in found]
    levels = _ordered(set(canonical))
    place = {level: code for code, level in enumerate(levels)}
    new = np.array([*(place[label] for label in canonical), -1], np.int32)
    codes = coded.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)
    found_codes: Array = new[codes]
    return found_codes, tuple(levels)


def alike(levels: Sequence[str]) -> str:
    """Labels that differ in case or spaces alone, quoted; "" if there are none."""
    groups: dict[str, list[str]] = {}
    for level in levels:
        groups.setdefault(" ".join(level.casefold().split()), []).append(level)
    told = [", ".join(map(toml, group)) for group in groups.values() if len(group) > 1]
    return "; ".join(told[:3]) + ("; …" if len(told) > 3 else "")


def _ordered(levels: set[str]) -> list[str]:
    try:
        return sorted(levels, key=lambda level: (float(level), level))
    except ValueError:
        return sorted(levels)


def _floats(cells: pa.Array) -> Array:
    values: Array = cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def _absent(value: Any) -> bool:
    return value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and value != value)
