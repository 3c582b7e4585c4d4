"""CSV and TSV files as tables of text.

Every cell is text, because a reader that infers types looks at all rows, test rows included. How files begin
is in `headers`, how they are encoded in `encodings`.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv as pacsv

from workbench.core.errors import DataError
from workbench.core.formatting import toml
from workbench.data.sources import encodings
from workbench.data.sources.headers import ABOVE, LOOK, Header, find_header, foreign, said_of, spaced

#: Bytes by which an encoding is known.
_START = 400
#: What other kinds of files begin with.
_OTHERS = {
    b"PK\x03\x04": "a workbook of Excel or a zip archive; save the sheet as CSV, or name the archive .zip",
    b"\x1f\x8b": "packed by gzip; let its name end in .csv.gz",
    b"PAR1": "a Parquet file; let its name end in .parquet",
}
#: How lines begin that are no rows.
_COMMENTS = ("#", "# ", "//")
#: More lines that are no rows are not looked at.
_MOST_SPARE = 1_000


def read_delimited(
    source: Path | bytes, name: str, *, tabs: bool = False, encoding: str | None = None
) -> tuple[pa.Table, tuple[str, ...], str]:
    """The table, each column of strings, remarks on how it was read, and what stands between cells.

    source    the file, or what is in it
    tabs      a .tsv is divided by tabs, a .csv by commas, semicolons, tabs or bars
    encoding  as the study says; else UTF-8, or what the file shows

    Spaces around names do not count (those around cells neither, but that is for `cells` to say). Raises
    DataError naming the file, and the row where one is at fault.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        start = file.read(_START)
    other = next((what for mark, what in _OTHERS.items() if start.startswith(mark)), None)
    if other is not None:
        raise DataError(f"{name}: is {other}")
    known = encoding or encodings.marked(start)
    notes: tuple[str, ...] = ()
    if known is not None and known.lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig"):
        source = encodings.recoded(_content(source), known, name)
        notes = () if encoding else (f"{name}: was read as {known}.",)
    try:
        table, header, spare = _read(source, name, tabs)
    except _NotUtf8Error:
        if encoding is not None:
            raise encodings.not_utf8(_content(source), name) from None
        source, guess = encodings.guessed(_content(source), name)
        notes = (f"{name}: is not UTF-8 and was read as {guess}; [data] encoding says another.",)
        table, header, spare = _read(source, name, tabs)
    table, more = _without_spare(table, header, name)
    return table, (*notes, *said_of(header, name), *spare, *more), header.separator


class _NotUtf8Error(Exception):
    """The bytes are not UTF-8."""


