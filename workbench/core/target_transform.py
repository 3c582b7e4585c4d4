"""Targets of a regression, from the units of the data to those of training and back.

A transform makes a skewed target straight before it is standardized:

    none      y
    log       log(1 + y), for targets that are never negative
    quantile  the normal deviate of the share of training targets below y; nothing outside the range of the
              training targets is ever predicted

What a model with a transform predicts is nearer to the median of the target than to its mean: a mean of
logarithms is no logarithm of a mean. scikit-learn: TransformedTargetRegressor.

Images that are bytes become what a model sees. Every function takes the array module to work with, `numpy` or
`jax.numpy`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import NormalDist
from types import ModuleType
from typing import Any, Protocol

import numpy as np

#: Quantiles that are kept of each target.
QUANTILES = 200


@dataclass(frozen=True, eq=False)
class Transform:
    """What straightens a target before it is standardized.

    knots  [Q, K] float32, quantiles of training targets; [0, 1] unless `kind` is quantile
    """

    kind: str = "none"
    knots: Any = field(default_factory=lambda: np.zeros((0, 1), np.float32))


#: No transform.
AS_IT_IS = Transform()


class Scaled(Protocol):
    """What has the units of training: a Fold, or a Predictor."""

    @property
    def shift(self) -> Any:
        """[K], of the transformed targets."""

    @property
    def scale(self) -> Any:
        """[K], of the transformed targets."""

    @property
    def transform(self) -> Transform:
        """Comes first."""


def fit_transform(kind: str, y: np.ndarray) -> Transform:
    """The transform of training targets [N, K]. Raises ValueError if the logarithm meets a negative one."""
    if kind == "log" and not (y >= 0).all():
        raise ValueError(f"{y.min():g}")
    n = min(len(y), QUANTILES) if kind == "quantile" else 0
    knots = np.quantile(y.astype(np.float64), np.linspace(0.0, 1.0, n), axis=0) if n else np.zeros((0, 1))
    return Transform(kind, knots.astype(np.float32))


def transformed(y: Any, transform: Transform, xp: ModuleType = np) -> Any:
    """Targets [..., K] after the transform."""
    if transform.kind == "log":
        return xp.log1p(y)
    if transform.kind == "quantile":
        levels = xp.asarray(deviates(len(transform.knots)))

        def forward(column: Any, knots: Any) -> Any:
            # Of equal knots one from either side, and the middle of the two.
            below = xp.interp(column, knots, levels)
            above = -xp.interp(-column, -knots[::-1], -levels[::-1])
            return ((below + above) / 2).astype(y.dtype)

        return _by_column(forward, y, transform, xp)
    return y


def to_training(y: Any, units: Scaled, xp: ModuleType = np) -> Any:
    """Targets [..., K] in the units of the data -> transformed, less the mean, in standard deviations."""
    straight = transformed(y, units.transform, xp)
    return (straight - _along(units.shift, straight, xp)) / _along(units.scale, straight, xp)


def to_data(outputs: Any, units: Scaled, xp: ModuleType = np) -> Any:
    """Outputs of a model [..., K] -> numbers in the units of the data."""
    straight = outputs * _along(units.scale, outputs, xp) + _along(units.shift, outputs, xp)
    if units.transform.kind == "log":
        return xp.expm1(straight)
    if units.transform.kind == "quantile":
        levels = xp.asarray(deviates(len(units.transform.knots)))
        return _by_column(
            lambda column, knots: xp.interp(column, levels, knots).astype(straight.dtype),
            straight, units.transform, xp,
        )  # fmt: skip
    return straight


def deviates(n: int) -> np.ndarray:
    """Where the knots lie, [Q] float32."""
    return np.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)], np.float32)


def _by_column(function: Any, values: Any, transform: Transform, xp: ModuleType) -> Any:
    """`function` of each of the K columns and its knots."""
    columns = [function(values[..., k], transform.knots[:, k]) for k in range(values.shape[-1])]
    return xp.stack(columns, axis=-1)


def _along(values: Any, other: Any, xp: ModuleType) -> Any:
    """[K] with the rank of `other`, whose last axis is K."""
    return xp.asarray(values).reshape((1,) * (other.ndim - 1) + (-1,))


def seen(x: Any, pixels: Any, module: ModuleType) -> Any:
    """Rows as a model sees them; `pixels` is what a Fold holds beside its rows."""
    if pixels is None:
        return x
    shift, rate = (module.reshape(each, (1,) * (x.ndim - 1) + (-1,)) for each in pixels)
    return (x.astype(module.float32) - shift) * rate
