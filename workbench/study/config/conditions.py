"""What the conditions of axes mean in a study: which settings they name, and what an axis is without them.

A condition names settings by their flat names, as `[search] start` does, each with the value or the values
that it may have. They are what a study file would hold there: "all" for the batch of all rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from workbench.core.conditions import circle
from workbench.core.errors import StudyError
from workbench.core.formatting import nearest, toml
from workbench.core.types import Axis, Choice, Range, Settings, Value
from workbench.core.vocabulary import argument_of
from workbench.study.config.errors import label
from workbench.study.config.optimizer import named
from workbench.study.config.schema import SETTINGS, where
from workbench.study.config.text import written


def conditioned(settings: Settings, path: Path) -> dict[str, Value | Axis]:
    """The settings of a study, their conditions understood. Raises StudyError for one that makes no sense."""
    read = {name: _read(settings, name, value, path) for name, value in settings.items()}
    searched = {name: value for name, value in read.items() if isinstance(value, Range | Choice)}
    if around := circle(searched):
        said = ", ".join(
            f"{name} by {then}" for name, then in zip(around, [*around[1:], around[0]], strict=True)
        )
        _refuse(read, around[0], path, f"goes round in a circle ({said}); take one of them out")
    return read


def _read(settings: Settings, name: str, setting: Value | Axis, path: Path) -> Value | Axis:
    if not isinstance(setting, Range | Choice) or not setting.when:
        return setting
    when = tuple((key, tuple(_values(settings, name, key, wanted, path))) for key, wanted in setting.when)
    return replace(setting, when=when, otherwise=_otherwise(settings, name, path))


def _values(
    settings: Settings, name: str, key: str, wanted: tuple[Value, ...], path: Path
) -> Iterator[Value]:
    """The values that a condition names, as settings hold them."""
    if key not in settings:
        others = {one.path[-1]: flat for flat, one in SETTINGS.items()}
        close = others.get(key) or nearest(key, tuple(settings))
        hint = f"did you mean {close}?" if close else "name a key such as family, optimizer or depth"
        _refuse(settings, name, path, f"goes by {key}, which is no setting; {hint}")
    if key == name:
        _refuse(settings, name, path, f"goes by {key} itself; name another key")
    if not wanted:
        _refuse(settings, name, path, f"names no value of {key}; name one, or a list of some")
    kind, other = where(key).kind, settings[key]
    place = label(where(key).path)
    if isinstance(other, Range) and not other.integer and other.step is None:
        _refuse(
            settings, name, path,
            f"goes by {place}, which takes any value between two ends; give that a step or choices",
        )  # fmt: skip
    for value in wanted:
        known = kind.words.get(value, value) if isinstance(value, str) else value
        known = float(known) if kind.type is float and type(known) is int else known
        if not _may_be(other, known, kind):
            _refuse(settings, name, path, f"asks for {key} = {toml(value)}, but {place} {_is(settings, key)}")
        yield known


def _may_be(other: Value | Axis, value: Any, kind: Any) -> bool:
    """Whether a setting may have a value: an axis on its way, a fixed one if somebody changes it."""
    from workbench.tuning.space import on_axis

    if isinstance(other, Range | Choice):
        return on_axis(other, value) is not None
    return value in kind.word if kind.word else type(value) is type(other)


def _is(settings: Settings, key: str) -> str:
    """What a setting may be, in words."""
    other, kind = settings[key], where(key).kind
    if isinstance(other, Range | Choice):
        return f"is never that: it is {toml(written(key, other))}; name a value on it"
    return f"must be {kind.expected if kind.constraints else toml(written(key, other))}"


def _otherwise(settings: Settings, name: str, path: Path) -> Value:
    """What a setting is where its axis takes no part: its default, or that of the optimizers that take it."""
    if name in SETTINGS:
        default = SETTINGS[name].default
        assert default is not None
        return default
    from workbench.nn import transformations

    key = argument_of(name)
    known = [transformations.arguments(one) for one in named(settings["optimizer"])]
    default = next((own[key].default for own in known if key in own), None)
    if not isinstance(default, bool | int | float):
        _refuse(settings, name, path, "leaves the key without a value, as optax has no default; take it out")
    return default


def _refuse(settings: Mapping[str, Value | Axis], name: str, path: Path, why: str) -> NoReturn:
    raise StudyError(
        f"{path}: {label(where(name).path)} = {toml(written(name, settings[name]))}: its condition {why}"
    )
