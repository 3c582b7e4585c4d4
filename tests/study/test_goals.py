"""Metrics that are recorded beside the one that decides, and a score that is enough."""

from __future__ import annotations

import json
import math
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from tests.helpers.bad_input_cases import refused, study_text
from tests.helpers.end_to_end import ONE_TRIAL
from workbench.cli.main import main
from workbench.core.errors import StudyError
from workbench.core.types import SearchSpec
from workbench.storage.journal import read
from workbench.study.config import also_of
from workbench.study.config.reading import study_of

STUDY = f"""name = "goals"
[data]
source = "wine"
{ONE_TRIAL.replace("trials = 1", "trials = 6").replace("epochs = 1", "epochs = 2")}
[optimizer]
learning_rate = {{ low = 1e-3, high = 1e-1, log = true }}
[select]
also = ["log_loss", "f1_macro"]
"""


def ran(path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    assert main(["run", str(path), "--home", str(path.parent / "home"), "--json", *more]) == 0
    return dict(json.loads(capsys.readouterr().out.splitlines()[-1]))


def ended(result: dict[str, Any]) -> list[dict[str, Any]]:
    found = [one for one in read(Path(result["report"]).parent / "journal") if one["kind"] == "trial"]
    return sorted(found, key=lambda one: int(one["number"]))


def test_further_metrics_stand_wherever_a_trial_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.toml"
    path.write_text(STUDY)
    ran(path, capsys, "--search-only", "--trials", "3")
    result = ran(path, capsys)  # goes on: what was recorded stays
    trials = ended(result)
    assert len(trials) == 6
    assert all(set(one["also"]) == {"log_loss", "f1_macro"} for one in trials)
    for one in trials:  # the loss of classes without smoothing is log loss
        curve = wb.run(path, tmp_path / "home").curves.query(f"trial == {one['number']}")
        assert one["also"]["log_loss"] == pytest.approx(curve.validation_loss.iloc[-1], rel=1e-4)
    frame = wb.run(path, tmp_path / "home").trials
    assert list(frame.validation_f1_macro) == [one["also"]["f1_macro"] for one in trials]
    told = result["also"]
    best = trials[result["best"]["trial"]]
    assert {name: one["validation"] for name, one in told.items()} == best["also"]
    for one in told.values():
        assert one["test"]["low"] is None or one["test"]["low"] <= one["test"]["value"] <= one["test"]["high"]
        assert math.isfinite(one["test"]["value"])
    assert any(one["test"]["low"] is not None for one in told.values())
    with sqlite3.connect(tmp_path / "home" / "mlflow.db") as store:
        keys = {key for (key,) in store.execute("select distinct key from metrics")}
    assert {"validation_log_loss", "validation_f1_macro", "test_log_loss", "test_f1_macro"} <= keys
    report = Path(result["report"]).with_name("report.md").read_text(encoding="utf-8")
    assert "| Test log loss |" in report
    assert "| Validation f1 macro |" in report
    assert main(["show", str(path), "--home", str(tmp_path / "home"), "--json"]) == 0
    top = json.loads(capsys.readouterr().out.splitlines()[-1])["top"]
    assert top[0]["also"] == trials[top[0]["trial"]]["also"]
    assert ran(path, capsys) == result  # the record says the same


@pytest.mark.parametrize(
    ("section", "line", "says"),
    [
        ("select", 'also = ["f1_makro"]', 'names "f1_makro", which is not known; did you mean "f1_macro"?'),
        ("select", 'also = ["rmse"]', 'names "rmse", which is for regression'),
        ("select", 'also = ["log_loss", "log_loss"]', 'names "log_loss" twice'),
        ("select", 'also = "log_loss"', "is not a list of metrics"),
        ("training", "stop_at = 98", "stop_at = 98 is never reached, since accuracy is at most 1"),
        ("training", 'stop_at = "0.9"', "is text; write the number without quotes"),
        ("training", "stop_at = { low = 0.1, high = 0.9 }", "cannot be searched"),
    ],
)
def test_what_makes_no_sense_is_refused(
    section: str, line: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(study_text(section, line))
    refused(["check", str(path)], (says,), tmp_path, capsys)


def test_a_search_ends_with_the_trial_that_reaches_its_goal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.toml"
    text = STUDY.replace("epochs = 2", "epochs = 12\nstop_at = GOAL")
    path.write_text(text.replace("GOAL", "0.9"))
    result = ran(path, capsys, "--search-only")
    trials = ended(result)
    assert result["stopped"] == "a trial reached stop_at = 0.9"
    assert result["trials"]["total"] < 6
    reached = [one for one in trials if one["reason"] == "reached"]
    assert reached
    assert all(one["value"] >= 0.9 and one["epochs"] <= 12 for one in reached)
    assert ran(path, capsys, "--search-only") == result
    journal = Path(result["report"]).parent / "journal"
    (journal.parent / "result.json").unlink()
    again = ran(path, capsys, "--search-only")  # from its journal
    assert (again["stopped"], again["trials"], ended(again)) == (result["stopped"], result["trials"], trials)
    assert sum(one["kind"] == "launch" for one in read(journal)) >= len(trials)
    path.write_text(text.replace("GOAL", "1.0").replace("epochs = 12", "epochs = 1"))
    never = ran(path, capsys, "--search-only")
    assert (never["stopped"], never["trials"]["total"]) == (None, 6)


def test_the_metric_that_decides_is_recorded_once() -> None:
    study = wb.vary(study_of(STUDY, Path("s.toml")), also=["log_loss", "accuracy"])
    assert also_of(study, "accuracy") == ("log_loss",)
    assert also_of(study, "log_loss") == ("accuracy",)


def test_a_goal_wants_to_know_its_metric(tmp_path: Path) -> None:
    rows, classes = np.eye(60, 3), np.arange(60) % 3  # few rows: log loss would be proposed
    with pytest.raises(StudyError, match=r'stop_at = 0.9 is a value of the metric.*say metric="log_loss"'):
        wb.create_study((rows, classes), name="few", home=tmp_path, stop_at=0.9)
    study = wb.create_study((rows, classes), name="few", home=tmp_path, stop_at=0.9, metric="accuracy")
    assert study.search.stop_at == 0.9


def test_a_goal_is_part_of_what_a_study_is_and_its_reason_holds() -> None:
    study = study_of(STUDY, Path("s.toml"))
    goal = wb.vary(study, stop_at=0.9)
    assert goal.fingerprint != study.fingerprint
    assert study_of(goal.text, Path("s.toml")).search.stop_at == 0.9
    assert wb.vary(goal, also=["roc_auc"]).also == ("roc_auc",)
    spec = SearchSpec(stop_at=0.9)
    assert spec.ends(spec.reached)
    assert not SearchSpec(stop_at=0.95).ends(spec.reached)
    assert not SearchSpec(stop="noise").ends(spec.reached)
