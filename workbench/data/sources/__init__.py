"""Where rows come from: built-in sets, OpenML, and files.

Reading decides nothing: cells of text files stay text, so what a column holds can be inferred from
development rows alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa

from workbench.core.errors import DataError
from workbench.core.formatting import nearest, toml
from workbench.core.types import Array, DataSpec
from workbench.data.raw import Source, plain_table, without_others
from workbench.data.sources.archives import read_archive
from workbench.data.sources.builtin import BUILTIN, built_in, openml
from workbench.data.sources.delimited import read_delimited
from workbench.data.sources.packed import PACKED, unpacked


def read(spec: DataSpec) -> Source:
    """The rows of `spec.source`; of an archive with official test arrays, the others.

    Raises DataError if there are none to be read.
    """
    if spec.source.startswith("openml:"):
        source = openml(spec.source)
    else:
        source = built_in(spec.source) or _file(
            spec.source, find(spec.source, "source", spec.folder), spec.encoding
        )
    silent = [column for column in source.left_out if column not in spec.drop]
    if silent:
        listed = ", ".join(map(toml, silent))
        note = f"{source.name}: left out because their cells are not numbers, text or dates: {listed}."
        source = source._replace(notes=(*source.notes, note))
    return source if spec.test is None else source._replace(official=True)


def read_official(spec: DataSpec) -> Source:
    """The official test rows: of the file `spec.test`, or the arrays x_test and y_test of the source.

    Raises DataError if they cannot be read.
    """
    if spec.test is None:
        path = find(spec.source, "source", spec.folder)
        return _archive(spec.source, *_unpacked(spec.source, path)[:1], None, test=True)
    path = find(spec.test, "test", spec.folder)
    source = spec.folder / spec.source
    if source.exists() and source.samefile(path):
        raise DataError(f"{spec.test}: [data] test names the source itself; name the file of the test rows")
    return _file(spec.test, path, spec.encoding)


def read_rows(path: Path | str, encoding: str | None = None) -> pd.DataFrame | Array:
    """The rows of a data file, for `Preprocessor.transform`; cells of text files stay text.

    encoding  of a text file that shows none and is not UTF-8

    Raises DataError if the file cannot be read.
    """
    source = read_file(path, encoding)
    return source.rows.to_pandas() if isinstance(source.rows, pa.Table) else source.rows


def read_file(path: Path | str, encoding: str | None = None) -> Source:
    """A data file as it is. Raises DataError if it cannot be read."""
    path = Path(path)
    return _file(path.name, find(path.name, "the file", path.parent), encoding)


def find(name: str, key: str, folder: Path) -> Path:
    """A file that a study names under a key, in a folder. Raises DataError, which names one like it."""
    path = folder / name
    if path.is_file():
        return path
    if path.is_dir():
        raise DataError(f"{name}: is a folder; name a data file in it")
    beside = [p.name for p in path.parent.iterdir() if p.is_file()] if path.parent.is_dir() else []
    data = [file for file in beside if Path(file).suffix.lower() in (*SUFFIXES, *PACKED)]
    known = [*data, *(BUILTIN if key == "source" else ())]
    close = nearest(path.name, known) or nearest(path.name, beside)
    remedy = f"did you mean {close}?" if close else "put it there or correct the path"
    if key == "source" and not path.suffix:
        remedy = f"did you mean {close}?" if close else f"built in are {', '.join(BUILTIN)}"
        raise DataError(f"[data] source = {toml(name)} is neither a built-in set nor a file; {remedy}")
    raise DataError(f"{name}: no such file in {path.parent}; {remedy}")


# ── files ───────────────────────────────────────────────────────────────────────────────────────


def _table(name: str, path: Path | bytes, encoding: str | None, *, tabs: bool = False) -> Source:
    table, notes, separator = read_delimited(path, name, tabs=tabs, encoding=encoding)
    return Source(name, table, notes=notes, separator=separator)


def _parquet(name: str, path: Path | bytes, encoding: str | None) -> Source:
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(pa.BufferReader(path) if isinstance(path, bytes) else path).read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{name}: is not a readable Parquet file ({_first_line(error)}); write it anew"
        ) from error
    index = [column for column in table.column_names if column.startswith("__index_level_")]
    plain, others = without_others(table.drop_columns(index))
    return Source(name, plain_table(plain, name), left_out=others)


def _archive(name: str, path: Path | bytes, encoding: str | None, *, test: bool = False) -> Source:
    x, y, official, notes, weight, targets = read_archive(path, name, test=test)
    return Source(
        name,
        x,
        y=y,
        target="y",
        complete=True,
        official=official,
        notes=notes,
        weight=weight,
        targets=targets,
    )


#: How a file, or its content in an encoding, is read, by its suffix.
SUFFIXES: dict[str, Callable[[str, Path | bytes, str | None], Source]] = {
    ".csv": _table,
    ".tsv": partial(_table, tabs=True),
    ".parquet": _parquet,
    ".npz": _archive,
}


def _unpacked(name: str, path: Path) -> tuple[Path | bytes, str]:
    """A file, or what is in a packed one, and the suffix that says how it is read."""
    suffix = path.suffix.lower()
    return unpacked(path, name) if suffix in PACKED else (path, suffix)


def _file(name: str, path: Path, encoding: str | None = None) -> Source:
    try:
        content, suffix = _unpacked(name, path)
        reader = SUFFIXES.get(suffix)
        if reader is None:
            what = suffix or "a file without suffix"
            if path.suffix.lower() in PACKED:
                what = f"{what} in a {path.suffix}"
            raise DataError(
                f"{name}: {what} is not a kind of data file that can be read; "
                f"use {', '.join(SUFFIXES)}, or one of them in a .gz or .zip"
            )
        source = reader(name, content, encoding)
    except OSError as error:
        raise DataError(f"{name}: cannot be read ({error.strerror or error}); check the file") from error
    n = source.rows.num_rows if isinstance(source.rows, pa.Table) else len(source.rows)
    if n == 0:
        raise DataError(f"{name}: holds no rows; put data into it")
    return source


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
