"""Numbers for the divisions of the development rows, and which of them a trial trains on.

From 1 on they are the study's folds or further hold-outs, as `data.resampling` makes them.
"""

from __future__ import annotations

from workbench.types import DataSpec

__all__ = ["ALL_ROWS", "OWN", "of_finalists", "of_trial"]

#: Training and validation rows as the split has them; every development row for training.
OWN, ALL_ROWS = 0, -1


def of_trial(spec: DataSpec, number: int) -> tuple[int, ...]:
    """The divisions that this trial trains on: all folds, the next hold-out, or the split's own."""
    if spec.folds:
        return tuple(range(1, spec.folds + 1))
    return (1 + number % spec.holdouts,) if spec.holdouts else (OWN,)


def of_finalists(spec: DataSpec) -> tuple[int, ...]:
    """The divisions that finalists are compared on: all folds, all hold-outs, or the split's own."""
    return tuple(range(1, (spec.folds or spec.holdouts) + 1)) or (OWN,)
