"""Resampling rows: what a statistic says of many draws of the same rows, and what single rows do to it.

A statistic is a function of row weights, `statistic(weights [R, N]) -> [R]`: weight 2 is a row that was drawn
twice. One vectorized call scores a chunk of resamples, and all chunks have one shape (one compilation).

Few rows are drawn with replacement. From 10,000 rows on each row's count is drawn by itself, as a Poisson
number of mean one (Chamandy, Muralidharan, Najmi and Naidu 2012, "Estimating uncertainty for massive data
streams"): the total varies then by one in a hundred, which no mean over rows feels, and draws come ten times
as fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from scipy import special

from workbench.types import Array

__all__ = ["Statistic", "bootstrap", "influence"]

#: Weights float32 [R, N] of the rows -> scores [R].
Statistic = Callable[[Array], Array]

#: Rows from which on counts are independent.
_MANY = 10_000
#: Weights made at a time: 16 MB.
_CHUNK = 2**22
#: Jackknife groups; more would make the acceleration no better (its error is 0.65 / groups).
_GROUPS = 400


def bootstrap(statistic: Statistic, n: int, resamples: int, seed: int) -> tuple[float, Array]:
    """The statistic of the n rows, and of as many resamples of them, [resamples]."""
    if n < 2:
        raise ValueError(f"an interval needs at least 2 rows, not {n}")
    rng = np.random.default_rng(seed)

    def chunks() -> Iterator[Array]:
        size, counts = _rows_of_chunk(n), _counts() if n >= _MANY else None
        weights = np.ones((size, n), np.float32)
        yield weights
        for _ in range(0, resamples, size):
            if counts is not None:  # into the same memory: the last chunk has been scored
                coins = rng.integers(0, 2**16, (size, n), dtype=np.uint16)
                yield np.take(counts, coins, mode="clip", out=weights)
            else:
                drawn = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
                yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float32)

    first, *rest = (np.asarray(statistic(chunk), float) for chunk in chunks())
    return float(first[0]), np.concatenate(rest)[:resamples]


def influence(statistic: Statistic, n: int, seed: int) -> Array:
    """What leaving out one row, or one of many random groups of rows, does: [groups], mean zero."""
    groups = min(n, _GROUPS)
    group = np.random.default_rng(seed).permutation(n) % groups
    size = _rows_of_chunk(n)
    values = []
    for start in range(0, groups, size):
        left_out = np.arange(start, start + size)[:, None] == group[None, :]
        values.append(np.asarray(statistic((~left_out).astype(np.float32)), float))
    left = np.concatenate(values)[:groups]
    left = left[np.isfinite(left)]
    return np.asarray(left.mean() - left if left.size else np.zeros(2))


@cache
def _counts() -> Array:
    """A Poisson number of mean one for every number of 16 bits."""
    at_most = special.pdtr(np.arange(20), 1.0)
    return np.searchsorted(at_most, (np.arange(2**16) + 0.5) / 2**16).astype(np.float32)


def _rows_of_chunk(n: int) -> int:
    return int(np.clip(_CHUNK // n, 1, 1024))
