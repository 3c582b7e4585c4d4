"""A metric without a value on validation or test rows is refused by `check` and `run`, before anything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.cli.main import main
from workbench.data.defined import undefined

NO, YES = "no", "yes"
DAYS = 100  # a tenth of them trains nothing: 60 train, 20 validate, 20 test


def table(path: Path, targets: list[object], head: str = "day,a,y") -> str:
    rng = np.random.default_rng(0)
    lines = [f"{day},{rng.normal():.3f},{y}" for day, y in enumerate(targets)]
    path.write_text("\n".join([head, *lines]) + "\n")
    return path.name


def study(folder: Path, metric: str, *data: str) -> Path:
    path = folder / "s.toml"
    keys = "\n".join(data)
    path.write_text(
        f'name = "s"\n[data]\nsource = "d.csv"\ntarget = "y"\n{keys}\n'
        '[model]\nfamily = "mlp"\nwidth = 2\n[training]\nepochs = 1\nbatch_size = 8\n'
        f'[search]\ntrials = 2\nseeds = 1\n[select]\nmetric = "{metric}"\n'
    )
    return path


def classes(*, validation: object = None, test: object = None) -> list[object]:
    """yes and no in turn, but for the rows of a part."""
    targets: list[object] = [YES if day % 2 else NO for day in range(DAYS)]
    for part, label in ((slice(60, 80), validation), (slice(80, 100), test)):
        if label is not None:
            targets[part] = [label] * 20
    return targets


def values(*, validation: bool = False, test: bool = False) -> list[object]:
    targets: list[object] = [f"{day * 0.37 % 5:.3f}" for day in range(DAYS)]
    for part, still in ((slice(60, 80), validation), (slice(80, 100), test)):
        if still:
            targets[part] = ["1.5"] * 20
    return targets


TIME = 'time = "day"'
THREE = [*("abc"[day % 3] for day in range(80)), *("ab"[day % 2] for day in range(20))]
FOLD = [NO if 20 <= day < 40 else target for day, target in enumerate(classes())]
OFFICIAL = ('test = "t.csv"', "split = { train = 0.8, validation = 0.2, test = 0 }")
#: What is asked: metric, targets, keys of [data], and what is said.
CASES = {
    "one class validates": (
        "roc_auc",
        classes(validation=NO),
        (TIME,),
        "validation rows, since all 20 are of",
    ),
    "one class tests": ("roc_auc", classes(test=YES), (TIME,), 'test rows, since all 20 are of class "yes"'),
    "no positive tests": ("f1", classes(test=NO), (TIME,), "test rows"),
    "recalls of one class": ("balanced_accuracy", classes(validation=YES), (TIME,), "validation rows"),
    "macro F1 of one class": ("f1_macro", classes(test=NO), (TIME,), "test rows"),
    "log loss of one class": ("log_loss", classes(test=NO), (TIME,), "test rows"),
    "one of three is missing": ("f1_macro", THREE, (TIME,), 'test rows, since none of 20 is of class "c"'),
    "constant validation": (
        "r2",
        values(validation=True),
        (TIME,),
        "validation rows, since the target is 1.5",
    ),
    "constant test": ("r2", values(test=True), (TIME,), "test rows, since the target is 1.5 in all 20"),
    "a fold of one class": (
        "roc_auc",
        FOLD,
        (TIME, "folds = 3"),
        "validation rows of fold 1 of 3, since all",
    ),
    "one row of an official file": (
        "r2",
        values(),
        OFFICIAL,
        "test rows, since the target is 1.5 in the one",
    ),
}


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_it_is_refused_with_one_sentence(
    name: str,
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    metric, targets, keys, said = CASES[name]
    table(tmp_path / "d.csv", targets)
    if 'test = "t.csv"' in keys:
        table(tmp_path / "t.csv", ["1.5"])
    study(tmp_path, metric, *keys)
    monkeypatch.chdir(tmp_path)
    assert main([command, "s.toml", "--home", "home"]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert f'[select] metric = "{metric}" has no value on its {said}' in error
    assert "take another metric, or " in error
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("metric", "targets"),
    [
        ("accuracy", classes(validation=NO, test=NO)),
        ("f1", classes(validation=YES, test=YES)),
        ("rmse", values(validation=True, test=True)),
        ("roc_auc", classes()),
        ("r2", values()),
    ],
)
def test_what_has_a_value_is_planned(
    metric: str, targets: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table(tmp_path / "d.csv", targets)
    study(tmp_path, metric, TIME)
    monkeypatch.chdir(tmp_path)
    assert main(["check", "s.toml", "--home", "home"]) == 0


@given(st.lists(st.integers(0, 2), min_size=1, max_size=30))
def test_what_is_missing_is_named(codes: list[int]) -> None:
    found = undefined(np.array(codes, np.int32), ("a", "b", "c"))
    assert set(found) - {"f1"} == (
        set() if len(set(codes)) == 3 else {"roc_auc", "balanced_accuracy", "f1_macro", "log_loss"}
    )
    for why in found.values():
        assert why.startswith("all") if len(set(codes)) == 1 else why.startswith("none")


def test_steps_and_several_targets() -> None:
    codes = np.array([[0, 0, -1], [0, -1, -1]], np.int32)
    assert undefined(codes, ("a", "b"))["roc_auc"] == 'all 3 are of class "a"'
    numbers = np.array([[1.0, 2.0], [3.0, 2.0]], np.float32)
    assert undefined(numbers, ()) == {"r2": "target 2 of 2 is 2 in all 2"}
    assert undefined(numbers[:, :1], ()) == {}
