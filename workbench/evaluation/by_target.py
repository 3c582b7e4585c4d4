"""The score of each target by itself, where a model predicts several.

What decides is the mean over targets, of each in its own units: scikit-learn's multioutput =
"uniform_average". R² has no units, so that every target counts alike; of errors such as RMSE the target with
the largest numbers decides, which is why studies that name several targets are judged by R² unless they say
otherwise (Borchani, Varando, Bielza and Larrañaga 2015, "A survey on multi-output regression", for these
measures). Scores of labels are means over labels, or of whole rows: see `nn.metrics`. Here every target has
its own score and its own interval; the intervals are not joint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from workbench.core import vocabulary
from workbench.core.types import Array
from workbench.evaluation.evaluate import evaluate

#: What is recorded of a target: its metric, value, low, high, and a note if there is one.
Figures = Mapping[str, float | str | None]


def by_target(
    metric: str,
    outputs: Array,
    targets: Array,
    names: Sequence[str],
    *,
    labels: bool = False,
    threshold: float = 0.5,
    look: int = 1,
    groups: Array | None = None,
    weight: Array | None = None,
) -> dict[str, Figures]:
    """What is known of each of K targets, as JSON has it; nothing where there is one.

    Args:
        metric: That decides.
        outputs: [N, K] in the units of the data, of steps [N, T, K].
        targets: Alike.
        names: Of the K targets.
        labels: Whether the targets are labels, and outputs their logits; each is a target of two classes.
        threshold: Of probabilities of labels.
        look: At these rows, as `evaluate` has it.
        groups: [N] Rows that belong together; None: all stand alone.
        weight: [N] How much each row counts; None: all alike.
    """
    if len(names) < 2:
        return {}
    metric = vocabulary.OF_LABEL.get(metric, metric) if labels else metric
    found: dict[str, Figures] = {}
    for k, name in enumerate(names):
        y = np.asarray(targets)[..., k : k + 1]
        if labels:
            y = np.where(np.isnan(y), -1, y)[..., 0].astype(np.int32)
        one = evaluate(
            metric,
            np.asarray(outputs)[..., k : k + 1],
            y,
            threshold=threshold,
            classes=("0", "1") if labels else (),
            look=look,
            groups=groups,
            weight=weight,
        )
        found[name] = {"metric": metric, **one.told}
    return found
