"""The main job from the command line: what is printed, what a second call does, when the test set opens."""

from __future__ import annotations

import errno
import json
import math
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from tests.helpers.end_to_end import SMALL, TINY, Place, Ran, place, workbench
from workbench.cli.main import main
from workbench.core.records import encode_trial, ranked

NUMBER = (int, float)
#: The contract of `run --json`: every key, with the type of its value.
CONTRACT: dict[str, Any] = {
    "study": str,
    "status": str,
    "task": str,
    "trials": dict.fromkeys(("total", "complete", "pruned", "failed"), int),
    "best": {"trial": int, "metric": str, "validation": NUMBER, "params": dict},
    "default": {"validation": NUMBER},
    "optimism": NUMBER,
    "test": {
        "metric": str,
        **dict.fromkeys(("value", "low", "high", "confidence"), NUMBER),
        **dict.fromkeys(("rows", "look"), int),
    },
    "programs": int,
    "seconds": dict.fromkeys(("total", "compile", "train", "sample", "track", "other"), NUMBER),
    "mlflow": {"tracking_uri": str, "experiment": str, "run_id": str},
    "report": str,
}


def keeps(contract: Any, value: Any, where: str = "result") -> None:
    if isinstance(contract, dict):
        assert set(contract) <= set(value), f"{where} lacks {set(contract) - set(value)}"
        for key, inner in contract.items():
            keeps(inner, value[key], f"{where}.{key}")
    else:
        assert isinstance(value, contract), f"{where} = {value!r}"
        assert not isinstance(value, bool)


def adds_up(result: dict[str, Any]) -> None:
    trials, seconds, test = result["trials"], result["seconds"], result["test"]
    assert trials["total"] == trials["complete"] + trials["pruned"] + trials["failed"]
    assert min(trials.values()) >= 0
    parts = sum(value for part, value in seconds.items() if part != "total")
    assert math.isclose(parts, seconds["total"], abs_tol=0.01)
    assert min(seconds.values()) >= 0
    assert test["low"] <= test["value"] <= test["high"]
    assert result["best"]["metric"] == test["metric"]
    assert Path(result["report"]).is_file()


# ── one run ─────────────────────────────────────────────────────────────────────────────────────


def test_the_result_keeps_the_contract(finished: tuple[Place, Ran]) -> None:
    where, ran = finished
    result = ran.result
    keeps(CONTRACT, result)
    adds_up(result)
    assert result["status"] == "confirmed"
    assert result["task"] == "classification"
    assert result["trials"]["total"] == 24
    assert result["trials"]["pruned"] > 0
    assert result["best"]["validation"] >= result["default"]["validation"]
    assert result["choice"]["rule"] == "keep-default"
    assert result["choice"]["seeds"] == 2
    assert result["declared"] is None
    assert set(result["best"]["params"]) == {
        *("depth", "width", "activation", "optimizer", "learning_rate", "l2", "batch_size")
    }
    assert result["test"]["metric"] == "accuracy"
    assert result["test"]["rows"] == 35  # a fifth of 178, stratified
    assert result["test"]["look"] == 1
    assert result["test"]["confidence"] == 0.95
    assert 1 <= result["programs"] <= 6
    assert result["mlflow"]["tracking_uri"] == f"sqlite:///{where.home}/mlflow.db"
    assert result["mlflow"]["experiment"] == "small"


def test_only_the_json_is_on_standard_output(finished: tuple[Place, Ran]) -> None:
    _, ran = finished
    assert ran.out.count("\n") == 1
    assert json.loads(ran.out)
    assert "opening the test set" in ran.err
    assert "Warning" not in ran.err
    assert "Traceback" not in ran.err


