"""A study of data that are in memory: rows and study file are kept under the home, and are files then.

    HOME/created/NAME/study.toml            what the study is, as any study file says it
    HOME/created/NAME/NAME-1a2b3c4d.parquet its rows; arrays are NAME-1a2b3c4d.npz

Rows are named by what they hold, so rows that come again are those that are there, and other rows have
another file: an earlier study of the name keeps its own.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from workbench.core.errors import DataError, StoreError, StudyError
from workbench.core.files import private_folder, replaced, write_text
from workbench.core.formatting import nearest, toml
from workbench.core.locations import resolve
from workbench.core.types import DataSpec, Split
from workbench.core.vocabulary import FAMILIES
from workbench.data.raw import plain_table
from workbench.data.sources.archives import TARGETS
from workbench.data.weights import ARRAY
from workbench.study import scaffold
from workbench.study.config import Study, read_study, vary
from workbench.study.config.reading import study_of
from workbench.study.config.schema import SETTINGS, DataTable
from workbench.study.config.text import rendered
from workbench.study.locating import CREATED, FILE

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

#: Keys of [data] that a keyword may say; the others are settings, or come with the rows.
_DATA_KEYS = tuple(
    key
    for key in DataTable.model_fields
    if key not in SETTINGS and key not in ("source", "target", "split_seed")
)
#: Those of them that decide what is proposed.
_PROPOSED_BY = ("features", "drop", "task", "categorical", "group", "time", "weight", "split")


def create_study(
    data: pd.DataFrame | tuple[ArrayLike, ArrayLike] | Mapping[str, Any] | str | Path,
    target: str | Sequence[str] | None = None,
    *,
    name: str | None = None,
    home: str | Path | None = None,
    tell: Callable[[str], None] | None = print,
    **settings: Any,
) -> Study:
    """A study of data that are in memory, kept under the home where every command finds it.

        study = wb.create_study(frame, target="churned", trials=60, depth=wb.axis(1, 3))

    What no keyword says is proposed as `workbench new` proposes it: from development rows, with identifiers
    and free text left out. A second study of the same name takes the place of the first one's file; the
    records of both stay.

    Args:
        data: A data frame, without its index; a pair (X, y) of arrays, X [N, F], [N, T, F], [N, H, W] or
            [N, H, W, C], or of a frame and a series; a data file; or a whole study, as a dictionary of the
            study file's tables or as its TOML text, which no proposal is added to.
        target: The column to predict, or a list of several; a pair needs none, and y [N, K] of it are K
            targets.
        name: Of the study; None: the target's.
        home: Folder of everything that is kept; None: as `resolve` has it.
        tell: Called with each assumption and with the words that name the study in a shell; None: nobody.
        **settings: As `vary` takes them, and the keys of [data]: features, drop, task, categorical, group,
            time, split, folds, holdouts, test, a frame or a file of official test rows, and weight, a column
            or an array [N] of how much each row counts.

    Returns:
        The study, as `run` and `search` take it.

    Raises:
        DataError: for data that cannot be used.
        StudyError: for what a study file may not say either.
        StoreError: for a home that cannot be used.
    """
    root = resolve(None if home is None else str(home)).home
    say = tell or (lambda _: None)
    settings = {key: _plain(value) for key, value in settings.items()}
    whole = isinstance(data, Mapping) or (isinstance(data, str) and ("\n" in data or "=" in data))
    if whole:
        if target is not None:
            raise StudyError("create_study: a whole study names its target in [data]; leave target out")
        study = _whole(cast("Mapping[str, Any] | str", data), name, root, settings)
    else:
        rows = cast("pd.DataFrame | tuple[ArrayLike, ArrayLike] | str | Path", data)
        study = _of_rows(rows, target, name, root, settings, say)
    with _writing(study.path.parent):
        write_text(study.path, study.text)
    study = read_study(study.path)
    default = resolve().home == root
    word = study.name if default else f"{study.name} --home {_shown(root)}"
    say(f"kept as {_shown(study.path)}; in a shell: workbench run {word}")
    return study


# ── a whole study ───────────────────────────────────────────────────────────────────────────────


def _whole(data: Mapping[str, Any] | str, name: str | None, root: Path, settings: Mapping[str, Any]) -> Study:
    """A study that says everything itself. Files that it names stay where they are."""
    here = Path("study.toml").absolute()
    given = rendered(data) if isinstance(data, Mapping) else data
    if name is not None:
        given = rendered({**_document(given, here), "name": name})
    first = study_of(given, here)
    path = root / CREATED / first.name / FILE
    document = _document(given, here)
    files = {
        key: scaffold.path_from(first.data.folder / value, path)
        for key in ("source", "test")
        if (value := getattr(first.data, key)) and not value.startswith("openml:") and Path(value).suffix
    }
    if files:
        document["data"] |= files
    return _varied(study_of(rendered(document) if files else given, path), settings)


def _document(text: str, path: Path) -> dict[str, Any]:
    study_of(text, path)  # says what is wrong with it
    return tomllib.loads(text)


# ── rows ────────────────────────────────────────────────────────────────────────────────────────


def _of_rows(
    data: pd.DataFrame | tuple[ArrayLike, ArrayLike] | str | Path,
    given: str | Sequence[str] | None,
    name: str | None,
    root: Path,
    settings: dict[str, Any],
    say: Callable[[str], None],
) -> Study:
    rows, target = _rows(data, _target(given))
    if name is None:
        called = "-".join(_listed_names(target)) or (rows.stem if isinstance(rows, Path) else "arrays")
        name = scaffold.slug(called)
    path = root / CREATED / name / FILE
    study_of(rendered({"name": name, "data": {"source": "digits"}}), path)  # a name that can be a folder's
    said = {key: settings.pop(key) for key in _DATA_KEYS if key in settings}
    if said.get("weight") is not None and not isinstance(said["weight"], str):
        rows, said["weight"] = _weighed(rows, said["weight"])
    source = rows if isinstance(rows, Path) else _kept(rows, path.parent, name)
    if numbered := [one for one in _numbered(data) if one not in _listed_names(target)]:
        said["categorical"] = list(dict.fromkeys((*said.get("categorical", ()), *numbered)))
    if isinstance(test := said.get("test"), pd.DataFrame):
        said["test"] = _kept(_table(test, "test"), path.parent, f"{name}-test").name
    elif test is not None:
        said["test"] = scaffold.path_from(Path(test), path)
    if isinstance(split := said.get("split"), tuple):
        said["split"] = dict(zip(Split._fields, split, strict=False))
    asked = {key: _frozen(said[key]) for key in _PROPOSED_BY if key in said}
    spec = replace(DataSpec(source=source.name, folder=source.parent, target=target), **asked)
    proposal = scaffold.propose(spec, path, name)
    for assumption in proposal.assumptions:
        say(assumption)
    document = tomllib.loads(proposal.text)
    proposed = document.get("select", {}).get("metric")
    if settings.get("stop_at") is not None and "metric" not in settings and proposed is not None:
        raise StudyError(
            f"create_study: stop_at = {toml(settings['stop_at'])} is a value of the metric, which would be "
            f"{proposed} for these rows; say metric={toml(proposed)} or another one beside it"
        )
    if "drop" in said:  # and what is left out beside it
        said["drop"] = list(dict.fromkeys((*said["drop"], *document["data"].get("drop", ()))))
    if "test" in said and "split" not in said:
        del document["data"]["split"]
    family = settings.get("family", document["model"]["family"])
    if isinstance(family, str) and family in FAMILIES:  # what it does not read is not proposed
        read = FAMILIES[family].shaped_by
        shape = [key for key in document["model"] if key not in ("family", *read)]
        for key in shape:
            del document["model"][key]
        if "dropout" not in read:
            document["regularization"].pop("dropout", None)
    plain = not said and document == tomllib.loads(proposal.text)
    document["data"] |= {key: _listed(value) for key, value in said.items()}
    return _varied(study_of(proposal.text if plain else rendered(document), path), settings)


def _weighed(
    rows: pa.Table | dict[str, np.ndarray] | Path, weight: Any
) -> tuple[pa.Table | dict[str, np.ndarray], str]:
    """The rows with an array of weights beside them, and what that is called there."""
    if isinstance(rows, Path):
        raise DataError("create_study: weight is an array, but the rows are in a file; name its column")
    n = rows.num_rows if isinstance(rows, pa.Table) else len(rows["x"])
    values, name = np.asarray(weight), ARRAY
    if values.shape != (n,) or values.dtype.kind not in "biuf":
        raise DataError(
            f"create_study: weight is {values.dtype} of the shape {values.shape}; give one number "
            f"for each of the {n} rows"
        )
    values = values.astype(np.float64)
    if not isinstance(rows, pa.Table):
        return rows | {name: values}, name
    while name in rows.column_names:
        name += "_"
    return rows.append_column(name, pa.array(values)), name


def _varied(study: Study, settings: Mapping[str, Any]) -> Study:
    return vary(study, **settings) if settings else study


def _rows(
    data: Any, target: str | tuple[str, ...] | None
) -> tuple[pa.Table | dict[str, np.ndarray] | Path, str | tuple[str, ...] | None]:
    """What is kept of the rows, and the names of their targets."""
    if isinstance(data, str | Path):
        path = Path(data).absolute()
        if path.suffix == ".toml":
            raise StudyError(f"{data}: is a study file; wb.read_study reads it, and wb.run takes it as it is")
        return path, target
    if isinstance(data, tuple):
        if len(data) != 2:
            raise DataError(f"create_study: a tuple is a pair (X, y), but this one has {len(data)} parts")
        x, y = data
        if not isinstance(x, pd.DataFrame) and (array := np.asarray(x)).dtype.kind in "biuf":
            return _arrays(array, y, _listed_names(target)), None
        frame = x if isinstance(x, pd.DataFrame) else _framed(x)
        columns = _columns(y, target, len(frame))
        if twice := [name for name in columns if name in {str(column) for column in frame.columns}]:
            raise DataError(f"create_study: X has the target {toml(twice[0])} among its columns; drop it")
        data = frame.assign(**columns)
        target = tuple(columns) if len(columns) > 1 else next(iter(columns))
    if not isinstance(data, pd.DataFrame):
        raise DataError(
            f"create_study: data is {type(data).__name__}; give a data frame, a pair (X, y), a data file, a "
            "dictionary of the study file's tables or TOML text"
        )
    names = [str(column) for column in data.columns]
    if target is None:
        raise DataError(f"create_study: target is missing; name the column to predict: {', '.join(names)}")
    for name in _listed_names(target):
        if name not in names:
            close = nearest(name, names)
            remedy = f"did you mean {toml(close)}?" if close else f"the columns are {', '.join(names[:12])}"
            raise DataError(f"create_study: target = {toml(name)} is not a column; {remedy}")
    return _table(data, "data"), target


def _target(given: Any) -> str | tuple[str, ...] | None:
    """One name or several, as text: a frame may have numbers for names, and a file has none such."""
    if given is None or isinstance(given, str) or not isinstance(given, Iterable):
        return None if given is None else str(given)
    return tuple(str(name) for name in given)


def _listed_names(target: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return DataSpec(source="", target=target).target_names


def _numbered(data: Any) -> list[str]:
    """Columns of a frame whose categories are numbers, which a file would take for amounts."""
    frame = data[0] if isinstance(data, tuple) else data
    if not isinstance(frame, pd.DataFrame):
        return []
    kinds = {str(name): kind for name, kind in zip(frame.columns, frame.dtypes, strict=True)}
    return [
        name
        for name, kind in kinds.items()
        if isinstance(kind, pd.CategoricalDtype) and pd.api.types.is_numeric_dtype(kind.categories)
    ]


def _framed(x: Any) -> pd.DataFrame:
    """An array of mixed cells as a table."""
    array = np.asarray(x)
    if array.ndim != 2:
        raise DataError(
            f"create_study: X holds {array.dtype} of shape {array.shape}; give numbers, or [N, F]"
        )
    frame = pd.DataFrame(array, columns=[f"x{j}" for j in range(array.shape[1])])
    return frame.infer_objects()


def _columns(y: Any, target: str | tuple[str, ...] | None, rows: int) -> dict[str, Any]:
    """The targets of a pair by their names: y is a series, a frame, or an array [N] or [N, K]."""
    values = y if isinstance(y, pd.Series | pd.DataFrame) else np.asarray(y)
    if values.ndim not in (1, 2) or len(values) != rows or 0 in values.shape:
        raise DataError(
            f"create_study: y has the shape {values.shape}, but X has {rows} rows; give one target each, or "
            "several, [N, K]"
        )
    count = 1 if values.ndim == 1 else values.shape[1]
    given = _listed_names(target) or _named_targets(y, count)
    _check_names(given, count)
    if isinstance(values, pd.Series):
        return {given[0]: values.array}
    if isinstance(values, pd.DataFrame):
        return {name: values.iloc[:, k].array for k, name in enumerate(given)}
    return dict(zip(given, values.reshape(rows, count).T, strict=True))


def _check_names(names: Sequence[str], count: int) -> None:
    """Raises DataError if these are not a different name for each column of y."""
    if len(names) != count:
        raise DataError(
            f"create_study: target names {len(names)} columns, but y has {count}; name as many, or none"
        )
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise DataError(f"create_study: two columns of y are called {toml(twice)}; rename one of them")


def _named_targets(y: Any, count: int) -> tuple[str, ...]:
    """What the targets are called by whoever gave them; target, or target_0 to target_K-1, if by nobody."""
    if isinstance(y, pd.DataFrame):
        return tuple(str(column) for column in y.columns)
    if count == 1:
        return (str(getattr(y, "name", None) or "target"),)
    return tuple(f"target_{k}" for k in range(count))


def _arrays(x: np.ndarray, y: Any, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """The arrays of an archive, which names its targets if these are several."""
    targets = np.asarray(y)
    several = targets.ndim > 1 and targets.shape[-1] > 1
    if several and not names and isinstance(y, pd.DataFrame):
        names = _named_targets(y, targets.shape[-1])
    if names:
        _check_names(names, targets.shape[-1] if several else 1)
    if names and not several and names != ("y",):
        raise DataError(
            f"create_study: target = {toml(names[0])}, but the target of arrays is called y; leave target "
            "out, or give X as a data frame"
        )
    named = {TARGETS: np.array(names)} if several and names else {}
    if targets.dtype.kind == "O":
        if not all(isinstance(one, str) for one in targets.ravel()):
            raise DataError("create_study: y holds neither numbers nor text alone; convert it")
        targets = targets.astype(str)
    if targets.dtype.kind not in "biufUS":
        raise DataError(f"create_study: y holds {targets.dtype}; give numbers or text")
    return {"x": x, "y": targets, **named}


def _table(frame: pd.DataFrame, what: str) -> pa.Table:
    """A data frame without its index, as Parquet keeps it."""
    if isinstance(frame.columns, pd.MultiIndex):
        raise DataError(f"create_study: {what} has columns of several levels; join their names")
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    try:
        table = pa.Table.from_pandas(frame, preserve_index=False)
    except (pa.ArrowException, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(
            f"create_study: {what} cannot be kept ({reason}); a column holds numbers, text, dates or truth "
            "values, one kind each"
        ) from error
    plain: pa.Table = plain_table(table, f"create_study: {what}")
    return plain.combine_chunks()


def _kept(rows: pa.Table | dict[str, np.ndarray], folder: Path, name: str) -> Path:
    """The file of the rows, named by what they hold; one that is there is left as it is."""
    if isinstance(rows, pa.Table):
        stream = pa.BufferOutputStream()
        with pa.ipc.new_stream(stream, rows.schema) as writer:
            writer.write_table(rows)
        digest = hashlib.sha256(stream.getvalue()).hexdigest()
    else:
        parts = [f"{key} {part.dtype.str} {part.shape}".encode() for key, part in rows.items()]
        held = [np.ascontiguousarray(part).tobytes() for part in rows.values()]
        digest = hashlib.sha256(b"\0".join((*parts, *held))).hexdigest()
    path = folder / f"{name}-{digest[:8]}{'.parquet' if isinstance(rows, pa.Table) else '.npz'}"
    if path.exists():
        return path
    with _writing(folder), replaced(path, private=True) as file:
        if isinstance(rows, pa.Table):
            pq.write_table(rows, file)
        else:
            np.savez_compressed(file, allow_pickle=False, **rows)
    return path


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """The folder of a study, made for its owner alone, home and all. Raises StoreError."""
    home = folder.parents[1]
    try:
        for part in (home, folder.parent, folder):
            private_folder(part)
        yield
    except OSError as error:
        raise StoreError(
            f"{home}: the home directory cannot be written to ({error.strerror or error}); name another"
        ) from error


# ── values ──────────────────────────────────────────────────────────────────────────────────────


def _plain(value: Any) -> Any:
    """NumPy's numbers as Python's, which is what a study file holds."""
    return value.item() if isinstance(value, np.generic) else value


def _frozen(value: Any) -> Any:
    """What a study file says as `DataSpec` has it."""
    if isinstance(value, Mapping):
        return Split(**{part: float(value.get(part, 0.0)) for part in Split._fields})
    return tuple(value) if isinstance(value, list) else value


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _shown(path: Path) -> str:
    """A path as one would type it here."""
    near = os.path.relpath(path)
    return str(path) if near.startswith("..") else near
