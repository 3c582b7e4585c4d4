"""What a study says of a setting, and how a sentence about it begins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from workbench.core.formatting import toml
from workbench.core.types import Choice, Range, Value
from workbench.study.config.errors import label
from workbench.study.config.schema import where
from workbench.study.config.text import written

if TYPE_CHECKING:
    from workbench.study.config.study import Study


def values(study: Study, key: str) -> tuple[Value, ...]:
    """What a setting may be, if that is not a range."""
    value = study.settings[key]
    if isinstance(value, Choice):
        return value.choices
    return () if isinstance(value, Range) else (value,)


def numbers(study: Study, key: str) -> list[float]:
    """The numbers between which a setting lies."""
    value = study.settings[key]
    return [value.low, value.high] if isinstance(value, Range) else [float(v) for v in values(study, key)]


def shown(study: Study, key: str) -> str:
    """`FILE: [model] family = "linear"`."""
    return f"{study.path}: {label(where(key).path)} = {toml(written(key, study.settings[key]))}"


def offence(study: Study, key: str, value: Value) -> str:
    """`FILE: [model] family = "linear"`, or the axis with the choice that offends."""
    if study.settings[key] == value:
        return shown(study, key)
    return f"{shown(study, key)} reaches {toml(written(key, value))}, which"


def listed(names: Iterable[object]) -> str:
    """The names, joined by `or`."""
    return " or ".join(toml(name) for name in names)
