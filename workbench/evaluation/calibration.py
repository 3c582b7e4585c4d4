"""Temperature: one number by which logits are divided, so that a model is as often right as it says.

It changes no ranking, and no decision where the threshold is moved along with it. It is fitted on validation
rows, to their log loss, which is convex in its inverse.

Source: Guo et al. 2017, "On calibration of modern neural networks", arXiv:1706.04599.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import minimize_scalar

from workbench.core.types import Array
from workbench.evaluation.predictor import probabilities

#: What a temperature may be: of a model that is never wrong the best one would be zero.
COLDEST, HOTTEST = 0.2, 10.0
#: A threshold is no nearer to 0 and 1 than this.
_NEAREST = 1e-15


def temperature(outputs: Array, targets: Array, weight: Array | None = None) -> float:
    """The temperature that these rows ask for.

    Args:
        outputs: [N, K] logits; a single one speaks for the second class.
        targets: [N] codes.
        weight: [N] how much each row counts; None: all alike.

    Returns:
        Between COLDEST and HOTTEST; 1.0 where no other is better.
    """

    def loss(log_temperature: float) -> float:
        return log_loss(outputs / np.exp(log_temperature), targets, weight)

    bounds = (math.log(COLDEST), math.log(HOTTEST))
    found = float(minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6}).x)
    return math.exp(found) if loss(found) < loss(0.0) else 1.0


def log_loss(outputs: Array, targets: Array, weight: Array | None = None) -> float:
    """Mean of -log of the probability of the true class, in float64, by the weights of the rows."""
    given = probabilities(outputs.astype(np.float64))[np.arange(len(targets)), targets]
    return float(np.average(-np.log(np.maximum(given, 1e-300)), weights=weight))


def moved(threshold: float, temperature: float) -> float:
    """The threshold that decides on tempered probabilities as `threshold` does on those before."""
    if threshold == 0.5 or temperature == 1.0:
        return threshold
    odds: float = (threshold / (1.0 - threshold)) ** (1.0 / temperature)
    return min(max(odds / (1.0 + odds), _NEAREST), 1.0 - _NEAREST)
