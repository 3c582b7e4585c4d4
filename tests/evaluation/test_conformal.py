"""Intervals of predictions: their promise against simulation and against NumPy's own quantiles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.errors import InputError
from workbench.evaluation.conformal import Residuals, half_width, residuals


def missed(size: np.ndarray, weight: np.ndarray | None = None) -> Residuals:
    return residuals(size.reshape(len(size), -1), np.zeros((len(size), 1), np.float32), weight)


@given(st.integers(1, 400), st.floats(0.01, 0.99))
def test_it_is_the_order_statistic_that_counts_the_new_row(n: int, share: float) -> None:
    size = np.random.default_rng(n).exponential(size=n).astype(np.float32)
    k = math.ceil(share * (n + 1) - 1e-9)
    if k > n:
        with pytest.raises(InputError, match=f"{n:,} validation rows, as they count, are too few"):
            half_width(missed(size), share)
        return
    assert half_width(missed(size), share)[0] == np.sort(size)[k - 1]
    # NumPy's quantile of n rows and one more that was missed by everything
    theirs = np.quantile(np.append(size, np.inf), share, method="inverted_cdf")
    assert half_width(missed(size), share)[0] == pytest.approx(theirs) or abs(share * (n + 1) - k) < 1e-6


def test_ninety_percent_of_nine_rows_is_the_worst_and_more_is_refused() -> None:
    nine = missed(np.arange(1.0, 10.0))
    assert half_width(nine, 0.9) == [9.0]
    with pytest.raises(InputError, match=r"interval = 0.91: 9 validation rows.* more than 0.9;"):
        half_width(nine, 0.91)
    for wrong in (0.0, 1.0, -1.0, 90.0, math.nan):
        with pytest.raises(InputError, match="must be a share above 0 and below 1"):
            half_width(nine, wrong)


def test_weights_are_copies_but_for_the_new_row_and_only_ratios_count() -> None:
    draw = np.random.default_rng(0)
    size, weight = draw.exponential(size=200), draw.integers(1, 4, 200).astype(float)
    found = half_width(missed(size, weight), 0.8)
    assert half_width(missed(size, 7.0 * weight), 0.8) == found
    copies = np.repeat(size, weight.astype(int))
    low, high = (np.quantile(copies, share, method="inverted_cdf") for share in (0.8, 0.82))
    assert low - 1e-6 <= found[0] <= high + 1e-6
    assert half_width(missed(size, np.full(200, 0.3)), 0.8) == half_width(missed(size), 0.8)


def test_each_target_has_its_own() -> None:
    size = np.random.default_rng(1).exponential(size=(99, 2)) * [1.0, 10.0]
    both = half_width(residuals(size, np.zeros((99, 2)), None), 0.9)
    assert both[0] == half_width(missed(size[:, 0]), 0.9)
    assert both[1] == half_width(missed(size[:, 1]), 0.9)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n", [29, 100])
def test_new_rows_lie_inside_as_often_as_promised(n: int, weighted: bool) -> None:
    """Of errors with any tail, over many sets of validation rows; no more than one row in n + 1 too often."""
    draw = np.random.default_rng(n)
    inside, total = 0.0, 0.0
    for _ in range(2000):
        w = draw.uniform(0.2, 2.0, n + 1) if weighted else np.ones(n + 1)
        errors = np.abs(draw.standard_t(2, n + 1)) * (w if weighted else 1.0)
        half = half_width(missed(errors[:n], w[:n] if weighted else None), 0.9)[0]
        inside, total = inside + w[n] * (errors[n] <= half), total + w[n]
    covered, spread = inside / total, 3 * math.sqrt(0.09 / 2000 * (1.3 if weighted else 1.0))
    assert 0.9 - spread < covered < 0.9 + (2.5 if weighted else 1) / (n + 1) + spread
