"""Studies of several labels of a row, or of every step of a sequence, from file to delivered model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from scipy import special
from sklearn.linear_model import LogisticRegression

import workbench as wb
from tests.helpers.end_to_end import answered
from workbench.core.errors import DataError, StudyError
from workbench.data import load
from workbench.evaluation.saved_model import load as load_model
from workbench.study.config.reading import study_of

pytestmark = pytest.mark.usefixtures("elsewhere")

STUDY = """
name = "labels"
[data]
source = "rows.csv"
target = ["red", "wet", "big"]
task = "multilabel"
[model]
family = "logistic"
[optimizer]
name = "nesterov"
learning_rate = 0.3
[training]
epochs = 300
batch_size = "all"
[search]
trials = 1
seeds = 1
"""
NAMES = ("red", "wet", "big")


def numbers(rows: int = 500) -> tuple[np.ndarray, np.ndarray]:
    """Features [N, 3] and labels [N, 3], of which two go together."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(rows, 3)).round(6)
    shared = draw.normal(size=rows)
    logits = np.stack([2 * x[:, 0] + shared, x[:, 1] - x[:, 2] + shared, 2 * x[:, 2] - 2], axis=1)
    return x, (draw.random((rows, 3)) < special.expit(logits)).astype(int)


def table(rows: int = 500) -> pd.DataFrame:
    """Labels as people write them: 0 and 1, yes and no, true and false."""
    x, y = numbers(rows)
    frame = pd.DataFrame(x, columns=["u", "v", "w"])
    frame["red"], frame["wet"], frame["big"] = y[:, 0], np.where(y[:, 1], "yes", "no"), y[:, 2] == 1
    return frame


