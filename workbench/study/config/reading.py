"""From a file to a study, and from a study to a varied one.

Both validate a document by `schema`, and raise StudyError with one sentence: file, section, key, value,
expectation, remedy.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from workbench.core import plugins
from workbench.core.errors import StudyError
from workbench.core.formatting import nearest, toml
from workbench.core.types import Axis, DataSpec, SearchSpec, Split, Value
from workbench.core.vocabulary import argument_of, flat_argument
from workbench.study.config.checks import check_file
from workbench.study.config.conditions import conditioned
from workbench.study.config.errors import complaint, label, sentence, unlike
from workbench.study.config.kinds import Kind
from workbench.study.config.optimizer import (
    SHARED,
    arguments_of,
    hint_of,
    named,
    of_file,
    takers,
    takes,
    without_arguments,
)
from workbench.study.config.schema import KEYS, SETTINGS, STOP_AT, DataTable, Place, StudyFile, keys_of, where
from workbench.study.config.study import Study
from workbench.study.config.text import dump, written

#: What `vary` changes beside the settings, and where it stands.
_BESIDE: Mapping[str, Place] = {
    path[-1]: path
    for path in KEYS
    if len(path) == 1 or path[0] in ("search", "select") or path in (("data", "split_seed"), STOP_AT)
    if path[-1] not in SETTINGS
}


def read_study(path: str | Path) -> Study:
    """The study in a TOML file.

    Args:
        path: of the file.

    Returns:
        The study, every default filled in.

    Raises:
        StudyError: if it cannot be read or is no valid study.
    """
    path = Path(path)
    return study_of(_text(path), path)


def study_of(text: str, path: Path) -> Study:
    """The study that a text says, as if it stood in the file `path`. Raises StudyError."""
    plugins.load_installed()
    document = _document(str(path), text)
    plain, arguments = without_arguments(document, keys_of(("optimizer",)))
    file = _validated(plain, path)
    read = {key: _argument(path, named(file.optimizer.name), key, value) for key, value in arguments.items()}
    study = Study(
        name=file.name,
        question=file.question,
        seed=file.seed,
        data=_data(file, path),
        settings=conditioned(
            _settings(file, document, {flat_argument(key): value for key, value in read.items()}), path
        ),
        search=SearchSpec(**dict(file.search), stop_at=file.training.stop_at),
        metric=file.select.metric,
        path=path,
        text=text,
        refit=file.select.refit,
        average=file.select.average,
        calibrate=file.select.calibrate,
        rule=file.select.rule,
        smallest_gain=file.select.smallest_gain,
        also=file.select.also,
    )
    check_file(study)
    return study if "trials" in document.get("search", {}) else _with_default_trials(study)


def _with_default_trials(study: Study) -> Study:
    """Where there is nothing to search, one trial: it is trained again over the seeds."""
    trials = SearchSpec.trials if study.axes else 1
    return replace(study, search=replace(study.search, trials=trials))


def vary(study: Study, /, **changes: Any) -> Study:
    """The study with some settings replaced: `vary(study, family="mlp", depth={"low": 1, "high": 3})`.

    Args:
        study: to begin with; it stays as it is.
        **changes: flat settings, or name, question, seed, split_seed, metric, refit, average, calibrate,
            rule, smallest_gain, also, trials, sampler, pruner, seeds, stop, stop_at, parallel. An argument of
            the study's optimizers goes by its own name, and None takes it out; where a setting has that name
            (threshold), it is optimizer_threshold. Values are what a study file may hold, or Range and
            Choice.

    Returns:
        The study with another id, and the text that says what it is.

    Raises:
        StudyError: for what a study file may not say either.
    """
    read: dict[str, Any] = {}
    document: dict[str, Any] = {"name": study.name, "data": {"source": study.data.source}}
    paths: dict[str, Place] = {}
    optimizers = named(changes.get("optimizer", study.settings["optimizer"]))
    for name, value in changes.items():
        key, own = _flat(name, optimizers)
        if value is None and key in study.settings and key not in SETTINGS:
            read[key] = None
        elif own:
            read[key] = _argument(study.path, own, argument_of(key), written(key, value), " (varied)")
        elif key in _BESIDE or key in SETTINGS:
            paths[key] = _BESIDE.get(key) or SETTINGS[key].path
            _put(document, paths[key], written(key, value))
        else:
            known = (*SETTINGS, *_BESIDE)
            hint = unlike(name, (*known, *arguments_of(optimizers)), f"known are {', '.join(known)}")
            raise StudyError(f"{study.path}: {name} is no setting that can be varied; {hint}")
    file = _validated(document, study.path, " (varied)")
    read |= {key: _get(file, path) for key, path in paths.items()}
    settings = {key: read.pop(key, value) for key, value in study.settings.items()}
    settings |= {key: read.pop(key) for key in list(read) if key not in _BESIDE}
    settings = {key: value for key, value in settings.items() if value is not None}
    settings = conditioned(settings, study.path)
    search = replace(study.search, **{f.name: read.pop(f.name) for f in fields(SearchSpec) if f.name in read})
    split_seed = read.pop("split_seed", study.data.split_seed)
    data = replace(study.data, seed=read.get("seed", study.seed), split_seed=split_seed)
    varied = replace(study, settings=settings, search=search, data=data, kept_as="", **read)
    check_file(varied)
    if varied.axes and not study.axes and study.search.trials == 1 and "trials" not in changes:
        varied = _with_default_trials(varied)
    same = (varied.fingerprint, varied.declaration) == (study.fingerprint, study.declaration)
    return varied if same else replace(varied, text=dump(varied))


def _flat(name: str, optimizers: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The flat name of what `vary` changes, and the optimizers whose argument it is."""
    if name in _BESIDE:
        return name, ()
    own = optimizers if name not in SETTINGS else takers(optimizers) if name in SHARED else ()
    return (flat_argument(argument_of(name)), own) if takes(own, argument_of(name)) else (name, ())


