"""Run from Python: places, progress, stopping, what a result can do; pandas and scikit-learn are oracles."""

from __future__ import annotations

import json
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score

import workbench as wb
from tests.helpers.end_to_end import TINY
from tests.study.test_created import people
from workbench.core.errors import DataError, StudyError
from workbench.storage import outcomes

FEW = {"trials": 4, "epochs": 4, "seeds": 2, "parallel": 2, "width": 8, "batch_size": 32}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[wb.Study, wb.Result]]:
    home = tmp_path_factory.mktemp("python") / "home"
    frame = people(300)
    study = wb.create_study(frame, "churned", home=home, tell=None, depth=wb.axis(1, 2), **FEW)
    return study, wb.run(study)


def test_a_created_study_is_run_in_its_own_home(ran: tuple[wb.Study, wb.Result]) -> None:
    study, result = ran
    home = study.path.parents[2]
    assert result.report == home / "studies" / study.id / "report.html"
    assert (home / "mlflow.db").exists()
    assert wb.run(study.path) == result
    assert wb.run("churned", home) == result
    assert wb.confirm(study, wb.resolve(home=str(home))) == result


def test_a_result_reads_as_what_json_prints(ran: tuple[wb.Study, wb.Result]) -> None:
    _, result = ran
    assert json.loads(json.dumps(result)) == result
    assert result.best == tuple(result["best"].values())
    assert result.test is not None
    assert result.test.value == result["test"]["value"]
    assert result.test.look == 1


def test_trials_and_curves_are_those_of_the_record(ran: tuple[wb.Study, wb.Result]) -> None:
    study, result = ran
    trials, curves = result.trials, result.curves
    assert list(trials["number"]) == [0, 1, 2, 3]
    assert {f"params_{name}" for name in study.axes} <= set(trials.columns)
    assert len(curves) == trials["epochs"].sum()
    for row in trials.itertuples():
        own = curves[curves["trial"] == row.number].set_index("epoch")
        assert own.loc[row.best_epoch, "validation_score"] == pytest.approx(row.value)
    outcome = outcomes.load(result.report.parent)
    assert outcome is not None
    for trial in outcome.trials:
        own = curves.loc[curves["trial"] == trial.number, "train_loss"]
        np.testing.assert_array_equal(own, trial.curves.train_loss)


def test_the_model_predicts_for_frames_and_arrays(ran: tuple[wb.Study, wb.Result]) -> None:
    _, result = ran
    model, rows = result.model, people(50, seed=9)
    told, shares = model.predict(rows), model.predict_proba(rows)
    assert list(told.index) == list(rows.index)
    np.testing.assert_array_equal(shares, told[["probability_no", "probability_yes"]])
    np.testing.assert_array_equal(told["prediction"], np.array(model.classes)[shares.argmax(axis=1)])
    assert accuracy_score(rows["churned"], told["prediction"]) > 0.5
    array = rows.drop(columns="churned").to_numpy(dtype=object)
    np.testing.assert_array_equal(model.predict_proba(array), shares)
    with pytest.raises(DataError, match=r"trained on 4 columns \(age, plan, vip, calls\)"):
        model.predict(array[:, :3])


def test_what_is_no_study_is_told(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"study is DataFrame; give a study \(wb.read_study"):
        wb.run(people(3))  # type: ignore[arg-type]
    with pytest.raises(StudyError, match="there is no such file"):
        wb.run("nothing", tmp_path)


def test_it_prints_well(ran: tuple[wb.Study, wb.Result]) -> None:
    study, result = ran
    assert repr(study).startswith("Study('churned', 'churned-")
    assert len(repr(study)) < 200
    assert repr(result).splitlines()[0] == f"{study.id} · confirmed"
    assert "sealed test rows, opened once, log loss is" in repr(result)
    assert repr(result.model) == "Predictor(mlp, from age, plan, vip, calls to classes no, yes)"
    page = result._repr_html_()
    assert "sealed test rows, opened once, log loss is" in page
    assert re.findall('alt="(.*?)"', page) == ["search history", "learning curves"]
    assert set(result.figures) >= {"search_history", "learning_curves", "confusion_matrix"}
    assert len(page) < 500_000


@pytest.mark.slow  # three searches
def test_a_callback_stops_and_the_study_goes_on(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY.replace("trials = 4", "trials = 6\nparallel = 1"))
    heard: list[wb.Figures] = []

    def enough(now: wb.Figures) -> bool:
        heard.append(now)
        return now["done"] >= 2

    stopped = wb.run(tmp_path / "tiny.toml", tmp_path / "home", on_rung=enough)
    assert stopped["status"] == "interrupted"
    assert 2 <= stopped["trials"]["total"] < 6
    assert len(stopped.trials) == stopped["trials"]["total"]
    assert heard[-1]["done"] == stopped["trials"]["total"]
    assert "Run the study again to go on" in repr(stopped)
    assert "Run the study again to go on" in stopped._repr_html_()
    with pytest.raises(StudyError, match="stopped before its choice"):
        _ = stopped.model
    with pytest.raises(StudyError, match="stopped before its report"):
        _ = stopped.report
    gone_on = wb.search(tmp_path / "tiny.toml", tmp_path / "home", on_rung=lambda now: None)
    assert gone_on["status"] == "searched"
    assert gone_on.test is None
    assert gone_on.trials.head(len(stopped.trials)).equals(stopped.trials)

    straight = wb.search(tmp_path / "tiny.toml", tmp_path / "straight")
    pd.testing.assert_frame_equal(
        straight.trials.drop(columns="seconds"), gone_on.trials.drop(columns="seconds")
    )


def test_an_error_of_the_callback_is_the_callers(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)

    def fail(now: wb.Figures) -> None:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        wb.search(tmp_path / "tiny.toml", tmp_path / "home", on_rung=fail)
    assert wb.search(tmp_path / "tiny.toml", tmp_path / "home")["trials"]["total"] == 4


def test_a_notebook_sees_a_bar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where IPython says that there is a kernel; nothing of it is installed here."""
    shown: list[str] = []

    class Handle:
        def update(self, html: str) -> None:
            shown.append(html)

    display = types.ModuleType("IPython.display")
    display.HTML = str  # type: ignore[attr-defined]
    display.display = lambda html, display_id: Handle()  # type: ignore[attr-defined]
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    (tmp_path / "tiny.toml").write_text(TINY)
    wb.search(tmp_path / "tiny.toml", tmp_path / "home")
    assert any('<progress value="4" max="4">' in html for html in shown)
    assert "✓ loading wine" in shown[-1]
    before = len(shown)
    wb.search(tmp_path / "tiny.toml", tmp_path / "home", progress=False)
    assert len(shown) == before


def test_scripts_without_a_terminal_stay_silent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ran: Any
) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    wb.search(tmp_path / "tiny.toml", tmp_path / "home")
    assert capsys.readouterr() == ("", "")
    wb.search(tmp_path / "tiny.toml", tmp_path / "home", progress=True)
    assert "finished before" in capsys.readouterr().err
