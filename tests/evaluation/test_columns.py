"""Permutation importance: for a linear model it is known, and a column that is not used is worth nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.delivered import deliver, images, table
from workbench.evaluation import columns
from workbench.evaluation.columns import column_importances

N = 3000


def test_the_loss_of_a_linear_model_is_known(tmp_path: Path) -> None:
    """E[(b x' - b x)^2] = 2 b^2 var(x) for x' drawn anew, where the model is the truth."""
    draw = np.random.default_rng(0)
    x = {"a": draw.normal(size=N), "b": 3.0 * draw.normal(size=N), "c": draw.normal(size=N)}
    made = deliver(table(tmp_path, x, 2.0 * x["a"] - x["b"]), {"family": "linear"})
    rows, slopes = made.dataset.rows.iloc[made.dataset.train], np.array([2.0, -1.0, 0.0])  # type: ignore[union-attr]
    weight = slopes * rows.std(ddof=0).to_numpy() / made.fold.scale[0]
    bias = (slopes @ rows.mean().to_numpy() - made.fold.shift) / made.fold.scale
    model = replace(made.predictor, params={"weight": weight[None].astype(np.float32), "bias": bias})
    found = {one.name: one for one in column_importances(made.dataset, model, "mse")}
    assert list(found) == ["b", "a", "c"]
    for name, slope in zip("abc", slopes, strict=True):
        expected = 2 * slope**2 * x[name].var()
        assert found[name].lost == pytest.approx(expected, rel=0.15, abs=1e-9)
        assert found[name].spread <= 0.15 * expected + 1e-9
    assert column_importances(made.dataset, model, "r2")[0].lost > 0  # a loss, whichever way is better


def test_labels_and_blanks_and_one_shuffle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(1)
    place, size = draw.choice(["north", "south"], 400), draw.normal(size=400)
    size[::7] = np.nan
    made = deliver(
        table(
            tmp_path,
            {"place": place, "size 1": size, "idle": draw.normal(size=400)},
            np.where(place == "north", "yes", "no"),
        ),
        {"family": "logistic"},
        trained=True,
    )
    first, *others = column_importances(made.dataset, made.predictor, "accuracy")
    assert first.name == "place"
    assert first.lost == pytest.approx(0.5, abs=0.1)
    assert max(abs(one.lost) for one in others) < 0.1
    monkeypatch.setattr(columns, "CALLS", 5)
    assert all(np.isnan(one.spread) for one in column_importances(made.dataset, made.predictor, "accuracy"))
    monkeypatch.setattr(columns, "CALLS", 2)
    assert column_importances(made.dataset, made.predictor, "accuracy") == []


def test_images_have_no_columns(tmp_path: Path) -> None:
    draw = np.random.default_rng(2)
    options = (("blocks", 1), ("channels", 2), ("kernel", 3), ("padding", "same"), ("pooling", "max"))
    made = deliver(
        images(tmp_path, draw.normal(size=(60, 4, 4)), np.arange(60) % 3),
        {"family": "cnn", "width": 4, "activations": ("relu",), "options": options},
    )
    assert column_importances(made.dataset, made.predictor, "accuracy") == []