def test_the_trials_are_those_that_were_counted(finished: tuple[Place, Ran]) -> None:
    where, ran = finished
    trials = where.outcome.trials
    assert [trial.number for trial in trials] == list(range(24))
    reasons = {trial.reason for trial in trials}
    assert {"pruned", "diverged"} <= reasons
    assert reasons & {"finished", "early stopped"}
    for state in ("complete", "pruned", "failed"):
        assert ran.result["trials"][state] == sum(trial.state == state for trial in trials)
    finalists = {one["trial"]: one for one in ran.result["choice"]["finalists"]}
    assert set(finalists) <= {*(trial.number for trial in ranked(trials, "maximize")[:3]), 0}
    best, chosen = ran.result["best"], where.outcome.selection
    assert best["validation"] == finalists[best["trial"]]["mean"]
    assert chosen is not None
    assert best["validation"] == pytest.approx(sum(seed.validation for seed in chosen.seeds) / 2)
    assert ran.result["choice"]["default_kept"] == (best["trial"] == 0)
    assert best["params"] == dict(trials[best["trial"]].params)
    assert ran.result["default"]["validation"] == finalists[0]["mean"]
    middle = {"depth": 2, "width": 7, "activation": "relu", "optimizer": "adam", "batch_size": 16}
    assert {key: trials[0].params[key] for key in middle} == middle
    assert trials[0].state == "complete"


def test_a_second_call_repeats_the_result_and_does_nothing(finished: tuple[Place, Ran]) -> None:
    where, ran = finished
    before = snapshot(where.home)
    again = where.run(python=("-X", "importtime"))
    assert again.status == 0
    assert again.out == ran.out
    assert again.seconds < 5.0
    assert snapshot(where.home) == before
    lines = [line for line in again.err.splitlines() if line.startswith("import time:")]
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}
    assert "workbench" in loaded
    assert not loaded & {"jax", "mlflow", "optuna", "pandas", "matplotlib", "sklearn", "scipy"}


def test_search_only_after_the_end_gives_the_same(finished: tuple[Place, Ran]) -> None:
    where, ran = finished
    assert where.run("--search-only").out == ran.out


def test_the_ledger_has_one_opening_and_is_whole(finished: tuple[Place, Ran]) -> None:
    where, ran = finished
    told = workbench("ledger", "--verify", "--home", str(where.home), "--json")
    assert told.status == 0
    assert told.result["verified"] is True
    (opening,) = told.result["openings"]
    assert opening["study"] == ran.result["study"]
    assert opening["look"] == 1
    assert (opening["value"], opening["low"], opening["high"]) == tuple(
        ran.result["test"][name] for name in ("value", "low", "high")
    )
    for_people = workbench("ledger", "--verify", "--home", str(where.home))
    assert "the chain is whole" in for_people.out
    assert ran.result["study"] in for_people.out


def test_a_ledger_that_was_changed_is_found_out(finished: tuple[Place, Ran], tmp_path: Path) -> None:
    where, _ = finished
    with closing(sqlite3.connect(where.home / "workbench.db")) as source:
        source.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy, copy:
        for (trigger,) in copy.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            copy.execute(f"DROP TRIGGER {trigger}")
        copy.execute("UPDATE workbench_ledger SET content = replace(content, '\"look\": 1', '\"look\": 0')")
        assert copy.total_changes > 0
    storage = f"sqlite:///{tmp_path / 'copy.db'}"
    told = workbench("ledger", "--verify", "--storage", storage, "--home", str(tmp_path), "--json")
    assert told.status == 1
    assert told.result["verified"] is False


