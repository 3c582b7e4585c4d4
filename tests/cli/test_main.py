"""The command line: what is asked of the workflow, what reaches which stream, with which status it ends."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench.study
from workbench.cli.main import COMMANDS, main
from workbench.cli.streams import as_json
from workbench.core.errors import DataError, WorkbenchError
from workbench.core.locations import Locations, resolve
from workbench.study.config import Study
from workbench.study.config.schema import KEYS
from workbench.study.watch import Watch

STUDY = 'name = "small"\n[data]\nsource = "wine"\n[model]\nwidth = { low = 8, high = 64 }\n'
RESULT: dict[str, Any] = {
    "study": "small-01234567",
    "status": "confirmed",
    "task": "classification",
    "trials": {"total": 20, "complete": 12, "pruned": 7, "failed": 1},
    "best": {"trial": 13, "metric": "accuracy", "validation": 0.98765, "params": {"width": 33, "l2": 1e-6}},
    "default": {"validation": 0.91},
    "optimism": 0.0042,
    "test": {
        "metric": "accuracy",
        "value": 0.9722,
        "low": 0.8548,
        "high": 0.9993,
        "rows": 1036,
        "look": 2,
        "confidence": 0.95,
    },
    "programs": 3,
    "seconds": {"total": 12.3, "compile": 4.0, "train": 6.0, "sample": 1.0, "track": 0.3, "other": 1.0},
    "mlflow": {"tracking_uri": "sqlite:///x", "experiment": "small", "run_id": "r"},
    "report": "runs/studies/small/report.html",
}
Call = Callable[..., Any]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in ("WORKBENCH_HOME", "MLFLOW_TRACKING_URI", "WORKBENCH_STORAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.toml").write_text(STUDY)
    return "small.toml"


@pytest.fixture
def workflow(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A workflow that does nothing: the command line alone is on trial here."""
    module = types.ModuleType("workbench.study.workflow")

    def run(
        study: Study, locations: Locations, *, search_only: bool = False, watch: Watch, cluster: str | None
    ) -> dict[str, Any]:
        module.called = (study, locations, search_only, cluster)  # type: ignore[attr-defined]
        watch.stage("searching")
        watch.plan(20, 100)
        watch.progress(
            done=20, pruned=7, failed=1, total=20, best_value=0.98765, best_trial=13, rung=3, epochs_done=100,
            eta_seconds=0.0,
        )  # fmt: skip
        print("chatter")
        return dict(RESULT)

    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "workbench.study.workflow", module)
    monkeypatch.setattr(workbench.study, "workflow", module, raising=False)
    return module


def failing(error: BaseException) -> Call:
    def run(*args: object, **kwargs: object) -> dict[str, Any]:
        raise error

    return run


# ── streams ─────────────────────────────────────────────────────────────────────────────────────