def _content(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def _read(source: Path | bytes, name: str, tabs: bool) -> tuple[pa.Table, Header, tuple[str, ...]]:
    raw = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    try:
        with io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as file:
            lines = list(itertools.islice(file, LOOK + 1))
            if not any(line.strip() for line in lines):  # empty lines without end
                lines = list(itertools.islice((line for line in file if line.strip()), LOOK + 1))
    except UnicodeDecodeError:
        raise _NotUtf8Error from None
    whole = len(lines) <= LOOK
    header = find_header(lines[:LOOK], name, tabs=tabs, whole=whole)
    if len(header.names) == 1 and not tabs:
        if spaced(lines[:LOOK]):
            text = (line.split() for line in _content(source).decode("utf-8-sig").splitlines())
            return _read("\n".join(map("\t".join, text)).encode(), name, tabs=True)
        other = foreign(lines[:LOOK])
        if other:
            raise DataError(
                f"{name}: its cells seem to be divided by {toml(other)}; write it with commas, semicolons, "
                "tabs or bars"
            )
    names = [column or f"unnamed_{j + 1}" for j, column in enumerate(header.names)]
    twice = [column for column in names if names.count(column) > 1]
    if twice:
        remedy = "put a line of names above the first row" if header.numbered else "rename one"
        raise DataError(f"{name}: the column {toml(twice[0])} stands in the first line twice; {remedy}")
    table, spare = _body(source, name, header.separator, names, header.skip)
    _check_quotes(table, source, name)
    return table, header, spare


def _check_quotes(table: pa.Table, source: Path | bytes, name: str) -> None:
    """Raises DataError if a quotation mark is never closed, so that a cell swallows the lines below it."""
    for column in table.column_names:
        long = pc.match_substring(table[column], "\n")
        if pc.any(long).as_py() and _content(source).count(b'"') % 2:
            row = pc.index(long, True).as_py()
            cell = toml(table[column][row].as_py().splitlines()[0][:40])
            raise DataError(
                f"{name}: the quotation mark before {cell} in row {row + 1} of the column {toml(column)} is "
                "not closed in its line; close it or take it out"
            )


def _without_spare(table: pa.Table, header: Header, name: str) -> tuple[pa.Table, tuple[str, ...]]:
    """The table without columns that have neither name nor cells, rows' numbers, and the names repeated."""
    notes: list[str] = []
    unnamed = [j for j, column in enumerate(header.names) if not column]
    names = table.column_names
    empty = [names[j] for j in unnamed if pc.all(pc.equal(pc.utf8_trim_whitespace(table[j]), "")).as_py()]
    if 0 < len(empty) < len(names):
        table = table.drop_columns(empty)
        if header.names[-1]:
            notes.append(f"{name}: {len(empty)} columns without a name or a cell are left out.")
    else:
        empty = []
    nothing = _blank_rows(table)
    if nothing is not None:
        table = table.filter(pc.invert(nothing))
        notes.append(f"{name}: {_counted(pc.sum(nothing).as_py(), 'without a cell')} left out.")
    again = _repeated(table, [column for column in header.names if column])
    if again is not None:
        table = table.filter(pc.invert(again))
        notes.append(f"{name}: {pc.sum(again).as_py()} rows hold the column names again and are left out.")
    if [names[j] for j in unnamed if names[j] not in empty] == [names[0]] and table.num_columns > 1:
        table = table.drop_columns([names[0]])  # what pandas and R write
        what = "names the rows" if header.rows else "has no name and was taken for a row number"
        notes.append(f"{name}: the first column {what}; it is left out.")
    return table, tuple(notes)


def _counted(n: int, what: str) -> str:
    return f"1 row {what} is" if n == 1 else f"{n} rows {what} are"


def _blank_rows(table: pa.Table) -> pa.ChunkedArray | None:
    """Which rows hold no cell at all; None if none does."""
    nothing = None
    for column in table.columns if table.num_columns > 1 else ():
        here = pc.equal(pc.utf8_trim_whitespace(column), "")
        nothing = here if nothing is None else pc.and_(nothing, here)
        if not pc.any(nothing).as_py():
            return None
    return nothing


def _repeated(table: pa.Table, names: list[str]) -> pa.ChunkedArray | None:
    """Which rows hold the names of the columns; None if none does."""
    again = None
    for column in names:
        here = pc.equal(table[column], column)
        again = here if again is None else pc.and_(again, here)
        if not pc.any(again).as_py():
            return None
    return again


def _body(
    source: Path | bytes, name: str, delimiter: str, names: list[str], skip: int
) -> tuple[pa.Table, tuple[str, ...]]:
    """The rows, and a remark on lines that are none: comments, and what stands below the last row."""

    def attempt(remember: Callable[[Any], str] | None = None) -> pa.Table:
        return pacsv.read_csv(
            pa.BufferReader(source) if isinstance(source, bytes) else source,
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
        return attempt(), ()
    except pa.ArrowInvalid as error:
        reason = str(error)
    if "Empty CSV" in reason:
        raise DataError(f"{name}: holds no rows below the column names; [data] needs rows")
    if "UTF8" in reason or not _is_utf8(source):  # Arrow cannot hand over a row that is no text
        raise _NotUtf8Error
    ragged: list[Any] = []

    def remember(row: Any) -> str:
        ragged.append(row)
        return "skip" if len(ragged) <= _MOST_SPARE else "error"

    table = None
    with suppress(pa.ArrowInvalid):
        table = attempt(remember)
    if not ragged:
        raise DataError(f"{name}: cannot be read as a table ({reason.splitlines()[0]}); mend the file")
    spare = _spare([row.text.strip() for row in ragged], table, _content(source).decode(), delimiter)
    row = next((row for row in ragged if row.text.strip() not in spare), ragged[-1])
    if table is not None and row.text.strip() in spare:
        quoted = ", ".join(map(toml, [text[:40] for text in spare[:3]])) + (", …" if len(spare) > 3 else "")
        lines = "1 line is no row and is" if len(ragged) == 1 else f"{len(ragged)} lines are no rows and are"
        return table, (f"{name}: {lines} left out: {quoted}.",)
    where = f"row {row.number - skip}" if row.number is not None else "a row"
    first, *more = row.text.strip().splitlines() or [""]
    if more:
        raise DataError(
            f"{name}: a quotation mark in {where} below the column names ({toml(first[:60])}) is not closed "
            "in its line; close it or take it out"
        )
    raise DataError(
        f"{name}: {where} below the column names has {row.actual_columns} cells, but there are "
        f"{row.expected_columns} columns ({toml(row.text[:60])}); mend that row"
    )


def _spare(ragged: list[str], table: pa.Table | None, content: str, delimiter: str) -> list[str]:
    """Which lines of another number of cells are blank, comments, or stand undivided below the last row."""
    comments = tuple(
        mark
        for mark in _COMMENTS
        if table is not None and not pc.any(pc.starts_with(table.column(0), mark)).as_py()
    )
    spare = [text for text in ragged if not text or (comments and text.startswith(comments))]
    lines = [line.strip() for line in content.rstrip().splitlines()[-ABOVE:]]
    for line in reversed(lines):
        if line in ragged and delimiter not in line and not line.isdigit():
            spare.append(line)
        elif line.strip(delimiter) and line not in spare:
            break
    return list(dict.fromkeys(text for text in ragged if text in spare))


def _is_utf8(source: Path | bytes) -> bool:
    try:
        _content(source).decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
