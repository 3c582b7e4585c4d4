"""Where the table in a text file begins, what stands between its cells, and how its columns are called."""

from __future__ import annotations

import csv
import re
import string
from collections.abc import Sequence
from typing import NamedTuple

from workbench.core.errors import DataError
from workbench.core.formatting import toml
from workbench.data.preprocessing.cells import BLANKS
from workbench.data.preprocessing.oddities import MISSING

SEPARATORS = (",", ";", "\t", "|")
#: Lines that are looked at; records of these that decide; lines that may stand above the names.
LOOK, RECORDS, ABOVE = 200, 50, 30
#: A first line by which Excel is told the separator.
_SEP = re.compile(r'^\ufeff?"?sep=(.)"?,*\s*$', re.IGNORECASE)
#: What counts for nothing around a name: spaces, marks of byte order, spaces without width.
_SPACES = f"{string.whitespace}\u00a0\u200b\ufeff"
#: Rows below a line of units, at least; and what may stand in it.
FEWEST = 5
_UNIT = re.compile(r"^[\[(]?[^\d<>=]{1,16}([23]|\^?-?\d)?[\])]?$")
_DIGIT = re.compile("[0-9]")
_NUMBER = re.compile(r"^\s*[-+]?[\d.,]*\d[\d.,]*([eE][-+]?\d+)?\s*%?$")


class Header(NamedTuple):
    """How a table begins.

    names  of the columns, "" for none
    skip   lines before the first row
    above  what stands in the lines over the names
    rows   the names lack that of the first column, which names the rows
    units  what stands in a line below the names that is no row: kg, m/s
    """

    separator: str
    names: list[str]
    skip: int
    above: tuple[str, ...] = ()
    rows: bool = False
    units: tuple[str, ...] = ()

    @property
    def numbered(self) -> bool:
        """Whether names are numbers with decimals or a sign, so that they may be a row."""
        return any(_NUMBER.match(name) and not name.isdigit() for name in self.names)


def find_header(lines: Sequence[str], name: str, *, tabs: bool, whole: bool) -> Header:
    """The header in the first lines of a file.

    tabs   cells are divided by tabs
    whole  these are all its lines

    The first line that is not empty holds the names, unless it is a comment, a title, or `sep=;`: then a
    later line does, from which on all have the same number of cells, more than any line above. Raises
    DataError if there is no line, or no list of names.
    """
    start = _next(lines, 0)
    if start is None:
        raise DataError(f"{name}: is empty; the first line must hold the column names")
    told = None if tabs else _SEP.match(lines[start])
    if told:
        start = _next(lines, start + 1)
        if start is None:
            raise DataError(f"{name}: is empty below its first line; a line must hold the column names")
    first = lines[start]
    known = "\t" if tabs else told.group(1) if told else None
    usual = known or next((mark for mark in SEPARATORS if mark in first), ",")
    try:
        usual_records = _records(lines, start, usual, whole)
    except csv.Error as error:
        raise DataError(f"{name}: the first line is no list of column names ({error}); mend it") from error
    if not usual_records:  # a name that spans more lines than are looked at
        raise DataError(f"{name}: the first line is no list of column names; close its quotation mark")
    candidates = (usual,) if tabs or told else (usual, *(mark for mark in SEPARATORS if mark != usual))
    parsed = {mark: _tried(lines, start, mark, whole) for mark in candidates}
    # Where several divide every line evenly, names or numbers hold commas: "Temp, C;class", 1,29;on.
    even = [mark for mark in candidates if _even(parsed[mark])]
    title = _lower(lines, start, usual, whole) if usual in even and _title(parsed[usual][0]) else None
    if title is not None:
        return title
    if even:
        mark = max(even, key=lambda mark: (len(parsed[mark][0]), mark != ",", mark == usual))
        return _header(lines, start, mark, parsed[mark][0])
    for mark in candidates:
        found = _lower(lines, start, mark, whole)
        if found is not None:
            return found
    for mark in candidates:
        fitted = _fitted(parsed[mark])
        if fitted is not None:
            return _header(lines, start, mark, *fitted)
    return _header(lines, start, usual, usual_records[0])


def _header(
    lines: Sequence[str],
    start: int,
    mark: str,
    names: list[str],
    rows: bool = False,
    above: tuple[str, ...] = (),
) -> Header:
    reader = csv.reader(lines[start:], delimiter=mark, skipinitialspace=True)
    next(reader)
    skip = start + reader.line_num
    plain = [cell.strip(_SPACES) for cell in names]
    records = _tried(lines, skip, mark, False)
    units = _units(records)
    if units:
        skip = next(line for line in range(skip, len(lines)) if lines[line].strip()) + 1
    return Header(mark, plain, skip, above, rows, units)


def _units(records: list[list[str]]) -> tuple[str, ...]:
    """The units in the first record below the names: text above columns that hold numbers otherwise."""
    if len(records) < 1 + FEWEST or not _even(records):
        return ()
    first, *rest = [[cell.strip() for cell in record] for record in records]
    numbers = [
        cell
        for cell, column in zip(first, zip(*rest, strict=True), strict=True)
        if sum(bool(_DIGIT.search(each)) for each in column) > 0.9 * len(column)
    ]
    units = [cell for cell in first if _UNIT.match(cell) and cell.lower() not in (*BLANKS, *MISSING)]
    named = [cell for cell in numbers if cell in units]
    sure = len(named) > 1 or any(cell[0] in "[(" for cell in named)
    return tuple(units) if named and sure and all(not cell or cell in units for cell in numbers) else ()


