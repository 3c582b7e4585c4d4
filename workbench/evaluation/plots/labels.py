"""What the delivered model gets right and wrong of each label: a confusion of two by two, as counts."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from workbench.core.records import Outcome
from workbench.core.types import Array
from workbench.evaluation.facts import threshold
from workbench.evaluation.plots.style import (
    INK,
    SHADES,
    VERMILION,
    WIDE,
    canvas,
    drawn,
    panel,
    shorten,
)
from workbench.evaluation.predictor import said_labels

#: Labels that are shown, the most mistaken ones.
_MOST = 24
#: The kinds of answers, and what each is called.
_KINDS = ("there, said", "there, not said", "not there, said", "neither")


@drawn
def label_counts(outcome: Outcome) -> Figure:
    """Of each label the true positives, false negatives, false positives and true negatives.

    Counts, shaded by their share of the rows.
    """
    counts = counts_of_labels(outcome)
    order = np.argsort(-(counts[:, 1] + counts[:, 2]), kind="stable")[:_MOST]
    names = outcome.names or tuple(map(str, range(len(counts))))
    more = f"; the {_MOST} most mistaken of {len(counts)}" if len(counts) > _MOST else ""
    height = 1.2 + 0.3 * len(order)
    figure = canvas(
        "What is said of each label",
        f"{counts[0].sum():,} {outcome.outputs_on} rows{more}",
        WIDE,
        height,
    )
    longest = max(len(shorten(names[i], 18)) for i in order)
    axes = panel(figure, 0.35 + 0.068 * longest, 0.2, 0.2, 0.95)
    shown = counts[order]
    shares = shown / shown.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap=SHADES, vmin=0, vmax=1, aspect="auto")
    for row, kind in np.ndindex(shown.shape):
        wrong = kind in (1, 2) and shown[row, kind]
        ink = "white" if shares[row, kind] > 0.55 else VERMILION if wrong else INK
        axes.text(kind, row, f"{shown[row, kind]:,}", ha="center", va="center", size=8, color=ink)
    axes.set_yticks(range(len(order)), [shorten(names[i], 18) for i in order])
    axes.set_xticks(range(len(_KINDS)), _KINDS)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, labelcolor=INK)
    axes.spines[:].set_visible(False)
    return figure


def counts_of_labels(outcome: Outcome) -> Array:
    """[K, 4]: rows that have a label and are told so, have it and are not, are told it wrongly, the rest."""
    there, told = np.asarray(outcome.targets) == 1, said_labels(outcome.outputs, threshold(outcome)) == 1
    kinds = (there & told, there & ~told, ~there & told, ~there & ~told)
    return np.stack([kind.sum(axis=0) for kind in kinds], axis=1)
