"""Intervals for the area under the ROC curve, which stay honest at its edge.

The place of a positive is the share of negatives that it beats, and the other way round; the area is the mean
of either. DeLong, DeLong and Clarke-Pearson (1988) take its variance from both; on the logit scale, with the
degrees of freedom that few rows of a class leave, its interval stays below one. It cannot see what a handful
of positives do not show, and nothing at all where every pair is in order. Newcombe (2006, method 5) supposes
the variance from the area itself, and errs where the classes spread differently. Neither covers alone; the
farther end of the two does.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy import special

from workbench.core.types import Array
from workbench.evaluation.intervals import Stated, counted, mover, student, told, withheld

#: Neither class may have fewer rows, and rows that belong together no fewer groups.
FEWEST = 5
_HALVINGS = 50
#: Rows of each class that are added before two models are compared.
_PSEUDO = 2.0


class Ranked(NamedTuple):
    """Scores [N] of rows, higher for what looks positive; truth [N] of 0 and 1; the rest as elsewhere."""

    scores: Array
    truth: Array
    clusters: Array | None = None
    names: tuple[str, ...] = ()
    weight: Array | None = None

    @property
    def counted(self) -> Array:
        """Rows of either class, [2]: as many as would tell as much if they counted alike."""
        return counted(self.truth, 2, self.weight)


def interval(rows: Ranked, confidence: float) -> Stated:
    """The interval of the area."""
    if note := too_few(rows):
        return withheld(note)
    area, influence = _area(rows)
    counts = _effective(influence, rows, area)
    low, high = _newcombe(area, *counts, float(special.ndtri(0.5 + confidence / 2)))
    variance, freedom = _delong(influence, rows)
    if 0 < area < 1 and variance > 0:
        half = student(freedom, confidence) * math.sqrt(variance) / (area * (1 - area))
        centre = math.log(area / (1 - area))
        low = min(low, float(special.expit(centre - half)))
        high = max(high, float(special.expit(centre + half)))
    return Stated(low, high)


def paired_interval(one: Ranked, other: Ranked, confidence: float) -> Stated:
    """The interval of the area of `one` less that of `other`, on the same rows.

    DeLong's, after two rows more of each class that one model ranks as ill as a typical row and the other
    well: where all rows that there are rank alike, others may not.
    """
    if note := too_few(one):
        return withheld(note)
    areas, influences = zip(*(_area(rows) for rows in (one, other)), strict=True)
    variance, freedom = _delong(influences[0] - influences[1], one)
    below = 1 - sum(areas) / 2
    more = sum(_PSEUDO * (below**2 + 1 / n**2) / n**2 for n in one.counted)
    half = student(freedom, confidence) * math.sqrt(variance + float(more))
    gain = areas[0] - areas[1]
    ends = np.array([interval(rows, confidence)[:2] for rows in (one, other)])
    low, high = mover(np.array(areas), ends, np.array([1.0, -1.0]), _alike(influences, one.clusters))
    return Stated(max(min(low, gain - half), -1.0), min(max(high, gain + half), 1.0))


def _alike(influences: tuple[Array, ...], clusters: Array | None) -> Array:
    """The correlation of two areas, [2, 2]; none where either moves with no row."""
    each = np.stack([_together(one, clusters) for one in influences])
    sums = each @ each.T
    scale = np.sqrt(np.outer(np.diag(sums), np.diag(sums)))
    found = np.divide(sums, scale, out=np.eye(2), where=scale > 0)
    return np.asarray(found)


def too_few(rows: Ranked) -> str:
    """Why these rows do not suffice for an interval; empty if they do."""
    if rows.clusters is not None and (n := len(np.unique(rows.clusters))) < FEWEST:
        return f"too few groups of rows that belong together ({n}) for an interval; {FEWEST} are needed"
    counts = rows.counted
    code = int(counts.argmin())
    if counts[code] >= FEWEST:
        return ""
    name = f'"{rows.names[code]}"' if rows.names else str(code)
    return f"too few rows of class {name} ({told(counts[code])}) for an interval; {FEWEST} are needed"


def _area(rows: Ranked) -> tuple[float, Array]:
    """The area, and what each row does to it, [N]: its place less the area, over the rows of its class."""
    positive = rows.truth == 1
    weight = np.ones(len(rows.scores)) if rows.weight is None else rows.weight.astype(float)

    def place(scores: Array, others: Array) -> Array:
        order = np.argsort(rows.scores[others], kind="stable")
        sums = np.concatenate([[0.0], np.cumsum(weight[others][order])])
        at = (np.searchsorted(rows.scores[others][order], scores, side) for side in ("left", "right"))
        lower, upper = (sums[each] for each in at)
        return np.asarray((lower + upper) / (2 * sums[-1]))

    above = place(rows.scores[positive], ~positive)
    area = float(np.average(above, weights=weight[positive]))
    influence = np.empty(len(rows.scores))
    influence[positive] = (above - area) / weight[positive].sum()
    influence[~positive] = (1 - place(rows.scores[~positive], positive) - area) / weight[~positive].sum()
    return area, influence * weight


def _delong(influence: Array, rows: Ranked) -> tuple[float, float]:
    """The variance of the area, and its degrees of freedom by Satterthwaite."""
    if rows.clusters is not None:
        each = _together(influence, rows.clusters)
        return float(np.sum(each**2)) * len(each) / (len(each) - 1), len(each) - 1.0
    parts, freedoms = [], []
    for code in (1, 0):
        mask, n = rows.truth == code, float(rows.counted[code])
        parts.append(float(np.sum(influence[mask] ** 2)) * n / (n - 1))
        freedoms.append(n - 1.0)
    total = sum(parts)
    spread = sum(part**2 / freedom for part, freedom in zip(parts, freedoms, strict=True))
    return total, total**2 / spread if spread > 0 else sum(freedoms)


def _effective(influence: Array, rows: Ranked, area: float) -> tuple[float, float]:
    """Positives and negatives, fewer where rows of one cluster are alike."""
    counts = rows.counted[::-1].astype(float)
    if rows.clusters is None:
        return float(counts[0]), float(counts[1])
    alone, together = float(np.sum(influence**2)), float(np.sum(_together(influence, rows.clusters) ** 2))
    most = len(np.unique(rows.clusters)) / len(rows.truth)
    share = most if alone == 0 else min(1.0, max(most, alone / together if together > 0 else 1.0))
    return float(counts[0] * share), float(counts[1] * share)


def _together(influence: Array, clusters: Array | None) -> Array:
    if clusters is None:
        return influence
    _, cluster = np.unique(clusters, return_inverse=True)
    return np.bincount(cluster, influence)


def _newcombe(area: float, positives: float, negatives: float, z: float) -> tuple[float, float]:
    """Both ends, as far from the area as z deviations of what the area would be there."""
    middle = (positives + negatives) / 2 - 1

    def outside(end: float) -> bool:
        beaten = (1 - end) / (2 - end) + end / (1 + end)
        variance = end * (1 - end) / (positives * negatives) * (1 + middle * beaten)
        return abs(end - area) > z * math.sqrt(max(variance, 0.0))

    ends = []
    for far in (0.0, 1.0):
        near, known = far, area
        for _ in range(_HALVINGS):
            half = (near + known) / 2
            near, known = (half, known) if outside(half) else (near, half)
        ends.append((near + known) / 2 if outside(far) else far)
    return ends[0], ends[1]