def test_json_is_alone_on_standard_output(study: str) -> None:
    program = f"""
import os, sys, types
import workbench.study
from workbench.cli.main import main

def run(study, places, *, search_only, watch, cluster):
    print("chatter")
    os.write(1, b"chatter of C code\\n")
    os.system("echo chatter of a child")
    sys.__stdout__.write("chatter that stays in the buffer\\n")
    return {RESULT!r}

workbench.study.workflow = sys.modules["workbench.study.workflow"] = types.SimpleNamespace(run=run)
status = main(["run", {study!r}, "--json"])
print("standard output is itself again")
os.write(1, b"and its descriptor\\n")
sys.exit(status)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert json.loads(first) == RESULT
    assert sorted(rest) == ["and its descriptor", "standard output is itself again"]
    for source in ("chatter", "chatter of C code", "chatter of a child", "chatter that stays in the buffer"):
        assert source in done.stderr.splitlines()


def test_json_when_standard_output_is_in_memory(
    study: str, workflow: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", study, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == RESULT


def test_people_get_a_summary_and_lines(
    study: str, workflow: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", study]) == 0
    out, err = capsys.readouterr()
    for said in (
        *(
            "test accuracy",
            "0.9722",
            "0.8548 to 0.9993",
            "1,036 rows",
            "look 2",
            "0.9877",
            "trial 13",
            "0.91",
        ),
        *("0.0042", "width 33", "12 complete, 7 pruned, 1 failed", "12.3", "report.html", "workbench ui"),
    ):
        assert said in out
    assert "20/20 trials, 7 pruned, 1 failed, best 0.9877 (trial 13)" in err


def test_json_knows_no_nan() -> None:
    value = {
        "nan": math.nan,
        "inf": [math.inf, -math.inf],
        "f": np.float32(0.5),
        "i": np.int64(3),
        1: Path("a"),
    }
    value |= {"array": np.array([1.0, math.nan]), "float64": np.float64("nan"), "text": "é\n", "true": True}
    assert json.loads(as_json(value)) == {
        "nan": None,
        "inf": [None, None],
        "f": 0.5,
        "i": 3,
        "1": "a",
        "array": [1.0, None],
        "float64": None,
        "text": "é\n",
        "true": True,
    }
    assert "\n" not in as_json(value)
    with pytest.raises(TypeError, match="object has no place"):
        as_json({"x": object()})


# ── options ─────────────────────────────────────────────────────────────────────────────────────


def test_options_reach_the_workflow(
    study: str, workflow: types.ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = "http://127.0.0.1:5000"
    argv = ["run", study, "--trials", "7", "--search-only", "--home", "h", "--tracking-uri", uri]
    assert main([*argv, "--cluster", "local:2"]) == 0
    read, locations, search_only, cluster = workflow.called
    assert read.search.trials == 7
    assert search_only
    assert cluster == "local:2"
    assert locations == Locations(tmp_path / "h", uri, f"sqlite:///{tmp_path}/h/workbench.db")
    plain = main(["run", study])
    assert plain == 0
    again, default, search_only, cluster = workflow.called
    assert again.id == read.id, "the budget is no part of a study's identity"
    assert not search_only
    assert cluster is None, "the environment says"
    assert default == Locations(
        tmp_path / "runs", *(f"sqlite:///{tmp_path}/runs/{db}.db" for db in ("mlflow", "workbench"))
    )
    assert not (tmp_path / "runs").exists()
    capsys.readouterr()


def test_an_option_wins_over_the_environment(tmp_path: Path) -> None:
    environ = {
        "WORKBENCH_HOME": str(tmp_path / "env"),
        "MLFLOW_TRACKING_URI": "http://mlflow:5000",
        "WORKBENCH_STORAGE": "postgresql://u@h/d",
    }
    assert resolve(environ=environ) == Locations(tmp_path / "env", "http://mlflow:5000", "postgresql://u@h/d")
    locations = resolve("a", "https://b", "sqlite:///c.db", environ)
    assert locations == Locations(Path("a").absolute(), "https://b", "sqlite:///c.db")
    empty = dict.fromkeys(environ, "")
    assert resolve(environ=empty).home == Path("runs").absolute()


def test_each_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert name in shown
        with pytest.raises(SystemExit) as end:
            main([name, "--help"])
        assert end.value.code == 0
        described = capsys.readouterr().out
        assert all(option in described for option in command.options)


def test_keys_tells_every_key_of_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    """What the schema holds, told once: for people, and as an object; a default reads back as itself."""
    assert main(["keys"]) == 0
    shown = capsys.readouterr().out
    assert main(["keys", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["keys"]
    paths = [tuple(part for part in (key["section"], *key["key"].split(".")) if part) for key in told]
    assert paths == list(KEYS)
    for path, key in zip(paths, told, strict=True):
        assert key["key"] in shown
        assert key["holds"]
        assert key["meaning"]
        assert bool(key["axis"]) == KEYS[path].kind.axis
    defaults = {".".join(path): key["default"] for path, key in zip(paths, told, strict=True)}
    assert defaults["model.depth"] == "2"
    assert defaults["optimizer.name"] == '"adam"'
    assert defaults["optimizer.clip"] == "inf"
    assert defaults["training.batch_size"] == "32"
    assert defaults["optimizer.final"] == '"auto"'
    assert defaults["data.target"] is None


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("workbench 0.")


def test_a_check_a_show_and_a_ledger_for_people(
    study: str, workflow: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    workflow.check = lambda study, locations: {  # type: ignore[attr-defined]
        "study": study.id,
        "task": "classification",
        "data": {"rows": 1797},
        "splits": {"train": 1077, "validation": 360, "test": 360},
        "programs": 2,
        "findings": ["[data] 3 rows occur twice"],
        "rooms": [24, 64],
        "cost": {"seconds": 75.0, "compile": 9.0},
        "costs": {"compile": 2.5, "rate": 4.5e10, "devices": 2},
        "axes": [{"name": "width", "values": "8 to 64", "recompiles": False}],
    }
    assert main(["check", study]) == 0
    out = capsys.readouterr().out
    for said in (
        "1,797",
        "train 1,077, validation 360",
        "1 min 15 s",
        "2 to compile, with room for 24, 64 units",
        "45 GFLOP/s on each of 2 devices",
        "width",
        "8 to 64",
        "[data] 3 rows occur twice",
    ):
        assert said in out
    trial = {"trial": 3, "validation": 0.9, "epochs": 50, "params": {"width": 9}, "curve": [0.1, None, 0.9]}
    workflow.show = lambda study, locations, sizes: (
        RESULT
        | {  # type: ignore[attr-defined]
            "top": [trial],
            "importances": {"width": 0.75},
            "diagnosis": ["high variance: more data"],
        }
    )
    assert main(["show", study]) == 0
    out = capsys.readouterr().out
    for said in ("0.9722", "best trials", "▁·█", "what mattered", "0.75", "high variance: more data"):
        assert said in out


@pytest.mark.parametrize(("verified", "status"), [(None, 0), (True, 0), (False, 1)])
def test_a_broken_chain_is_a_failure(
    verified: bool | None,
    status: int,
    study: str,
    workflow: types.ModuleType,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opening = {
        "number": 1,
        "time": "2026-01-02T03:04:05.678Z",
        "study": "small-01234567",
        "test_rows": 36,
        "look": 1,
    }
    workflow.ledger = lambda locations, verify: {  # type: ignore[attr-defined]
        "openings": [opening | {"metric": "accuracy", "value": 0.9, "low": 0.8, "high": 0.95}],
        "verified": verified,
        "problem": "link 1 was changed",
    }
    assert main(["ledger", *["--verify"] * (verified is not None)]) == status
    out = capsys.readouterr().out
    assert "2026-01-02 03:04:05" in out
    assert "0.8 to 0.95" in out
    assert ("link 1 was changed" in out) == (verified is False)


# ── how it ends ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("error", "status", "says"),
    [
        (KeyboardInterrupt(), 130, "interrupted; run the same command again"),
        (WorkbenchError("no trial was finished"), 1, "no trial was finished"),
        (DataError("d.csv: is empty"), 2, "small.toml: d.csv: is empty"),
        (DataError("two\nlines"), 2, "small.toml: two lines"),
    ],
)
@pytest.mark.parametrize("as_object", [False, True])
def test_errors_end_in_a_sentence_and_a_status(
    as_object: bool,
    error: BaseException,
    status: int,
    says: str,
    study: str,
    workflow: types.ModuleType,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workflow.run = failing(error)  # type: ignore[attr-defined]
    assert main(["run", study, *["--json"] * as_object]) == status
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert says in err
    if as_object:
        shown = json.loads(out)
        assert shown["exit_status"] == status
        assert shown["status"] == ("interrupted" if status == 130 else "failed")
        assert says in shown["error"]
    else:
        assert out == ""


def test_an_interrupted_result_is_printed_with_its_status(
    study: str, workflow: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted = RESULT | {
        "status": "interrupted",
        "best": None,
        "test": None,
        "report": None,
        "optimism": None,
    }
    workflow.run = lambda *args, **kwargs: interrupted  # type: ignore[attr-defined]
    assert main(["run", study, "--json"]) == 130
    assert json.loads(capsys.readouterr().out)["status"] == "interrupted"
    assert main(["run", study, "--home", "my home"]) == 130
    assert "workbench run small.toml --home" in capsys.readouterr().out


def test_a_surprise_is_kept_for_who_can_read_it(
    study: str, workflow: types.ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workflow.run = failing(ZeroDivisionError("at postgresql://u:secret@h/d"))  # type: ignore[attr-defined]
    assert main(["run", study, "--home", "h"]) == 1
    err = capsys.readouterr().err
    assert err.startswith(
        "workbench: unexpected ZeroDivisionError: at postgresql://u:***@h/d; the traceback is in "
    )
    assert err.count("\n") == 1
    (log,) = (tmp_path / "h" / "logs").iterdir()
    assert str(log) in err
    assert "Traceback (most recent call last)" in log.read_text()
    assert "secret" not in log.read_text()
    assert main(["run", study, "--home", "h", "--debug"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["run", study, "--home", "file"]) == 1
    assert "add --debug" in capsys.readouterr().err


def test_a_reader_that_has_gone_is_no_failure() -> None:
    program = """
import sys, types
import workbench.study
from workbench.cli.main import main
lines = ["x" * 100] * 2000
workbench.study.workflow = sys.modules["workbench.study.workflow"] = types.SimpleNamespace(
    ledger=lambda places, verify: {"openings": [{"study": line} for line in lines], "verified": None}
)
sys.exit(main(["ledger", *sys.argv[1:]]))
"""
    for arguments in (["--json"], []):
        reader, writer = os.pipe()
        os.close(reader)
        argv = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(argv, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
        os.close(writer)
        assert (done.returncode, done.stderr) == (0, "")


def test_python_m_workbench_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workbench", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("workbench ")
