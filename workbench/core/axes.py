"""What is searched, said from Python."""

from __future__ import annotations

from workbench.core.types import Choice, Range, Value


def axis(low: float, high: float, *, log: bool = False, step: float | None = None) -> Range:
    """A setting that the search draws between two ends: `depth=wb.axis(1, 3)`.

    Args:
        low: The lower end, included.
        high: The upper end, included.
        log: Whether equal factors are equally likely, as suits learning rates.
        step: Between the values that are tried; None: every value, or every whole number.

    Returns:
        The axis, as `vary` and `create_study` take it.
    """
    return Range(low, high, log=log, step=step)


def choices(*values: Value) -> Choice:
    """A setting that the search takes from a list: `optimizer=wb.choices("adam", "lion")`.

    Args:
        *values: What may be chosen; the first one is that of the default configuration.

    Returns:
        The axis, as `vary` and `create_study` take it.
    """
    return Choice(values)