def test_show_and_check(finished: tuple[Place, Ran]) -> None:
    where, ran = finished
    shown = where.run(command="show")
    assert shown.status == 0
    keeps(CONTRACT, shown.result)
    assert {key: shown.result[key] for key in ran.result} == ran.result
    top = shown.result["top"]
    finalists = {one["trial"] for one in ran.result["choice"]["finalists"]} - {0}
    assert ran.result["best"]["trial"] in finalists
    assert finalists == {trial["trial"] for trial in top[: len(finalists)]}
    assert [trial["validation"] for trial in top] == sorted((t["validation"] for t in top), reverse=True)
    assert all(len(trial["curve"]) == trial["epochs"] for trial in top)
    for_people = workbench("show", str(where.file), "--home", str(where.home))
    assert "best trials" in for_people.out
    assert str(ran.result["report"]) in "".join(for_people.out.split("│")).replace("\n", "").replace(" ", "")

    before = snapshot(where.home)
    checked = where.run(command="check")
    assert checked.status == 0
    plan = checked.result
    assert plan["splits"] == {"train": 107, "validation": 36, "test (sealed)": 35}
    assert plan["programs"] == ran.result["programs"]
    assert [axis["name"] for axis in plan["axes"]] == list(ran.result["best"]["params"])
    assert plan["cost"]["seconds"] > 0
    assert snapshot(where.home) == before


