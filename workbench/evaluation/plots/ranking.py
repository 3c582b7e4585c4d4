"""How well the model ranks two classes, whatever the threshold: the ROC and the precision-recall curve.

Fawcett 2006 (An introduction to ROC analysis); Davis and Goadrich 2006 (why rare classes want the other one).
"""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from workbench.core.records import Outcome
from workbench.core.types import Array
from workbench.evaluation.facts import threshold
from workbench.evaluation.plots.style import (
    BLUE,
    FAINT,
    MUTED,
    VERMILION,
    WIDE,
    canvas,
    drawn,
    panel,
    shorten,
)
from workbench.evaluation.predictor import probabilities


@drawn
def ranking(outcome: Outcome) -> Figure:
    """Both curves of the second class, the model's threshold marked; of two classes."""
    chances = probabilities(outcome.outputs)[:, 1]
    positive = np.asarray(outcome.targets).reshape(-1).astype(int) == 1
    at, caught, alarms = counts(chances, positive)
    recall, false_alarms = caught / caught[-1], alarms / max(alarms[-1], 1)
    precision = caught / (caught + alarms)
    share = float(positive.mean())
    name = shorten(outcome.classes[1], 16)
    figure = canvas(
        "How well are the classes told apart?",
        f"{len(positive):,} {outcome.outputs_on} rows, {int(positive.sum()):,} of {name}; red: threshold "
        f"{threshold(outcome):.3g}",
        WIDE,
        3.6,
    )
    said = int(np.searchsorted(-at, -threshold(outcome), side="left"))  # those above it
    left = panel(figure, 0.6, 0.5, 4.0, 0.8)
    left.plot([0, 1], [0, 1], color=FAINT, lw=1)
    left.plot([0, *false_alarms], [0, *recall], color=BLUE, lw=1.6, label="ROC")
    left.set_title("true positive rate", loc="left", color=MUTED)
    left.set_xlabel("false positive rate   (grey: by chance)")
    right = panel(figure, 4.3, 0.5, 0.25, 0.8)
    right.axhline(share, color=FAINT, lw=1)
    right.step(recall, precision, where="post", color=BLUE, lw=1.6, label="precision")
    right.set_title("precision", loc="left", color=MUTED)
    right.set_xlabel("recall   (grey: by chance)")
    if said:
        left.plot(false_alarms[said - 1], recall[said - 1], "o", color=VERMILION, ms=6)
        right.plot(recall[said - 1], precision[said - 1], "o", color=VERMILION, ms=6)
    for axes in (left, right):
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.03))
    return figure


def counts(chances: Array, positive: Array) -> tuple[Array, Array, Array]:
    """Distinct chances, falling, and how many positives and negatives have at least each.

    chances  [N]
    positive [N] booleans
    """
    order = np.argsort(-chances, kind="stable")
    last = np.flatnonzero(np.diff(chances[order], append=-np.inf))
    return (
        chances[order][last],
        np.cumsum(positive[order])[last],
        np.cumsum(~positive[order])[last],
    )
