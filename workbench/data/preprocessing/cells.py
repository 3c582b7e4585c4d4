"""What the cells of one column say: nothing, a number, yes or no, a moment, or a label.

Cells come as an Arrow array, of text or of a type. Spaces around text do not count, and `BLANKS` are read as
nothing. Numbers may be written plainly (1234.5, 1e3), with thousands separated (1,234.5) or with a decimal
comma (1234,5); a column keeps to one way. Infinite numbers count as blank, because no statistic of theirs is
finite.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workbench.core.types import Array

#: Text that means "no value", in lower case.
BLANKS = ("", "?", "na", "n/a", "#n/a", "<na>", "nan", "null", "none", "nat")
#: How numbers are written: what all cells match, and what turns them into plain numbers.
NUMBER_FORMS: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "plain": ("", ()),
    "thousands": (r"^[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d*)?$", ((",", ""),)),
    "decimal comma": (r"^[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?$", ((".", ""), (",", "."))),
}
#: How moments are written, in the order in which they are tried; month/day wins over day/month where both
#: fit.
DATE_FORMS = (
    "ISO8601",
    "%Y/%m/%d",
    "%d.%m.%Y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%Y/%m/%d %H:%M:%S",
    "%m/%d/%Y %H:%M",
)
_TRUE, _FALSE = ("true", "yes", "t", "y", "1", "1.0"), ("false", "no", "f", "n", "0", "0.0")
_WHOLE = re.compile(r"([+-]?\d+)\.0+")
_DATE_SHAPE = r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}([ T]\d|$)"


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


def texts(cells: pa.Array) -> pa.Array:
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
    blank = pc.is_in(pc.utf8_lower(trimmed), value_set=pa.array(BLANKS))
    return pc.if_else(blank, pa.scalar(None, pa.string()), trimmed)


def numbers(cells: pa.Array, form: str | None = None) -> tuple[str | None, Array, Array]:
    """(how they are written, values [N] float64 with NaN for blanks, what could not be read [N] bool).

    Without a form, the one that fits all cells is found, or None; then nothing was read.
    """
    if pa.types.is_timestamp(cells.type):
        form, text = form, texts(cells)
    elif not pa.types.is_string(cells.type):
        return "plain", _floats(cells), np.zeros(len(cells), bool)
    else:
        text = texts(cells)
    for trial in (form,) if form else NUMBER_FORMS:
        plain = _plainly(text, trial)
        if plain is not None:
            return trial, plain, np.zeros(len(cells), bool)
    if form is None:
        return None, np.full(len(cells), np.nan), np.ones(len(cells), bool)
    return form, *_coerced(text, form)


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


def moments(cells: pa.Array, form: str | None = None) -> tuple[str | None, Array, Array]:
    """(how they are written, datetime64[us] [N] with NaT for blanks, what could not be read [N] bool).

    Times with a zone become UTC. Without a form, the one that fits all cells is found, or None.
    """
    if pa.types.is_timestamp(cells.type) or pa.types.is_date(cells.type):
        values = cells.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False)
        return "ISO8601", values.astype("datetime64[us]"), np.zeros(len(cells), bool)
    codes, levels = labels(cells)
    nothing = np.full(len(cells), np.datetime64("NaT"), "datetime64[us]")
    if (
        form is None
        and not pc.all(pc.match_substring_regex(pa.array(levels, pa.string()), _DATE_SHAPE)).as_py()
    ):
        return None, nothing, codes >= 0
    for trial in (form,) if form else DATE_FORMS:
        read = pd.to_datetime(pd.Series(levels, dtype=object), format=trial, errors="coerce", utc=True)
        if form or not read.isna().any():
            values = read.dt.tz_localize(None).to_numpy().astype("datetime64[us]")
            values = np.append(values, np.datetime64("NaT"))[codes]
            return trial, values, np.isnat(values) & (codes >= 0)
    return None, nothing, codes >= 0


def labels(cells: pa.Array) -> tuple[Array, tuple[str, ...]]:
    """(codes [N] int32, -1 for blanks; the labels they index, numbers by size, else by the alphabet)."""
    coded = texts(cells).dictionary_encode()
    found = coded.dictionary.to_pylist()
    canonical = [_WHOLE.sub(r"\1", label) if _WHOLE.fullmatch(label) else label for label in found]
    levels = _ordered(set(canonical))
    place = {level: code for code, level in enumerate(levels)}
    new = np.array([*(place[label] for label in canonical), -1], np.int32)
    codes = coded.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)
    found_codes: Array = new[codes]
    return found_codes, tuple(levels)


def _ordered(levels: set[str]) -> list[str]:
    try:
        return sorted(levels, key=lambda level: (float(level), level))
    except ValueError:
        return sorted(levels)


def _floats(cells: pa.Array) -> Array:
    values: Array = cells.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False).astype(np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def _plainly(text: pa.Array, form: str) -> Array | None:
    """All cells as numbers, or None if one is none."""
    pattern, replacements = NUMBER_FORMS[form]
    if pattern and not pc.all(pc.match_substring_regex(text, pattern), min_count=0).as_py():
        return None
    for mark, plain in replacements:
        text = pc.replace_substring(text, mark, plain)
    try:
        return _floats(text.cast(pa.float64()))
    except pa.ArrowInvalid:
        return None


def _coerced(text: pa.Array, form: str) -> tuple[Array, Array]:
    """Cell by cell, NaN for what is no number; what is written plainly is read in any column."""
    pattern, replacements = NUMBER_FORMS[form]
    plain = pd.to_numeric(pd.Series(text.to_pylist(), dtype=object), errors="coerce").to_numpy(
        np.float64, copy=True
    )
    if pattern:
        fitting = text.filter(pc.fill_null(pc.match_substring_regex(text, pattern), False))
        where = pc.fill_null(pc.match_substring_regex(text, pattern), False).to_numpy(zero_copy_only=False)
        for mark, replacement in replacements:
            fitting = pc.replace_substring(fitting, mark, replacement)
        plain[where] = fitting.cast(pa.float64()).to_numpy(zero_copy_only=False)
    unread = np.isnan(plain) & ~text.is_null().to_numpy(zero_copy_only=False)
    plain[~np.isfinite(plain)] = np.nan
    return plain, unread


def _absent(value: Any) -> bool:
    return value is None or value is pd.NaT or value is pd.NA or (isinstance(value, float) and value != value)
