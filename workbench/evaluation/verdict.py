"""What an experiment concludes: a verdict that follows from an interval and can go against the claim.

The effect is measured once for each seed, so that it has a distribution and not only a value. The rule is
fixed before the run: the claim is supported if the 95 % interval of the mean effect (Student's t over seeds)
lies above `beyond`, not supported if it lies below, and the experiment is inconclusive otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from workbench.evaluation.intervals import seed_spread

Conclusion = Literal["supported", "not supported", "inconclusive"]


@dataclass(frozen=True)
class Verdict:
    """The end of an experiment, as `verdict` concludes it.

    Args:
        conclusion: "supported", "not supported" or "inconclusive".
        effect: Mean over seeds, in `unit`.
        low: Of the 95 % interval of the mean.
        high: Of the same.
        effects: One for each seed, [S].
        beyond: What the effect had to exceed.
        unit: What the effect is, in words.
        figure: A matplotlib Figure.
        facts: Other figures worth keeping.
        timed: Whether effects are ratios of seconds, which no two runs have in common.
    """

    conclusion: Conclusion
    effect: float
    low: float
    high: float
    effects: tuple[float, ...]
    beyond: float
    unit: str
    figure: Any = None
    facts: Mapping[str, float] = field(default_factory=dict)
    timed: bool = False


def verdict(
    effects: ArrayLike,
    *,
    unit: str,
    beyond: float = 0.0,
    figure: Any = None,
    timed: bool = False,
    **facts: float,
) -> Verdict:
    """Conclude from the effect of each seed.

    Args:
        effects: [S], in `unit`, positive where one speaks for the claim.
        unit: What an effect is, in words.
        beyond: What the mean effect has to exceed.
        figure: A matplotlib Figure that shows it.
        timed: Whether effects are ratios of seconds, which no two runs have in common.
        **facts: Other figures worth keeping.

    Returns:
        The verdict, by Student's interval of the mean over seeds.

    Raises:
        ValueError: for fewer than two seeds or effects that are no numbers.
    """
    values = np.asarray(effects, float)
    if values.ndim != 1 or len(values) < 2 or np.isnan(values).any():
        raise ValueError(
            f"effects of the shape {values.shape}: expected a number for each of two seeds or more"
        )
    found = seed_spread(np.clip(values, -1e300, 1e300))
    conclusion: Conclusion = "inconclusive"
    if found.low > beyond:
        conclusion = "supported"
    elif found.high < beyond:
        conclusion = "not supported"
    return Verdict(
        conclusion, found.mean, found.low, found.high, tuple(map(float, values)), beyond, unit, figure,
        {name: float(value) for name, value in facts.items()}, timed,
    )  # fmt: skip
