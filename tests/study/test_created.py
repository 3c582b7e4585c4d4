"""Studies of data in memory: what is kept, what is proposed, what is said of bad input."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench import data
from workbench.cli.main import main
from workbench.core.errors import DataError, InputError, StoreError, StudyError
from workbench.core.types import Choice, Range
from workbench.study import scaffold


def people(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    """Cells of every kind, and a target that two of them decide."""
    rng = np.random.default_rng(seed)
    calls = rng.poisson(3, rows)
    vip = rng.random(rows) < 0.3
    return pd.DataFrame(
        {
            "age": rng.normal(40.0, 9.0, rows),
            "plan": pd.Categorical(rng.choice(["basic", "flat"], rows)),
            "vip": vip,
            "calls": calls,
            "churned": np.where(calls + 2 * vip + rng.normal(size=rows) > 4, "yes", "no"),
        },
        index=pd.Index(rng.permutation(rows), name="row"),
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def made(*given: Any, **said: Any) -> wb.Study:
    return wb.create_study(*given, **{"tell": None, **said})


def test_a_frame_becomes_what_new_would_write(home: Path, tmp_path: Path) -> None:
    frame = people()
    frame.to_parquet(tmp_path / "churned.parquet", index=False)
    scaffold.new(tmp_path / "churned.parquet", "churned", tmp_path / "churned.toml")
    by_hand, study = wb.read_study(tmp_path / "churned.toml"), made(frame, "churned")
    assert study.settings == by_hand.settings
    assert study.search == by_hand.search
    assert (study.name, study.metric, study.question) == ("churned", by_hand.metric, by_hand.question)
    one, sealed = data.load(study.data)
    other, sealed_too = data.load(by_hand.data)
    assert (one.fingerprint, sealed.fingerprint) == (other.fingerprint, sealed_too.fingerprint)


def test_what_is_kept_is_private_and_whole(home: Path) -> None:
    frame = people()
    study = made(frame, "churned")
    assert study.path == home / "created" / "churned" / "study.toml"
    (rows,) = study.path.parent.glob("*.parquet")
    plain = frame.reset_index(drop=True).astype({"plan": str})
    pd.testing.assert_frame_equal(pd.read_parquet(rows), plain)
    assert stat.S_IMODE(rows.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_the_same_rows_are_the_same_study_and_others_another(home: Path) -> None:
    study = made(people(), "churned")
    (rows,) = study.path.parent.glob("*.parquet")
    written = rows.stat().st_mtime_ns
    again = made(people().copy(), "churned")
    assert (again.id, rows.stat().st_mtime_ns) == (study.id, written)
    other = made(people(seed=1), "churned")
    assert other.id != study.id
    assert rows.exists()
    assert len(list(study.path.parent.glob("*.parquet"))) == 2


def test_keywords_are_what_a_study_file_says(home: Path) -> None:
    study = made(
        people(), "churned", name="mine", trials=np.int64(7), depth=wb.axis(1, 3), drop=["age"],
        optimizer=wb.choices("adam", "lion"), learning_rate=wb.axis(1e-4, 1e-1, log=True), folds=3,
        categorical=("calls",), question="Who leaves?",
    )  # fmt: skip
    assert (study.name, study.search.trials, study.question) == ("mine", 7, "Who leaves?")
    assert study.settings["depth"] == Range(1, 3, integer=True)
    assert study.settings["optimizer"] == Choice(("adam", "lion"))
    assert study.settings["learning_rate"] == Range(1e-4, 1e-1, log=True)
    assert (study.data.drop, study.data.folds, study.data.categorical) == (("age",), 3, ("calls",))
    assert study == wb.read_study(study.path)


def test_categories_that_are_numbers_stay_categories(home: Path) -> None:
    study = made(people().assign(plan=pd.Categorical([3, 1, 2] * 100)), "churned")
    kinds = {column.name: column.kind for column in data.load(study.data)[0].columns}
    assert (kinds["plan"], kinds["calls"]) == ("category", "numeric")


def test_a_family_brings_its_own_axes_alone(home: Path) -> None:
    study = made(people(), "churned", family="logistic")
    assert not {"depth", "width", "activation", "dropout"} & set(study.axes)
    assert "learning_rate" in study.axes


@pytest.mark.parametrize("labels", [["a", "b"], [0, 1], [False, True]])
def test_pairs_of_arrays(home: Path, labels: list[Any]) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 4))
    study = made((x, np.array(labels)[(x[:, 0] > 0).astype(int)]), name="pair")
    dataset, _ = data.load(study.data)
    assert study.data.source.endswith(".npz")
    assert dataset.task == "classification"
    assert len(dataset.classes) == 2
    assert {row.tobytes() for row in dataset.examples(5)} <= {row.tobytes() for row in x}


def test_a_pair_of_frame_and_series(home: Path) -> None:
    frame = people()
    study = made((frame.drop(columns="churned"), frame["churned"]))
    assert study.data.target == "churned"
    assert study.id == made(frame, "churned").id


def test_images_are_kept_as_bytes(home: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (60, 8, 8), np.uint8)
    study = made((images, images.mean(axis=(1, 2)) > 127), name="images", trials=2)
    assert study.settings["family"] == "cnn"
    with np.load(study.path.parent / study.data.source) as archive:
        assert archive["x"].dtype == np.uint8


def test_a_dictionary_and_a_text_say_everything_themselves(home: Path, tmp_path: Path) -> None:
    people().to_csv(tmp_path / "people.csv", index=False)
    tables = {"name": "whole", "data": {"source": "people.csv", "target": "churned"}, "search": {"trials": 3}}
    study = made(tables)
    text = 'name = "whole"  # mine\n[data]\nsource = "people.csv"\ntarget = "churned"\n[search]\ntrials = 3\n'
    assert study.settings == made(text).settings
    assert study.axes == {}
    assert len(data.load(study.data)[0].rows) == 240
    built_in = 'name = "cells"  # mine\n[data]\nsource = "breast_cancer"\n'
    assert made(built_in).text == built_in
    assert made(built_in, name="other", depth=wb.axis(1, 2)).name == "other"


def test_proposed_batches_are_no_larger_than_the_training_rows(home: Path) -> None:
    study = made(people(40), "churned")
    assert study.settings["batch_size"] == 0  # all of them
    assert main(["check", "churned"]) == 0
    assert made(people(60), "churned").settings["batch_size"] == 16


def test_without_test_rows_it_is_searched_and_never_run(home: Path) -> None:
    """Of a table the file says so, of an archive its arrays do; nothing is trained before."""
    frame = people(60)
    pair = frame[["age", "calls"]].to_numpy(), frame["churned"].to_numpy()
    for study in (
        made(frame, "churned", split=(0.8, 0.2, 0.0)),
        made(pair, name="pair", split=(0.8, 0.2, 0)),
    ):
        with pytest.raises(StudyError, match=r"study.toml: \[data\] split = .* leaves no test rows"):
            wb.run(study)
        assert not list((home / "studies").rglob("checkpoints/*"))
    assert main(["check", "pair"]) == 0


def test_official_test_rows_may_be_a_frame(home: Path) -> None:
    study = made(people(), "churned", test=people(80, seed=5))
    assert data.load(study.data)[1].rows == 80
    assert study.data.split.test == 0.0


def test_every_command_finds_it_by_its_name(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    made(people(), "churned", trials=3, tell=said.append)
    assert said[-1].endswith("in a shell: workbench run churned")
    assert main(["check", "churned", "--json"]) == 0
    assert '"study": "churned-' in capsys.readouterr().out
    elsewhere = made(people(), "churned", home=home.parent / "second", name="far", tell=said.append)
    assert said[-1].endswith("workbench run far --home second")
    assert main(["check", str(elsewhere.path)]) == 0  # its own home
    assert not (home / "studies").exists()


def test_a_home_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="file/home: the home directory cannot be written to"):
        made(people(), "churned", home=tmp_path / "file" / "home")


def test_targets_may_be_numbers_and_arrays_may_be_told_their_names(home: Path) -> None:
    table = people().rename(columns={"age": 1, "calls": 2})
    assert made(table, 1, name="one").data.target == "1"
    assert made(table, [1, 2], name="two").data.target == ("1", "2")
    x = np.random.default_rng(0).normal(size=(300, 3))
    kept = made((x, x[:, :2]), ["warm", "price"], name="arrays").data
    with np.load(kept.folder / kept.source) as archive:
        assert archive["targets"].tolist() == ["warm", "price"]


@pytest.mark.parametrize(
    ("given", "said", "sentence"),
    [
        ((people(),), {}, "target is missing; name the column to predict: age, plan, vip, calls, churned"),
        ((people(), "churn"), {}, 'target = "churn" is not a column; did you mean "churned"?'),
        ((people(), "churned"), {"depht": 2}, "did you mean depth"),
        ((people(), "churned"), {"depth": 0}, "depth = 0 .*must be"),
        ((people(), "churned"), {"name": "../../etc"}, 'name = "../../etc" must be'),
        ((people(), "churned"), {"drop": ["agee"]}, "agee"),
        ((people().assign(age=["a", 1] * 150), "churned"), {}, "data cannot be kept"),
        ((people().assign(age=[[1]] * 300), "churned"), {}, 'data: column "age" holds list'),
        ((people().rename(columns={"age": "calls"}), "churned"), {}, "Duplicate column names found"),
        (((np.zeros((4, 2)), np.zeros(3)),), {}, r"y has the shape \(3,\), but"),
        (((np.zeros((4, 2)), np.zeros(4), 1),), {}, r"a pair \(X, y\), but this one has 3 parts"),
        (((np.zeros((4, 2)), np.zeros((4, 2))), ["a"]), {}, "target names 1 columns, but y has 2"),
        (((np.zeros((4, 2)), np.zeros((4, 2))), ["a", "a"]), {}, 'two columns of y are called "a"; rename'),
        (((np.zeros((4, 2)), np.zeros(4)), "price"), {}, 'target = "price", but the target of arrays is'),
        (((people(), pd.DataFrame(np.zeros((300, 2)), columns=["b", "b"])),), {}, "two columns of y are"),
        (((people().rename(columns={"age": 0}), pd.DataFrame({"0": [1.0] * 300})),), {}, 'target "0" among'),
        ((people(), ["age", "age"]), {}, 'target names "age" twice; drop one'),
        ((people(), 3), {}, 'target = "3" is not a column; the columns are'),
        ((object(),), {}, "data is object; give a data frame"),
        (("study.toml",), {}, "is a study file; wb.read_study reads it"),
        (("name = 3\n[data]",), {}, "name = 3 must be"),
        (({"name": "x", "data": {"source": "digits"}}, "y"), {}, "leave target out"),
    ],
)
def test_mistakes_are_told_and_leave_no_study(
    home: Path, given: tuple[Any, ...], said: dict[str, Any], sentence: str
) -> None:
    with pytest.raises((DataError, StudyError, InputError), match=sentence):
        made(*given, **said)
    assert not list(home.rglob("*.toml"))
