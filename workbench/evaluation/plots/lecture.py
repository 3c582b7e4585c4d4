"""Figures of experiments: lines with bands over seeds, and effects seed by seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from workbench.core.types import Array
from workbench.evaluation.plots.style import (
    BLUE,
    FAINT,
    INK,
    MUTED,
    ORANGE,
    VERMILION,
    WIDE,
    Label,
    canvas,
    drawn,
    label_ends,
    log_ticks,
    panel,
    plain_ticks,
)

#: The fourth is Okabe and Ito's bluish green, the fifth their reddish purple.
COLORS = (BLUE, ORANGE, VERMILION, "#009E73", "#CC79A7")


@drawn
def lines(
    x: Array | Sequence[float],
    by_label: Mapping[str, Array],
    *,
    title: str,
    x_label: str,
    y_label: str,
    note: str = "line: median over seeds; band: 10 to 90 % of them",
    log_x: bool = False,
    log_y: bool = False,
    level: tuple[float, str] | None = None,
) -> Figure:
    """Curves against x, each drawn as its median over seeds with a band.

    Args:
        x: Positions [n], in the unit that `x_label` names.
        by_label: The values [S, n] of each curve, S seeds; NaN where there is none.
        title: What the figure shows.
        x_label: What x is.
        y_label: What the values are.
        note: How to read it, a line below the title.
        log_x: Whether x has a logarithmic axis.
        log_y: Whether the values have one.
        level: A height that is worth a line, and its name.

    Returns:
        The figure, which belongs to no window.
    """
    figure = canvas(title, note, WIDE, 3.6)
    axes = panel(figure, 0.65, 0.5, 1.5, 0.78)
    ends = []
    for (label, values), color in zip(by_label.items(), COLORS, strict=False):
        low, middle, high = np.nanquantile(np.asarray(values, float), (0.1, 0.5, 0.9), axis=0)
        axes.fill_between(x, low, high, color=color, alpha=0.18, lw=0)
        axes.plot(x, middle, color=color, lw=1.8)
        known = middle[np.isfinite(middle)]
        ends.append(Label(float(known[-1]) if len(known) else 0.0, label, color))
    if log_x:
        axes.set_xscale("log")
    if log_y:
        axes.set_yscale("log")
    if level is not None:
        axes.axhline(level[0], color=FAINT, lw=1.0, ls="--", zorder=0)
        axes.text(
            0.99, level[0], level[1], transform=axes.get_yaxis_transform(), color=MUTED, size=7.5,
            ha="right", va="bottom",
        )  # fmt: skip
    axes.margins(x=0.02)
    for which, logarithmic in (("x", log_x), ("y", log_y)):
        if logarithmic:
            log_ticks(axes, which)
        else:
            plain_ticks(axes, which)
    axes.set_xlabel(x_label)
    axes.set_title(y_label, loc="left", color=MUTED)
    label_ends(axes, ends)
    return figure


@drawn
def strip(
    by_label: Mapping[str, Array],
    *,
    title: str,
    x_label: str,
    note: str = "a dot for each seed; bar: mean with its 95 % interval",
    log: bool = False,
    level: tuple[float, str] | None = None,
) -> Figure:
    """The values of each label as dots in a row of their own.

    Args:
        by_label: The values [S] of each row, one for each seed.
        title: What the figure shows.
        x_label: What the values are, with their unit.
        note: How to read it, a line below the title.
        log: Whether the axis is logarithmic.
        level: A value that is worth a line, and its name.

    Returns:
        The figure, which belongs to no window.
    """
    from workbench.evaluation.intervals import seed_spread

    height = 1.35 + 0.42 * len(by_label)
    figure = canvas(title, note, WIDE, height)
    axes = panel(figure, 1.9, 0.5, 0.3, 0.62)
    if log:
        axes.set_xscale("log")
    shift = np.random.default_rng(0)
    for row, ((label, values), color) in enumerate(zip(by_label.items(), COLORS * 3, strict=False)):
        at = np.asarray(values, float)
        axes.plot(at, row + shift.uniform(-0.16, 0.16, len(at)), "o", ms=3.2, color=color, alpha=0.55, mew=0)
        found = seed_spread(at)
        axes.plot([found.low, found.high], [row, row], color=INK, lw=2.2, solid_capstyle="butt")
        axes.plot([found.mean], [row], "|", color=INK, ms=11, mew=2.0)
        axes.text(-0.02, row, label, transform=axes.get_yaxis_transform(), ha="right", va="center", color=INK)
    if level is not None:
        axes.axvline(level[0], color=FAINT, lw=1.0, ls="--", zorder=0)
        low, high = axes.get_xlim()
        late = level[0] > (low * high) ** 0.5 if log else level[0] > (low + high) / 2
        side = "right" if late else "left"
        axes.text(
            level[0], len(by_label) - 0.55, f" {level[1]} ", color=MUTED, size=7.5, ha=side, va="bottom"
        )
    axes.set_ylim(len(by_label) - 0.5, -0.5)
    axes.set_yticks([])
    if log:
        log_ticks(axes, "x")
    else:
        plain_ticks(axes, "x")
    axes.set_xlabel(x_label)
    return figure
