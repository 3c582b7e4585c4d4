"""What is told while a user waits: of a search in another process, and of the program that compiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.end_to_end import ONE_TRIAL
from workbench.cli.main import main
from workbench.core.locations import Locations, resolve
from workbench.storage.journal import Journal, held
from workbench.study import workflow
from workbench.study.compiling import FILE, Compiling
from workbench.study.config import read_study
from workbench.study.watch import silent
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.space import Problem

STUDY = f"""name = "seen"
[data]
source = "wine"
{ONE_TRIAL.replace("trials = 1", "trials = 4")}parallel = 2
[optimizer]
learning_rate = {{ low = 1e-3, high = 1e-1, log = true }}
"""


def shown(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["show", str(path), "--home", str(path.parent / "home"), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out.splitlines()[-1]))


def places(path: Path) -> Locations:
    return resolve(str(path.parent / "home"))


def test_a_search_that_runs_is_shown_while_it_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.toml"
    path.write_text(STUDY)
    study, seen = read_study(path), []

    def look(**now: Any) -> None:
        if now["done"]:
            seen.append(shown(path, capsys))

    watch = silent()._replace(progress=look, stop=lambda: bool(seen))
    assert workflow.run(study, places(path), search_only=True, watch=watch)["status"] == "interrupted"
    (first, *_) = seen
    assert first["status"] == "running"
    assert first["under_way"]["budget"] == 4
    assert first["trials"]["total"] + first["under_way"]["training"] >= 2
    assert first["best"]["trial"] == first["top"][0]["trial"]
    after = shown(path, capsys)
    assert (after["status"], after["report"]) == ("interrupted", None)
    assert main(["show", str(path), "--home", str(tmp_path / "home")]) == 0
    said = capsys.readouterr().out
    assert f"{after['trials']['total']} of 4 trials" in said
    assert "go on with: workbench run" in said


def test_nothing_is_shown_of_what_never_began(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.toml"
    path.write_text(STUDY)
    assert main(["show", str(path), "--home", str(tmp_path / "home")]) == 2
    assert "nothing is recorded of this study" in capsys.readouterr().err


def test_a_journal_is_held_by_who_has_it_open(tmp_path: Path) -> None:
    file = tmp_path / "journal"
    assert not held(file)
    journal = Journal(file)
    assert held(file)
    journal.close()
    assert not held(file)
    Journal(file).close()  # who asks does not keep it


# ── compiling ──


def plan(width: int) -> LanePlan:
    study = read_study("studies/digits-mlp.toml")
    settings = {**study.settings, "width": width, "depth": 1}
    return LanePlan(settings, lambda _: Problem("classification", (64,), 10, 1, 100), "accuracy", (width,))


def test_the_wait_is_the_median_of_earlier_ones_and_none_for_a_program_that_is_there(tmp_path: Path) -> None:
    assert Compiling(plan(8), tmp_path).stage == "compiling"
    for width, seconds in ((8, 4.0), (16, 30.0), (32, 6.0)):
        Compiling(plan(width), tmp_path).took(seconds)
    assert Compiling(plan(16), tmp_path).stage is None
    assert Compiling(plan(64), tmp_path).stage == "compiling (about 6 s)"
    Compiling(plan(16), tmp_path).took(0.1)  # it came from the cache, which says nothing of compiling
    assert sorted(json.loads((tmp_path / FILE).read_text()).values()) == [4.0, 6.0, 30.0]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": "b"}', '{"a": -1.0}', '{"a": null}'])
def test_a_file_that_makes_no_sense_is_as_good_as_none(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(content)
    one = Compiling(plan(8), tmp_path)
    assert one.stage == "compiling"
    one.took(3.0)
    assert Compiling(plan(8), tmp_path).stage is None


def test_where_nothing_is_kept_nothing_is_said_of_how_long(tmp_path: Path) -> None:
    one = Compiling(plan(8), None)
    one.took(3.0)
    assert one.stage == "compiling"
    gone = Compiling(plan(8), tmp_path / "file")
    (tmp_path / "file").write_text("")
    gone.took(3.0)  # cannot be written, and nothing depends on it
    assert gone.stage == "compiling"
