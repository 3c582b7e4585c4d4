"""Which metrics have no value on some rows, known from their targets alone.

A ROC curve needs both classes, a score that averages over classes every one of them, R² a target that varies.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.core.formatting import toml
from workbench.core.types import Array
from workbench.data.targets import known

if TYPE_CHECKING:
    from workbench.data.dataset import Dataset

#: Metrics in the units of each target, whose mean over targets the largest numbers decide; how many times as
#: much one target varies as another, from which on that is told.
_IN_UNITS, _UNLIKE = ("rmse", "mse", "mae", "pinball"), 3.0
#: Metrics of two classes that must both be there; those that average over all classes; of class 1 alone.
_BOTH, _EVERY, _SECOND = ("roc_auc",), ("balanced_accuracy", "f1_macro", "log_loss"), ("f1",)


def undefined(target: Array, classes: Sequence[str]) -> Mapping[str, str]:
    """The metrics that these rows leave undefined, each with the reason: "all 30 are of class "no"".

    target   as in Dataset: codes into `classes`, or numbers, for which `classes` is empty; of rows or of
    steps
    """
    values = known(target)
    if not classes:
        return _constant(values)
    counts = np.bincount(values, minlength=len(classes))
    absent, present = np.flatnonzero(counts == 0), np.flatnonzero(counts)
    if not absent.size:
        return {}
    if len(present) == 1:
        why = f"all {len(values):,} are of class {toml(classes[present[0]])}"
    else:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        why = f"none of {len(values):,} is of class {toml(classes[absent[0]])}{more}"
    found = dict.fromkeys((*_BOTH, *_EVERY), why)
    return found | (dict.fromkeys(_SECOND, why) if counts[1] == 0 else {})


def _constant(values: Array) -> Mapping[str, str]:
    """R², and of labels their ROC curves, where some target is the same in all rows."""
    still = np.flatnonzero((values == values[:1]).all(axis=0))
    if not still.size:
        return {}
    which = "the target" if values.shape[1] == 1 else f"target {int(still[0]) + 1} of {values.shape[1]}"
    rows = "the one row there is" if len(values) == 1 else f"all {len(values):,}"
    labels = values.shape[1] > 1 and np.isin(values, (0, 1)).all()
    return dict.fromkeys(
        ("r2", *_BOTH) if labels else ("r2",), f"{which} is {values[0, still[0]]:g} in {rows}"
    )


def dominated(metric: str, dataset: Dataset) -> tuple[str, ...]:
    """That one target decides what is a mean over several, as far as their spreads tell; often nothing."""
    names = dataset.outputs
    if dataset.task != "regression" or len(names) < 2 or not metric.startswith(_IN_UNITS):
        return ()
    spread = known(dataset.target).astype(np.float64).std(axis=0)
    largest = int(spread.argmax())
    if spread.max() <= _UNLIKE * spread.min():
        return ()
    return (
        f"{metric} is the mean over {len(names)} targets, each in its own units, and mostly that of "
        f'{names[largest]}, which varies most (by {spread[largest]:.3g}); metric = "r2" counts all alike',
    )
