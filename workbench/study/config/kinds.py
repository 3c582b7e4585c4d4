"""What may stand to the right of an equals sign: numbers, words and lists, fixed or as axes.

A kind is an annotated type whose constraints pydantic checks. `Searched[K]` is a number of kind K or an axis
over such, `{ low, high, log, step }` or `{ choices = [...] }`, Optuna's words; `Chosen[K]` knows choices
alone. Beside them an axis may have a condition, `if = { family = "cnn" }`. An axis that was read is a `Range`
or a `Choice`, whose condition `conditions` has still to make sense of. `Kind` is how the rest of the program
looks at such a type, and `Kind.expected` says in words what it holds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Generic, NamedTuple, NotRequired, TypeVar, get_args, get_origin

from annotated_types import Interval
from pydantic import AfterValidator, AllowInfNan, ConfigDict, Discriminator, Field, Tag
from pydantic_core import PydanticCustomError, core_schema
from typing_extensions import TypedDict

from workbench.core.axes import condition_of
from workbench.core.formatting import toml
from workbench.core.types import Choice, Range

T = TypeVar("T")

#: Closed, and nothing is converted.
STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)


@dataclass(frozen=True, eq=False)
class Word:
    """One of the known words. `known` is looked at when a value is read, not before: users register words.

    joined  what may stand between several of them
    """

    known: Collection[str]
    extra: tuple[str, ...] = ()
    joined: str = ""

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, str):
            return False
        return all(part in self.extra or part in self.known for part in self.parts(value))

    def parts(self, value: str) -> list[str]:
        """The single words of a value."""
        whole = not self.joined or value in self.extra or value in self.known
        return [value] if whole else value.split(self.joined)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._read)

    def _read(self, value: Any) -> Any:
        if value not in self:
            raise PydanticCustomError("word", "is not known")
        return value


@dataclass(frozen=True, eq=False)
class Named:
    """Words that stand for a number, beside the numbers themselves."""

    words: Mapping[str, int]

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        def read(value: Any, number: Callable[[Any], Any]) -> Any:
            return self.words[value] if isinstance(value, str) and value in self.words else number(value)

        return core_schema.no_info_wrap_validator_function(read, handler(source))


class Says(NamedTuple):
    """What text must be, in words, where its constraints do not say it."""

    expected: str


def once(names: list[str]) -> tuple[str, ...]:
    """The names. Raises ValueError if one is there twice."""
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"names {toml(name)} twice; drop one")
    return tuple(names)


def _line(numbers: list[float]) -> str:
    return " ".join(toml(number) for number in numbers)


Real = Annotated[float, AllowInfNan(False)]
Share = Annotated[Real, Interval(ge=0.0, lt=1.0)]
NotNegative = Annotated[Real, Interval(ge=0.0)]
Positive = Annotated[Real, Interval(gt=0.0)]
Count = Annotated[int, Interval(ge=1, le=1_000_000)]
#: Seeds stay within int32, so that seed + i is a seed for NumPy, Optuna and JAX alike.
Seed = Annotated[int, Interval(ge=0, le=2**31 - 1_000_001)]
Column = Annotated[str, Field(min_length=1), Says("the name of a column, in quotes")]
Columns = Annotated[
    list[Annotated[str, Field(min_length=1)]], AfterValidator(once), Says("a list of column names")
]
#: A list of numbers, which a setting holds as one text, separated by spaces.
Numbers = Annotated[list[T], Field(min_length=1), AfterValidator(_line)]


# ── axes ────────────────────────────────────────────────────────────────────────────────────────


#: What `if` of an axis holds; `when` is its name where `if` cannot be one.
_When = Annotated[dict[str, Any], Field(min_length=1, alias="if")]


class RangeTable(TypedDict, Generic[T]):
    """`{ low, high, log, step, if }`."""

    __pydantic_config__ = STRICT  # type: ignore[misc]

    low: T
    high: T
    log: NotRequired[bool]
    step: NotRequired[Any]
    when: NotRequired[_When]


class ChoiceTable(TypedDict, Generic[T]):
    """`{ choices = [...], if }`."""

    __pydantic_config__ = STRICT  # type: ignore[misc]

    choices: Annotated[list[T], Field(min_length=1)]
    when: NotRequired[_When]


#: The condition of an axis.
IF = "if"
RANGE_KEYS = (*(key for key in RangeTable.__annotations__ if key != "when"), IF)


def _tag(value: Any) -> str:
    if isinstance(value, dict):
        return "choices" if "choices" in value else "range"
    return "value"


def _tag_of_words(value: Any) -> str:
    return "choices" if isinstance(value, dict) and "choices" in value else "value"


def _choice(table: dict[str, Any]) -> Choice:
    items = table["choices"]
    for index, item in enumerate(items):
        if item in items[:index]:
            raise PydanticCustomError("twice", "is there twice", {"index": index})
    return Choice(tuple(items), when=condition_of(table.get("when", {})))


#: Steps of an axis that doubles still tell apart.
MOST_STEPS = 2.0**53


def _range(table: dict[str, Any]) -> Range:
    """The axis. Raises ValueError, with the second half of a sentence, for one that has no values."""
    low, high, log, step = table["low"], table["high"], table.get("log", False), table.get("step")
    for end, value in (("low", low), ("high", high)):
        if not math.isfinite(value):
            raise ValueError(f"has {end} = {toml(value)}; {end} must be a finite number")
    if low > high:
        raise ValueError("has low above high; swap the two")
    if low == high:
        raise ValueError(f"has low equal to high; write the fixed value {toml(low)} instead")
    if log and low <= 0:
        raise ValueError(f"has low = {toml(low)} with log = true; a log axis needs low above 0")
    if log and step is not None:
        raise ValueError("has both log and step, which exclude each other; drop one")
    integer = isinstance(low, int)
    when = condition_of(table.get("when", {}))
    return Range(low, high, log=log, step=_step(step, low, high, integer=integer), integer=integer, when=when)


def _step(step: Any, low: float, high: float, *, integer: bool) -> float | None:
    if step is None:
        return None
    kinds = (int,) if integer else (int, float)
    if isinstance(step, bool) or not isinstance(step, kinds) or not 0 < step < math.inf:
        size = "a whole number above 0" if integer else "a number above 0"
        raise ValueError(f"has step = {toml(step)}; step must be {size}")
    if step > high - low:
        raise ValueError(f"has step = {toml(step)}, longer than the axis; take a smaller step")
    steps = (high - low) / step
    if steps > MOST_STEPS:
        raise ValueError(f"has step = {toml(step)}, {steps:.2g} of them; take a larger step, or none")
    if abs(steps - round(steps)) > 1e-8 * max(1.0, steps):
        end = low + math.floor(steps) * step
        end = end if integer else float(f"{end:.12g}")
        raise ValueError(f"has a high that no number of steps reaches from low; write high = {toml(end)}")
    return step if integer else float(step)


_Choices = Annotated[ChoiceTable[T], AfterValidator(_choice), Tag("choices")]
_Ends = Annotated[RangeTable[T], AfterValidator(_range), Tag("range")]
Searched = Annotated[Annotated[T, Tag("value")] | _Ends[T] | _Choices[T], Discriminator(_tag)]
Chosen = Annotated[Annotated[T, Tag("value")] | _Choices[T], Discriminator(_tag_of_words)]


# ── in words ────────────────────────────────────────────────────────────────────────────────────


class Kind(NamedTuple):
    """An annotated type, taken apart."""

    type: Any  # int, float, bool, str or list
    constraints: tuple[Any, ...]
    axis: bool = False  # whether choices may be written
    range: bool = False  # whether low and high may be written

    @classmethod
    def of(cls, hint: Any) -> Kind:
        """The kind of an annotation, be it optional, an axis, or plain."""
        if type(None) in get_args(hint):
            hint = next(one for one in get_args(hint) if one is not type(None))
        inner = get_args(hint)[0] if get_origin(hint) is Annotated else hint
        members = get_args(inner)
        if members and get_origin(inner) is not list:  # the union of an axis
            return cls.of(members[0])._replace(axis=True, range=len(members) > 2)
        constraints = tuple(c for c in getattr(hint, "__metadata__", ()) if not isinstance(c, Tag))
        return cls(get_origin(inner) or inner, constraints + ((members[0],) if members else ()))

    def first(self, kind: type[T]) -> T | None:
        """The constraint of a class."""
        return next((one for one in self.constraints if isinstance(one, kind)), None)

    @property
    def word(self) -> Word | None:
        """The words, if that is what it holds."""
        return self.first(Word)

    @property
    def closed(self) -> bool:
        """Whether its values are known words or numbers within limits, which somebody may want to search."""
        return self.word is not None or self.type in (int, float)

    @property
    def words(self) -> Mapping[str, int]:
        """Words that stand for a number."""
        named = self.first(Named)
        return named.words if named else {}

    @property
    def item(self) -> Kind:
        """What a list holds."""
        return Kind.of(self.constraints[-1])

    @property
    def expected(self) -> str:
        """What it holds, in words."""
        if self.word:
            return listed((*self.word.extra, *self.word.known))
        if says := self.first(Says):
            return says.expected
        if self.type is list:
            return f"a list of numbers, each {self.item.expected}"
        if self.type not in (int, float):
            return "true or false" if self.type is bool else "text in quotes"
        noun = f"{'a whole number' if self.type is int else 'a number'} {self._limits()}".rstrip()
        return " or ".join([noun, *map(toml, self.words)])

    def _limits(self) -> str:
        of = self.first(Interval) or Interval()
        if of.ge is not None and of.le is not None:
            return f"from {toml(of.ge)} to {toml(of.le)}"
        said = {"above": of.gt, "of at least": of.ge, "below": of.lt, "at most": of.le}
        return " and ".join(f"{word} {toml(limit)}" for word, limit in said.items() if limit is not None)


def listed(names: Collection[object]) -> str:
    """The names, joined by commas and `or`."""
    *others, last = [toml(name) for name in names]
    return f"{', '.join(others)} or {last}" if others else last
