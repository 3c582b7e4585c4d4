"""Axes with a condition in a study: written, refused, counted, searched, recorded, taken over."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

import workbench as wb
from tests.helpers.bad_input_cases import refused, study_text
from workbench.cli.main import main
from workbench.core.errors import StudyError
from workbench.core.types import Choice, Range
from workbench.storage.journal import read
from workbench.study.config import notes
from workbench.study.config.reading import study_of

STUDY = """name = "conditional"
[data]
source = "wine"
[model]
family = { choices = ["softmax", "mlp"] }
depth = { low = 1, high = 2, if = { family = "mlp" } }
width = 8
[optimizer]
name = { choices = ["adam", "momentum"] }
momentum = { low = 0.5, high = 0.95, if = { optimizer = "momentum", family = ["softmax", "mlp"] } }
learning_rate = { low = 1e-3, high = 1e-1, log = true }
[training]
epochs = 3
[search]
trials = 8
seeds = 1
sampler = "random"
pruner = "none"
"""
START = 'start = [{ family = "mlp" }, { optimizer = "momentum", momentum = 0.7 }]\n'


def study(text: str = STUDY) -> wb.Study:
    return study_of(text, Path("s.toml"))


def test_a_condition_is_read_and_written_in_every_form() -> None:
    axes = study().axes
    assert axes["depth"] == Range(1, 2, integer=True, when=(("family", ("mlp",)),), otherwise=2)
    assert axes["momentum"].when == (("optimizer", ("momentum",)), ("family", ("softmax", "mlp")))
    again = wb.vary(study(), seed=1)
    assert study(again.text).axes == axes
    by_python = wb.vary(study(), depth=wb.axis(1, 2, when={"family": "mlp"}))
    assert by_python.fingerprint == study().fingerprint
    chosen = wb.vary(study(), activation=wb.choices("tanh", "selu", when={"depth": [2]}))
    assert chosen.axes["activation"] == Choice(("tanh", "selu"), when=(("depth", (2,)),), otherwise="relu")
    whole = wb.vary(
        study(), batch_size=wb.choices(16, "all"), ema=wb.axis(0.5, 0.9, when={"batch_size": "all"})
    )
    assert whole.axes["ema"].when == (("batch_size", (0,)),)
    assert study(whole.text).axes == whole.axes


@pytest.mark.parametrize(
    "values", [(2, 3), range(2, 4), {3, 2}, np.array([2, 3]), [np.int64(2), np.int32(3)]], ids=str
)
def test_python_takes_values_in_any_list(values: Any) -> None:
    assert wb.axis(0.1, 0.5, when={"depth": values}).when == (("depth", (2, 3)),)
    assert wb.choices(1, 2, when={"depth": np.int64(2)}).when == (("depth", (2,)),)
    with pytest.raises(StudyError, match="when = 'depth' names no setting and its values; write it like"):
        wb.axis(0.1, 0.5, when="depth")  # type: ignore[arg-type]


def test_a_condition_is_part_of_what_a_study_is() -> None:
    without = study(STUDY.replace(', if = { family = "mlp" }', ""))
    assert without.fingerprint != study().fingerprint


@pytest.mark.parametrize(
    ("axis", "says"),
    [
        ('kernel = { low = 1, high = 3, if = { famly = "softmax" } }', "did you mean family?"),
        ('kernel = { low = 1, high = 3, if = { name = "adam" } }', "did you mean optimizer?"),
        (
            'kernel = { low = 1, high = 3, if = { family = "sofmax" } }',
            'family = "sofmax", but [model] family must',
        ),
        (
            "kernel = { low = 1, high = 3, if = { depth = [3, 4] } }\ndepth = { low = 1, high = 3 }",
            "depth = 4, but",
        ),
        ("kernel = { choices = [1, 3], if = { kernel = 3 } }", "goes by kernel itself"),
        (
            "kernel = { choices = [1, 3], if = { depth = 1 } }\n"
            "depth = { low = 1, high = 3, if = { kernel = 3 } }",
            "circle (kernel by depth, depth by kernel)",
        ),
        (
            "kernel = { choices = [1, 3], if = { dropout = 0.1 } }\n[regularization]\n"
            "dropout = { low = 0.0, high = 0.5 }",
            "give that a step or choices",
        ),
        ("kernel = { choices = [1, 3], if = { depth = [] } }", "names no value of depth"),
        ("kernel = { choices = [1, 3], if = 3 }", "if must be a table such as"),
        ("kernel = { low = 1, high = 3, if = {} }", "if must be a table such as"),
        ('kernel = { low = 1, high = 3, when = { family = "cnn" } }', "did you mean if?"),
    ],
)
def test_what_makes_no_sense_is_refused(
    axis: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(study_text("model", axis).replace("[regularization]\nl2 = 0.0\n", "", axis.count("[reg")))
    assert "[model] kernel" in refused(["check", str(path)], (says,), tmp_path, capsys)


def test_a_start_may_not_have_what_takes_no_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(STUDY + "start = [{ momentum = 0.7 }]\n")
    refused(["check", str(path)], ("momentum = 0.7", "if optimizer = momentum and"), tmp_path, capsys)


def test_an_axis_at_which_nothing_looks_is_told() -> None:
    told = " ".join(notes(study(STUDY.replace("width = 8", "width = 8\nkernel = { low = 1, high = 3 }"))))
    assert "[model] kernel is an axis without effect" in told
    never = wb.vary(study(), family="softmax")
    assert list(never.axes) == ["optimizer", "momentum", "learning_rate"]
    assert "[model] depth never takes part: its condition, family = mlp" in " ".join(notes(never))
    some = study(STUDY.replace(', if = { family = "mlp" }', ""))
    assert '[model] depth is searched for every family, and read by "mlp" alone' in " ".join(notes(some))
    assert not any("depth" in one or "momentum" in one for one in notes(study()))


def test_the_plan_says_when_an_axis_takes_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.toml"
    path.write_text(
        STUDY.replace('"random"', '"grid"').replace("low = 1e-3, high = 1e-1, log = true", "choices=[0.1]")
    )
    path.write_text(path.read_text().replace("low = 0.5, high = 0.95", "low = 0.5, high = 0.75, step = 0.25"))
    assert main(["check", str(path), "--home", str(tmp_path / "home"), "--json"]) == 0
    out = capsys.readouterr().out.splitlines()
    plan = json.loads(out[-1])
    depth = next(axis for axis in plan["axes"] if axis["name"] == "depth")
    assert depth["values"] == "1 to 2, if family = mlp"
    assert depth["if"] == {"family": "mlp"}
    assert plan["default"] == {"family": "softmax", "optimizer": "adam", "learning_rate": 0.1}
    assert not any("combinations" in note for note in plan["notes"])  # 3 x 3 are more than 8 trials
    path.write_text(STUDY.replace('"random"', '"cmaes"'))
    assert main(["check", str(path), "--home", str(tmp_path / "home"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])["notes"]
    assert "cmaes draws axes with a condition (depth, momentum) at random; tpe learns them too" in told


def ran(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, object]:
    assert (
        main(["run", str(path), "--home", str(path.parent / "home"), "--search-only", "--json", *more]) == 0
    )
    return dict(json.loads(capsys.readouterr().out.splitlines()[-1]))


def records(result: dict[str, object]) -> list[dict[str, object]]:
    found = read(Path(str(result["report"])).parent / "journal")
    kept = ("number", "params", "value", "rungs", "curves")
    ended = sorted((one for one in found if one["kind"] == "trial"), key=lambda one: one["number"])
    return [{key: one[key] for key in kept} for one in ended]


def test_a_search_draws_records_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.toml"
    path.write_text(STUDY + START)
    result = ran(path, capsys, "--trials", "5")
    first = records(result)
    assert first[1]["params"] == {"family": "mlp", "depth": 2, "optimizer": "adam", "learning_rate": 0.01}
    result = ran(path, capsys)
    trials = records(result)
    assert trials[:5] == first
    whole = tmp_path / "whole"
    whole.mkdir()
    (whole / "s.toml").write_text(STUDY + START)
    assert records(ran(whole / "s.toml", capsys)) == trials  # in one go, to the bit
    for trial in trials:
        params = trial["params"]
        assert ("depth" in params) == (params["family"] == "mlp")  # type: ignore[operator, index]
        assert ("momentum" in params) == (params["optimizer"] == "momentum")  # type: ignore[operator, index]
    home = tmp_path / "home"
    shown = optuna.load_study(
        study_name=str(result["study"]), storage=JournalStorage(JournalFileBackend(str(home / "optuna.log")))
    )
    assert [dict(one.params) for one in shown.trials] == [one["params"] for one in trials]
    with sqlite3.connect(home / "mlflow.db") as store:
        rows = store.execute(
            "select t.value, p.key from tags t join params p using (run_uuid) where t.key = 'trial'"
        ).fetchall()
    for trial in trials:
        assert {key for number, key in rows if int(number) == trial["number"]} == set(trial["params"])  # type: ignore[arg-type, call-overload]
    assert main(["show", str(path), "--home", str(home), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out.splitlines()[-1])["importances"]) == set(study().axes)
    report = (Path(str(result["report"]))).read_text(encoding="utf-8")
    assert "if family = mlp" in report
    chosen = result["best"]["params"]  # type: ignore[index]
    assert ("depth" in chosen) == (chosen["family"] == "mlp")


def test_a_study_takes_over_what_takes_part_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = tmp_path / "first.toml"
    first.write_text(STUDY.replace("conditional", "first"))
    ran(first, capsys, "--trials", "4")
    second = tmp_path / "second.toml"
    narrower = STUDY.replace("conditional", "second").replace(
        '["softmax", "mlp"] }\ndepth', '["mlp", "softmax"] }\ndepth'
    )
    second.write_text(narrower + 'start_from = "first"\n')
    trials = records(ran(second, capsys, "--trials", "5"))
    assert {json.dumps(one["params"]) for one in trials[1:]} >= {
        json.dumps(one["params"]) for one in records(ran(first, capsys, "--trials", "4")) if one["number"]
    }
