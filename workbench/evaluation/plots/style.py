"""One look for every picture: palette, canvas, numbers, and labels at the ends of lines.

Colors are those of Okabe and Ito (Color Universal Design, 2008), told apart with any color vision; the
sequential map is cividis (Nuñez, Anderton and Renslow 2018), light end cut so that it shows on white. Figures
are drawn small (4.8 or 7.4 inches) so that their letters stay readable on a telephone. Classes have marks as
well.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, ParamSpec

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from workbench.core.types import Array, Value

BLUE, ORANGE, VERMILION = "#0072B2", "#E69F00", "#D55E00"
INK, MUTED, FAINT = "#1f2328", "#5f6770", "#c3c8ce"
SEQUENCE = LinearSegmentedColormap.from_list(
    "worst_to_best", matplotlib.colormaps["cividis_r"](np.linspace(0.08, 1.0, 128))
)
NARROW, WIDE = 4.8, 7.4  # inches

_SETTINGS: dict[Any, Any] = {
    "axes.edgecolor": FAINT,
    "axes.grid": False,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 8,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 8,
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "lines.solid_capstyle": "round",
    "savefig.facecolor": "white",
    "text.color": INK,
    "text.parse_math": False,  # a column may be called "price ($)"
    "xtick.color": FAINT,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 8,
    "ytick.color": FAINT,
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": 8,
}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_P = ParamSpec("_P")


class Label(NamedTuple):
    """Words that stand to the right of a line's last point."""

    y: float
    text: str
    color: str


