"""What is searched, said from Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from workbench.core.errors import StudyError
from workbench.core.types import Choice, Condition, Range, Value

#: Other settings by their flat names, and the value, or the values, with which an axis takes part.
When = Mapping[str, Value | Iterable[Value]]


def axis(
    low: float, high: float, *, log: bool = False, step: float | None = None, when: When | None = None
) -> Range:
    """A setting that the search draws between two ends: `depth=wb.axis(1, 3)`.

    Args:
        low: The lower end, included.
        high: The upper end, included.
        log: Whether equal factors are equally likely, as suits learning rates.
        step: Between the values that are tried; None: every value, or every whole number.
        when: In which trials, such as `{"family": "cnn"}` or `{"depth": [2, 3]}`; in the others the setting
            is at its default. None: in all. A study file says `if`.

    Returns:
        The axis, as `vary` and `create_study` take it.
    """
    return Range(low, high, log=log, step=step, when=condition_of(when or {}))


def choices(*values: Value, when: When | None = None) -> Choice:
    """A setting that the search takes from a list: `optimizer=wb.choices("adam", "lion")`.

    Args:
        *values: What may be chosen; the first one is that of the default configuration.
        when: As of `axis`.

    Returns:
        The axis, as `vary` and `create_study` take it.
    """
    return Choice(values, when=condition_of(when or {}))


def condition_of(table: When) -> Condition:
    """A condition as it is written, put into its one form.

    Raises StudyError if it names no settings.
    """
    if not isinstance(table, Mapping):
        raise StudyError(
            f"axis: when = {table!r} names no setting and its values; write it like "
            'when={"family": "cnn"} or when={"depth": [2, 3]}'
        )
    return tuple((key, _values(one)) for key, one in table.items())


def _values(given: Value | Iterable[Value]) -> tuple[Value, ...]:
    """One value or several, NumPy's as Python's."""
    if isinstance(given, np.ndarray | np.generic):
        return _values(given.tolist())
    if isinstance(given, set | frozenset):
        given = sorted(given, key=str)  # a set has no order, and what a study says has one
    several = given if isinstance(given, list | tuple | range) else (given,)
    return tuple(one.item() if isinstance(one, np.generic) else one for one in several)
