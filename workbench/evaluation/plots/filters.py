"""What the first layer of an image model looks for: one small picture a unit or kernel."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from workbench.core.types import Array
from workbench.evaluation.plots.style import (
    DIVERGING,
    INK,
    MUTED,
    NARROW,
    canvas,
    drawn,
    number,
    panel,
    shorten,
)

MOST_FILTERS = 48
_SILENT = to_rgb("#d9dce0")


@drawn
def first_layer_filters(weights: Array, *, names: Sequence[str] = (), words: str = "units") -> Figure:
    """Weights that see the image, [n, H, W, C], blue negative and vermilion positive, on one scale for all.

    NaN is drawn grey: a pixel that says nothing, so that its weight was not learned. Three channels make a
    color picture; of any other number of them the mean is drawn. Where there are more than 48 filters, those
    with the longest weights are drawn.

    names  one per filter, where it has one (a class)
    words  what the filters are
    """
    chosen = longest(weights, MOST_FILTERS)
    tiles, scale = tinted(weights[chosen])
    count = len(tiles)
    columns = count if count <= 3 else int(np.ceil(np.sqrt(count * 1.3)))
    rows = -(-count // columns)
    cell = min((NARROW - 0.2) / columns, 1.3)
    gap, label = 0.05, 0.19 if names else 0.0
    side = (cell - gap) * tiles.shape[1] / tiles.shape[2]
    height = 0.62 + rows * (side + gap + label) + 0.42
    figure = canvas(
        "What the first layer looks for",
        f"weights of {len(weights)} {words}"
        + (f"; the {count} longest are shown" if count < len(weights) else "")
        + ("; grey: pixels that never change" if np.isnan(weights).any() else ""),
        NARROW,
        height,
    )
    axes = panel(figure, 0.1, 0.42, NARROW - 0.1 - columns * cell, 0.62)
    axes.set(xlim=(0, columns * cell), ylim=(rows * (side + gap + label), 0))
    for i, tile in enumerate(tiles):
        row, column = divmod(i, columns)
        left, top = column * cell, row * (side + gap + label) + label
        extent = (left, left + cell - gap, top + side, top)
        axes.imshow(tile, extent=extent, interpolation="nearest", aspect="auto")
        if names:
            axes.text(left + (cell - gap) / 2, top - 0.04, shorten(names[chosen[i]], 12), ha="center", size=7)
    axes.set(xlim=(0, columns * cell), ylim=(rows * (side + gap + label), 0))
    axes.axis("off")
    _scale(figure, scale, colored=weights.shape[-1] == 3)
    return figure


def longest(weights: Array, most: int) -> Array:
    """Which filters of [n, H, W, C] have the longest weights, at most so many, in their own order."""
    length = np.sqrt(np.nansum(np.square(weights), axis=(1, 2, 3)))
    return np.sort(np.argsort(-length, kind="stable")[:most])


def tinted(weights: Array) -> tuple[Array, float]:
    """The filters [n, H, W, C] as colors [n, H, W, 3], and the weight that has the strongest color."""
    colored = weights.shape[-1] == 3
    plain = weights if colored else weights.mean(axis=-1)
    scale = float(np.nanmax(np.abs(plain), initial=0.0)) or 1.0
    if colored:
        return np.nan_to_num(0.5 + 0.5 * plain / scale, nan=0.85), scale
    tiles = np.array(DIVERGING(0.5 + 0.5 * np.nan_to_num(plain) / scale)[..., :3])
    tiles[np.isnan(plain)] = _SILENT
    return tiles, scale


def _scale(figure: Figure, scale: float, *, colored: bool) -> None:
    """What the colors mean, below the filters."""
    width = float(figure.get_size_inches()[0])
    if colored:
        figure.text(
            0.1 / width, 0.03, "grey: no weight; brighter or darker: answers to that color", color=MUTED
        )
        return
    axes = panel(figure, 0.75, 0.2, width - 2.55, float(figure.get_size_inches()[1]) - 0.3)
    axes.imshow(np.linspace(0, 1, 128)[np.newaxis], cmap=DIVERGING, aspect="auto")
    axes.set_yticks([])
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    edge = number(float(f"{scale:.2g}"))
    axes.text(-0.03, 0.5, f"−{edge}", ha="right", va="center", transform=axes.transAxes, color=MUTED)
    axes.text(1.03, 0.5, edge, ha="left", va="center", transform=axes.transAxes, color=INK)