def test_a_linear_model_of_labels_is_as_many_logistic_regressions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = table()
    frame.to_csv("rows.csv", index=False)
    Path("labels.toml").write_text(STUDY)
    status, result = answered("run", "labels.toml", capsys=capsys)
    assert (status, result["task"], result["test"]["metric"]) == (0, "multilabel", "log_loss")

    x, y = numbers()
    dataset, _ = load(study_of(STUDY, tmp_path / "labels.toml").data)
    train = dataset.rows.iloc[dataset.train][["u", "v", "w"]].to_numpy()
    theirs = [LogisticRegression(C=np.inf).fit(train, dataset.target[dataset.train, k]) for k in range(3)]
    shares = np.stack([one.predict_proba(x)[:, 1] for one in theirs], axis=1)
    seen = {tuple(row) for row in dataset.rows[["u", "v", "w"]].to_numpy().tolist()}
    test = np.array([tuple(row) not in seen for row in x.tolist()])
    each = [sk.log_loss(y[test, k], shares[test, k]) for k in range(3)]
    assert result["test"]["rows"] == test.sum() == 100
    assert result["test"]["value"] == pytest.approx(np.mean(each), abs=2e-3)
    assert list(result["targets"]) == list(NAMES)
    for name, value in zip(NAMES, each, strict=True):
        one = result["targets"][name]
        assert one["metric"] == "log_loss"
        assert one["value"] == pytest.approx(value, abs=4e-3)
        assert one["low"] < one["value"] < one["high"]
    linear, trivial = (result["baselines"][name] for name in ("linear", "trivial"))
    assert linear["value"] == pytest.approx(np.mean(each), abs=0.01)
    share = dataset.target[dataset.train].mean(axis=0)
    known = np.mean([sk.log_loss(y[test, k], np.full(100, share[k])) for k in range(3)])
    assert trivial["value"] == pytest.approx(known, abs=1e-4)
    assert result["baselines"]["boosted"]["value"] > 0

    frame[["u", "v", "w"]].to_csv("new.csv", index=False)
    status, _ = answered("predict", "labels.toml", "new.csv", "-o", "out.csv", capsys=capsys)
    found = pd.read_csv("out.csv")
    assert status == 0
    assert list(found) == [f"{what}_{name}" for what in ("prediction", "probability") for name in NAMES]
    np.testing.assert_allclose(found[[f"probability_{name}" for name in NAMES]], shares, atol=0.02)
    said = found[[f"prediction_{name}" for name in NAMES]].to_numpy()
    assert ((said == 1) == (found[[f"probability_{name}" for name in NAMES]] > 0.5).to_numpy()).all()
    words = ("predict", "labels.toml", "new.csv", "-o", "two.csv", "--interval", "0.9")
    status, refused = answered(*words, capsys=capsys)
    assert status == 2
    assert "is for numbers" in refused["error"]

    report = Path(result["report"]).with_suffix(".md").read_text(encoding="utf-8")
    assert "| wet | log loss |" in report
    for metric in ("accuracy", "f1 macro", "ROC AUC", "label accuracy", "hamming loss", "NLL"):
        assert f"{metric} " in report
    assert (Path(result["report"]).parent / "figures" / "label_counts.png").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('["red", "wet", "big"]', '"red"', 'is for several labels, but the target is one column, "red"'),
        ('["red", "wet", "big"]', '["red", "u"]', 'target "u" holds'),
        ('["red", "wet", "big"]', '["red", "gone"]', 'target "gone" is blank in 1 row'),
        ('["red", "wet", "big"]', '["red", "never"]', 'training rows none has the label "never"'),
        ('task = "multilabel"', 'task = "classification"', "names 3 columns, but classes need one"),
    ],
)
def test_what_is_no_label_is_told_with_its_name(old: str, new: str, words: str, tmp_path: Path) -> None:
    frame = table(80).assign(never=0)
    frame["gone"] = frame["wet"].where(frame.index != 3)
    frame.to_csv("rows.csv", index=False)
    with pytest.raises(DataError) as refused:
        load(study_of(STUDY.replace(old, new), tmp_path / "labels.toml").data)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('[select]\nmetric = "rmse"', '[select] metric = "rmse" is for regression'),
        ('[select]\nmetric = "f1"', "choose"),
        ("[select]\ncalibrate = true", "calibrate = true is for classes"),
        ('class_weight = "balanced"', "is for classes, but rows.csv has several labels a row"),
        ('loss = "cross_entropy"', 'write loss = "auto"'),
    ],
)
def test_what_labels_cannot_have_is_one_sentence(
    more: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    table(80).to_csv("rows.csv", index=False)
    text = STUDY + more if more.startswith("[") else STUDY.replace("[training]", f"[training]\n{more}")
    Path("labels.toml").write_text(text)
    status, result = answered("check", "labels.toml", capsys=capsys)
    assert status == 2
    assert words in result["error"]


def test_columns_of_yes_and_no_are_labels_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    table(80).to_csv("rows.csv", index=False)
    told, _ = load(study_of(STUDY.replace('task = "multilabel"', ""), tmp_path / "labels.toml").data)
    assert told.task == "multilabel"
    assert any('write task = "regression"' in note for note in told.notes)
    said, _ = load(study_of(STUDY, tmp_path / "labels.toml").data)
    np.testing.assert_array_equal(told.target, said.target)
    x, y = numbers(80)
    order = {tuple(row): labels for row, labels in zip(x.tolist(), y.tolist(), strict=True)}
    for row, labels in zip(said.rows[["u", "v", "w"]].to_numpy().tolist(), said.target, strict=True):
        assert order[tuple(row)] == labels.tolist()


@pytest.mark.slow  # three searches, one of them over folds
def test_a_net_an_ensemble_and_tabm_learn_labels_and_python_takes_arrays() -> None:
    x, y = numbers()
    how = {"tell": None, "trials": 2, "seeds": 2, "epochs": 30, "width": 16, "learning_rate": 0.02}
    scores = {}
    for name, more in (
        ("mlp", {"metric": "roc_auc"}),
        ("ensemble", {"ensemble": 2, "metric": "f1_macro", "threshold": 0.4}),
        ("tabm", {"family": "tabm", "metric": "accuracy", "folds": 2}),
    ):
        said = pd.DataFrame(y, columns=NAMES)
        study = wb.create_study((x, said), name=name, **{**how, "depth": wb.choices(1, 2), **more})
        assert study.data.task == "multilabel"
        result = wb.run(study)
        scores[name] = result.test.value
        shares = result.model.predict_proba(x)
        assert shares.shape == (500, 3)
        assert ((shares > 0) & (shares < 1)).all()
        assert sk.roc_auc_score(y, shares) > 0.8
        assert list(result["targets"]) == list(NAMES)
    assert scores["mlp"] > 0.75
    assert scores["ensemble"] > 0.5


def test_an_average_of_networks_averages_each_labels_probability(tmp_path: Path) -> None:
    x, y = numbers(200)
    more = {"tell": None, "trials": 1, "seeds": 1, "epochs": 5, "width": 8, "ensemble": 3, "depth": 1}
    result = wb.search(wb.create_study((x, y), name="three", family="mlp", **more))
    model = result.model
    each = np.stack([model.member(i).predict_proba(x) for i in range(3)])
    np.testing.assert_allclose(model.predict_proba(x), each.mean(axis=0), atol=1e-6)


def test_zeros_and_ones_in_arrays_are_proposed_as_labels() -> None:
    x, y = numbers(80)
    told: list[str] = []
    study = wb.create_study((x, y), name="arrays", tell=told.append, trials=1)
    assert (study.data.task, study.metric) == ("multilabel", "log_loss")
    assert any("taken for labels" in one for one in told)


def test_a_classifier_takes_an_indicator_as_those_of_scikit_learn_do() -> None:
    x, y = numbers(300)
    ours = wb.Classifier(family="mlp", trials=1, seeds=1, epochs=30, depth=1, width=16).fit(x, y)
    assert ours.predict(x).shape == ours.predict_proba(x).shape == (300, 3)
    assert set(np.unique(ours.predict(x))) == {0, 1}
    assert sk.f1_score(y, ours.predict(x), average="macro") > 0.5
    assert ours.score(x, y) == pytest.approx(sk.accuracy_score(y, ours.predict(x)))
    one_hot = np.eye(3, dtype=int)[y.sum(axis=1) % 3]  # one label each is labels all the same
    assert ours.fit(x, one_hot).predict(x).shape == (300, 3)
    with pytest.raises(ValueError, match="zeros and ones"):
        ours.fit(x, y + 1)
    with pytest.raises(ValueError, match="a label that all rows have, or none"):
        ours.fit(x, np.concatenate([y, 0 * y[:, :1]], axis=1))


# ── every step of a sequence ────────────────────────────────────────────────────────────────────


def melodies(rows: int = 60, steps: int = 12, keys: int = 5) -> dict[str, np.ndarray]:
    """Keys that are on at a step are on again two steps later; what is to be said is the next step.

    Sequences are of unequal lengths, and the last key is never played.
    """
    draw = np.random.default_rng(0)
    notes = np.zeros((rows, steps + 1, keys), np.float32)
    notes[:, :2] = draw.random((rows, 2, keys)) < 0.3
    for step in range(2, steps + 1):
        flipped = draw.random((rows, keys)) < 0.02
        notes[:, step] = np.abs(notes[:, step - 2] - flipped)
    notes[..., -1] = 0.0
    lengths = draw.integers(steps // 2, steps + 1, rows)
    y = notes[:, 1:].copy()
    y[np.arange(steps) >= lengths[:, None]] = np.nan
    return {"x": notes[:, :-1], "y": y, "lengths": lengths, "targets": np.array(list("cdefg"))}


STEPS = """
name = "melodies"
[data]
source = "melodies.npz"
task = "multilabel"
[model]
family = "lstm"
width = 16
output = "each"
[optimizer]
learning_rate = 0.03
[training]
epochs = 60
batch_size = 12
[search]
trials = 1
seeds = 1
"""


def test_labels_of_every_step_are_scored_by_the_nll_of_a_step(capsys: pytest.CaptureFixture[str]) -> None:
    """An LSTM learns what comes two steps later, which the frequencies of keys do not say."""
    made = melodies()
    np.savez("melodies.npz", **made)
    Path("melodies.toml").write_text(STEPS)
    status, result = answered("run", "melodies.toml", capsys=capsys)
    assert (status, result["test"]["metric"]) == (0, "nll")
    assert list(result["targets"]) == list("cdefg")
    there = ~np.isnan(made["y"]).any(axis=2)
    share = made["y"][there].mean(axis=0)
    trivial = -np.sum(share * np.log(share + 1e-12) + (1 - share) * np.log(1 - share))
    assert result["test"]["value"] < 0.75 * trivial
    assert result["test"]["low"] < result["test"]["value"] < result["test"]["high"]
    each = sum(one["value"] for one in result["targets"].values())
    assert each == pytest.approx(result["test"]["value"], rel=1e-4)

    folder = Path(result["report"]).parent
    with np.load(folder / "test.npz") as kept:
        z, y = kept["outputs"].astype(np.float64), kept["targets"]
    on = ~np.isnan(y).any(axis=2)
    losses = -special.log_expit(np.where(y[on] == 1, z[on], -z[on])).sum(axis=1)
    assert result["test"]["value"] == pytest.approx(losses.mean(), rel=1e-5)

    table = load_model(folder / "model").predict(made["x"][:2])
    assert list(table)[:3] == ["row", "step", "prediction_c"]
    assert "probability_g" in table
    status, _ = answered("predict", "melodies.toml", "melodies.npz", "-o", "out.csv", capsys=capsys)
    assert status == 0
    assert len(pd.read_csv("out.csv")) == made["lengths"].sum()


def test_new_proposes_a_study_of_labels_of_steps(capsys: pytest.CaptureFixture[str]) -> None:
    np.savez("melodies.npz", **melodies(40))
    status, result = answered("new", "melodies.npz", capsys=capsys)
    assert (status, result["task"], result["metric"]) == (0, "multilabel", "nll")
    assert answered("check", "melodies.toml", capsys=capsys)[0] == 0
    with pytest.raises(StudyError, match="is for regression"):
        wb.vary(wb.read_study("melodies.toml"), metric="rmse")


def test_a_label_that_no_judged_row_has_leaves_its_curve_undefined(
    capsys: pytest.CaptureFixture[str],
) -> None:
    frame = table(80)
    frame["big"] = False
    frame.loc[:40, "big"] = True
    frame["when"] = [f"2024-{1 + day // 28:02d}-{1 + day % 28:02d}" for day in range(80)]
    frame.to_csv("rows.csv", index=False)
    in_time = STUDY.replace("[model]", 'time = "when"\n[model]')
    for metric, status in (("roc_auc", 2), ("f1_macro", 0), ("log_loss", 0)):
        Path("labels.toml").write_text(in_time + f'[select]\nmetric = "{metric}"\n')
        found, result = answered("check", "labels.toml", capsys=capsys)
        assert found == status
        if status:
            assert "target 3 of 3 is 0 in all 16" in result["error"]
