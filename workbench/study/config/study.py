"""A study: the validated file, frozen.

`read_study` reads the TOML of a study file and holds it to the tables of `schema`; `vary` changes
settings of a study by their flat names. Both raise StudyError with one sentence: file, section, key, value,
expectation, remedy.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from workbench.core.errors import DataError, StudyError
from workbench.core.formatting import nearest, toml
from workbench.core.types import Axis, Choice, DataSpec, Range, SearchSpec, Settings, Split, Value
from workbench.core.vocabulary import argument_of, flat_argument
from workbench.study.config.checks import check_file, notes
from workbench.study.config.errors import label, sentence
from workbench.study.config.optimizer import (
    SHARED,
    argument_kind,
    arguments_of,
    named,
    of_file,
    takers,
    without_arguments,
)
from workbench.study.config.schema import (
    RULE,
    SETTINGS,
    DataTable,
    SearchTable,
    SelectTable,
    StudyFile,
    keys_of,
    where,
)
from workbench.study.config.text import dump, written
from workbench.study.contents import contents

#: What `vary` changes beside the settings, and the table it stands in.
_BESIDE: Mapping[str, Any] = {
    "name": StudyFile,
    "question": StudyFile,
    "seed": StudyFile,
    "split_seed": DataTable,
    "trials": SearchTable,
    "sampler": SearchTable,
    "pruner": SearchTable,
    "seeds": SearchTable,
    "stop": SearchTable,
    "parallel": SearchTable,
    "metric": SelectTable,
    "refit": SelectTable,
    "rule": SelectTable,
    "smallest_gain": SelectTable,
}


#: Of the data: where they are, what the study says itself, and what is decided when it begins.
_UNTOLD = ("folder", "seed", "split_rule")
#: How long a search goes on; a study may be given more of it and stay the same.
_BUDGET = ("trials", "stop")


@dataclass(frozen=True)
class Study:
    """What a study file says, defaults filled in."""

    name: str
    question: str
    seed: int
    data: DataSpec
    settings: Settings  # every searchable key under its flat name; the file's keys first, in its order
    search: SearchSpec
    metric: str | None  # None: accuracy for classes, rmse for numbers
    path: Path
    text: str
    refit: bool = False  # train the choice once more, on training and validation rows
    rule: str = RULE  # by which the choice is made
    smallest_gain: float | None = None  # over the default configuration, that would count
    kept_as: str = ""  # the id of its records, where `identity` has looked it up

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the text's meaning: not of the question, comments, order of keys or budget.

        What stands at its default leaves no trace, so a study keeps its fingerprint when new keys come up.
        """
        spec = {key: value for key, value in asdict(self.data).items() if key not in _UNTOLD}
        plain = asdict(DataSpec(source=""))
        meaning = {
            "name": self.name,
            "seed": self.seed,
            "metric": self.metric,
            "data": {key: value for key, value in spec.items() if value != plain[key]},
            "settings": {
                key: toml(value) for key, value in self.settings.items() if value != where(key).default
            },
            "search": {
                key: value
                for key, value in asdict(self.search).items()
                if key not in _BUDGET and value is not None
            },
        }
        meaning |= {"refit": True} if self.refit else {}
        meaning |= {"rule": self.rule} if self.rule != RULE else {}
        return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()

    @property
    def declaration(self) -> str:
        """SHA-256 of what the study says beforehand of its answer: question, rule and smallest gain."""
        said = {"question": self.question, "rule": self.rule, "smallest_gain": self.smallest_gain}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    @property
    def id(self) -> str:
        """The name and eight digits that stand for text and data; safe as the name of a folder.

        While a file of its data cannot be read, a study has the id of its text, and nothing runs under that.
        """
        try:
            return self.kept_as or self.id_with(contents(self.data).digests)
        except DataError:
            return self.id_with({})

    def id_with(self, digests: Mapping[str, str]) -> str:
        """The id with files of this content; without files, the text says what the data are."""
        parts = (self.fingerprint, *digests.values())
        whole = hashlib.sha256("".join(parts).encode()).hexdigest() if digests else self.fingerprint
        return f"{self.name}-{whole[:8]}"

    @property
    def axes(self) -> dict[str, Axis]:
        """The settings that are searched, in the order of the file."""
        return {key: value for key, value in self.settings.items() if isinstance(value, (Range, Choice))}

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks, none of which forbids the study: settings that nothing reads, and the like."""
        return notes(self)


def read_study(path: str | Path) -> Study:
    """The study in a TOML file. Raises StudyError if it cannot be read or is no valid study."""
    path = Path(path)
    text = _text(path)
    document = _document(str(path), text)
    plain, arguments = without_arguments(document, keys_of(("optimizer",)))
    try:
        file = StudyFile.model_validate(plain)
    except ValidationError as error:
        raise StudyError(sentence(str(path), error.errors(include_url=False), of_file(plain))) from None
    study = Study(
        name=file.name,
        question=file.question,
        seed=file.seed,
        data=_data(file, path),
        settings=_settings(file, document, _arguments(file, arguments, path)),
        search=SearchSpec(**file.search.model_dump()),
        metric=file.select.metric,
        path=path,
        text=text,
        refit=file.select.refit,
        rule=file.select.rule,
        smallest_gain=file.select.smallest_gain,
    )
    check_file(study)
    return study


def vary(study: Study, /, **changes: Any) -> Study:
    """The study with some settings replaced: `vary(study, family="mlp", depth={"low": 1, "high": 3})`.

    Keys are flat settings, or name, question, seed, split_seed, metric, refit, rule, smallest_gain, trials,
    sampler, pruner, seeds, stop, parallel. An argument of the study's optimizers goes by its own name, and
    None takes it out; where a setting has that name (threshold), it is optimizer_threshold. Values are what a
    study file may hold, or Range and Choice. A changed study has another id and the text that says what it
    is. Raises StudyError.
    """
    read: dict[str, Any] = {}
    optimizers = named(changes.get("optimizer", study.settings["optimizer"]))
    for name, value in changes.items():
        key, kind = _flat(name, optimizers)
        if value is None and key in study.settings and key not in SETTINGS:
            read[key] = None
            continue
        if kind is None:
            close = nearest(name, (*SETTINGS, *_BESIDE, *arguments_of(optimizers)))
            hint = f"did you mean {close}?" if close else f"known are {', '.join((*SETTINGS, *_BESIDE))}"
            raise StudyError(f"{study.path}: {name} is no setting that can be varied; {hint}")
        if key in ("metric", "smallest_gain") and value is None:
            read[key] = None
            continue
        try:
            read[key] = kind.read(written(key, value))
        except ValueError as error:
            home = key if key in _BESIDE else label(where(key).path)
            raise StudyError(f"{study.path}: {home} = {toml(written(key, value))} (varied) {error}") from None
    settings = {key: read.pop(key, value) for key, value in study.settings.items()}
    settings |= {key: read.pop(key) for key in list(read) if key not in _BESIDE}
    settings = {key: value for key, value in settings.items() if value is not None}
    search = replace(study.search, **{f.name: read.pop(f.name) for f in fields(SearchSpec) if f.name in read})
    split_seed = read.pop("split_seed", study.data.split_seed)
    data = replace(study.data, seed=read.get("seed", study.seed), split_seed=split_seed)
    varied = replace(study, settings=settings, search=search, data=data, kept_as="", **read)
    check_file(varied)
    same = (varied.fingerprint, varied.declaration) == (study.fingerprint, study.declaration)
    return varied if same else replace(varied, text=dump(varied))


def _flat(name: str, optimizers: Sequence[str]) -> tuple[str, Any]:
    """The flat name of what `vary` changes, and how its value is read; None: nothing has that name."""
    if name in _BESIDE:
        return name, _BESIDE[name].model_fields[name].metadata[0]
    own = optimizers if name not in SETTINGS else takers(optimizers) if name in SHARED else ()
    kind = argument_kind(own, argument_of(name))
    if kind is not None:
        return flat_argument(argument_of(name)), kind
    return name, SETTINGS[name].kind if name in SETTINGS else None


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
        spec["split"] = Split(**table.split.model_dump())
    else:  # an official test file takes the place of the test share
        spec["split"] = Split() if table.test is None else Split(0.75, 0.25, 0.0)
    return DataSpec(**spec, folder=path.absolute().parent, seed=file.seed)


def _arguments(file: StudyFile, written: Mapping[str, Any], path: Path) -> dict[str, Value | Axis]:
    """The optimizers' own arguments under their flat names."""
    read: dict[str, Value | Axis] = {}
    for key, value in written.items():
        kind = argument_kind(named(file.optimizer.name), key)
        assert kind is not None
        try:
            read[flat_argument(key)] = kind.read(value)
        except ValueError as error:
            raise StudyError(f"{path}: {label(('optimizer', key))} = {toml(value)} {error}") from None
    return read


def _settings(
    file: StudyFile, document: dict[str, Any], arguments: Mapping[str, Value | Axis]
) -> dict[str, Value | Axis]:
    """Flat settings: those of the file in its order, then the rest at their defaults."""
    flat = {home.path: key for key, home in SETTINGS.items()} | {where(key).path: key for key in arguments}
    order = dict.fromkeys(flat[path] for path in _leaves(document, ()) if path in flat) | dict.fromkeys(
        SETTINGS
    )
    settings: dict[str, Value | Axis] = {}
    for key in order:
        value: Any = file
        for step in where(key).path if key not in arguments else ():
            value = getattr(value, step)
        settings[key] = arguments.get(key, value)
    return settings


def _leaves(table: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for key, value in table.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from _leaves(value, (*path, key))