def drawn(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Draw under this style, whatever the user's matplotlib is set to."""

    @functools.wraps(draw)
    def styled(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            matplotlib.rcParams.update(_SETTINGS)
            return draw(*args, **kwargs)

    return styled


def canvas(title: str, note: str, width: float = NARROW, height: float = 3.3) -> Figure:
    """An empty figure of so many inches with a title and, below it, what rows or trials were used."""
    figure = Figure(figsize=(width, height))
    heading(figure, title, note)
    return figure


def heading(figure: Figure, title: str, note: str) -> None:
    """Write title and note at the top left; both are cut where the figure ends."""
    width, height = figure.get_size_inches()
    figure.text(
        0.1 / width, 1 - 0.09 / height, shorten(title, int(width * 11.5)), va="top", size=10, weight="bold"
    )
    figure.text(
        0.1 / width, 1 - 0.30 / height, shorten(note, int(width * 16.5)), va="top", size=7.5, color=MUTED
    )


def panel(figure: Figure, left: float, bottom: float, right: float, top: float) -> Axes:
    """Axes whose margins to the figure's edges are given in inches (no layout engine: those cost most)."""
    width, height = figure.get_size_inches()
    return figure.add_axes(
        (left / width, bottom / height, (width - left - right) / width, (height - bottom - top) / height)
    )


def label_ends(axes: Axes, labels: Iterable[Label], gap: float = 0.085) -> None:
    """Write each label beside the axes at its height, moved apart by at least `gap` of the axes' height.

    Call it when the limits are final. A label outside the limits stands at the edge.
    """
    placed: list[tuple[float, Label]] = []
    for label in labels:
        height = axes.transAxes.inverted().transform(axes.transData.transform((axes.get_xlim()[1], label.y)))[
            1
        ]
        placed.append((float(np.clip(height, 0, 1)), label))
    placed.sort(key=lambda item: item[0])
    heights = [height for height, _ in placed]
    for i in range(1, len(heights)):  # push up …
        heights[i] = max(heights[i], heights[i - 1] + gap)
    overflow = max(0.0, heights[-1] - 1.0) if heights else 0.0
    if overflow:  # … and, where that leaves the axes, down again
        heights[-1] -= overflow
        for i in range(len(heights) - 2, -1, -1):
            heights[i] = min(heights[i], heights[i + 1] - gap)
    for height, (_, label) in zip(heights, placed, strict=True):
        axes.text(1.015, height, label.text, color=label.color, transform=axes.transAxes, va="center", size=8)


def extent(
    values: Array, direction: str, keep: Iterable[float] = (), reach: float = 3.0
) -> tuple[float, float]:
    """Limits that show the better half of the scores well and cut a long tail of bad ones.

    The tail ends `reach` times as far from the median as the best score is. `keep` is always inside.
    """
    finite = values[np.isfinite(values)]
    kept = [value for value in keep if np.isfinite(value)]
    if not finite.size and not kept:
        return 0.0, 1.0
    if not finite.size:
        finite = np.asarray(kept)
    best = float(finite.max() if direction == "maximize" else finite.min())
    median = float(np.median(finite))
    tail = median - reach * (best - median)
    low, high = float(finite.min()), float(finite.max())
    if best != median:
        low, high = (max(low, tail), high) if direction == "maximize" else (low, min(high, tail))
    low, high = min([low, *kept]), max([high, *kept])
    margin = 0.06 * (high - low) or 0.02 * abs(high) or 0.5
    return low - margin, high + margin


def clip(values: Array, limits: tuple[float, float]) -> tuple[Array, Array]:
    """Values moved to the nearest limit, and which of them had to be. NaN stays NaN, infinity moves."""
    outside = (values < limits[0]) | (values > limits[1])
    return np.clip(values, *limits), outside


def log_ticks(axes: Axes, which: str) -> None:
    """Decades as 10⁻³ in plain letters, since mathematical text is switched off."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(numticks=6))
    low, high = sorted(axis.get_view_interval())
    if low > 0 and np.log10(high / low) < 2:  # less than two decades: 1, 2, 5, 10, 20 …
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    else:
        axis.set_major_formatter(FuncFormatter(lambda value, _: _power(value)))
    axis.set_minor_locator(NullLocator())


def plain_ticks(axes: Axes, which: str, integer: bool = False) -> None:
    """At most six numbers, without an offset to add; call it when the limits are final."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = sorted(axis.get_view_interval())
    span = high - low
    axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=integer))
    if max(abs(low), abs(high)) >= 1e6 or span < 1e-4:
        axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        return
    # with at most five steps of 1, 2 or 5 times a power of ten, a quarter of the span has the step's decimals
    decimals = 0 if integer else max(0, math.ceil(-math.log10(span / 4)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.{decimals}f}".replace("-", "−")))


def number(value: Value) -> str:
    """Four significant digits at most, thousands separated; words as they are."""
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e6):
        return f"{int(value):,}".replace("-", "−")
    if not np.isfinite(value):
        return "NaN" if value != value else ("∞" if value > 0 else "−∞")
    if 1e-3 <= abs(value) < 1e6:
        text = f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:,.4g}"
    else:
        mantissa, exponent = f"{value:.2e}".split("e")
        text = f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"
    return text.replace("-", "−")


def shorten(text: str, length: int) -> str:
    """At most `length` characters, the last one an ellipsis where something was cut."""
    return text if len(text) <= length else text[: max(length - 1, 1)].rstrip() + "…"


def _power(value: float) -> str:
    exponent = int(np.round(np.log10(value))) if value > 0 else 0
    return {0: "1", 1: "10"}.get(exponent, "10" + str(exponent).translate(_SUPERSCRIPTS))


#: Of shares, from none to all.
SHADES = LinearSegmentedColormap.from_list("shades", matplotlib.colormaps["Blues"](np.linspace(0, 0.85, 128)))
#: Okabe and Ito's, as many classes as a picture with colored classes may have.
CLASS_COLORS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", VERMILION, "#a89c00", "#5f6770")
CLASS_MARKS = ("o", "s", "^", "D", "v", "P", "X", "p")
#: Blue below zero, white at zero, vermilion above.
DIVERGING = LinearSegmentedColormap.from_list(
    "signed", ["#00436b", BLUE, "#9fcbe6", "#fbfbfb", "#f3b98f", VERMILION, "#7d3600"]
)


def blend(color: str, strength: Array) -> Array:
    """White at strength 0, the color at 1: [*S] -> [*S, 3]."""
    share = np.asarray(strength, dtype=float)[..., np.newaxis]
    mixed: Array = 1.0 - share * (1.0 - np.array(to_rgb(color)))
    return mixed
