"""Loss over parameters: the bowl of a linear model with the path of its descent, and a plane through a net.

The bowl is the picture of gradient descent in *Regression to neural networks*; the plane that of Li et al.,
arXiv:1712.09913.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from workbench.core.types import Array
from workbench.evaluation.plots.style import (
    INK,
    MUTED,
    SEQUENCE,
    VERMILION,
    WIDE,
    canvas,
    drawn,
    number,
    panel,
    plain_ticks,
)

_GRID = 81  # points of the bowl along each side
_LEVELS = 14
_MOST_ROWS = 500  # of the rows on which the bowl is measured
#: A dip counts as one where it is deeper than this share of the loss: above the rounding of float32.
_ROUNDING = 1e-4
_DARK_LOW = SEQUENCE.reversed()

Loss = Callable[[Array, Array], Array]


def squared_error(outputs: Array, y: Array) -> Array:
    """(ŷ - y)² of arrays that broadcast."""
    return np.asarray(np.square(outputs - y))


@drawn
def cost_bowl(
    x: Array,
    y: Array,
    path: Array,
    *,
    loss: Loss = squared_error,
    epochs: Sequence[int] | None = None,
    best: int | None = None,
) -> Figure:
    """The mean loss of w x + b over the plane of (w, b), and the way that training took through it.

    x, y    [N] each, on the scale that was trained on
    path    [E + 1, 2], w and b before the first epoch and after each
    loss    (outputs, y) -> losses, of arrays of one shape
    epochs  the epoch of each point of the path, where it is not 0, 1, 2 …
    best    the epoch whose parameters were kept; None: the last
    """
    x, y, path = (np.asarray(values, dtype=float) for values in (x, y, path))
    keep = np.arange(len(x)) if len(x) <= _MOST_ROWS else np.linspace(0, len(x) - 1, _MOST_ROWS).astype(int)
    w, b = _ground(path[np.isfinite(path).all(axis=1)])
    outputs = w[np.newaxis, :, np.newaxis] * x[keep] + b[:, np.newaxis, np.newaxis]
    losses = loss(outputs, np.broadcast_to(y[keep], outputs.shape)).mean(axis=-1)
    epochs = range(len(path)) if epochs is None else epochs
    note = f"{epochs[-1]:,} epochs of training; the ground is the mean loss over {len(keep):,} rows"
    figure = canvas("Down the bowl", note, height=4.0)
    axes = panel(figure, 0.6, 0.45, 0.85, 0.78)
    _contours(axes, w, b, losses)
    axes.plot(path[:, 0], path[:, 1], "-", color="white", lw=3.2, zorder=3, solid_joinstyle="round")
    axes.plot(path[:, 0], path[:, 1], "-", color=VERMILION, lw=1.5, zorder=4, label="path")
    axes.plot(path[1:-1, 0], path[1:-1, 1], "o", color=VERMILION, ms=2.6, mew=0, zorder=4)
    axes.plot(*path[0], "o", mfc="white", mec=VERMILION, mew=1.6, ms=7, zorder=5)
    kept = path[-1 if best is None else list(epochs).index(best)]
    axes.plot(*kept, "o", mfc=VERMILION, mec="white", mew=1.2, ms=8, zorder=6)
    end = "end" if best is None else f"epoch {best}, kept"
    for text, point, other in (("start", path[0], kept), (end, kept, path[0])):
        left = point[0] < other[0]  # away from the way
        axes.annotate(
            text,
            point,
            xytext=(-8 if left else 8, 8),
            textcoords="offset points",
            ha="right" if left else "left",
            color=INK,
            bbox={"fc": "white", "ec": "none", "alpha": 0.85, "pad": 1.2},
            zorder=7,
        )
    axes.set(xlim=(w[0], w[-1]), ylim=(b[0], b[-1]))
    plain_ticks(axes, "x")
    plain_ticks(axes, "y")
    axes.set_xlabel("weight w")
    axes.set_title("bias b", loc="left", color=MUTED)
    for word, value, height, side in (("light", losses.max(), 1, "top"), ("dark", losses.min(), 0, "bottom")):
        text = f"{word}: loss\n{number(float(f'{value:.3g}'))}"
        axes.text(1.03, height, text, transform=axes.transAxes, va=side, color=MUTED)
    return figure


@drawn
def loss_surface(
    steps: Array,
    losses: Array,
    companion: Array | None = None,
    *,
    names: Sequence[str] = ("this model", "without hidden layers"),
    rows: int | None = None,
) -> Figure:
    """The loss on a plane of two random directions through a model, beside that of a convex one.

    steps      [G] along each direction; the model is at 0
    losses     [G, G] of the model; rows go along the second direction
    companion  [G, G] of the model to compare with, on the same steps
    names      what the two are called
    rows       on how many training rows the loss was measured
    """
    both = [losses] if companion is None else [losses, companion]
    where = "" if rows is None else f"over {rows:,} training rows "
    figure = canvas(
        "The loss around the model",
        f"mean loss {where}along two random directions, each as long as the weights; "
        "a bowl bends down nowhere",
        WIDE,
        4.4,
    )
    for i, (values, word) in enumerate(zip(both, names, strict=False)):
        left = 0.55 + i * 3.5
        axes = panel(figure, left, 0.5, WIDE - left - 3.0, 1.0)
        _contours(axes, steps, steps, values)
        axes.plot([0], [0], "o", mfc=VERMILION, mec="white", mew=1.2, ms=7, zorder=5)
        low, high = (number(float(f"{end:.2g}")) for end in (np.nanmin(values), np.nanmax(values)))
        facts = f"{low} (dark) to {high}; bends down at {bends_down(values):.0%} of the points"
        axes.text(0, 1.075, word, weight="bold", transform=axes.transAxes, color=INK)
        axes.set_title(facts, loc="left", color=MUTED)
        axes.set_xlabel("along the first direction")
        if not i:
            axes.set_ylabel("along the second direction")
        plain_ticks(axes, "x")
        plain_ticks(axes, "y")
    return figure


def bends_down(losses: Array) -> float:
    """The share of inner points from which the loss falls to both sides of a row, column or diagonal.

    A second difference is negative there, or more so than rounding explains; a convex function has none.
    """
    center = losses[1:-1, 1:-1]
    pairs = (
        (losses[1:-1, :-2], losses[1:-1, 2:]),
        (losses[:-2, 1:-1], losses[2:, 1:-1]),
        (losses[:-2, :-2], losses[2:, 2:]),
        (losses[:-2, 2:], losses[2:, :-2]),
    )
    least = np.min([before + after - 2 * center for before, after in pairs], axis=0)
    return float((least < -_ROUNDING * np.abs(center)).mean())


def _contours(axes: Axes, x: Array, y: Array, losses: Array) -> None:
    """Filled contours, dark where the loss is low; levels are closer together there."""
    finite = losses[np.isfinite(losses)]
    low, high = float(finite.min()), float(finite.max())
    levels = low + (high - low or 1.0) * np.linspace(0, 1, _LEVELS + 1) ** 2
    shown = np.clip(losses, None, levels[-1])
    axes.contourf(x, y, shown, levels=levels, cmap=_DARK_LOW)
    axes.contour(x, y, shown, levels=levels[1:-1], colors="white", linewidths=0.5, alpha=0.7)


def _ground(path: Array) -> tuple[Array, Array]:
    """Values of w and b [G] around where the way ended, so wide that it takes up most of the picture.

    Neither range is less than half of the other: a bowl of which a sliver is shown is no bowl.
    """
    reach = np.abs(path - path[-1]).max(axis=0)
    reach = np.maximum(reach, 0.5 * (reach.max() or 1.0))
    w, b = (
        np.linspace(end - 1.4 * far, end + 1.4 * far, _GRID) for end, far in zip(path[-1], reach, strict=True)
    )
    return w, b
