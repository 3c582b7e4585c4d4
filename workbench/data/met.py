"""Which rows of a table were met before, judged by their sketches.

A row is met again by one of two questions (near, place; exact decides faster and is asked first) when

- its target agrees with that of an earlier row, and
- so do enough of the columns that both tables have, counted by how much they tell (a cell's entropy), and
- together they tell enough to name one row among all earlier ones, for each of these rows (256 at most), and
  these columns among all, and 3 bits more.

How many columns are enough is found at five levels, from all of them to 35 %, since noise or rounding may
have spoiled some columns and not the others. What rows of this table meet among each other, which are
different rows, is chance: the share that is found at a level less what is found there among as many rows
drawn from the table. The level that leaves most is believed. Where chance leaves nothing, as in a table of
few columns of few values, no row is called known by this.

Candidates come from joins of some columns at a time, drawn by what they tell; every candidate is then
compared cell by cell. Columns are paired by name, the others by what they hold, or by where they stand.

One or two rows alone are called known only if what they have in common is more than that by some bits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from workbench.core.types import Array
from workbench.data.marks import mix
from workbench.data.sketches import KINDS, Column, Sketch

#: Shares of what the columns tell that may be asked to agree.
LEVELS = (1.0, 0.9, 0.75, 0.5, 0.35)
#: Bits beyond what names one row among the earlier ones; the same for the columns that find candidates.
_BEYOND, _MANY, _FIND = 3.0, 8.0, 4.0
#: So few rows alone must have more bits in common than others, by so many.
_FEW, _SURE = 2, 5.0
#: Joins: at least and at most, and earlier rows times joins between; rows that one row is compared with in a
#: join.
_JOINS, _WORK, _CROWD = (8, 64), 400_000, 8
#: Pairs that are compared at a time.
_CHUNK = 200_000
#: Rows by which chance is learned, and standard errors by which a share must stand out from chance.
_SAMPLE, _ERRORS = 20_000, 4.0
#: By how many rows it is learned, drawn anew so often at most.
_LEARNED, _DRAWS = 2_000, 8
#: A rule that chance meets more often than that is believed only where no other finds anything, or never.
_SELDOM, _OFTEN = 0.1, 0.5
#: Share of the first column's information that must be paired, that tables are compared at all.
_PAIRED = 0.3

#: A question and a level.
Rule = tuple[str, float]


class Met(NamedTuple):
    """What was found of some rows among earlier ones.

    share   of the rows, chance taken off
    rows    [N] bool: those that were found, by the rule that is believed; chance is in it
    chance  share of rows that would be found by chance
    """

    share: float
    rows: Array
    rule: Rule | None = None
    chance: float = 0.0


class Table:
    """Test and development rows of one table: different rows, so what they have in common is chance.

    Where the two are sketched apart, as those of official files, development rows alone tell of chance.
    """

    def __init__(self, test: Sketch, development: Sketch) -> None:
        self.test, self.development = test, development
        alike = test.columns == development.columns
        codes = np.concatenate([test.codes, development.codes], axis=2) if alike else development.codes
        self._pool = development._replace(codes=codes)
        self._known: dict[tuple[str, tuple[int, ...], int, int], tuple[Array, float]] = {}

    def chance(self, earlier: Sketch, kind: str, level: float, of: int) -> tuple[float, int]:
        """The share of rows that would meet earlier ones by chance; and by how many it was learned.

        As many rows as there are earlier ones are drawn from the table, and met by its others.
        """
        if self._pool.rows < 2:
            return 0.0, 1
        columns = tuple(sorted(i for i, _ in _pairs(self._pool.columns, earlier.columns, kind)))
        key = kind, columns, earlier.rows, of
        if key not in self._known:
            self._known[key] = self._met(kind, columns, earlier.rows, of)
        best, drawn = self._known[key]
        alone = float(np.mean(best >= level - 1e-6))
        return 1 - (1 - alone) ** (earlier.rows / drawn), len(best)

    def _met(self, kind: str, columns: Sequence[int], among: int, of: int) -> tuple[Array, float]:
        """How much rows have in common with others of the table; and how many others these were."""
        rng, pairs = np.random.default_rng(0), [(i, i) for i in columns]
        drawn = min(among, self._pool.rows // 2)
        rest = min(self._pool.rows - drawn, _SAMPLE)
        found = []
        for _ in range(int(np.clip(_LEARNED // rest, 1, _DRAWS))):
            order = rng.permutation(self._pool.rows)
            others, some = (self._pool.take(np.sort(part)) for part in (order[:drawn], order[-rest:]))
            found.append(_best(some, others, kind, pairs, among=among, of=of)[0])
        return np.concatenate(found), drawn


def comparable(a: Sequence[Column], b: Sequence[Column]) -> bool:
    """Whether enough columns of two tables can be paired that rows may be found."""
    return any(_pairs(a, b, kind) for kind in KINDS)


def met(rows: Sketch, earlier: Sketch, table: Table) -> Met:
    """Which of the rows are among the earlier ones; `rows` are those of a part of the table."""
    found: list[Met] = []
    for kind in KINDS:
        for level, hits in _found(rows, earlier, kind).items():
            chance, learned = table.chance(earlier, kind, level, rows.rows)
            unsure = max(chance, 1 / learned)
            error = np.sqrt(unsure * (1 - unsure) * (1 / rows.rows + 1 / learned))
            share = float(hits.mean())
            if chance < _OFTEN and share - chance > _ERRORS * error:
                found.append(Met((share - chance) / (1 - chance), hits, (kind, level), chance))
        if any(each.share > 0.99 and each.chance < _SELDOM for each in found):
            break
    if not found:
        return Met(0.0, np.zeros(rows.rows, bool))
    seldom = [each for each in found if each.chance < _SELDOM]
    # Of two that find as much, the stricter one.
    strict = max(seldom, key=_believed, default=None)
    return strict or min(found, key=lambda each: each.chance)


def _believed(found: Met) -> float:
    """What was found, taken for less by as much as the level asks for less, and by what chance does."""
    level = 1.0 if found.rule is None else found.rule[1]
    return found.share * (1 - 0.2 * (1 - level)) - found.chance


def _found(rows: Sketch, earlier: Sketch, kind: str) -> dict[float, Array]:
    """Which rows [N] meet an earlier one, by level; only levels at which some do and one level does not."""
    pairs = _pairs(rows.columns, earlier.columns, kind)
    if not pairs or not rows.rows or not earlier.rows:
        return {}
    best, sure = _best(rows, earlier, kind, pairs, among=earlier.rows, of=rows.rows)
    hits = {level: best >= level - 1e-6 for level in LEVELS}
    hits = {level: some & (sure >= _SURE) if some.sum() <= _FEW else some for level, some in hits.items()}
    return {level: some for level, some in hits.items() if some.any()}


def _pairs(a: Sequence[Column], b: Sequence[Column], kind: str) -> list[tuple[int, int]]:
    """Columns of `a` with those of `b` that they may be; nothing if they, or the targets, do not suffice."""
    which = list(KINDS).index(kind)
    near = kind == "near"
    if near and a[-1].step != b[-1].step:
        return []
    names = {column.name: j for j, column in enumerate(b[:-1])}
    paired: list[tuple[int, int]] = []
    for i, column in enumerate(a[:-1]):
        j = names.get(column.name)
        if j is not None and (not near or column.step == b[j].step):
            paired.append((i, j))
    left = set(range(len(b) - 1)) - {j for _, j in paired}
    rest = set(range(len(a) - 1)) - {i for i, _ in paired}
    alike = sorted(((_alike(a[i], b[j], near), i, j) for i in rest for j in left), reverse=True)
    for likeness, i, j in alike:
        if likeness > 0 and i in rest and j in left:
            paired.append((i, j))
            rest.discard(i)
            left.discard(j)
    if kind == "place" and len(rest) == len(left):  # other names in other units: by where they stand
        paired += zip(sorted(rest), sorted(left), strict=True)
    told = sum(min(a[i].bits[which], b[j].bits[which]) for i, j in paired)
    all_told = min(sum(column.bits[which] for column in side[:-1]) for side in (a, b))
    return paired if told > 0 and told >= _PAIRED * all_told else []


def _alike(a: Column, b: Column, near: bool) -> float:
    """Whether two columns of different names may be one; 0 if not.

    By the cells that they hold, and by how much these tell; else, where noise changed every cell, by their
    spread and by how much they tell.
    """
    shared = len({*a.holds} & {*b.holds}) / max(1, min(len(a.holds), len(b.holds)))
    apart = sum(abs(mine - other) for mine, other in zip(a.bits, b.bits, strict=True))
    if shared >= 0.5:
        return 1 + shared - min(apart, 1.0)
    alone = abs(a.bits[1] - b.bits[1])
    return 1 - alone if near and a.step == b.step and alone < 0.4 else 0.0


def _best(
    a: Sketch, b: Sketch, kind: str, pairs: Sequence[tuple[int, int]], *, among: int, of: int
) -> tuple[Array, Array]:
    """For each row of `a` the largest share of information that a row of `b` with its target has in common.

    0 where none has, or where what they have in common does not name one of `among` rows for any of `of`; and
    by how many bits it does. [N], [N]
    """
    which, slots = list(KINDS).index(kind), KINDS[kind]
    bits = np.array([min(a.columns[i].bits[which], b.columns[j].bits[which]) for i, j in pairs], np.float32)
    target = min(a.columns[-1].bits[which], b.columns[-1].bits[which])
    x = np.ascontiguousarray(a.codes[[i for i, _ in pairs], slots].transpose(2, 0, 1))
    y = np.ascontiguousarray(b.codes[[j for _, j in pairs], slots].transpose(2, 0, 1))
    x_target, y_target = a.codes[-1, slots].T, b.codes[-1, slots].T
    total, needed = float(bits.sum()), float(np.log2(among) + min(np.log2(of), _MANY)) + _BEYOND
    best, sure = np.zeros((2, a.rows), np.float32)
    if total + target < needed:
        return best, sure
    n = len(bits)
    # Which columns agree may be had in so many ways.
    free = np.array([math.log2(math.comb(n, k)) for k in range(n + 1)])
    n_joins = int(np.clip(_WORK // (2 * among), *_JOINS))
    for draw, columns in enumerate(_draws(bits, np.log2(among) + _FIND - target, n_joins)):
        slot = draw % x.shape[2]
        left = np.flatnonzero(best < 1 - 1e-6)
        keys = (
            _key(x[left][:, columns, slot], x_target[left, slot]),
            _key(y[:, columns, slot], y_target[:, slot]),
        )
        for i, j in _candidates(*keys):
            i = left[i]
            agree = (x[i] == y[j]).any(axis=2)
            common = agree @ bits
            told = common + target - free[agree.sum(axis=1)]
            same = (x_target[i] == y_target[j]).any(axis=1) & (told >= needed)
            np.maximum.at(best, i[same], common[same] / total)
            np.maximum.at(sure, i[same], told[same] - needed)
    return best, sure


def _draws(bits: Array, enough: float, count: int) -> Iterator[Array]:
    """Columns that find candidates: drawn by what they tell, until that is enough."""
    rng = np.random.default_rng(1)
    for _ in range(count):
        order = np.argsort(-np.log(rng.random(len(bits))) / np.maximum(bits, 1e-6))
        yield order[: int(np.searchsorted(np.cumsum(bits[order]), enough)) + 1]


def _key(codes: Array, target: Array) -> Array:
    """One number for the hashes [N, C] and the target's [N]."""
    key = mix(target.astype(np.uint64))
    for column in codes.T:
        key = mix(key * np.uint64(257) + column.astype(np.uint64))
    return key


def _candidates(keys: Array, earlier: Array) -> Iterator[tuple[Array, Array]]:
    """Positions of equal keys, a chunk at a time; of a crowd of equal ones some."""
    order = np.argsort(earlier)
    ordered = earlier[order]
    first = np.searchsorted(ordered, keys, side="left")
    count = np.minimum(np.searchsorted(ordered, keys, side="right") - first, _CROWD)
    found = np.flatnonzero(count)
    step = max(1, _CHUNK // _CROWD)
    for start in range(0, len(found), step):
        some = found[start : start + step]
        each = np.repeat(some, count[some])
        within = np.arange(len(each)) - np.repeat(np.cumsum(count[some]) - count[some], count[some])
        yield each, order[first[each] + within]
