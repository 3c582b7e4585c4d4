"""Convex models against scikit-learn: the same rows, the same penalty, the same solution.

A penalty of l2/2 Σ w² beside a mean over m rows is scikit-learn's alpha = m l2 / 2 of squared errors and its
C = 1 / (m l2) of log loss; intercepts are free in both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

import workbench as wb
from workbench import data
from workbench.evaluation.predictor import Predictor

STUDY = """\
name = "agreement"
[data]
source = "{source}"
[model]
family = "{family}"
[optimizer]
name          = "nesterov"
learning_rate = {rate}
momentum      = 0.98
[regularization]
l2 = {l2}
[training]
epochs     = {epochs}
batch_size = "all"
[search]
trials = 1
seeds  = 1
"""


def trained(folder: Path, **settings: Any) -> tuple[Predictor, data.Dataset, dict[str, Any]]:
    file = folder / "agreement.toml"
    file.write_text(STUDY.format(**settings))
    study, locations = wb.read_study(file), wb.resolve(str(folder / "home"))
    result = wb.search(study, locations)
    dataset, _ = data.load(study.data)
    return wb.load_model(locations.study(study.id) / "model"), dataset, result


def parts(dataset: data.Dataset) -> tuple[Any, np.ndarray, Any]:
    """Scaled training rows, their targets, scaled validation rows: by scikit-learn's own hand."""
    train, validation = (np.asarray(dataset.pick(part)) for part in (dataset.train, dataset.validation))
    scaler = StandardScaler().fit(train)
    return scaler.transform(train), dataset.target[dataset.train], scaler.transform(validation)


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_linear_regression(l2: float, tmp_path: Path) -> None:
    model, dataset, result = trained(
        tmp_path, source="diabetes", family="linear", rate=0.02, l2=l2, epochs=4000
    )
    x, y, x_validation = parts(dataset)
    m, shift, scale = len(y), y.mean(), y.std()
    theirs = LinearRegression() if l2 == 0 else Ridge(alpha=m * l2 / 2)
    theirs.fit(x, (y[:, 0] - shift) / scale)
    np.testing.assert_allclose(model.params["weight"][0], theirs.coef_, atol=1e-3)
    np.testing.assert_allclose(model.params["bias"][0], theirs.intercept_, atol=1e-3)
    wanted = theirs.predict(x_validation) * scale + shift
    ours = model.predict(dataset.pick(dataset.validation))["prediction"]
    np.testing.assert_allclose(ours, wanted, rtol=1e-3)
    rmse = np.sqrt(np.mean((wanted - dataset.target[dataset.validation][:, 0]) ** 2))
    assert result["best"]["validation"] == pytest.approx(rmse, rel=1e-3)


@pytest.mark.parametrize(
    ("source", "family", "l2"), [("breast_cancer", "logistic", 0.01), ("wine", "softmax", 0.02)]
)
def test_logistic_and_softmax_regression(source: str, family: str, l2: float, tmp_path: Path) -> None:
    model, dataset, result = trained(tmp_path, source=source, family=family, rate=0.1, l2=l2, epochs=4000)
    x, y, x_validation = parts(dataset)
    theirs = LogisticRegression(C=1 / (len(y) * l2), tol=1e-8, max_iter=10_000).fit(x, y)
    np.testing.assert_allclose(model.params["weight"], theirs.coef_, atol=1e-3)
    wanted = theirs.predict_proba(x_validation)
    ours = model.predict(dataset.pick(dataset.validation))
    np.testing.assert_allclose(ours.iloc[:, 1:], wanted, atol=1e-3)
    labels = np.asarray(dataset.classes)[wanted.argmax(axis=1)]
    assert list(ours["prediction"]) == list(labels)
    right = np.mean(theirs.predict(x_validation) == dataset.target[dataset.validation])
    assert result["best"]["validation"] == pytest.approx(right, abs=1e-6)
