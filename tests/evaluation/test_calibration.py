"""Temperature: fitted as a logistic regression would fit it, and moving probabilities without decisions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss as oracle_loss

import workbench as wb
from tests.helpers.end_to_end import ONE_TRIAL
from workbench.cli.main import main
from workbench.evaluation.calibration import COLDEST, HOTTEST, log_loss, moved, temperature
from workbench.evaluation.predictor import decisions


def test_of_two_classes_it_is_a_logistic_regression_without_intercept() -> None:
    draw = np.random.default_rng(0)
    logits = draw.normal(size=(800, 1)) * 6
    y = (draw.random(800) < expit(logits[:, 0] / 2.5)).astype(int)
    fit = LogisticRegression(C=np.inf, fit_intercept=False).fit(logits, y)
    assert temperature(logits, y) == pytest.approx(1 / fit.coef_[0, 0], rel=1e-3)
    two = np.concatenate([np.zeros_like(logits), logits], axis=1)
    assert temperature(two, y) == pytest.approx(temperature(logits, y), rel=1e-6)


@pytest.mark.parametrize("truth", [0.4, 1.0, 3.0])
def test_it_finds_the_temperature_that_was_planted(truth: float) -> None:
    draw = np.random.default_rng(1)
    logits = draw.normal(size=(20_000, 4)) * 3
    shares = softmax(logits / truth, axis=1)
    y = (draw.random((20_000, 1)) > shares.cumsum(axis=1)).sum(axis=1).clip(max=3)
    found = temperature(logits, y)
    assert found == pytest.approx(truth, rel=0.05)
    assert log_loss(logits / found, y) == pytest.approx(oracle_loss(y, softmax(logits / found, axis=1)))
    assert log_loss(logits / found, y) <= log_loss(logits, y)


def test_where_nothing_is_wrong_or_nothing_is_known_it_stays_in_its_bounds() -> None:
    y = np.arange(40) % 2
    assert temperature(np.where(y, 2.0, -2.0)[:, None], y) == pytest.approx(COLDEST, rel=1e-3)
    assert temperature(np.where(y, -2.0, 2.0)[:, None], y) == pytest.approx(HOTTEST, rel=1e-3)
    assert temperature(np.zeros((40, 1)), y) == 1.0


@given(st.floats(0.02, 0.98), st.floats(COLDEST, HOTTEST), st.integers(0, 100))
def test_decisions_stay(threshold: float, heat: float, seed: int) -> None:
    logits = np.random.default_rng(seed).normal(size=(50, 1)) * 4
    assert 0.0 < moved(0.99999, COLDEST) < 1.0
    far = np.abs(logits[:, 0] - np.log(threshold / (1 - threshold))) > 1e-6
    np.testing.assert_array_equal(
        decisions(logits, threshold)[far], decisions(logits / heat, moved(threshold, heat))[far]
    )


STUDY = f"""name = "warm"
[data]
source = "rows.csv"
target = "kind"
{ONE_TRIAL}
[select]
threshold = 0.3
calibrate = true
"""


def test_a_study_delivers_calibrated_probabilities(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = make_classification(400, 6, flip_y=0.2, random_state=0)
    frame = pd.DataFrame(x).add_prefix("x").assign(kind=np.where(y, "yes", "no"))
    frame.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "s.toml").write_text(STUDY)
    (tmp_path / "plain.toml").write_text(STUDY.replace("calibrate = true\n", ""))
    home = ["--home", str(tmp_path / "home")]
    found = {}
    for name in ("s", "plain"):
        assert main(["run", str(tmp_path / f"{name}.toml"), *home, "--json"]) == 0
        found[name] = json.loads(capsys.readouterr().out.splitlines()[-1])
    calibration = found["s"]["calibration"]
    assert calibration["after"] <= calibration["before"]
    assert found["plain"]["calibration"] is None
    assert found["s"]["test"]["value"] == found["plain"]["test"]["value"]  # accuracy: the decisions stay
    folders = {name: Path(one["report"]).parent for name, one in found.items()}
    models = {name: wb.load_model(folder / "model") for name, folder in folders.items()}
    warm, plain = (models[name].predict(frame.drop(columns="kind")) for name in ("s", "plain"))
    assert (warm["prediction"] == plain["prediction"]).all()
    logit = np.log(plain["probability_yes"] / plain["probability_no"])
    np.testing.assert_allclose(
        warm["probability_yes"], expit(logit / calibration["temperature"]), rtol=1e-4, atol=1e-6
    )
    assert "Calibrated by temperature" in (folders["s"] / "report.md").read_text()
    described = json.loads((folders["s"] / "model" / "program" / "features.json").read_text())
    assert described["threshold"] == models["s"].threshold != 0.3
    assert json.loads((folders["plain"] / "model" / "model.json").read_text())["format"] == 1


def test_numbers_have_no_probabilities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.DataFrame({"x": range(90), "kind": np.arange(90) / 7}).to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "s.toml").write_text(STUDY.replace("threshold = 0.3\n", ""))
    assert main(["check", str(tmp_path / "s.toml"), "--home", str(tmp_path / "home")]) == 2
    assert "[select] calibrate = true is for classes" in capsys.readouterr().err
