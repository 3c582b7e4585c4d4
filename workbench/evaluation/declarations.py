"""What a study says before it begins of what would count as an answer, held against what came out.

`[select] smallest_gain` is what the choice must gain over the default configuration on the test rows to be
worth anything to whoever asks. Said beforehand, question, rule and gain stand in the ledger, so that a goal
that was moved afterwards is seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from workbench.core.records import Outcome

#: The baselines in the order in which they are told: the last one is no rival, but the floor.
BASELINES = ("default", "linear", "boosted", "trivial")


class Gained(NamedTuple):
    """The gain over a baseline on the test rows; None where it has no value or no interval."""

    gain: float | None
    low: float | None
    high: float | None


def reached(outcome: Outcome) -> Literal["reached", "not reached", "undecided"] | None:
    """Whether the gain over the default on the test rows is the one that was asked for, beyond noise.

    None while the test set is sealed, or nothing was asked for, or the default cannot be compared.
    """
    wanted = outcome.declared[-1].smallest_gain if outcome.declared else None
    if wanted is None or outcome.test is None or outcome.selection is None:
        return None
    if outcome.selection.trial == 0:  # the default itself, which gains nothing over itself
        return "reached" if wanted == 0 else "not reached"
    figures = outcome.baselines.get("default", {})
    gain, low, high = gained(figures)
    if low is None or high is None:
        return None if gain is None else "undecided"
    return "reached" if low >= wanted else "not reached" if high < wanted else "undecided"


def in_order(
    baselines: Mapping[str, Mapping[str, float | str | None]],
) -> dict[str, Mapping[str, float | str | None]]:
    """The same, in the order of `BASELINES`; the ledger sorts them by name."""
    return {name: baselines[name] for name in sorted(baselines, key=_place)}


def _place(name: str) -> int:
    return BASELINES.index(name) if name in BASELINES else len(BASELINES)


def gained(figures: Mapping[str, float | str | None]) -> Gained:
    """The gain in a baseline's entry of `Outcome.baselines`."""
    values = (figures.get(name) for name in Gained._fields)
    return Gained(*(value if isinstance(value, float) else None for value in values))
