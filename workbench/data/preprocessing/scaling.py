"""Scaling of numeric features; every statistic comes from training rows.

    standardize  (x - mean) / standard deviation (of the population, as scikit-learn has it)
    minmax       (x - min) / (max - min), which is [0, 1] on training rows and may leave it on others
    quantile     the normal deviate of the share of training rows below x, within ±5.2; outliers vanish
    robust       z / sqrt(1 + (z / 3)²), within ±3, of z = (x - median) / interquartile range; half of
                 max - min where that is zero
    none         x

A feature that is constant on training rows is zero everywhere, since nothing was learned of it.
scikit-learn: StandardScaler, MinMaxScaler, QuantileTransformer(output_distribution="normal"), RobustScaler;
the clip after it is RealMLP's: Holzmüller, Grinsztajn and Steinwart, Better by Default (2024),
arXiv:2407.04491.

Not these: on a million rows of six numbers standardize, minmax and quantile take 0.05, 0.06 and 0.76 s of a
processor and 41, 41 and 104 MB; scikit-learn's, fed by blocks, 0.11, 0.11 and 0.92 s and 43, 41 and 61 MB,
after an import (0.6 s, 75 MB) for which a study or a prediction of one row would wait. The features agree.
Two busy cores of an AMD EPYC, scikit-learn 1.9.1, NumPy 2.4.6: `experiments.benchmarks.preprocessing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from workbench.core.types import Array

#: Numbers beyond this are taken for this, so that no square overflows; and features, of single precision.
LARGEST, LARGEST_SINGLE = 1e100, float(np.finfo(np.float32).max)
#: Quantiles that are kept of each feature, and rows from which they are taken (evenly spaced, unless there
#: are more rows than this and their numbers exceed SAMPLE_NUMBERS).
QUANTILES, SAMPLE_ROWS, SAMPLE_NUMBERS = 1000, 10_000, 2**24
#: What `robust` comes close to.
ROBUST_END = 3.0
#: How close to 0 and 1 a share may come before it is turned into a normal deviate.
EDGE = 1e-7 - float(np.spacing(1))


@dataclass(frozen=True, eq=False)
class Scaling:
    """(x - shift) * rate, which `robust` bends; or the quantiles.

    shift, rate    [n] float64; the rate of a constant feature is zero
    quantiles      [Q, n] float64, rising; [0, n] unless `kind` is quantile
    """

    kind: str
    shift: Array
    rate: Array
    quantiles: Array


def fit_scaling(
    kind: str, n: int, blocks: Callable[[], Iterable[Array]], sample: Callable[[int], Array]
) -> Scaling:
    """The scaling of n features.

    blocks  gives the training rows in blocks [B, n] float64, finite and within LARGEST, each time anew
    sample  gives about so many rows [M, n], evenly spaced
    """
    shift, rate, knots = np.zeros(n), np.ones(n), np.zeros((0, n))
    if n and kind == "standardize":
        shift, rate = _moments(n, blocks)
    elif n and kind == "minmax":
        shift, high = _ends(n, blocks)
        rate = _inverse(high - shift, _varies(high - shift, shift))
    elif n and kind == "robust":
        low, shift, high = quantiles(sample(rows_of(n)), np.array([0.25, 0.5, 0.75]))
        least, most = _ends(n, blocks)
        spread = np.where(_varies(high - low, shift), high - low, (most - least) / 2)
        rate = _inverse(spread, _varies(spread, shift))
    elif n and kind == "quantile":
        rows = sample(rows_of(n))
        knots = quantiles(rows, np.linspace(0.0, 1.0, min(QUANTILES, len(rows))))
    return Scaling(kind, shift, rate, knots)


def scaled(scaling: Scaling, block: Array) -> Array:
    """The features on their new scale. block [B, n] float64 -> [B, n] float64."""
    if scaling.kind == "none":
        return block
    if scaling.kind != "quantile":
        values: Array = block - scaling.shift
        values *= scaling.rate
        if scaling.kind == "robust":
            np.clip(values, -LARGEST, LARGEST, out=values)
            values /= np.sqrt(1.0 + (values / ROBUST_END) ** 2)
        return values
    out = np.empty_like(block)
    for j in range(block.shape[1]):
        out[:, j] = _deviates(block[:, j], scaling.quantiles[:, j])
    return out


def finite(block: Array, fill: Array) -> Array:
    """float64, blanks filled, extreme numbers cut off. block [B, n], fill [n]."""
    if block.dtype.kind != "f":
        return block.astype(np.float64)
    wide = np.where(np.isfinite(block), block.astype(np.float64, copy=False), fill)
    return np.clip(wide, -LARGEST, LARGEST, out=wide)


def _moments(n: int, blocks: Callable[[], Iterable[Array]]) -> tuple[Array, Array]:
    """Mean and the inverse of the standard deviation, in two passes."""
    total, square, count = np.zeros(n), np.zeros(n), 0
    for block in blocks():
        total += block.sum(axis=0)
        count += len(block)
    mean = total / count
    for block in blocks():
        apart = block - mean
        square += np.square(apart, out=apart).sum(axis=0)
    deviation = np.sqrt(square / count)
    # Deviations of the order of rounding errors are none (scikit-learn's rule).
    eps = np.finfo(np.float64).eps
    varies = deviation**2 > count * eps * deviation**2 + (count * mean * eps) ** 2
    return mean, _inverse(deviation, varies)


def rows_of(n: int) -> int:
    """From how many rows of n numbers quantiles are taken, if there are more."""
    return max(SAMPLE_ROWS, SAMPLE_NUMBERS // max(1, n))


def quantiles(rows: Array, shares: Array) -> Array:
    """[Q, n] between sorted rows [M, n], linearly; numpy.quantile takes a hundred times as long."""
    ordered = np.sort(rows, axis=0)
    place = shares * (len(rows) - 1)
    low = np.floor(place).astype(np.int64)
    high = np.minimum(low + 1, len(rows) - 1)
    between = ordered[low] + (ordered[high] - ordered[low]) * (place - low)[:, np.newaxis]
    rising: Array = np.maximum.accumulate(between, axis=0)
    return rising


def _ends(n: int, blocks: Callable[[], Iterable[Array]]) -> tuple[Array, Array]:
    """Least and most of each feature."""
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    for block in blocks():
        np.minimum(low, block.min(axis=0), out=low)
        np.maximum(high, block.max(axis=0), out=high)
    return low, high


def _varies(spread: Array, at: Array) -> Array:
    """Whether a spread is more than rounding errors of what it is taken of."""
    varies: Array = spread > 10 * np.finfo(np.float64).eps * np.abs(at)
    return varies


def _inverse(spread: Array, varies: Array) -> Array:
    """1 / spread, and zero for what does not vary."""
    with np.errstate(over="ignore"):
        inverse = 1.0 / np.where(varies, spread, 1.0)
    found: Array = np.where(varies & np.isfinite(inverse), inverse, 0.0)
    return found


def _deviates(x: Array, quantiles: Array) -> Array:
    """Normal deviates of the shares below x; ties get the middle of their shares."""
    if quantiles[0] == quantiles[-1]:
        return np.zeros_like(x)
    q = np.linspace(0.0, 1.0, len(quantiles))
    share = 0.5 * (np.interp(x, quantiles, q) - np.interp(-x, -quantiles[::-1], -q[::-1]))
    share[x <= quantiles[0]] = 0.0
    share[x >= quantiles[-1]] = 1.0
    deviates: Array = np.clip(ndtri(share), ndtri(EDGE), ndtri(1 - EDGE))
    return deviates