def _next(lines: Sequence[str], start: int) -> int | None:
    return next((j for j in range(start, len(lines)) if lines[j].strip()), None)


def _records(lines: Sequence[str], start: int, mark: str, whole: bool) -> list[list[str]]:
    """Records from a line on, but one that may be cut off, and a few of one cell, which are no rows."""
    reader = csv.reader(lines[start:], delimiter=mark, skipinitialspace=True)
    found: list[list[str]] = []
    for record in reader:
        if len(found) == RECORDS:
            break
        if not whole and start + reader.line_num >= len(lines) and found:
            break
        if record:
            found.append(record)
    wide = [record for place, record in enumerate(found) if len(record) > 1 or not place]
    return wide if 10 * (len(found) - len(wide)) <= len(found) else found


def _tried(lines: Sequence[str], start: int, mark: str, whole: bool) -> list[list[str]]:
    try:
        return _records(lines, start, mark, whole)
    except csv.Error:
        return []


def _even(records: list[list[str]]) -> bool:
    """Whether all have the same number of cells, more than one."""
    widths = {len(record) for record in records}
    return len(widths) == 1 and widths != {1}


def _lower(lines: Sequence[str], start: int, mark: str, whole: bool) -> Header | None:
    """The names in a line below the first one."""
    for line in range(start + 1, min(len(lines), start + 1 + ABOVE)):
        if not lines[line].strip():
            continue
        records = _tried(lines, line, mark, whole)
        if len(records) < 2 or not _even(records) or not _names(records):
            continue
        over = [text for text in lines[start:line] if text.strip()]
        widths = [_filled(record) for text in over for record in _tried([text], 0, mark, True)]
        if all(text.startswith("#") for text in over) or max(widths) < len(records[0]):
            above = tuple(text.strip() for text in over)
            return _header(lines, line, mark, records[0], above=above)
    return None


def _filled(record: list[str]) -> int:
    return sum(bool(cell.strip()) for cell in record)


def _title(record: list[str]) -> bool:
    """Whether the first record may be a title, filled up with empty cells as spreadsheets do."""
    return len(record) > 2 and _filled(record) <= 1


def _names(records: list[list[str]]) -> bool:
    """Whether the first record can name columns: no number, nothing twice, and not one more row of labels."""
    names = [cell.strip() for cell in records[0]]
    if any(_NUMBER.match(cell) for cell in names) or len({*names}) < len(names):
        return False
    rows = [record for record in records[1:] if record != records[0]]
    rows = rows[1:] if len(rows) > FEWEST else rows  # the first may hold units
    return any(
        all(_NUMBER.match(cell) or not cell.strip() for cell in column) for column in zip(*rows, strict=True)
    )


def _fitted(records: list[list[str]]) -> tuple[list[str], bool] | None:
    """The names where each row has one cell more, or one less; and whether the first cell names the row."""
    if len(records) < 2 or not _even(records[1:]):
        return None
    names, width = records[0], len(records[1])
    if width == len(names) + 1 and len(names) > 1:
        if not any(record[-1].strip() for record in records[1:]):
            return [*names, ""], False
        different = len({record[0] for record in records[1:]}) == len(records) - 1
        if different and not any(_NUMBER.match(cell) for cell in names):
            return ["", *names], True
    if width == len(names) - 1 and not names[-1].strip():
        return names[:-1], False
    return None


def spaced(lines: Sequence[str]) -> bool:
    """Whether lines that no usual mark divides are cells between spaces, numbers for the most part."""
    records = [line.split() for line in lines if line.strip()]
    if len(records) < 1 + FEWEST or not _even(records) or any('"' in line for line in lines):
        return False
    columns = list(zip(*records[1:], strict=True))
    numbers = sum(all(_NUMBER.match(cell) for cell in column) for column in columns)
    return numbers >= min(2, len(columns) - 1) and (len(columns) > 2 or numbers == 2)


def foreign(lines: Sequence[str]) -> str:
    """The mark that divides every line alike, where no usual one does; "" for none."""
    some = [line.strip() for line in lines if line.strip()]
    marks = re.findall(r"[:^~§¦&!]+", some[0])
    return next((m for m in marks if len(some) > FEWEST and len({line.count(m) for line in some}) == 1), "")


def said_of(header: Header, name: str) -> tuple[str, ...]:
    """What stood above the names and below them, and that they may be a row."""
    said = []
    if header.above:
        n = len(header.above)
        lines = "a line that belongs" if n == 1 else f"{n} lines that belong"
        said.append(
            f"{name}: above the column names stood {lines} to no table: {toml(header.above[0][:60])}."
        )
    if header.units:
        units = ", ".join(map(toml, header.units[:3])) + (", …" if len(header.units) > 3 else "")
        said.append(f"{name}: the line below the column names holds units and is left out: {units}.")
    if header.numbered:
        number = toml(next(filter(_NUMBER.match, header.names)))
        said.append(
            f"{name}: column names are numbers, such as {number}; if the first line is a row, put a line of "
            "names above it."
        )
    return tuple(said)