def test_a_home_that_may_only_be_read_is_shown(
    finished: tuple[Place, Ran], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where, ran = finished

    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", "figures/x.png")

    monkeypatch.setattr("workbench.evaluation.report.write", refused)
    assert main(["show", str(where.file), "--home", str(where.home), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["best"], shown["test"], shown["report"]) == (ran.result["best"], ran.result["test"], None)
    assert shown["top"]
    assert any(
        "not written again: figures/x.png: cannot be used (Read-only" in note for note in shown["notes"]
    )


def test_what_people_are_shown_at_the_end(finished: tuple[Place, Ran]) -> None:
    where, _ = finished
    ran = workbench("run", str(where.file), "--home", str(where.home))
    assert ran.status == 0
    for words in ("test accuracy", "95 % interval", "first look", "optimism", "workbench ui", "24: "):
        assert words in ran.out


# ── the test set, opened when the user says so, and once ────────────────────────────────────────


def test_search_confirm_and_more_trials(tmp_path: Path) -> None:
    where = place(tmp_path, SMALL.replace("trials = 24", "trials = 12").replace("1e20", "1e-1"))

    early = where.run(command="confirm")
    assert early.status == 2
    assert str(where.file) in early.err
    assert "--search-only" in early.err
    assert not where.home.exists()

    searched = where.run("--search-only")
    assert searched.status == 0
    assert searched.result["status"] == "searched"
    assert searched.result["test"] is None
    keeps({key: kind for key, kind in CONTRACT.items() if key != "test"}, searched.result)
    assert where.run("--search-only").out == searched.out
    assert openings(where) == []
    for_people = workbench("run", str(where.file), "--search-only", "--home", str(where.home))
    assert "still sealed" in for_people.out

    confirmed = where.run(command="confirm")
    assert confirmed.status == 0, confirmed.err
    assert "training the best" not in confirmed.err  # the choice was frozen by the search
    adds_up(confirmed.result)
    for key in ("study", "task", "trials", "best", "default", "optimism", "programs"):
        assert confirmed.result[key] == searched.result[key]
    assert confirmed.result["status"] == "confirmed"
    assert where.run().out == confirmed.out
    assert where.run(command="confirm").out == confirmed.out

    launched = where.events("launch")
    trials = [encode_trial(trial) for trial in where.outcome.trials]
    more = where.run("--trials", "20")
    assert more.status == 0, more.err
    assert more.result["trials"]["total"] == 20
    assert more.result["test"] == confirmed.result["test"]
    assert more.result["seconds"]["total"] > confirmed.result["seconds"]["total"]
    assert len(openings(where)) == 1
    assert [encode_trial(trial) for trial in where.outcome.trials[:12]] == trials
    after = where.events("launch")
    assert after[: len(launched)] == launched
    fresh = {event["trial"] for event in after[len(launched) :]}
    assert fresh == set(range(12, 20))
    assert where.run("--trials", "20").out == more.out
    assert where.run().out == more.out  # the file asks for fewer, which are there
    assert "but the test set was opened for it, and it stays" in more.err
    assert more.result["best"] == confirmed.result["best"]


@pytest.mark.slow
def test_another_study_on_the_same_rows_is_a_second_look(tmp_path: Path) -> None:
    text = TINY.replace('"wine"', '"digits"')  # on which so short a training makes mistakes
    where = place(tmp_path, text)
    first = where.run()
    other = place(tmp_path / "other", text.replace('"tiny"', '"other"').replace("1e-4", "2e-4"))
    second = Place(other.file, where.home).run()
    assert "look 2" in second.err
    assert "widened" in second.err
    for ran, look in ((first, 1), (second, 2)):
        test = ran.result["test"]
        right = round(test["value"] * test["rows"])
        alone = binomtest(right, test["rows"]).proportion_ci(0.95, method="wilson")
        assert test["look"] == look
        assert 0 < right < test["rows"]
        if look == 1:
            assert (test["low"], test["high"]) == pytest.approx((alone.low, alone.high), abs=1e-9)
        else:
            assert test["low"] < alone.low < alone.high < test["high"]
    assert [opening["look"] for opening in openings(where)] == [1, 2]
    assert where.run().out == first.out  # the first study's score stays what it was


@pytest.mark.started
def test_a_search_in_which_everything_diverges(tmp_path: Path) -> None:
    text = SMALL.replace("low = 1e-4, high = 1e20", "low = 1e30, high = 1e34").replace(
        "trials = 24", "trials = 8"
    )
    where = place(tmp_path, text.replace('{ choices = ["adam", "momentum"] }', '"momentum"'))
    ran = where.run()
    assert ran.status == 1
    assert "8 of 8 diverged" in ran.err.splitlines()[-1]
    assert "Traceback" not in ran.err
    assert openings(where) == []


def openings(where: Place) -> list[dict[str, Any]]:
    told = workbench("ledger", "--verify", "--home", str(where.home), "--json").result
    assert told["verified"] is True, told["problem"]
    return list(told["openings"])


def snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file with its size and the time of its last change."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


@pytest.mark.slow  # until the database is given up
def test_what_mlflow_could_not_take_comes_with_the_next_run(tmp_path: Path) -> None:
    where = place(tmp_path, TINY)
    assert where.run("--search-only").status == 0
    with closing(sqlite3.connect(where.home / "mlflow.db", isolation_level=None)) as held:
        held.execute("BEGIN IMMEDIATE")
        ran = where.run("--trials", "8")
        held.execute("ROLLBACK")
    assert ran.status == 0, ran.err
    assert "MLflow lacks 8 trials" in ran.err
    assert "the next run brings them" in ran.err
    assert ran.result["trials"]["total"] == 8
    away = where.run("--trials", "8", "--tracking-uri", "http://127.0.0.1:9")
    assert away.out == ran.out
    assert "this is the recorded result" in away.err
    again = where.run("--trials", "8")
    assert again.status == 0, again.err
    same = ("trials", "best", "default", "optimism", "test")
    assert {key: again.result[key] for key in same} == {key: ran.result[key] for key in same}
    assert len(openings(where)) == 1
    assert where.run("--trials", "8").out == again.out
    with closing(sqlite3.connect(where.home / "mlflow.db")) as store:
        states = store.execute("SELECT status, COUNT(*) FROM runs GROUP BY status").fetchall()
    assert dict(states) == {"FINISHED": 9}


@pytest.mark.slow
def test_processes_that_confirm_at_once_get_one_result(tmp_path: Path) -> None:
    where = place(tmp_path, TINY)
    assert where.run("--search-only").status == 0
    with ThreadPoolExecutor(4) as together:
        ran = list(together.map(lambda _: where.run(command="confirm"), range(4)))
    assert [one.status for one in ran] == [0] * 4, [one.err for one in ran]
    assert len({json.dumps(one.result["test"]) for one in ran}) == 1
    assert {one.result["test"]["look"] for one in ran} == {1}
    listed = workbench("ledger", "--verify", "--home", str(where.home), "--json").result
    assert len(listed["openings"]) == 1
    assert listed["verified"] is True
