"""Studies of several targets that one model predicts, from the file to the delivered model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from sklearn.linear_model import LinearRegression

import workbench as wb
from tests.helpers.end_to_end import answered
from workbench.core.errors import DataError, StudyError
from workbench.data import load
from workbench.study.config.reading import study_of

pytestmark = pytest.mark.usefixtures("elsewhere")

#: A convex model of two targets: what it comes to is known.
STUDY = """
name = "two"
[data]
source = "rows.csv"
target = ["warm", "price"]
[model]
family = "linear"
[optimizer]
name = "nesterov"
learning_rate = 0.05
[training]
epochs = 400
batch_size = "all"
[search]
trials = 1
seeds = 1
"""


def table(rows: int = 400) -> pd.DataFrame:
    """A target of about one and a target of thousands, both linear in two columns but for noise."""
    draw = np.random.default_rng(0)
    x, noise = draw.normal(size=(rows, 2)), draw.normal(size=(rows, 2))
    frame = pd.DataFrame(x.round(6), columns=["u", "v"])
    frame["warm"] = (x @ [1.0, -0.5] + 0.3 * noise[:, 0]).round(6)
    frame["price"] = (5000 + 1000 * (x @ [0.2, 1.0]) + 700 * noise[:, 1]).round(3)
    return frame


def test_two_targets_are_two_regressions_judged_by_their_mean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = table()
    frame.to_csv("rows.csv", index=False)
    Path("two.toml").write_text(STUDY)
    status, result = answered("run", "two.toml", capsys=capsys)
    assert (status, result["task"], result["test"]["metric"]) == (0, "regression", "r2")

    dataset, _ = load(study_of(STUDY, tmp_path / "two.toml").data)
    rest = pd.concat([frame, dataset.rows[["u", "v"]]]).drop_duplicates(["u", "v"], keep=False)
    train = dataset.rows.iloc[dataset.train][["u", "v"]].to_numpy()
    theirs = LinearRegression().fit(train, dataset.target[dataset.train])
    test = frame.loc[rest.index]
    said = theirs.predict(test[["u", "v"]].to_numpy())
    each = sk.r2_score(test[["warm", "price"]], said, multioutput="raw_values")
    assert result["test"]["rows"] == len(test) == 80
    assert result["test"]["value"] == pytest.approx(each.mean(), abs=1e-3)
    for name, value in zip(("warm", "price"), each, strict=True):
        one = result["targets"][name]
        assert (one["metric"], one["on"]) == ("r2", "test")
        assert one["value"] == pytest.approx(value, abs=1e-3)
        assert one["low"] < one["value"] < one["high"]
    assert result["baselines"]["linear"]["value"] == pytest.approx(each.mean(), abs=2e-3)
    assert result["baselines"]["trivial"]["value"] == pytest.approx(0.0, abs=0.05)

    frame[["u", "v"]].to_csv("new.csv", index=False)
    status, _ = answered(
        "predict", "two.toml", "new.csv", "-o", "out.csv", "--interval", "0.8", capsys=capsys
    )
    found = pd.read_csv("out.csv")
    names = [f"{what}_{name}" for what in ("prediction", "lower", "upper") for name in ("warm", "price")]
    assert status == 0
    assert list(found) == names
    expected = theirs.predict(frame[["u", "v"]].to_numpy())
    np.testing.assert_allclose(found["prediction_warm"], expected[:, 0], atol=0.01)
    np.testing.assert_allclose(found["prediction_price"], expected[:, 1], atol=10)
    inside = (found["lower_price"] <= frame["price"]) & (frame["price"] <= found["upper_price"])
    assert 0.7 < inside.mean() < 0.9
    report = Path(result["report"]).with_suffix(".md").read_text(encoding="utf-8")
    assert "| warm | R² |" in report
    assert "| price | R² |" in report


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ('["warm", "prise"]', '[data] target = "prise" is not a column; did you mean "price"?'),
        ('["warm", "name"]', 'target "name" holds text such as "x"'),
        ('["warm", "gone"]', 'target "gone" is blank in 1 row of 60'),
        ('["warm", "still"]', 'target "still": the target is constant: "7"'),
    ],
)
def test_a_target_that_cannot_be_used_is_named(target: str, words: str, tmp_path: Path) -> None:
    frame = table(60).assign(name="x", still=7)
    frame["gone"] = frame["warm"].where(frame.index != 3)
    frame.to_csv("rows.csv", index=False)
    study = study_of(STUDY.replace('["warm", "price"]', target), tmp_path / "two.toml")
    with pytest.raises(DataError, match=r"rows\.csv") as refused:
        load(study.data)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ('target = ["warm", "warm"]', 'names "warm" twice'),
        ("target = [1, 2]", "a list of such names"),
        ("target = []", "a list of such names"),
        ('target = ["warm", "price"]\nfeatures = ["u", "price"]', 'names the target "price"'),
        ('target = ["warm", "price"]\ngroup = "price"', '[data] group = "price" is the target'),
    ],
)
def test_what_a_study_may_not_say_of_targets(keys: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError) as refused:
        study_of(STUDY.replace('target = ["warm", "price"]', keys), tmp_path / "two.toml")
    assert words in str(refused.value)


def test_a_list_of_one_is_that_one(tmp_path: Path) -> None:
    several, one = (
        study_of(STUDY.replace('["warm", "price"]', target), tmp_path / "two.toml")
        for target in ('["warm"]', '"warm"')
    )
    assert several.data == one.data
    assert several.fingerprint == one.fingerprint


def test_the_target_without_a_logarithm_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    table().to_csv("rows.csv", index=False)
    keys = 'target = ["price", "warm"]\ntarget_transform = "log"'
    Path("two.toml").write_text(STUDY.replace('target = ["warm", "price"]', keys))
    status, result = answered("check", "two.toml", capsys=capsys)
    assert status == 2
    assert "but warm is -" in result["error"]


def test_classes_are_of_one_column(tmp_path: Path) -> None:
    table(60).to_csv("rows.csv", index=False)
    study = study_of(STUDY.replace("[model]", 'task = "classification"\n[model]'), tmp_path / "two.toml")
    with pytest.raises(DataError, match="names 2 columns, but classes need one"):
        load(study.data)


def test_numbers_of_every_target_are_read_as_the_file_writes_them(tmp_path: Path) -> None:
    frame = table(80)
    columns = ["u", "v", "warm", "price"]
    text = frame[columns].map(lambda value: f"{value:.3f}".replace(".", ","))
    text.to_csv("rows.csv", index=False, sep=";")
    dataset, _ = load(study_of(STUDY, tmp_path / "two.toml").data)
    assert dataset.target.shape[1] == 2
    there = np.sort(frame["price"].round(3).to_numpy(np.float32))
    assert np.isin(dataset.target[:, 1], there).all()


def test_errors_in_units_of_their_own_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    table().to_csv("rows.csv", index=False)
    Path("two.toml").write_text(STUDY + '[select]\nmetric = "rmse"\n')
    status, result = answered("check", "two.toml", capsys=capsys)
    assert status == 0
    assert any("mostly that of price" in note for note in result["notes"])
    Path("two.toml").write_text(STUDY)
    assert not any(
        "mostly that of" in note for note in answered("check", "two.toml", capsys=capsys)[1]["notes"]
    )


def test_new_takes_several_columns_with_commas(capsys: pytest.CaptureFixture[str]) -> None:
    table().to_csv("rows.csv", index=False)
    status, result = answered("new", "rows.csv", "--target", "warm, price", capsys=capsys)
    assert (status, result["metric"], result["task"]) == (0, "r2", "regression")
    study = wb.read_study("rows.toml")
    assert study.data.target == ("warm", "price")
    assert study.metric == "r2"
    status, result = answered("new", "rows.csv", "--target", "warm,prise", "-o", "b.toml", capsys=capsys)
    assert status == 2
    assert 'did you mean "price"?' in result["error"]


def test_of_many_targets_a_sentence_names_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    frame = table()
    names = [f"t{k}" for k in range(20)]
    frame.assign(**{name: frame["warm"] * k + frame["price"] for k, name in enumerate(names, 1)}).to_csv(
        "many.csv", index=False
    )
    status, result = answered("new", "many.csv", "--target", ",".join(names), capsys=capsys)
    assert status == 0
    assert "t0, t1, t2, t3, t4, t5, t6, t7 and 12 more are predicted: regression" in str(
        result["assumptions"]
    )
    assert wb.read_study("many.toml").data.target == tuple(names)


def test_python_takes_them_as_a_frame_and_as_arrays(tmp_path: Path) -> None:
    frame = table()
    plain = {"tell": None, "trials": 1, "seeds": 1, "epochs": 2, "family": "linear"}
    by_name = wb.create_study(frame, target=["warm", "price"], name="frame", **plain)
    x, y = frame[["u", "v"]], frame[["warm", "price"]]
    of_frames = wb.create_study((x, y), name="frames", **plain)
    of_arrays = wb.create_study((x.to_numpy(), y.to_numpy()), name="arrays", **plain)
    named = wb.create_study((x.to_numpy(), y), name="named", **plain)
    sets = [load(study.data)[0] for study in (by_name, of_frames, of_arrays, named)]
    assert [one.outputs for one in sets] == [("warm", "price")] * 2 + [("0", "1"), ("warm", "price")]
    assert {study.metric for study in (by_name, of_frames, of_arrays, named)} == {"r2"}
    result = wb.search(named)
    assert list(result["targets"]) == ["warm", "price"]
    assert {one["on"] for one in result["targets"].values()} == {"validation"}
    assert list(result.model.predict(x.to_numpy()[:3])) == ["prediction_warm", "prediction_price"]


def test_a_regressor_takes_several_columns_as_those_of_scikit_learn_do() -> None:
    frame = table()
    x, y = frame[["u", "v"]], frame[["warm", "price"]]
    theirs = LinearRegression().fit(x, y).predict(x)
    how = {"family": "linear", "trials": 1, "seeds": 1, "epochs": 60, "learning_rate": 0.05}
    for rows in (x, x.to_numpy(), x.assign(target_0="text")):
        ours = wb.Regressor(**how).fit(rows, y.to_numpy())
        said = ours.predict(rows)
        assert said.shape == (400, 2)
        assert sk.r2_score(theirs, said) > 0.98
        assert ours.score(rows, y.to_numpy()) == pytest.approx(sk.r2_score(y, said))
