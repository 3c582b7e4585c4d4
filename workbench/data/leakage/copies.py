"""Validation rows that stand among training rows too: exactly, or nearly.

A near copy lies far closer to one training row than to the tenth-nearest. Where rows are spread smoothly,
with d dimensions in the neighborhood, the ratio of these two distances falls below t with a chance of at most
9 t^d, whatever the density; t is set so that fewer than one row in twenty whole data sets is taken for a copy
by mistake, and to 0.1 at most. The dimension is estimated from distances to the ten nearest (Levina and
Bickel 2005, Maximum likelihood estimation of intrinsic dimension).

That law needs numbers that seldom agree by chance, so only columns of many different values are compared, and
nothing is said with fewer than three of them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from workbench.core.types import Array
from workbench.data.preprocessing.scaling import LARGEST

if TYPE_CHECKING:
    from workbench.data.dataset import Dataset


#: The largest ratio of distances that makes a near copy, and how many are expected by mistake at most.
LARGEST_RATIO, MISTAKES = 0.1, 0.05
#: A column is continuous if two rows agree in it with at most this chance, or three in N if that is more.
AGREE = 0.01
#: Columns that are needed; with so many, also those of few values are spread smoothly enough together.
LEAST, MANY = 3, 16
NEIGHBORS = 10
#: More columns than this are projected onto so many random directions, which keeps distances (Johnson and
#: Lindenstrauss 1984); neighbors are looked for along fewer.
_DIRECTIONS, _TREE_DIRECTIONS = 64, 6
#: Rows whose neighbors are looked for among all training rows, to learn the scale and to judge a candidate.
_SAMPLE, _CANDIDATES = 400, 1000


def exact_copies(dataset: Dataset) -> Array:
    """Which validation rows have the features and the target of some training row, [V] bool."""
    if isinstance(dataset.rows, pd.DataFrame):
        target = pd.DataFrame(dataset.target.reshape(len(dataset.target), -1))
        marks: Any = pd.util.hash_pandas_object(dataset.rows, index=False).to_numpy()
        marks = marks * np.uint64(3) + pd.util.hash_pandas_object(target, index=False).to_numpy()
    else:
        pairs = zip(dataset.rows, dataset.target, strict=True)
        marks = np.array(
            [hashlib.blake2b(x.tobytes() + y.tobytes(), digest_size=8).digest() for x, y in pairs]
        )
    return np.isin(marks[dataset.validation], marks[dataset.train])


def near_copies(dataset: Dataset, exact: Array) -> Array:
    """Which validation rows are near copies of a training row, of the same class, [V] bool.

    exact  [V] rows that are left out, since they are known
    """
    points = _points(dataset)
    near = np.zeros(len(dataset.validation), bool)
    rest = np.flatnonzero(~exact)
    if points is None or len(rest) == 0 or len(dataset.train) <= NEIGHBORS:
        return near
    train, validation = points[dataset.train], points[dataset.validation[rest]]
    nearest, distance = _nearest(train, validation)
    sample = _spread(np.arange(len(rest)), _SAMPLE)
    scales = distances(train, validation[sample])
    ratio = _largest_ratio(scales, len(rest))
    same = _same_class(dataset, dataset.train[nearest], dataset.validation[rest])
    close = np.flatnonzero(same & (distance <= ratio * np.quantile(scales[:, -1], 0.9)))
    close = _spread(close, _CANDIDATES)
    if len(close):
        far = distances(train, validation[close])[:, -1]
        near[rest[close[distance[close] <= ratio * far]]] = True
    return near


def continuous(values: Array) -> bool:
    """Whether two rows seldom agree by chance in this column of numbers [N]."""
    known = values[~np.isnan(values)]
    n = len(known)
    if n < 2:
        return False
    counts = np.unique(known, return_counts=True)[1].astype(np.float64)
    return bool((counts * (counts - 1)).sum() / (n * (n - 1)) <= max(AGREE, 3 / n))


def _points(dataset: Dataset) -> Array | None:
    """[N, D] float32: standardized columns, and targets of regression; None if there are too few columns."""
    rows = dataset.rows
    if isinstance(rows, pd.DataFrame):
        columns = [rows[c.name].to_numpy() for c in dataset.columns if c.kind == "numeric"]
    elif rows.ndim == 2:
        columns = list(rows.T.astype(np.float64))
    else:
        columns = []
    if dataset.task == "regression" and not dataset.of_steps:
        columns += list(dataset.target.T.astype(np.float64))
    if isinstance(rows, np.ndarray) and rows.ndim > 2:
        return projected(rows.reshape(len(rows), -1), columns)
    chosen = columns if len(columns) >= MANY else [values for values in columns if continuous(values)]
    if len(chosen) < LEAST:
        return None
    return projected(np.stack([standardized(values) for values in chosen], axis=1), [])


def projected(x: Array, more: list[Array]) -> Array:
    """The rows [N, F] along at most `_DIRECTIONS` random directions, and further columns beside them."""
    n = x.shape[1]
    if n <= _DIRECTIONS:
        flat = np.nan_to_num(x.astype(np.float32))
    else:
        draw = np.random.default_rng(0)
        matrix = (draw.normal(size=(n, _DIRECTIONS)) / np.sqrt(_DIRECTIONS)).astype(np.float32)
        step = max(1, 2**24 // n)
        flat = np.concatenate(
            [np.nan_to_num(x[i : i + step].astype(np.float32)) @ matrix for i in range(0, len(x), step)]
        )
    beside = [standardized(values).astype(np.float32)[:, np.newaxis] for values in more]
    return np.concatenate([flat, *beside], axis=1)


def standardized(values: Array, n: int | None = None) -> Array:
    """Zero mean and unit deviation of the first n, all unless given, within ±1000; blanks are zero."""
    inside = np.clip(values, -LARGEST, LARGEST)  # squares of what lies outside are infinite
    known = inside[:n][np.isfinite(values[:n])]
    shift, scale = (known.mean(), known.std()) if len(known) else (0.0, 1.0)
    found: Array = np.clip(np.nan_to_num((inside - shift) / (scale or 1.0)), -1e3, 1e3)
    return found


def _nearest(train: Array, validation: Array) -> tuple[Array, Array]:
    """The nearest training row along a few directions [V], and its whole distance [V]."""
    from scipy.spatial import cKDTree

    n = train.shape[1]
    draw = np.random.default_rng(1)
    few = np.eye(n) if n <= _TREE_DIRECTIONS else np.linalg.qr(draw.normal(size=(n, _TREE_DIRECTIONS)))[0]
    _, nearest = cKDTree(train @ few).query(validation @ few)
    return nearest, np.linalg.norm(validation - train[nearest], axis=1)


def distances(train: Array, rows: Array, count: int = NEIGHBORS) -> Array:
    """[M, count], rising: the distances to the nearest training rows."""
    found = np.empty((len(rows), count))
    length = np.square(train).sum(axis=1)
    step = max(1, 2**23 // len(train))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        square = length - 2.0 * (part @ train.T)  # but for the row's own length
        chosen = np.argpartition(square, count - 1, axis=1)[:, :count]
        whole = np.linalg.norm(part[:, np.newaxis] - train[chosen], axis=2)  # without cancellation
        found[start : start + step] = np.sort(whole, axis=1)
    return found


def _largest_ratio(distances: Array, n: int) -> float:
    """The t of the module's text, for n rows."""
    ratios = np.maximum(distances[:, :-1], 1e-12) / np.maximum(distances[:, -1:], 1e-12)
    inverse = float(np.median(-np.log(ratios).mean(axis=1)))
    return float(min(LARGEST_RATIO, (MISTAKES / ((NEIGHBORS - 1) * n)) ** inverse))


def _same_class(dataset: Dataset, train: Array, validation: Array) -> Array:
    if dataset.task == "regression":
        return np.ones(len(train), bool)
    same: Array = (dataset.target[train] == dataset.target[validation]).reshape(len(train), -1).all(axis=1)
    return same


def _spread(index: Array, most: int) -> Array:
    """At most so many of them, evenly spaced."""
    if len(index) <= most:
        return index
    return index[np.linspace(0, len(index) - 1, most).astype(np.int64)]
