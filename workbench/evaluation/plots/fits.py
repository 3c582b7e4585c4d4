"""What a model has made of one or two features: the fitted curve, the decision boundary.

Only development rows are drawn; nothing here asks for others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.core.types import Array
from workbench.evaluation.plots.style import (
    BLUE,
    CLASS_COLORS,
    CLASS_MARKS,
    INK,
    MUTED,
    ORANGE,
    Label,
    blend,
    canvas,
    drawn,
    label_ends,
    panel,
    plain_ticks,
    shorten,
)

MOST_CLASSES = len(CLASS_COLORS)
_GRID = 121  # points of the boundary along each side
_CURVE = 301  # points of the curve
_MOST_DOTS = 1500

Predict = Callable[[Array], Array]


@drawn
def decision_boundary(
    predict: Predict,
    x: Array,
    codes: Array,
    validation: Array,
    *,
    classes: Sequence[str],
    features: Sequence[str] = ("x1", "x2"),
    threshold: float = 0.5,
) -> Figure:
    """Which class is predicted where, and how surely, over two features.

    predict     [M, 2] in the units of the data -> probabilities [M, K]
    x, codes    development rows [N, 2] and their classes [N]
    validation  bool [N]: validation rows, drawn hollow
    threshold   of two classes, the second is predicted above this probability
    """
    x, codes, validation = _thinned(x, codes, validation)
    figure = canvas(
        "Which class where",
        f"{_count(validation)}; the paler, the less sure",
        height=4.1,
    )
    axes = panel(figure, 0.6, 0.45, 1.05, 0.78)
    first, second = (_range(x[:, i], _GRID) for i in range(2))
    points = np.stack([grid.ravel() for grid in np.meshgrid(first, second)], axis=1)
    chances = np.asarray(predict(points), dtype=float).reshape(_GRID, _GRID, -1)
    n = chances.shape[-1]
    even = chances - [1.0 - threshold, threshold] if n == 2 else chances  # equal where the decision turns
    best = even.argmax(axis=-1)
    sure = (chances.max(axis=-1) - 1 / n) / (1 - 1 / n)
    shades = np.ones((_GRID, _GRID, 3))
    for k in range(n):
        shades[best == k] = blend(CLASS_COLORS[k], 0.06 + 0.42 * sure[best == k])
    edge = [(grid[1] - grid[0]) / 2 for grid in (first, second)]
    axes.imshow(
        shades,
        origin="lower",
        aspect="auto",
        interpolation="bilinear",
        extent=(first[0] - edge[0], first[-1] + edge[0], second[0] - edge[1], second[-1] + edge[1]),
        zorder=0,
    )
    for k in range(n if n > 2 else 1):
        lead = even[..., k] - np.delete(even, k, axis=-1).max(axis=-1)
        if lead.min() < 0 < lead.max():
            axes.contour(first, second, lead, levels=[0.0], colors=INK, linewidths=1.0)
    for k in range(n):
        for hollow in (False, True):
            rows = (codes == k) & (validation == hollow)
            _dots(axes, x[rows], CLASS_COLORS[k], CLASS_MARKS[k], hollow, classes[k])
    for k in range(n):
        _key(axes, k, classes[k], n)
    axes.set(xlim=(first[0], first[-1]), ylim=(second[0], second[-1]))
    plain_ticks(axes, "x")
    plain_ticks(axes, "y")
    axes.set_xlabel(f"{shorten(features[0], 40)}   (filled: training, hollow: validation)")
    axes.set_title(shorten(features[1], 40), loc="left", color=MUTED)
    return figure


@drawn
def fitted_curve(
    predict: Predict,
    x: Array,
    y: Array,
    validation: Array,
    *,
    feature: str = "x",
    target: str = "y",
) -> Figure:
    """The prediction as a function of the one feature, through the development rows.

    predict     [M] in the units of the data -> [M]; for two classes the probability of the second
    x, y        development rows [N]; for two classes the codes 0 and 1
    validation  bool [N]: validation rows, drawn hollow
    """
    x, y, validation = _thinned(np.asarray(x, float), np.asarray(y, float), validation)
    figure = canvas("The fitted curve", _count(validation))
    axes = panel(figure, 0.6, 0.45, 0.85, 0.78)
    along = _range(x, _CURVE)
    curve = np.asarray(predict(along), dtype=float)
    for hollow, color, word in ((False, BLUE, "training"), (True, ORANGE, "validation")):
        rows = validation == hollow
        axes.plot(
            x[rows], y[rows], "o", ms=3.6, color=color, mfc="none" if hollow else color,
            mew=0.9 if hollow else 0, alpha=0.9 if hollow else 0.45, label=word, zorder=2,
        )  # fmt: skip
    axes.plot(along, curve, color=INK, lw=1.8, zorder=4, label="model")
    axes.set_xlim(along[0], along[-1])
    low, high = min(y.min(), curve.min()), max(y.max(), curve.max())
    margin = 0.05 * (high - low) or 0.5
    axes.set_ylim(low - margin, high + margin)
    plain_ticks(axes, "x")
    plain_ticks(axes, "y")
    axes.set_xlabel(f"{shorten(feature, 40)}   (filled: training, hollow: validation)")
    axes.set_title(shorten(target, 50), loc="left", color=MUTED)
    label_ends(axes, [Label(float(curve[-1]), "model", INK)])
    return figure


def _range(values: Array, n: int) -> Array:
    low, high = float(values.min()), float(values.max())
    margin = 0.08 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, n)


def _thinned(x: Array, y: Array, validation: Array) -> tuple[Array, Array, Array]:
    """At most so many rows, evenly spaced: more would hide each other."""
    if len(x) <= _MOST_DOTS:
        return x, y, validation
    keep = np.linspace(0, len(x) - 1, _MOST_DOTS).astype(int)
    return x[keep], y[keep], validation[keep]


def _count(validation: Array) -> str:
    return f"{int((~validation).sum()):,} training and {int(validation.sum()):,} validation rows"


def _dots(axes: Axes, x: Array, color: str, mark: str, hollow: bool, label: str) -> None:
    axes.plot(
        x[:, 0], x[:, 1], mark, ms=4.2, mfc="white" if hollow else color, mec=color if hollow else "white",
        mew=1.0 if hollow else 0.5, label=f"{label}, {'validation' if hollow else 'training'}", zorder=3,
    )  # fmt: skip


def _key(axes: Axes, k: int, name: str, n: int) -> None:
    height = 0.97 - k * min(0.09, 0.9 / n)
    axes.plot(
        [1.05], [height], CLASS_MARKS[k], color=CLASS_COLORS[k], ms=6, mew=0, transform=axes.transAxes,
        clip_on=False,
    )  # fmt: skip
    axes.text(1.085, height, shorten(name, 12), transform=axes.transAxes, va="center", color=INK)
