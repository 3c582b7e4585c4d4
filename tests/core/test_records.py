"""Which trial is better."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.helpers import outcomes
from workbench.core.records import Curves, TrialRecord, ranked


def trial(number: int, value: float | None, loss: float, **changes: object) -> TrialRecord:
    curves = Curves(*(np.array([9.0, loss], np.float32) for _ in Curves._fields))
    known = next(one for one in outcomes.classification(3).trials if one.state == "complete")
    return replace(known, number=number, value=value, best_epoch=2, curves=curves, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("direction", "order"), [("maximize", [3, 4, 1, 2]), ("minimize", [1, 2, 3, 4])])
def test_by_score_then_by_loss_then_by_number(direction: str, order: list[int]) -> None:
    trials = [
        trial(4, 0.9, 0.2), trial(3, 0.9, 0.1), trial(2, 0.8, 0.5), trial(1, 0.8, 0.5),
        trial(0, 1.0, 0.0, state="pruned"), trial(5, None, 0.0),
    ]  # fmt: skip
    assert [one.number for one in ranked(trials, direction)] == order  # type: ignore[arg-type]


def test_an_unknown_loss_comes_last_among_equals() -> None:
    assert [one.number for one in ranked([trial(0, 0.5, np.nan), trial(1, 0.5, 3.0)], "maximize")] == [1, 0]
