"""Activation functions with their derivatives, one small panel each, on one scale."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.core.types import Array
from workbench.evaluation.plots.style import BLUE, FAINT, INK, MUTED, NARROW, ORANGE, canvas, drawn, panel

_LOW, _HIGH = -1.35, 2.6


@drawn
def activation_functions(
    z: Array, values: Mapping[str, tuple[Array, Array]], *, chosen: Collection[str] = ()
) -> Figure:
    """g(z) and g'(z) of each named function.

    z       [M] rising
    values  name -> (g(z) [M], g'(z) [M])
    chosen  names to stand out
    """
    count = len(values)
    columns = min(3, count) if count != 4 else 2
    rows = -(-count // columns)
    height = 0.74 + 1.5 * rows
    figure = canvas(
        "What a neuron makes of its sum",
        "blue: activation g(z); dashed: its derivative g'(z), with which errors go back",
        height=height,
    )
    cell = (NARROW - 0.35 - 0.05) / columns
    for i, (name, (value, slope)) in enumerate(values.items()):
        row, column = divmod(i, columns)
        left, top = 0.35 + column * cell, 0.78 + row * 1.5
        axes = panel(figure, left, height - top - 1.12, NARROW - left - cell + 0.14, top)
        _function(axes, z, value, slope)
        words = name.replace("_", " ") + (" (of z and 0)" if name == "softmax" else "")
        axes.set_title(
            words + (", chosen" if name in chosen else ""),
            loc="left",
            color=INK,
            weight="bold" if name in chosen else "normal",
        )
        if column:
            axes.tick_params(axis="y", labelleft=False)
        if row < rows - 1 and i + columns < count:
            axes.tick_params(axis="x", labelbottom=False)
    return figure


def _function(axes: Axes, z: Array, value: Array, slope: Array) -> None:
    axes.axhline(0, color=FAINT, lw=0.6, zorder=0)
    axes.axvline(0, color=FAINT, lw=0.6, zorder=0)
    axes.plot(z, _broken(value), color=BLUE, lw=2.0, label="g", zorder=3)
    axes.plot(z, _broken(slope), color=ORANGE, lw=1.4, ls=(0, (4, 2)), label="slope", zorder=4)
    axes.set(xlim=(z[0], z[-1]), ylim=(_LOW, _HIGH))
    axes.set_xticks([tick for tick in range(-10, 11, 2) if z[0] < tick < z[-1]])
    axes.set_yticks([-1, 0, 1, 2], ["−1", "0", "1", "2"])
    axes.xaxis.set_major_formatter(lambda tick, _: f"{tick:.0f}".replace("-", "−"))
    axes.tick_params(labelcolor=MUTED)


def _broken(values: Array) -> Array:
    """A jump is a gap, not a steep line: NaN after each step of half a unit or more."""
    shown = np.array(values, dtype=float)
    shown[1:][np.abs(np.diff(values)) >= 0.5] = np.nan
    return shown
