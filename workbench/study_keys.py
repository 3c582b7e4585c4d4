"""What may stand to the right of an equals sign in a study file.

A kind (`Word`, `Text`, `Names`, and `Number` in study_numbers) reads one TOML value and returns what it
means, or raises ValueError with the second half of a sentence; the first half, `FILE: [section] key = value`,
belongs to the reader. A kind is also pydantic metadata, so that a table of a study is a pydantic model whose
fields are annotated with kinds.

An axis is `{ low, high, log, step }` or `{ choices = [...] }`, Optuna's words (optuna.distributions).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import core_schema

from workbench.types import Axis, Choice, Value
from workbench.wording import nearest, toml

__all__ = ["RANGE_KEYS", "Flag", "Names", "Text", "Word", "choices", "closed", "list_hint", "schema"]

#: The parts of a range.
RANGE_KEYS = ("low", "high", "log", "step")


def schema(kind: Any, source: Any, handler: Any) -> core_schema.CoreSchema:
    """What pydantic asks of metadata: the schema is the kind's own `read`."""
    return core_schema.no_info_plain_validator_function(kind.read)


@dataclass(frozen=True)
class Word:
    """One of the known words, or an axis over them. `known` is looked at when a value is read, not before.

    joined  what may stand between several of them
    """

    known: Collection[str]
    extra: tuple[str, ...] = ()
    axis: bool = True
    flat: str | None = None
    joined: str = ""

    __get_pydantic_core_schema__ = schema

    def read(self, value: Any) -> Value | Axis:
        """The word, or the axis. Raises ValueError."""
        if isinstance(value, list):
            raise ValueError(list_hint(value) if self.axis else f"must be {self.expected}, not a list")
        if not isinstance(value, dict):
            return self._word(value)
        if not self.axis:
            raise ValueError(f"cannot be searched; it must be {self.expected}, so write one")
        if "choices" not in value:
            raise ValueError('is no axis of words; write { choices = ["...", "..."] }')
        return Choice(tuple(choices(value, self._word)))

    @property
    def expected(self) -> str:
        """The words, listed."""
        words = [toml(word) for word in (*self.extra, *self.known)]
        return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"

    def _word(self, value: Any) -> str:
        if isinstance(value, str) and (value in self.extra or value in self.known):
            return value
        if isinstance(value, str) and self.joined and self.joined in value:
            return self.joined.join(self._word(part) for part in value.split(self.joined))
        close = nearest(value, (*self.extra, *self.known)) if isinstance(value, str) else None
        raise ValueError(
            f"is not known; did you mean {toml(close)}?" if close else f"must be {self.expected}"
        )


@dataclass(frozen=True)
class Text:
    """A piece of text; `pattern` is what it must match, `expected` says so."""

    pattern: str = r"[\s\S]*"
    expected: str = "text in quotes"

    __get_pydantic_core_schema__ = schema

    def read(self, value: Any) -> str:
        """The text. Raises ValueError."""
        if not isinstance(value, str) or not re.fullmatch(self.pattern, value):
            raise ValueError(f"must be {self.expected}")
        return value


@dataclass(frozen=True)
class Names:
    """A list of different column names."""

    __get_pydantic_core_schema__ = schema

    def read(self, value: Any) -> tuple[str, ...]:
        """The names. Raises ValueError."""
        if isinstance(value, str):
            raise ValueError(f"must be a list of column names; write [{toml(value)}]")
        if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
            raise ValueError('must be a list of column names such as ["age", "income"]')
        twice = [name for name in value if value.count(name) > 1]
        if twice:
            raise ValueError(f"names {toml(twice[0])} twice; drop one")
        return tuple(value)


@dataclass(frozen=True)
class Flag:
    """Yes or no."""

    __get_pydantic_core_schema__ = schema

    def read(self, value: Any) -> bool:
        """The truth value. Raises ValueError."""
        if not isinstance(value, bool):
            raise ValueError("must be true or false, without quotes")
        return value


def closed(table: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises ValueError if a table has a part that is not known."""
    for key in table:
        if key not in known:
            close = nearest(key, known)
            raise ValueError(
                f"has the unknown part {key}; " + (f"did you mean {close}?" if close else "drop it")
            )


def choices(table: dict[str, Any], read: Callable[[Any], Any]) -> list[Any]:
    """The items of `{ choices = [...] }`, each read and none twice. Raises ValueError."""
    for key in table:
        if key in RANGE_KEYS:
            raise ValueError(
                f"has both choices and {key}; an axis is {{ low, high }} or {{ choices = [...] }}"
            )
    closed(table, ("choices",))
    items = table["choices"]
    if not isinstance(items, list) or not items:
        raise ValueError("has no choices; list at least one")
    values = []
    for item in items:
        try:
            values.append(read(item))
        except ValueError as error:
            raise ValueError(f"has the choice {toml(item)}, which {error}") from None
        if values[-1] in values[:-1]:
            raise ValueError(f"has the choice {toml(item)} twice; drop one")
    return values


def list_hint(value: list[Any]) -> str:
    """What to say to a plain list where an axis was meant."""
    return f"is a plain list; write {{ choices = {toml(value)} }} to search over it"
