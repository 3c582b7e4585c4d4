"""What a row holds, as one number: rows of equal content are equal wherever they stand and however stored.

A split that is drawn from this number does not move when rows are shuffled, columns are put into another
order, or a table is saved in another form. So each cell is looked at by itself, without what its column
holds otherwise: what reads as a number is that number, in single precision unless it is whole; a moment is
its microseconds; anything else is its text, without spaces around it and in small letters. What `cells` calls
blank adds nothing. Cells are mixed with the name of their column, or their place in an array, and summed
modulo 2^64; that two different rows of a million agree has a probability of 3e-8.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from workbench.core.types import Array
from workbench.data.preprocessing.cells import BLANKS, as_arrow
from workbench.data.splits import mix

#: Blanks as they are mostly written, which are found without looking at every text in small letters.
_PLAIN_BLANKS = tuple(dict.fromkeys(form(word) for word in BLANKS for form in (str, str.upper, str.title)))
#: Numbers as Arrow reads them.
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_LIKE_NUMBER, _INFINITE = r"^[+-]?\.?\d", r"^[+-]?(inf|infinity|nan)$"
_MOMENT = r"^\d{4}-\d\d-\d\d([ t]\d\d:\d\d(:\d\d(\.\d+)?)?)?$"
#: Numbers of an array that are mixed at a time.
_CHUNK = 2**18
#: Columns that are hashed at the same time: Arrow and NumPy leave the interpreter to others meanwhile.
_AT_ONCE = 4
#: Cells that are asked whether their column is one of numbers.
_SAMPLE = 100


def of_rows(rows: pa.Table | pd.DataFrame | Array, *beside: Array | None) -> Array:
    """[N] uint64: the content of each row.

    beside  [N, ...] targets of an archive, which are part of its rows
    """
    total = np.zeros(len(rows), np.uint64)
    with np.errstate(over="ignore"):
        if isinstance(rows, np.ndarray):
            total += _of_array(rows, "x")
        else:
            names = list(rows.columns) if isinstance(rows, pd.DataFrame) else rows.column_names
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                for start in range(0, len(names), _AT_ONCE):
                    for cells in pool.map(
                        lambda name: _of_column(rows, name), names[start : start + _AT_ONCE]
                    ):
                        total += cells
        for number, other in enumerate(beside):
            if other is not None:
                total += _of_array(other, f"y{number}")
    return total


def _of_column(rows: pa.Table | pd.DataFrame, name: str) -> Array:
    """[N] uint64: the cells of a column, mixed with its name."""
    return _placed(of_cells(as_arrow(rows[name])), np.uint64(_text(str(name))))


def of_cells(column: pa.Array) -> Array:
    """[N] uint64: the content of each cell of a column, zero where it is blank."""
    if pa.types.is_boolean(column.type):
        column = pc.if_else(column, "true", "false")
    elif pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return _of_moments(column.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False))
    if not pa.types.is_string(column.type):
        return _of_numbers(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    column = pc.if_else(pc.is_in(column, value_set=pa.array(_PLAIN_BLANKS)), None, column)
    plain = _as_numbers(column)
    if plain is not None:
        return _of_numbers(plain)
    coded = column.dictionary_encode()
    found = np.append(_of_texts(coded.dictionary), np.uint64(0))
    codes = coded.indices.fill_null(len(found) - 1).to_numpy(zero_copy_only=False)
    cells: Array = found[codes]
    return cells


def _as_numbers(column: pa.Array) -> Array | None:
    """Numbers of a column of text [N], or None if some cell is none; a few cells are asked first."""
    few = column.take(pa.array(np.linspace(0, len(column) - 1, min(len(column), _SAMPLE)).astype(np.int64)))
    try:
        for part in (few, column):  # Arrow looks at every cell before it says that one is no number
            numbers: Array = part.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        return None
    return numbers


def _of_numbers(values: Array) -> Array:
    """Numbers in single precision, whole ones in double; neither zero nor infinity has a sign that counts."""
    wide = np.asarray(values, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = wide.astype(np.float32).astype(np.float64)
    if not np.array_equal(narrow, wide):
        narrow = np.where(wide == np.trunc(wide), wide, narrow)
    bits = (narrow + 0.0).view(np.uint64) + np.uint64(1)
    return np.where(np.isfinite(narrow), bits, np.uint64(0))


def _of_texts(texts: pa.Array) -> Array:
    """Different texts [L], of which some may be numbers or blank after all."""
    lower = pc.utf8_lower(pc.utf8_trim_whitespace(texts))
    nothing = pc.or_(pc.is_in(lower, value_set=pa.array(BLANKS)), pc.match_substring_regex(lower, _INFINITE))
    blank = nothing.to_numpy(zero_copy_only=False)
    if not pc.any(pc.match_substring_regex(lower, _LIKE_NUMBER)).as_py():
        return np.where(blank, np.uint64(0), _of_words(lower))
    number = pc.match_substring_regex(lower, _NUMBER)
    plain = pc.if_else(number, pc.utf8_ltrim(lower, characters="+"), None).cast(pa.float64())
    values = _of_numbers(plain.to_numpy(zero_copy_only=False))
    moments = pc.if_else(pc.match_substring_regex(lower, _MOMENT), pc.utf8_upper(lower), None)
    times = _of_moments(pd.to_datetime(moments.to_pandas(), format="ISO8601", errors="coerce").to_numpy())
    kinds = [blank, number.to_numpy(zero_copy_only=False), times != 0]
    return np.select(kinds, [np.uint64(0), values, times], _of_words(lower))


def _of_moments(moments: Array) -> Array:
    """Moments [N] by their microseconds."""
    micro = moments.astype("datetime64[us]")
    with np.errstate(over="ignore"):
        cells = mix(micro.astype(np.int64).view(np.uint64) + np.uint64(2**62))
    return np.where(np.isnat(micro), np.uint64(0), cells)


def _of_words(texts: pa.Array) -> Array:
    """Hashes of texts [L], eight bytes of each at a time."""
    lengths = pc.binary_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)
    ends = np.cumsum(lengths)
    whole = pa.concat_arrays([texts])
    _, offsets, data = whole.buffers()
    first = int(np.frombuffer(offsets, np.int32)[whole.offset]) if len(whole) else 0
    text = np.frombuffer(data, np.uint8)[first:] if data is not None else np.zeros(0, np.uint8)
    total = mix(lengths.astype(np.uint64) + np.uint64(2**32))
    left, start = np.arange(len(lengths)), ends - lengths
    step = 0
    while len(left := left[lengths[left] > 8 * step]):
        word = np.zeros(len(left), np.uint64)
        for byte in range(8):
            place = 8 * step + byte
            inside = lengths[left] > place
            if not inside.any():
                break
            there = text[np.where(inside, start[left] + place, 0)].astype(np.uint64)
            word |= np.where(inside, there, np.uint64(0)) << np.uint64(8 * byte)
        with np.errstate(over="ignore"):
            total[left] = mix(total[left] * np.uint64(3) + word)
        step += 1
    return total


def _of_array(values: Array, name: str) -> Array:
    """[N] uint64 of an array [N, ...]; what is blank adds nothing, so neither does a longer padding."""
    flat = values.reshape(len(values), -1)
    places = mix(np.uint64(_text(name)) + np.arange(flat.shape[1], dtype=np.uint64)) | np.uint64(1)
    total = np.empty(len(flat), np.uint64)
    step = max(1, _CHUNK // max(1, flat.shape[1]))
    for start in range(0, len(flat), step):
        part = flat[start : start + step]
        if part.dtype.kind in "US":
            cells = of_cells(as_arrow(part.ravel().astype(str))).reshape(part.shape)
        else:
            cells = _of_numbers(part)
        with np.errstate(over="ignore"):
            cells *= places
            cells ^= cells >> np.uint64(32)
            total[start : start + step] = cells.sum(axis=1, dtype=np.uint64)
    return mix(total)


def _placed(cells: Array, place: np.uint64) -> Array:
    """Cells of a column, mixed with its name; blanks stay nothing."""
    with np.errstate(over="ignore"):
        return np.where(cells == 0, np.uint64(0), mix(mix(cells) + place))


def _text(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
