"""Images [N, H, W, C] and sequences [N, T, F] as inputs of a model.

There is one statistic per channel or feature, over all places and steps of training rows. Blank numbers get
the mean. Steps that hold NaN alone are padding: they count in no statistic and become zero, and if training
rows have any, one more feature says of each step whether it is there.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from workbench.core.types import Array, Pixels
from workbench.data.preprocessing.scaling import LARGEST, LARGEST_SINGLE, Scaling, finite, fit_scaling, scaled

#: Numbers in one block of rows.
_BLOCK = 2**21


def fit_channels(x: Array, scale: str) -> tuple[Array, bool, Scaling]:
    """(what stands for a blank [C], whether there is padding, the scaling) of training rows x [N, ..., C]."""
    n = x.shape[-1]
    step = max(1, _BLOCK // max(1, int(np.prod(x.shape[1:]))))
    total, count, padded = np.zeros(n), np.zeros(n), False
    for start in range(0, len(x), step):
        values, there = _places(x[start : start + step])
        known = np.isfinite(values) & there[:, np.newaxis]
        total += np.clip(np.where(known, values, np.float64(0.0)), -LARGEST, LARGEST).sum(axis=0)
        count += known.sum(axis=0)
        padded = padded or not there.all()
    fill = total / np.maximum(count, 1)

    def blocks() -> Iterator[Array]:
        for start in range(0, len(x), step):
            values, there = _places(x[start : start + step])
            if there.any():
                yield finite(values, fill)[there]

    def sample(count: int) -> Array:
        most = max(1, count * n // int(np.prod(x.shape[1:])))
        chosen = np.arange(len(x)) if len(x) <= most else np.linspace(0, len(x) - 1, most).astype(np.int64)
        values, there = _places(x[chosen])
        found: Array = finite(values, fill)[there]
        return found

    return fill, bool(padded), fit_scaling(scale, n, blocks, sample)


def transform_channels(x: Array, fill: Array, padded: bool, scaling: Scaling) -> Array:
    """The inputs [N, ..., C] float32, or [N, T, F + 1] with padding."""
    n = x.shape[-1]
    out = np.zeros((*x.shape[:-1], n + padded), np.float32)
    step = max(1, _BLOCK // max(1, int(np.prod(x.shape[1:]))))
    for start in range(0, len(x), step):
        values, there = _places(x[start : start + step])
        values = scaled(scaling, finite(values, fill))
        values = np.where(there[:, np.newaxis], np.clip(values, -LARGEST_SINGLE, LARGEST_SINGLE), 0.0)
        part = out[start : start + step]
        part[..., :n] = values.reshape(*part.shape[:-1], n)
        if padded:
            part[..., n] = there.reshape(part.shape[:-1])
    return out


def pixels_of(x: Array, scaling: Scaling) -> Pixels | None:
    """How a step makes of such images what `transform_channels` would; None if they are to be made before."""
    if x.ndim != 4 or x.dtype != np.uint8 or scaling.kind in ("quantile", "robust"):
        return None
    return Pixels(scaling.shift.astype(np.float32), scaling.rate.astype(np.float32))


def _places(x: Array) -> tuple[Array, Array]:
    """All places of all examples [M, C], and which are there [M]; only sequences have padding."""
    values = x.reshape(-1, x.shape[-1])
    if x.ndim != 3 or x.dtype.kind != "f":
        return values, np.ones(len(values), bool)
    return values, ~np.isnan(values).all(axis=1)
