"""Quantile regression: loss, metric, rivals and a whole study; scikit-learn is the oracle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import QuantileRegressor
from threadpoolctl import threadpool_limits

import workbench as wb
from tests.data.test_weights import loaded
from workbench.core import vocabulary
from workbench.core.errors import StudyError
from workbench.core.vocabulary import pinball, quantile_of
from workbench.data import prepare
from workbench.evaluation import baselines, boosting
from workbench.evaluation.evaluate import evaluate, score_of
from workbench.nn.losses import LOSSES
from workbench.nn.metrics import METRICS
from workbench.study.config import metric_of, notes

QUANTILES = [0.05, 0.5, 0.9]


def skewed(n: int = 600, seed: int = 0) -> pd.DataFrame:
    """Errors with a long tail that widens with x: quantiles are lines of different slopes."""
    draw = np.random.default_rng(seed)
    x, size = draw.uniform(0, 2, n), draw.normal(size=n)
    price = 1 + 2 * x + (0.3 + x) * draw.exponential(size=n)
    return pd.DataFrame({"x": x, "size": size, "price": price, "kind": "a", "w": draw.gamma(2.0, size=n)})


@pytest.mark.parametrize("quantile", QUANTILES)
def test_loss_and_metric_are_scikit_learns(quantile: float) -> None:
    draw = np.random.default_rng(0)
    z, y, w = (draw.normal(size=(40, 3)).astype(np.float32) for _ in range(2)), 0, draw.gamma(1.0, size=40)
    z, y = z
    name = pinball(quantile)
    assert quantile_of(name) == quantile
    theirs = sk.mean_pinball_loss(y, z, alpha=quantile, sample_weight=w)
    assert float(METRICS[name](z, y, w.astype(np.float32))) == pytest.approx(theirs, rel=1e-5)
    assert score_of(name, z, y, weight=w) == pytest.approx(theirs, rel=1e-5)
    loss = LOSSES[name].function
    each = [float(loss(a, b, jnp.float32(0.3))) for a, b in zip(z, y, strict=True)]
    assert np.mean(each) == pytest.approx(sk.mean_pinball_loss(y, z, alpha=quantile), rel=1e-5)
    slope = jax.grad(loss)(jnp.array([2.0, -2.0]), jnp.zeros(2), jnp.float32(0.0))
    np.testing.assert_allclose(slope, [(1 - quantile) / 2, -quantile / 2], rtol=1e-6)
    found = evaluate(name, z, y, weight=w)
    assert found.low < found.value < found.high


def test_other_names_are_no_words() -> None:
    for registry in (LOSSES, METRICS, vocabulary.LOSSES, vocabulary.METRICS):
        with pytest.raises(KeyError):
            registry["pinbal"]
        assert "pinball_0.9" not in registry  # a file says loss = "pinball" and quantile = 0.9


@pytest.mark.parametrize(("quantile", "weighted"), [(0.1, False), (0.9, True)])
def test_rivals_aim_at_the_quantile(tmp_path: Path, quantile: float, weighted: bool) -> None:
    frame = skewed() if weighted else skewed().assign(w=1.0)
    dataset, _ = loaded(tmp_path, frame, "price")
    fold, _ = prepare(dataset)
    x, y, own = (np.asarray(part, float) for part in fold.train)
    y = ((y - fold.shift) / fold.scale)[:, 0]
    nothing = baselines.trivial(fold, 1, 0, quantile)["bias"][0]
    below = np.average(y <= nothing + 1e-6, weights=own)
    assert quantile - 1e-6 <= below < quantile + 0.02
    line = baselines.linear(fold, 1, 0, quantile)
    said = x @ line["weight"][0] + line["bias"][0]
    assert np.average(y <= said + 1e-6, weights=own) == pytest.approx(quantile, abs=0.02)
    best = QuantileRegressor(quantile=quantile, alpha=0.0).fit(x, y, sample_weight=own)
    theirs, ours, flat = (
        sk.mean_pinball_loss(y, each, alpha=quantile, sample_weight=own)
        for each in (best.predict(x), said, np.full(len(y), nothing))
    )
    assert theirs <= ours + 1e-6
    assert ours < flat
    trees = boosting.fit(dataset, pinball(quantile), balanced=False, seed=0)
    rows = dataset.pick(dataset.validation)
    truth = dataset.target[dataset.validation]
    plain = HistGradientBoostingRegressor(loss="quantile", quantile=quantile, random_state=0)
    with threadpool_limits(1):
        plain.fit(dataset.pick(dataset.train), dataset.target[dataset.train][:, 0], sample_weight=own)
    mine, other = (
        sk.mean_pinball_loss(truth, each, alpha=quantile)
        for each in (trees.raw_estimates(rows), plain.predict(rows))
    )
    assert mine < 1.1 * other


def test_a_study_learns_the_quantile_and_says_how_many_rows_lie_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKBENCH_LEDGER", "off")
    frame, home = skewed(900).drop(columns=["kind", "w"]), tmp_path / "home"
    said: dict[str, Any] = {
        "family": "linear", "loss": "pinball", "quantile": 0.9, "optimizer": "adam", "learning_rate": 0.02,
        "epochs": 150, "batch_size": 64, "trials": 1, "seeds": 1, "l2": 0.0, "refit": False,
        "metric": "pinball", "numbers": "plain", "scale": "standardize", "target_transform": "none",
        "schedule": "cosine",
    }  # fmt: skip
    study = wb.create_study(frame, target="price", name="high", home=home, tell=None, **said)
    assert wb.read_study(study.path).settings["quantile"] == 0.9
    result = wb.run(study, home)
    assert result["test"]["metric"] == "pinball_0.9"
    fresh = skewed(4000, seed=7)
    told = result.model.predict(fresh[["x", "size"]])["prediction"]
    assert (fresh["price"] <= told).mean() == pytest.approx(0.9, abs=0.03)
    best = QuantileRegressor(quantile=0.9, alpha=0.0).fit(frame[["x", "size"]], frame["price"])
    ours, theirs = (
        sk.mean_pinball_loss(fresh["price"], each, alpha=0.9)
        for each in (told, best.predict(fresh[["x", "size"]]))
    )
    assert ours < 1.03 * theirs
    report = Path(str(result["report"])).read_text(encoding="utf-8")
    assert "pinball loss at 0.9" in report
    assert "rows at or below their prediction, of 90 %" in report
    assert {"linear", "boosted", "trivial"} <= set(result["baselines"])
    assert result["baselines"]["trivial"]["gain"] > 0


def test_words_of_the_file(tmp_path: Path) -> None:
    text = 'name = "q"\n[data]\nsource = "diabetes"\n[training]\n'
    file = tmp_path / "q.toml"

    def read(more: str) -> wb.Study:
        file.write_text(text + more)
        return wb.read_study(file)

    assert metric_of(read('loss = "pinball"\nquantile = 0.1'), "regression") == "pinball_0.1"
    assert metric_of(read('loss = "pinball"\n[select]\nmetric = "mae"'), "regression") == "mae"
    assert metric_of(read('quantile = 0.2\n[select]\nmetric = "pinball"'), "regression") == "pinball_0.2"
    assert metric_of(read("epochs = 3"), "regression") == "rmse"
    assert read("epochs = 3").id == read("epochs = 3\nquantile = 0.5").id
    assert any("by another aim" in said for said in notes(read('loss = "pinball"\n[select]\nmetric = "mae"')))
    assert any("quantile is read by" in said for said in notes(read("quantile = 0.3")))
    with pytest.raises(StudyError, match=r"quantile = 1\.5 must be a number above 0 and below 1"):
        read('loss = "pinball"\nquantile = 1.5')
    with pytest.raises(StudyError, match=r"quantile = \{.*must be a number"):
        read('loss = "pinball"\nquantile = { low = 0.1, high = 0.9 }')
    with pytest.raises(StudyError, match=r'loss = "pinball_0\.9"'):
        read('loss = "pinball_0.9"')
