"""Which rows train, which validate and which test: decided once, before anything else looks at the rows.

By default rows are divided at random, within each class where there are classes. `group` keeps rows that
belong together in one part; `time` puts later rows into later parts. `folds` divides for cross-validation by
the same rules. The random order is a hash of a seed and of what each row holds (splitmix64, Steele, Lea and
Flood 2014), so a split is the same under every version of NumPy, wherever rows stand, and with more rows; and
rows that are equal land on one side. Where the content is not given, the hash is of seed and row number, as
it was in earlier versions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from workbench.core.errors import DataError
from workbench.core.formatting import toml
from workbench.core.types import Array, Split

_PARTS = ("train", "validation", "test")


def split_rows(
    targets: Array | None,
    n: int,
    split: Split,
    seed: int,
    stratify: bool,
    group: Array | None = None,
    time: Array | None = None,
    *,
    content: Array | None = None,
    classes: Sequence[str] = (),
    where: str = "data",
) -> tuple[Array, Array, Array]:
    """(train, validation, test): row numbers, sorted; disjoint and complete.

    targets    [N] integer classes, used if `stratify`
    group      [N] integers; rows of equal number stay together
    time       [N] numbers or moments; rows are divided in their order; the seed decides between equal ones
    content    [N] uint64, see `content`; rows are put in order by it, and those that are equal stay together.
               The numbers in `group` must then stand for what the groups hold. None: by row number
    classes    names of the classes, for messages

    Sizes are within one row of their fraction, and within each class too. With groups both are met as nearly
    as whole groups allow, larger ones placed first; with equal rows, as nearly as these allow. A part with a
    fraction gets at least one row, of every class; a class of fewer different rows than parts has its copies
    divided. Raises DataError if there are too few rows, classes or groups.
    """
    fractions = np.array(split, np.float64)
    fractions /= fractions.sum()
    used = np.flatnonzero(fractions > 0)
    if n < len(used):
        raise DataError(f"{where}: has {n} rows, too few to divide into {_listed(used)}; add rows")
    _check_one(group, time, where)
    codes, counts = _strata(targets if stratify and time is None else None, n)
    part = np.empty(n, np.int64)
    if group is not None:
        needed = f"{_listed(used)} need {len(used)}"
        part = used[
            _by_group(codes, counts, group, fractions[used], seed, needed, where, content is not None)
        ]
    else:
        _check_classes(counts, len(used), f"one each for {_listed(used)}", classes, where)
        sizes = _sizes(counts, fractions[used])
        key = _order(n, seed, content, time)
        part = used[_by_key(codes, key, sizes) if time is None else _by_time(time, key, sizes[0])]
    train, validation, test = (np.flatnonzero(part == p) for p in range(3))
    return train, validation, test


def folds(
    targets: Array | None,
    n: int,
    k: int,
    seed: int,
    stratify: bool,
    group: Array | None = None,
    time: Array | None = None,
    *,
    content: Array | None = None,
    classes: Sequence[str] = (),
    where: str = "data",
) -> tuple[tuple[Array, Array], ...]:
    """Pairs (train, validation) of row numbers, sorted, k of them; arguments as in `split_rows`.

    Every row validates in one fold and trains in the others. Sizes of folds differ by one row at most, and
    within each class too; with groups, as nearly as whole groups allow. With `time`, rows are cut in their
    order into k + 1 blocks; fold i validates on block i + 1 and trains on all that is earlier.
    Raises DataError if there are too few rows, classes or groups.
    """
    most = n - (time is not None)
    if not 2 <= k <= most:
        raise DataError(f"{where}: {n} rows cannot be divided into {k} folds; take 2 to {most}")
    _check_one(group, time, where)
    key = _order(n, seed, content, time)
    if time is not None:
        part = _by_time(time, key, np.array([len(block) for block in np.array_split(key, k + 1)]))
        return tuple((np.flatnonzero(part <= i), np.flatnonzero(part == i + 1)) for i in range(k))
    codes, counts = _strata(targets if stratify else None, n)
    part = np.empty(n, np.int64)
    if group is not None:
        needed = f"{k} folds need {k}"
        part = _by_group(codes, counts, group, np.full(k, 1 / k), seed, needed, where, content is not None)
    else:
        _check_classes(counts, k, f"one for each of {k} folds", classes, where)
        dealt = np.arange(n) % k  # like cards, class by class
        part[np.lexsort((key, codes))] = dealt
        if content is not None:
            first = np.repeat(np.arange(len(counts)), counts)
            part = _by_key(codes, key, np.bincount(first * k + dealt).reshape(len(counts), k))
    return tuple((np.flatnonzero(part != i), np.flatnonzero(part == i)) for i in range(k))


def scramble(n: int, seed: int) -> Array:
    """[N] uint64, all different: the n-th values of splitmix64 from `seed`, which permute the row numbers."""
    with np.errstate(over="ignore"):
        start = mix(np.array([seed % 2**64], np.uint64))
        return mix(start + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def mixed(content: Array, seed: int) -> Array:
    """[N] uint64: the content of rows under a seed: equal where rows are, in another order for each seed."""
    with np.errstate(over="ignore"):
        return mix(content + scramble(1, seed))


def mix(z: Array) -> Array:
    """The finalizer of splitmix64: neighbors become strangers, and different numbers stay different."""
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Array = z ^ (z >> np.uint64(31))
    return mixed


def _order(n: int, seed: int, content: Array | None, time: Array | None) -> Array:
    """[N]: what rows are put in order by; in time and without their content, by where they stand."""
    if content is not None:
        return mixed(content, seed)
    return scramble(n, seed) if time is None else np.arange(n)


def _by_key(codes: Array, key: Array, sizes: Array) -> Array:
    """The part of each row [N]: rows class by class, in the order of their keys, cut into parts.

    sizes  [C, parts] rows of each class for each part

    Rows of equal key stay together, if their class has at least as many keys as there are parts.
    """
    order = np.lexsort((key, codes))
    n_classes, n_parts = sizes.shape
    cut = np.repeat(np.tile(np.arange(n_parts), n_classes), sizes.ravel())
    starts = _starts(key[order], codes[order])
    if len(starts) < len(order):
        lengths = np.diff(np.append(starts, len(order)))
        ends = np.cumsum(sizes.sum(axis=1))
        runs = np.searchsorted(starts, np.append(0, ends))  # the first of each class
        for c in range(n_classes):
            mine = lengths[runs[c] : runs[c + 1]]
            if len(mine) >= n_parts and mine.max() > 1:
                cut[ends[c] - sizes[c].sum() : ends[c]] = np.repeat(_allot(mine, sizes[c]), mine)
    part = np.empty(len(order), np.int64)
    part[order] = cut
    return part


def _by_time(time: Array, key: Array, sizes: Array) -> Array:
    """The part of each row [N]: rows in time, cut where equal rows of one moment end if need be."""
    order = np.lexsort((key, time))
    cuts = np.cumsum(sizes)[:-1]
    starts = _starts(time[order], key[order])
    after = np.searchsorted(starts, cuts)
    before, after = starts[np.maximum(after - 1, 0)], np.append(starts, len(order))[after]
    near = np.where(cuts - before < after - cuts, before, after)
    if (np.diff(np.concatenate([[0], near, [len(order)]])) > 0).all():
        cuts = near
    part = np.empty(len(order), np.int64)
    part[order] = np.searchsorted(cuts, np.arange(len(order)), side="right")
    return part


def _starts(*keys: Array) -> Array:
    """Where something else begins in sorted rows: positions, rising from zero."""
    fresh = np.ones(len(keys[0]), bool)
    fresh[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    return np.flatnonzero(fresh)


def _allot(lengths: Array, sizes: Array) -> Array:
    """The part of each run of equal rows [R], R no fewer than the parts, so that parts get these sizes.

    Runs that are larger than the smallest part go first, the largest before, where most room is left. The
    others follow in their order: each part takes those that still fit, and what it lacks or has too many is
    made up for by the next. In the end no part is empty.
    """
    part = np.full(len(lengths), -1)
    room = sizes.astype(np.float64)
    empty = set(range(len(sizes)))
    large = np.flatnonzero(lengths > sizes.min())
    for done, run in enumerate(large[np.argsort(-lengths[large], kind="stable")]):
        left = (room - lengths[run]) / sizes
        allowed = sorted(empty) if len(lengths) - done <= len(empty) else range(len(sizes))
        best = max(allowed, key=lambda p: left[p])
        part[run] = best
        room[best] -= lengths[run]
        empty.discard(best)
    room = np.maximum(room, 0.0)
    room *= lengths[part < 0].sum() / max(room.sum(), 1.0)
    end = 0.0  # rows that the parts so far should have of these runs, but for those that they have
    for p in range(len(sizes) - 1):
        end += room[p]
        while len(free := np.flatnonzero((part < 0) & (lengths <= end + 0.5))):
            taken = free[: np.searchsorted(np.cumsum(lengths[free]), end + 0.5, side="right")]
            part[taken] = p
            end -= lengths[taken].sum()
        rest = np.flatnonzero(part < 0)
        if len(rest) and end > lengths[rest[0]] / 2:
            part[rest[0]] = p
            end -= lengths[rest[0]]
    part[part < 0] = len(sizes) - 1
    for p in range(len(sizes)):
        held = np.bincount(part, minlength=len(sizes))
        if not held[p]:
            mine = np.flatnonzero(part == held.argmax())
            part[mine[lengths[mine].argmin()]] = p
    return part


def _sizes(counts: Array, fractions: Array) -> Array:
    """Rows of each class for each part [C, parts]: every entry and every column sum is rounded up or down.

    Such a rounding always exists (Bacharach 1966, Matrix rounding problems). Each class is rounded by its
    largest remainders; then columns whose sum is a row or more off are mended by moving single rows between
    entries.
    """
    k = len(fractions)
    ideal = counts[:, np.newaxis] * fractions
    for _ in range(k - 1):  # a part that would get less than one row gets one, at the cost of the others
        least = ideal <= 1
        rest = counts[:, np.newaxis] - least.sum(axis=1, keepdims=True)
        share = np.where(least, 0.0, fractions)
        ideal = np.where(least, 1.0, rest * share / np.maximum(share.sum(axis=1, keepdims=True), 1e-300))
    low = np.floor(ideal + 1e-9).astype(np.int64)
    rest = np.where(ideal - low > 1e-9, ideal - low, 0.0)
    ranks = np.argsort(np.argsort(-rest, axis=1, kind="stable"), axis=1, kind="stable")
    up = (ranks < (counts - low.sum(axis=1))[:, None]) & (rest > 0)
    total = ideal.sum(axis=0)
    for _ in range(k * len(counts)):
        excess = (low + up).sum(axis=0) - total
        over, under = int(excess.argmax()), int(excess.argmin())
        if max(excess[over], -excess[under]) < 1 - 1e-9:
            break
        for a, b in _path(up, rest, over, under):
            c = int(np.flatnonzero(up[:, a] & ~up[:, b] & (rest[:, b] > 0))[0])
            up[c, a], up[c, b] = False, True
    sizes: Array = low + up
    return sizes


def _path(up: Array, rest: Array, over: int, under: int) -> list[tuple[int, int]]:
    """Moves from one column to another, by way of a third if need be."""

    def possible(a: int, b: int) -> bool:
        return bool((up[:, a] & ~up[:, b] & (rest[:, b] > 0)).any())

    if possible(over, under):
        return [(over, under)]
    for via in range(up.shape[1]):
        if via not in (over, under) and possible(over, via) and possible(via, under):
            return [(over, via), (via, under)]
    return []


def _by_group(
    codes: Array,
    counts: Array,
    group: Array,
    fractions: Array,
    seed: int,
    needed: str,
    where: str,
    by_content: bool,
) -> Array:
    """The part of each row [N]: groups go where the classes lack most, in proportion.

    Large ones come first, so that small ones can mend the sizes; groups of about the same size (the same
    power of two) come at random, so that every part gets groups of every size.
    """
    values, group = np.unique(group, return_inverse=True)
    n_groups, n_parts = int(group.max()) + 1, len(fractions)
    if n_groups < n_parts:
        raise DataError(
            f"{where}: [data] group has {n_groups} different values, but {needed}; name another column"
        )
    cells = np.bincount(group * len(counts) + codes, minlength=n_groups * len(counts))
    inside = cells.reshape(n_groups, len(counts)).astype(np.float64)
    size = inside.sum(axis=1)
    room = fractions[:, None] * counts
    weight = 1.0 / (counts * fractions[:, None])
    chosen = np.empty(n_groups, np.int64)
    empty = set(range(n_parts))
    key = mixed(values.astype(np.uint64), seed) if by_content else scramble(n_groups, seed)
    for done, g in enumerate(np.lexsort((key, -np.floor(np.log2(size))))):
        lack = (room * inside[g] * weight).sum(axis=1)  # in this group's classes, as a share of the part
        allowed = sorted(empty) if n_groups - done <= len(empty) else range(n_parts)
        best = max(allowed, key=lambda p: lack[p])
        room[best] -= inside[g]
        chosen[g] = best
        empty.discard(best)
    part: Array = chosen[group]
    return part


def _strata(targets: Array | None, n: int) -> tuple[Array, Array]:
    """Class codes [N] from zero on without gaps, and rows of each; without targets there is one class."""
    codes = np.zeros(n, np.int64) if targets is None else targets
    _, codes, counts = np.unique(codes, return_inverse=True, return_counts=True)
    return codes, counts


def _check_one(group: Array | None, time: Array | None, where: str) -> None:
    if group is not None and time is not None:
        raise DataError(f"{where}: [data] group and time exclude each other; drop one")


def _check_classes(counts: Array, least: int, why: str, classes: Sequence[str], where: str) -> None:
    """Every class must reach every part. Raises DataError."""
    if len(counts) == 1 or counts.min() >= least:
        return
    rare = int(counts.argmin())
    name = toml(classes[rare]) if classes else str(rare)
    n_rows = f"{counts[rare]} row{'s' if counts[rare] > 1 else ''}"
    raise DataError(
        f"{where}: class {name} has {n_rows}, but stratifying needs {least}, {why}; add rows, merge the "
        "class with another or take its rows out"
    )


def _listed(used: Array) -> str:
    names = [_PARTS[p] for p in used]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
