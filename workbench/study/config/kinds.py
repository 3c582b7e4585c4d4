"""What may stand to the right of an equals sign in a study file.

A kind (`Word`, `Text`, `Names`, and `Number` in study_numbers) reads one TOML value and returns what it
means, or raises ValueError with the second half of a sentence; the first half, `FILE: [section] key = value`,
belongs to the reader. A kind is also pydantic metadata, so that a table of a study is a pydantic model whose
fields are annotated with kinds.

An axis is `{ low, high, log, step }` or `{ choices = [...] }`, Optuna's words (optuna.distributions).

Numbers in a study file: a value within limits, or an axis over such values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import core_schema

from workbench.core.formatting import nearest, toml
from workbench.core.types import Axis, Choice, Range, Value

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
class Read:
    """What a function reads: it returns what the value means, or raises ValueError."""

    read: Callable[[Any], Any]

    __get_pydantic_core_schema__ = schema


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


@dataclass(frozen=True)
class Number:
    """A finite number within limits, or an axis over such numbers."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False  # `low` itself is excluded
    below: bool = False  # `high` itself is excluded
    integer: bool = False
    axis: bool = True
    infinite: bool = False  # whether `inf` may be written
    words: Mapping[str, int] = field(default_factory=dict)  # words that stand for a number
    flat: str | None = None  # name in the flat settings; None: the key itself

    __get_pydantic_core_schema__ = schema

    def read(self, value: Any) -> Value | Axis:
        """The number, or the axis. Raises ValueError."""
        if isinstance(value, dict):
            if not self.axis:
                raise ValueError(f"cannot be searched; it must be {self.expected}, so write one")
            return self._choice(value) if "choices" in value else self._range(value)
        if isinstance(value, list):
            raise ValueError(list_hint(value) if self.axis else f"must be {self.expected}, not a list")
        return self._number(value)

    @property
    def expected(self) -> str:
        """The limits in words."""
        noun = "a whole number" if self.integer else "a number"
        lower = f"{'above' if self.above else 'of at least'} {toml(self.low)}"
        upper = f"{'below' if self.below else 'at most'} {toml(self.high)}"
        if math.isinf(self.high):
            text = noun if math.isinf(self.low) else f"{noun} {lower}"
        elif self.above or self.below:
            text = f"{noun} {lower} and {upper}"
        else:
            text = f"{noun} from {toml(self.low)} to {toml(self.high)}"
        return " or ".join([text, *(toml(word) for word in self.words)])

    def _number(self, value: Any) -> Value:
        if isinstance(value, str):
            if value in self.words:
                return self.words[value]
            if re.fullmatch(r"[+-]?[\d_.]+([eE][+-]?\d+)?", value):
                raise ValueError(f"is text; write the number without quotes, {self.expected}")
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ValueError(f"must be {self.expected}")
        if self.integer and isinstance(value, float):
            remedy = f"; write {int(value)}" if math.isfinite(value) and value == int(value) else ""
            raise ValueError(f"must be {self.expected}{remedy}")
        try:
            number = value if self.integer else float(value)
        except OverflowError:
            number = math.inf
        if math.isinf(number) and number > 0 and self.infinite:
            return number
        if math.isnan(number) or math.isinf(number) or not self._within(number):
            raise ValueError(f"must be {self.expected}")
        return number

    def _within(self, number: float) -> bool:
        lower = number > self.low if self.above else number >= self.low
        upper = number < self.high if self.below else number <= self.high
        return lower and upper

    def _choice(self, table: dict[str, Any]) -> Choice:
        return Choice(tuple(choices(table, self._number)))

    def _range(self, table: dict[str, Any]) -> Range:
        closed(table, RANGE_KEYS)
        missing = [key for key in ("low", "high") if key not in table]
        if missing:
            raise ValueError(
                f"lacks {' and '.join(missing)}; an axis is {{ low, high }} or {{ choices = [...] }}"
            )
        low, high = self._end(table, "low"), self._end(table, "high")
        log, step = table.get("log", False), table.get("step")
        if not isinstance(log, bool):
            raise ValueError(f"has log = {toml(log)}; log must be true or false")
        if low > high:
            raise ValueError("has low above high; swap the two")
        if low == high:
            raise ValueError(f"has low equal to high; write the fixed value {toml(low)} instead")
        if log and low <= 0:
            raise ValueError(f"has low = {toml(low)} with log = true; a log axis needs low above 0")
        if step is not None:
            if log:
                raise ValueError("has both log and step, which exclude each other; drop one")
            step = self._step(step, low, high)
        return Range(low, high, log=log, step=step, integer=self.integer)

    def _end(self, table: dict[str, Any], end: str) -> int | float:
        value = table[end]
        if isinstance(value, str) or (isinstance(value, float) and math.isinf(value)):
            raise ValueError(f"has {end} = {toml(value)}; {end} must be a finite number")
        try:
            number = self._number(value)
        except ValueError as error:
            raise ValueError(f"has {end} = {toml(value)}; {end} {error}") from None
        assert isinstance(number, (int, float))
        return number

    def _step(self, step: Any, low: float, high: float) -> int | float:
        size = "a whole number above 0" if self.integer else "a number above 0"
        whole = isinstance(step, int) or not self.integer
        if (
            isinstance(step, bool)
            or not isinstance(step, (int, float))
            or not whole
            or not 0 < step < math.inf
        ):
            raise ValueError(f"has step = {toml(step)}; step must be {size}")
        if step > high - low:
            raise ValueError(f"has step = {toml(step)}, longer than the axis; take a smaller step")
        steps = (high - low) / step
        if abs(steps - round(steps)) > 1e-8 * max(1.0, steps):
            end = low + math.floor(steps) * step
            end = end if self.integer else float(f"{end:.12g}")
            raise ValueError(f"has a high that no number of steps reaches from low; write high = {toml(end)}")
        return step if self.integer else float(step)


@dataclass(frozen=True)
class Numbers:
    """A list of numbers within limits, or an axis over such lists; a setting holds one as text."""

    low: float = -math.inf
    above: bool = False  # `low` itself is excluded
    axis: bool = True
    flat: str | None = None

    __get_pydantic_core_schema__ = schema

    def read(self, value: Any) -> Value | Axis:
        """The numbers, separated by spaces, or the axis. Raises ValueError."""
        if isinstance(value, dict):
            if "choices" not in value:
                raise ValueError("is no axis of lists; write { choices = [[...], [...]] }")
            return Choice(tuple(choices(value, self._list)))
        return self._list(value)

    @property
    def expected(self) -> str:
        """The limits in words."""
        return f"a list of numbers, each {Number(self.low, above=self.above).expected}"

    def _list(self, value: Any) -> str:
        if not isinstance(value, list) or not value:
            raise ValueError(f"must be {self.expected}, such as [10, 20]")
        each = Number(self.low, above=self.above, axis=False)
        for item in value:
            try:
                each.read(item)
            except ValueError as error:
                raise ValueError(f"has {toml(item)}, which {error}") from None
        return " ".join(toml(float(item)) for item in value)
