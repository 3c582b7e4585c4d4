"""Intervals of scores of several labels, against known ones and against what resampling rows shows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as sk
from scipy import special

from workbench.core.types import Array
from workbench.evaluation.by_target import by_target
from workbench.evaluation.evaluate import compare, evaluate
from workbench.evaluation.intervals import proportion_interval

ROWS = 600


def rows(seed: int = 0, n: int = ROWS) -> tuple[Array, Array]:
    """Logits and labels [N, 3] that go together in a row."""
    draw = np.random.default_rng(seed)
    shared = draw.normal(size=(n, 1))
    truth = shared + draw.normal(size=(n, 3))
    y = (draw.random((n, 3)) < special.expit(2 * truth)).astype(np.float32)
    return truth.astype(np.float32), y


def test_whole_rows_have_the_interval_of_their_share() -> None:
    z, y = rows()
    right = int(((z > 0) == (y == 1)).all(axis=1).sum())
    found = evaluate("accuracy", z, y)
    assert found.value == pytest.approx(right / ROWS)
    assert (found.low, found.high) == pytest.approx(proportion_interval(right, ROWS))


@pytest.mark.parametrize("metric", ["log_loss", "nll", "hamming_loss", "label_accuracy"])
def test_means_over_rows_scatter_as_resampled_rows_do(metric: str) -> None:
    """Rows are resampled whole, so that labels that go together stay together."""
    z, y = rows()
    found = evaluate(metric, z, y)
    draw = np.random.default_rng(1)
    again = [
        evaluate_value(metric, *(part[draw.integers(0, ROWS, ROWS)] for part in [each]))
        for each in [np.concatenate([z, y], axis=1)]
        for _ in range(400)
    ]
    low, high = np.quantile(again, [0.025, 0.975])
    assert found.low < found.value < found.high
    assert (found.low, found.high) == pytest.approx(
        (low, high), rel=0.03 if metric == "label_accuracy" else 0.12
    )


def evaluate_value(metric: str, both: Array) -> float:
    z, y = both[:, :3].astype(np.float64), both[:, 3:]
    if metric in ("log_loss", "nll"):
        each = -special.log_expit(np.where(y == 1, z, -z))
        return float(each.mean() * (3 if metric == "nll" else 1))
    wrong = sk.hamming_loss(y.astype(int), z > 0)
    return float(wrong if metric == "hamming_loss" else 1 - wrong)


def test_means_over_labels_alone_have_none_and_say_why() -> None:
    z, y = rows()
    for metric in ("f1_macro", "roc_auc"):
        found = evaluate(metric, z, y)
        assert math.isnan(found.low)
        assert "each label has its own" in found.note
        assert math.isnan(compare(metric, z, z + y, y).low)


def test_a_better_model_gains_and_nothing_else_does() -> None:
    z, y = rows()
    worse = z + np.random.default_rng(2).normal(scale=2.0, size=z.shape).astype(np.float32)
    for metric in ("accuracy", "log_loss", "nll", "label_accuracy", "hamming_loss"):
        found = compare(metric, z, worse, y)
        assert 0 < found.low < found.difference < found.high, metric
        back = compare(metric, worse, z, y)
        assert back.difference == pytest.approx(-found.difference)
        assert back.high < 0


def test_each_label_is_a_target_of_two_classes() -> None:
    z, y = rows()
    for metric, own, theirs in (
        ("f1_macro", "f1", lambda y, z: sk.f1_score(y, z > 0)),
        ("roc_auc", "roc_auc", sk.roc_auc_score),
        ("accuracy", "accuracy", lambda y, z: sk.accuracy_score(y, z > 0)),
        ("nll", "log_loss", lambda y, z: sk.log_loss(y, special.expit(z.astype(np.float64)))),
    ):
        found = by_target(metric, z, y, ("a", "b", "c"), labels=True)
        for k, name in enumerate(("a", "b", "c")):
            assert found[name]["metric"] == own
            assert found[name]["value"] == pytest.approx(theirs(y[:, k].astype(int), z[:, k]), rel=1e-5)
            alone = evaluate(own, z[:, k : k + 1], y[:, k].astype(np.int32))
            assert (found[name]["low"], found[name]["high"]) == (alone.low, alone.high)
    assert by_target("accuracy", z[:, :1], y[:, :1], ("a",), labels=True) == {}


def test_labels_of_steps_stand_or_fall_with_their_sequences() -> None:
    z, y = rows(n=900)
    steps, present = z.reshape(30, 30, 3), y.reshape(30, 30, 3).copy()
    present[:, 20:] = np.nan  # no targets
    whole = evaluate("nll", steps, present)
    flat = evaluate("nll", steps[:, :20].reshape(-1, 3), present[:, :20].reshape(-1, 3))
    assert whole.value == pytest.approx(flat.value, rel=1e-6)
    assert whole.rows == 30
    assert whole.high - whole.low != pytest.approx(flat.high - flat.low, rel=1e-3)
    each = by_target("nll", steps, present, ("a", "b", "c"), labels=True)
    assert sum(float(str(one["value"])) for one in each.values()) == pytest.approx(whole.value, rel=1e-5)