def _validated(document: Mapping[str, Any], path: Path, note: str = "") -> StudyFile:
    try:
        return StudyFile.model_validate(document)
    except ValidationError as error:
        said = sentence(error.errors(include_url=False), document, of_file(document), note)
        raise StudyError(f"{path}: {said}") from None


def _argument(path: Path, optimizers: Sequence[str], key: str, value: Any, note: str = "") -> Value | Axis:
    """An optimizer's own argument."""
    hint = hint_of(optimizers, key, value)
    try:
        read: Value | Axis = TypeAdapter(hint).validate_python(value, strict=True)
    except ValidationError as error:
        said = complaint(Kind.of(hint), value, [(one["loc"], one) for one in error.errors(include_url=False)])
        raise StudyError(f"{path}: {label(('optimizer', key))} = {toml(value)}{note} {said}") from None
    return read


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        close = (
            nearest(path.name, [p.name for p in path.parent.glob("*.toml")]) if path.parent.is_dir() else None
        )
        hint = f"did you mean {path.parent / close}?" if close else "give the path of a study file"
        raise StudyError(f"{path}: there is no such file; {hint}") from None
    except IsADirectoryError:
        raise StudyError(f"{path}: is a folder; give the path of a study file in it") from None
    except UnicodeDecodeError as error:
        raise StudyError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8 text") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise StudyError(f"{path}: cannot be read ({reason}); give the path of a study file") from None


def _document(file: str, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise StudyError(f"{file}: is nested too deeply to be a study; see studies/ for examples") from None
    except ValueError as error:  # TOMLDecodeError, or an integer of thousands of digits
        what, _, place = str(error).removesuffix(")").rpartition(" (at ")
        at = f" at {place}" if what else ""
        raise StudyError(f"{file}: is not valid TOML{at} ({what or place}); mend that line") from None


def _data(file: StudyFile, path: Path) -> DataSpec:
    table: DataTable = file.data
    spec = {f.name: getattr(table, f.name) for f in fields(DataSpec) if f.name in DataTable.model_fields}
    if table.split is not None:
        spec["split"] = Split(**dict(table.split))
    else:  # an official test file takes the place of the test share
        spec["split"] = Split() if table.test is None else Split(0.75, 0.25, 0.0)
    return DataSpec(**spec, folder=path.absolute().parent, seed=file.seed)


def _settings(
    file: StudyFile, document: Mapping[str, Any], arguments: Mapping[str, Value | Axis]
) -> dict[str, Value | Axis]:
    """Flat settings: those of the file in its order, then the rest at their defaults."""
    flat = {where(key).path: key for key in (*SETTINGS, *arguments)}
    order = dict.fromkeys((*(flat[path] for path in _leaves(document, ()) if path in flat), *SETTINGS))
    return {key: arguments[key] if key in arguments else _get(file, SETTINGS[key].path) for key in order}


def _leaves(table: Mapping[str, Any], path: Place) -> Iterator[Place]:
    for key, value in table.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key))


def _get(file: StudyFile, path: Place) -> Any:
    value: Any = file
    for step in path:
        value = getattr(value, step)
    return value


def _put(document: dict[str, Any], path: Place, value: Any) -> None:
    """Set a key of a document, and with `min_delta` the patience that must stand beside it."""
    table = document
    for step in path[:-1]:
        table = table.setdefault(step, {"patience": 0} if step == "early_stopping" else {})
    table[path[-1]] = value
