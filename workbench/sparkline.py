"""A curve in one line of text, for terminals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence

__all__ = ["spark"]

_BARS = "▁▂▃▄▅▆▇█"
_GAP = "·"


def spark(curve: Iterable[float], width: int = 40) -> str:
    """Draw the curve with at most `width` bars, lowest to highest finite value.

    A longer curve is cut into `width` equal pieces and each shows the mean of its finite values. A piece
    without one (NaN, infinity) is a dot; a flat curve is drawn at half height.
    """
    values = list(map(float, curve))
    pieces = values if len(values) <= width else [_mean(piece) for piece in _cut(values, width)]
    finite = [value for value in pieces if math.isfinite(value)]
    if not finite:
        return _GAP * len(pieces)
    low, span = min(finite), max(finite) - min(finite)

    def bar(value: float) -> str:
        if not math.isfinite(value):
            return _GAP
        return _BARS[min(int((value - low) / span * len(_BARS)), len(_BARS) - 1) if span else 3]

    return "".join(map(bar, pieces))


def _cut(values: Sequence[float], count: int) -> list[Sequence[float]]:
    edges = [i * len(values) // count for i in range(count + 1)]
    return [values[a:b] for a, b in itertools.pairwise(edges)]


def _mean(piece: Sequence[float]) -> float:
    finite = [value for value in piece if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan
