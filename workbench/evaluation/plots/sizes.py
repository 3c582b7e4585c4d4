"""The learning curve: score against the number of training rows, where bias and variance part.

High variance shows as a gap that closes with more rows, high bias as two lines that meet at a poor score
(*Regression to neural networks*).
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from workbench.core.types import Array
from workbench.evaluation.plots.style import (
    BLUE,
    MUTED,
    ORANGE,
    Label,
    canvas,
    drawn,
    label_ends,
    panel,
    plain_ticks,
)


@drawn
def size_curve(
    sizes: Array, train: Array, validation: Array, *, metric: str, direction: str = "", note: str = ""
) -> Figure:
    """Score of training and validation rows against the number of training rows.

    sizes              [n] rising
    train, validation  [n, 3]: the score and the ends of its interval
    direction          which way is better, in words
    """
    figure = canvas("Would more rows help?", note or "bands: 95 % intervals")
    axes = panel(figure, 0.6, 0.45, 0.85, 0.78)
    labels = []
    for word, scores, color, ink in (
        ("train", np.asarray(train, float), BLUE, BLUE),
        ("validation", np.asarray(validation, float), ORANGE, "#9a6a00"),
    ):
        axes.fill_between(
            sizes, scores[:, 1], scores[:, 2], color=color, alpha=0.2, lw=0, label=f"{word} band"
        )
        axes.plot(sizes, scores[:, 0], "o-", color=color, lw=1.6, ms=4, label=word)
        labels.append(Label(float(scores[-1, 0]), word, ink))
    spread = sizes[-1] / sizes[0] >= 8
    if spread:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(FixedLocator(_apart(sizes, log=bool(spread))))
    axes.xaxis.set_major_formatter(lambda rows, _: f"{rows:,.0f}")
    margin = (sizes[-1] / sizes[0]) ** 0.04 if spread else 0.04 * (sizes[-1] - sizes[0])
    axes.set_xlim(
        *((sizes[0] / margin, sizes[-1] * margin) if spread else (sizes[0] - margin, sizes[-1] + margin))
    )
    plain_ticks(axes, "y")
    axes.set_xlabel("training rows")
    axes.set_title(f"{metric}, {direction}" if direction else metric, loc="left", color=MUTED)
    label_ends(axes, labels)
    return figure


def _apart(sizes: Array, *, log: bool) -> list[float]:
    """The sizes that can be written beside each other, the last one always among them."""
    places = np.log(sizes) if log else np.asarray(sizes, float)
    least = 0.13 * (places[-1] - places[0])
    kept = [len(sizes) - 1]
    for i in range(len(sizes) - 2, -1, -1):
        if places[kept[-1]] - places[i] >= least:
            kept.append(i)
    return [float(sizes[i]) for i in reversed(kept)]
