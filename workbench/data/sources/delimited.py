"""CSV and TSV files as tables of text.

Every cell is text, because a reader that infers types looks at all rows, test rows included. Files must be
UTF-8: guessing an encoding would let one test row change how every other row is read.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv as pacsv

from workbench.core.errors import DataError
from workbench.core.formatting import toml


def read_delimited(path: Path, name: str) -> tuple[pa.Table, tuple[str, ...]]:
    """The table, each column of strings, and remarks on how it was read.

    The first line that is not empty holds the names. A .tsv is divided by tabs, a .csv by commas, or by
    semicolons or tabs if its first line has those and no comma. Spaces around names do not count (those
    around cells neither, but that is for `cells` to say). Raises DataError naming the file, and the row
    where one is at fault.
    """
    delimiter, names, header_lines = _header(path, name)
    notes: tuple[str, ...] = ()
    unnamed = [j for j, column in enumerate(names) if not column]
    for j in unnamed:
        names[j] = f"unnamed_{j + 1}"
    twice = [column for column in names if names.count(column) > 1]
    if twice:
        raise DataError(f"{name}: the column {toml(twice[0])} stands in the first line twice; rename one")
    table = _body(path, name, delimiter, names, header_lines)
    if unnamed == [0] and len(names) > 1:  # what pandas writes for a table's index
        table = table.drop_columns([names[0]])
        notes = (f"{name}: the first column has no name and was taken for a row number; it is left out.",)
    return table, notes


def _header(path: Path, name: str) -> tuple[str, list[str], int]:
    """The delimiter, the stripped names, and how many lines to skip to the first row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            empty, first = 0, ""
            for line in file:
                if line.strip():
                    first = line
                    break
                empty += 1
            if not first:
                raise DataError(f"{name}: is empty; the first line must hold the column names")
            delimiter = _delimiter(path, first)
            reader = csv.reader(itertools.chain([first], file), delimiter=delimiter, skipinitialspace=True)
            names = [cell.strip() for cell in next(reader)]
            return delimiter, names, empty + reader.line_num
    except UnicodeDecodeError:
        raise _not_utf8(path, name) from None
    except csv.Error as error:
        raise DataError(f"{name}: the first line is no list of column names ({error}); mend it") from error


def _delimiter(path: Path, header: str) -> str:
    if path.suffix.lower() == ".tsv":
        return "\t"
    return next((mark for mark in (",", ";", "\t") if mark in header), ",")


def _body(path: Path, name: str, delimiter: str, names: list[str], skip: int) -> pa.Table:
    def attempt(remember: Callable[[Any], str] | None = None) -> pa.Table:
        return pacsv.read_csv(
            path,
            # only a single thread counts the rows
            read_options=pacsv.ReadOptions(column_names=names, skip_rows=skip, use_threads=remember is None),
            parse_options=pacsv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=remember
            ),
            convert_options=pacsv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False, null_values=[]
            ),
        )

    try:
        return attempt()
    except pa.ArrowInvalid as error:
        reason = str(error)
    if "Empty CSV" in reason:
        raise DataError(f"{name}: holds no rows below the column names; [data] needs rows")
    if "UTF8" in reason or not _is_utf8(path):  # Arrow cannot hand over a row that is no text
        raise _not_utf8(path, name)
    ragged: list[Any] = []

    def remember(row: Any) -> str:
        ragged.append(row)
        return "error"

    with suppress(pa.ArrowInvalid):
        attempt(remember)
    if not ragged:
        raise DataError(f"{name}: cannot be read as a table ({reason.splitlines()[0]}); mend the file")
    row = ragged[0]
    where = f"row {row.number - skip}" if row.number is not None else "a row"
    raise DataError(
        f"{name}: {where} below the column names has {row.actual_columns} cells, but there are "
        f"{row.expected_columns} columns ({toml(row.text[:60])}); mend that row"
    )


def _is_utf8(path: Path) -> bool:
    try:
        path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _not_utf8(path: Path, name: str) -> DataError:
    before = path.read_bytes()
    try:
        before.decode("utf-8")
        place = ""
    except UnicodeDecodeError as error:
        line = before.count(b"\n", 0, error.start) + 1
        place = f" (byte 0x{before[error.start]:02x} in line {line})"
    return DataError(f"{name}: is not UTF-8 text{place}; save it as UTF-8")
