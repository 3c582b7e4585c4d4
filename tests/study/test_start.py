"""Starting points: tried after the default and never pruned, said in the file or taken from another study."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.helpers.end_to_end import ONE_TRIAL
from workbench.cli.main import main
from workbench.core.errors import StudyError
from workbench.core.types import Choice, Range
from workbench.storage.journal import read
from workbench.study.config import read_study, vary
from workbench.tuning.scheduler import LaneReport, Launch, Scheduler
from workbench.tuning.space import on_axis

AXES = """
[optimizer]
learning_rate = { low = 1e-3, high = 1e-1, log = true }
name = { choices = ["adam", "sgd"] }
"""
STUDY = f"""name = "first"
[data]
source = "wine"
{ONE_TRIAL.replace("trials = 1", "trials = 6")}
{AXES}"""
START = 'start = [{ learning_rate = 0.05, name = "sgd" }, { learning_rate = 0.002 }]'


def written(folder: Path, name: str, *lines: str, axes: str = AXES) -> Path:
    path = folder / f"{name}.toml"
    text = STUDY.replace('"first"', f'"{name}"').replace(AXES, axes)
    path.write_text(text.replace("seeds = 1", "\n".join(["seeds = 1", *lines])))
    return path


def ran(path: Path, home: Path, capsys: pytest.CaptureFixture[str], *more: str) -> Path:
    assert main(["run", str(path), "--home", str(home), "--search-only", "--json", *more]) == 0
    return Path(json.loads(capsys.readouterr().out.splitlines()[-1])["report"]).parent


def trials(folder: Path) -> list[dict[str, object]]:
    asks = [one for one in read(folder / "journal") if one["kind"] == "ask"]
    return [params for one in asks for params in one["params"]]


def test_what_the_file_says_is_tried_after_the_default(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    plain = trials(ran(written(tmp_path, "plain"), home, capsys))
    begun = ran(written(tmp_path, "begun", START.replace("name = ", "optimizer = ")), home, capsys)
    found = trials(begun)
    assert found[0] == plain[0]  # the default, and what is left out is as there
    assert found[1:3] == [
        {"learning_rate": 0.05, "optimizer": "sgd"},
        {"learning_rate": 0.002, "optimizer": plain[0]["optimizer"]},
    ]
    assert len(found) == len(plain) == 6
    states = {one["number"]: one["state"] for one in read(begun / "journal") if one["kind"] == "trial"}
    assert {states[n] for n in range(3)} == {"complete"}
    assert main(["check", str(tmp_path / "begun.toml"), "--home", str(home)]) == 0
    assert "begins with 2 configurations after the default" in " ".join(capsys.readouterr().out.split())


def test_more_starting_points_than_trials(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "short", START.replace("name = ", "optimizer = "))
    folder = ran(path, tmp_path / "home", capsys, "--trials", "2")
    assert len(trials(folder)) == 2
    assert len(trials(ran(path, tmp_path / "home", capsys, "--trials", "4"))) == 4
    assert trials(folder)[2]["learning_rate"] == 0.002


def test_the_best_of_another_study_come_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    first = ran(written(tmp_path, "first"), home, capsys)
    ended = [one for one in read(first / "journal") if one["kind"] == "trial" and one["state"] == "complete"]
    best = max(ended, key=lambda one: (one["value"], -one["number"]))
    narrow = AXES.replace("1e-3", f"{best['params']['learning_rate']:.17g}")  # whatever is below is not on it
    path = written(tmp_path, "second", 'start_from = "first"', axes=narrow)
    folder = ran(path, home, capsys)
    (begun,) = (one for one in read(folder / "journal") if one["kind"] == "study")
    default = trials(folder)[0]
    assert trials(folder)[1 : 1 + len(begun["start"])] == begun["start"]
    assert 1 <= len(begun["start"]) <= 5
    assert all(one["learning_rate"] >= best["params"]["learning_rate"] for one in begun["start"])
    assert best["params"] == default or best["params"] in begun["start"]
    ran(written(tmp_path, "first"), home, capsys, "--trials", "9")  # which changes nothing here any more
    assert trials(ran(path, home, capsys, "--trials", "7"))[:6] == trials(folder)[:6]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("start = [{ learning_rate = 5.0 }]", "learning_rate = 5, in configuration 1, is not on its axis"),
        ("start = [{ learningrate = 0.01 }]", "is no key; did you mean learning_rate"),
        ("start = [{ learning_rate = 0.01 }, { width = 8 }]", "width = 8, in configuration 2, is fixed at 4"),
        ('start = [{ optimizer = "adamw" }]', "is not on its axis"),
        ("start = 3", "a list of tables of searched keys"),
        ("start = [{}]", "a list of tables of searched keys"),
        ("start = [{ learning_rate = [1] }]", "a list of tables of searched keys"),
        ('start_from = "nobody"', 'start_from = "nobody" is no other study'),
    ],
)
def test_bad_starting_points(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    path = written(tmp_path, "bad", line)
    for command in ("check", "run"):
        assert main([command, str(path), "--home", str(tmp_path / "home")]) == 2
        assert said in " ".join(capsys.readouterr().err.split())


def test_a_study_keeps_its_fingerprint_and_says_its_starting_points(tmp_path: Path) -> None:
    study = read_study(written(tmp_path, "plain"))
    begun = vary(study, start=[{"learning_rate": 0.01}])
    assert begun.fingerprint != study.fingerprint
    (tmp_path / "again.toml").write_text(begun.text)
    assert read_study(tmp_path / "again.toml").fingerprint == begun.fingerprint
    with pytest.raises(StudyError, match="is not on its axis"):
        vary(study, start=[{"learning_rate": 10.0}])


def test_they_are_never_pruned() -> None:
    scheduler = Scheduler(epochs=27, pruner="asha", parallel=1, lag=0, maximize=True, total=30, kept=3)
    ended = {}
    while (step := scheduler.next()) is not None:
        if isinstance(step, Launch):
            continue
        if hasattr(step, "trials"):
            scheduler.add([1.0] * step.trials)
            continue
        trial = step.launch.trial
        ended[trial] = scheduler.judge(
            LaneReport("running", -100.0 - trial if trial < 4 else float(-trial))
        ).state
    assert [ended[trial] for trial in range(4)] == ["complete"] * 4
    assert "pruned" in ended.values()


@pytest.mark.parametrize(
    ("axis", "value", "found"),
    [
        (Range(0.0, 1.0), 1, 1.0),
        (Range(0.0, 1.0), 1.5, None),
        (Range(0.0, 1.0), True, None),
        (Range(0.0, 1.0, step=0.25), 0.5, 0.5),
        (Range(0.0, 1.0, step=0.25), 0.3, None),
        (Range(1, 9, integer=True), 3.0, 3),
        (Range(1, 9, integer=True), 3.5, None),
        (Range(1, 9, integer=True), "3", None),
        (Choice(("a", "b")), "b", "b"),
        (Choice((1, 2)), True, None),
    ],
)
def test_on_axis(axis: Range | Choice, value: object, found: object) -> None:
    assert on_axis(axis, value) == found
    assert type(on_axis(axis, value)) is type(found)
