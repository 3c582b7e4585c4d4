"""A small net with its numbers on one input: activities on the way forward, errors on the way back.

Left, every line is what a neuron sends on, w a; right, it is the gradient of that weight, δ a: the error of
the neuron that it leads to times the activity that it carries (*Neural networks, really understood*).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.figure import Figure

from workbench.core.types import Array
from workbench.evaluation.plots.style import (
    BLUE,
    DIVERGING,
    FAINT,
    INK,
    MUTED,
    VERMILION,
    WIDE,
    canvas,
    drawn,
    panel,
    shorten,
)

_NAME = 13  # letters of a name
_THICK = 3.2  # points of the strongest line


@drawn
def network_diagram(
    activities: Sequence[Array],
    weights: Sequence[Array],
    errors: Sequence[Array],
    *,
    inputs: Sequence[str] = (),
    outputs: Sequence[str] = (),
    note: str = "",
) -> Figure:
    """The net on one input, forward and backward; the fields of `backpropagation.Blame`.

    activities       a^0 (the input), a^1, …, z^L: [F], [H], …, [K]
    weights          W^1 … W^L, each [out, in]
    errors           δ^1 … δ^L, each [out]
    inputs, outputs  names of the features and of the outputs
    """
    most = max(len(layer) for layer in activities)
    height = 1.05 + max(1.6, 0.36 * most)
    figure = canvas("One row on its way through the net, and its error on the way back", note, WIDE, height)
    sent = [w * a for w, a in zip(weights, activities, strict=False)]
    slopes = [np.outer(d, a) for d, a in zip(errors, activities, strict=False)]
    words = ("forward: activities; lines w·a", "backward: errors δ; lines δ·a, the weights' gradients")
    margin = 0.12 + 0.062 * max([len(shorten(name, _NAME)) for name in inputs], default=0)
    right = 0.12 + 0.062 * max([len(shorten(name, _NAME)) for name in outputs], default=0)
    width = (WIDE - 0.25 - margin - right) / 2
    unknown = np.full(len(activities[0]), np.nan)
    for i, (nodes, lines, word) in enumerate(
        ((activities, sent, words[0]), ([unknown, *errors], slopes, words[1]))
    ):
        left = margin + i * (width + 0.25)
        axes = panel(figure, left, 0.12, WIDE - left - width, 0.88)
        places = positions([len(layer) for layer in activities], width, height - 1.0)
        axes.set(xlim=(0, width), ylim=(0, height - 1.0))
        axes.axis("off")
        radius = min(0.17, 0.44 * (height - 1.0) / most)
        _lines(axes, places, lines)
        _nodes(axes, places, nodes, radius)
        figure.text(left / WIDE, 1 - 0.72 / height, word, color=INK, va="bottom")
        for names, layer, side in ((inputs, 0, -1), (outputs, -1, 1)):
            if (side < 0) == (i == 0):
                for name, (x, y) in zip(names, places[layer], strict=False):
                    axes.text(
                        x + side * (radius + 0.05), y, shorten(name, _NAME), va="center", size=7, color=MUTED,
                        ha="right" if side < 0 else "left",
                    )  # fmt: skip
    return figure


def positions(sizes: Sequence[int], width: float, height: float) -> list[Array]:
    """Where the neurons stand, [n, 2] inches for each layer, left to right; a layer's first is on top."""
    step = height / max(*sizes, 2)
    columns = np.linspace(0.2, width - 0.2, len(sizes))
    return [
        np.stack([np.full(n, x), height / 2 + step * ((n - 1) / 2 - np.arange(n))], axis=1)
        for n, x in zip(sizes, columns, strict=True)
    ]


def _lines(axes: Axes, places: Sequence[Array], values: Sequence[Array]) -> None:
    """A line from every neuron to every one of the next layer, as thick as its value, weak ones below."""
    for layer, matrix in enumerate(values):
        scale = float(np.abs(matrix).max()) or 1.0
        share = np.abs(matrix).ravel() / scale
        order = np.argsort(share, kind="stable")
        ends = [(places[layer][i], places[layer + 1][j]) for j, i in np.ndindex(*matrix.shape)]
        colors = np.where(matrix.ravel() >= 0, VERMILION, BLUE)
        axes.add_collection(
            LineCollection(
                [ends[k] for k in order],
                colors=colors[order],
                linewidths=0.25 + (_THICK - 0.25) * share[order],
                alpha=(0.12 + 0.78 * share[order]).tolist(),
                zorder=1,
            ),
            autolim=False,
        )


def _nodes(axes: Axes, places: Sequence[Array], values: Sequence[Array], radius: float) -> None:
    for place, value in zip(places, values, strict=True):
        known = np.nan_to_num(value)
        scale = float(np.abs(known).max()) or 1.0
        tints = DIVERGING(0.5 + 0.36 * known / scale)
        tints[np.isnan(value)] = (1, 1, 1, 1)
        size = np.full(len(place), 2 * radius * 72)
        axes.add_collection(
            EllipseCollection(
                size, size, np.zeros(len(place)), units="points", offsets=place, zorder=2, clip_on=False,
                offset_transform=axes.transData, facecolors=tints, edgecolors=FAINT, linewidths=0.8,
            ),
            autolim=False,
        )  # fmt: skip
        for (x, y), number, share in zip(place, value, np.abs(known) / scale, strict=True):
            if not np.isnan(number):
                axes.text(
                    x, y - 0.004, _short(float(number)), ha="center", va="center", zorder=3,
                    size=max(5.0, 38 * radius), color="white" if share > 0.8 else INK,
                )  # fmt: skip


def _short(value: float) -> str:
    """Two digits: what fits into a circle."""
    size = abs(value)
    if size == 0:
        return "0"
    if size < 0.005 or size >= 999.5:
        mantissa, exponent = f"{value:.0e}".split("e")
        text = f"{mantissa}e{int(exponent)}"
    else:
        text = f"{value:.0f}" if size >= 9.95 else f"{value:.1f}" if size >= 0.995 else f"{value:.2f}"
    return text.replace("-", "−")
