"""The threshold between two classes: in scores, predictions and pictures alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import confusion_matrix, f1_score

import workbench as wb
from workbench.core.errors import StudyError
from workbench.core.locations import Locations
from workbench.core.records import Opening
from workbench.data import Dataset, SealedTest, load, unseal
from workbench.evaluation.plots.scores import confusion_counts
from workbench.storage import outcomes
from workbench.study.config import notes

STUDY = """\
name = "cautious"

[data]
source = "breast_cancer"

[model]
family = "logistic"

[optimizer]
learning_rate = 0.01

[training]
epochs = 4

[search]
trials  = 2
sampler = "grid"
pruner  = "none"
seeds   = 1

[select]
metric    = "f1"
threshold = { choices = [0.5, 0.99] }
"""


@pytest.fixture(scope="module")
def cautious(tmp_path_factory: pytest.TempPathFactory) -> tuple[wb.Study, Locations, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("cautious")
    (folder / "study.toml").write_text(STUDY)
    study, locations = wb.read_study(folder / "study.toml"), wb.resolve(home=str(folder / "home"))
    fixed = wb.vary(study, threshold=0.9, trials=1)
    return (
        fixed,
        locations,
        {"searched": wb.search(study, locations), "fixed": wb.run(fixed, locations), "of": study},
    )


def test_the_threshold_is_searched_and_decides_the_score(
    cautious: tuple[wb.Study, Locations, dict[str, Any]],
) -> None:
    _, locations, results = cautious
    outcome = outcomes.load(locations.study(results["of"].id))
    assert outcome is not None
    values = {trial.params["threshold"]: trial.value for trial in outcome.trials}
    assert results["searched"]["programs"] == 1
    assert results["searched"]["best"]["params"]["threshold"] == 0.5
    assert values[0.5] is not None
    assert values[0.99] is not None
    assert values[0.5] > values[0.99] + 0.05


def test_scores_predictions_and_pictures_agree(cautious: tuple[wb.Study, Locations, dict[str, Any]]) -> None:
    study, locations, results = cautious
    outcome = outcomes.load(locations.study(study.id))
    model = wb.load_model(locations.study(study.id) / "model")
    assert outcome is not None
    dataset, sealed = load(study.data)
    rows = _test_rows(dataset, sealed)
    told = model.predict(rows.x)
    guess = (told["prediction"] == dataset.classes[1]).to_numpy()
    np.testing.assert_array_equal(guess, expit(model.estimates(_prepared(model, rows.x))[:, 0]) > 0.9)
    assert results["fixed"]["test"]["value"] == pytest.approx(f1_score(rows.target, guess), abs=1e-6)
    np.testing.assert_array_equal(confusion_counts(outcome), confusion_matrix(rows.target, guess))


def test_three_classes_have_no_threshold(tmp_path: Path) -> None:
    text = STUDY.replace("breast_cancer", "wine").replace("logistic", "softmax").replace('"f1"', '"accuracy"')
    (tmp_path / "study.toml").write_text(text)
    with pytest.raises(StudyError, match=r"\[select\] threshold = .* two classes, or labels, but wine"):
        wb.search(wb.read_study(tmp_path / "study.toml"), wb.resolve(home=str(tmp_path)))


def test_a_metric_of_probabilities_does_not_read_it(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY.replace('"f1"', '"roc_auc"'))
    assert any(
        "threshold is not read by metric" in note for note in notes(wb.read_study(tmp_path / "study.toml"))
    )


def _test_rows(dataset: Dataset, sealed: SealedTest) -> Any:
    return unseal(sealed, dataset, Opening("test", sealed.fingerprint, "", 1))


def _prepared(model: Any, rows: Any) -> np.ndarray:
    return np.asarray(model.preprocessor.transform(rows), np.float32)
