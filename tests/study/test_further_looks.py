"""Every further look at rows that were opened before is seen, counted and said, whatever became of them."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from workbench.cli.main import main

ROWS = 120
STUDY = """\
name     = "NAME"
seed     = 0

[data]
source = "table.csv"
target = "kind"

[model]
family = "softmax"

[training]
epochs     = 1
batch_size = 32

[search]
trials = 1
seeds  = 1
"""


def table(seed: int = 0, rows: int = ROWS) -> pd.DataFrame:
    """Measurements and a place; classes that they tell."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(rng.normal(size=(rows, 5)).round(4), columns=list("abcde"))
    frame["b"] = (frame["b"] * 40 + 200).round(2)
    frame["place"] = rng.choice(["Bonn", "Oslo", "Rom"], rows)
    frame["kind"] = np.where(frame["a"] + frame["c"] + rng.normal(size=rows) > 0, "yes", "no")
    return frame


class Told(NamedTuple):
    """What a command said."""

    status: int
    result: dict[str, Any]
    err: str

    @property
    def test(self) -> dict[str, Any]:
        return dict(self.result["test"])


class Bench(NamedTuple):
    """A folder with a table, studies of it, and a home."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def write(self, name: str, frame: pd.DataFrame | None = None, text: str = STUDY, **edits: str) -> Path:
        """A study under a name of its own, and the table that it reads."""
        for old, new in {"NAME": name, **edits}.items():
            assert old in text
            text = text.replace(old, new)
        if frame is not None:
            text = text.replace("table.csv", f"{name}.csv")
            frame.to_csv(self.folder / f"{name}.csv", index=False)
        file = self.folder / f"{name}.toml"
        file.write_text(text)
        return file

    def tell(self, *words: str, home: str = "home") -> Told:
        self.capsys.readouterr()
        status = main([*words, "--home", str(self.folder / home), "--json"])
        said = self.capsys.readouterr()
        return Told(status, json.loads(said.out.splitlines()[-1]), said.err)

    def run(self, file: Path, *words: str, home: str = "home") -> Told:
        told = self.tell("run", str(file), *words, home=home)
        assert told.status == 0, told.err
        return told


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study whose test rows were opened; to be copied."""
    folder = tmp_path_factory.mktemp("opened")
    table().to_csv(folder / "table.csv", index=False)
    (folder / "first.toml").write_text(STUDY.replace("NAME", "first"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_LEDGER", str(folder / "user.db"))
        assert main(["run", str(folder / "first.toml"), "--home", str(folder / "home"), "--json"]) == 0
    return folder


@pytest.fixture
def bench(
    opened: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Bench:
    """A copy of it, home and ledger of the user included."""
    folder = tmp_path / "bench"
    shutil.copytree(opened, folder)
    monkeypatch.setenv("WORKBENCH_LEDGER", str(folder / "user.db"))
    return Bench(folder, capsys)


def noisy(frame: pd.DataFrame) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    numbers = frame.select_dtypes("number")
    return frame.assign(**{name: numbers[name] + 1e-2 * rng.normal(size=len(frame)) for name in numbers})


def more(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(more=np.random.default_rng(2).normal(size=len(frame)))


#: What became of the table; and of the study.
CHANGES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], dict[str, str]]] = {
    "nothing": (lambda frame: frame, {}),
    "a column added": (more, {}),
    "a column removed": (lambda frame: frame.drop(columns="d"), {}),
    "a column added and dropped": (more, {'target = "kind"': 'target = "kind"\ndrop = ["more"]'}),
    "renamed and in another order": (lambda frame: frame.rename(columns=str.upper).iloc[:, ::-1], {
        'target = "kind"': 'target = "KIND"'
    }),
    "renamed and a column added": (lambda frame: more(frame.rename(columns={"a": "x", "b": "y"})), {}),
    "noise": (noisy, {}),
    "rounded": (lambda frame: frame.round(1), {}),
    "noise and a column added": (lambda frame: more(noisy(frame)), {}),
    "other units": (lambda frame: frame.assign(a=frame["a"] * 2.54, b=frame["b"] * 1.8 + 32), {}),
    "logarithms": (lambda frame: frame.assign(b=np.log(frame["b"])), {}),
    "other labels": (lambda frame: frame.assign(kind=frame["kind"].map({"yes": "1", "no": "0"})), {}),
    "shuffled": (lambda frame: frame.sample(frac=1.0, random_state=3), {}),
    "the first row deleted": (lambda frame: frame.iloc[1:], {}),
    "another seed": (lambda frame: frame, {"seed     = 0": "seed     = 5"}),
    "another seed, noise, a column removed": (
        lambda frame: noisy(frame).drop(columns="e"), {"seed     = 0": "seed     = 5"}
    ),
    "rows appended": (lambda frame: pd.concat([frame, table(9, 30)]), {}),
}  # fmt: skip


#: The others are slow from the command line; `test_met` has all of them.
QUICK = ("another seed, noise, a column removed",)


@pytest.mark.parametrize(
    "change", [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in CHANGES]
)
def test_the_same_rows_are_a_further_look(bench: Bench, change: str) -> None:
    changed, edits = CHANGES[change]
    told = bench.run(bench.write("second", changed(table()), **edits))
    test = told.test
    opened_rows = 24 - (change == "the first row deleted")  # which may have been one of them
    assert test["look"] >= 2
    assert "look 2" in told.err
    assert opened_rows <= test["rows_opened_before"] + test["rows_reused"] <= 24
    assert f"{test['rows_opened_before']:,} of {test['rows']:,} test rows were opened before" in told.err
    if test["rows_reused"]:
        assert "now among those trained or selected on" in told.err
        report = Path(told.result["report"]).read_text()
        assert f"{test['rows_reused']:,} rows that were opened before are now among those" in report


@pytest.mark.slow
def test_new_rows_of_the_same_law_are_a_first_look(bench: Bench) -> None:
    test = bench.run(bench.write("second", table(1))).test
    assert (test["look"], test["rows_opened_before"], test["rows_reused"]) == (1, 0, 0)
    assert test["tried"] == {"studies": 1, "configurations": 1, "seeds": 1, "splits": 1, "metrics": 1}


@pytest.mark.slow
def test_what_was_tried_adds_up(bench: Bench) -> None:
    text = bench.write("second", None, **{"trials = 1": "trials = 3", "seed     = 0": "seed     = 4"})
    bench.run(text)
    told = bench.run(bench.write("third", None, text=STUDY + '\n[select]\nmetric = "log_loss"\n'))
    tried = told.test["tried"]
    assert tried["studies"] == 3
    assert tried["configurations"] >= 1 + 1 + 1
    assert (tried["seeds"], tried["metrics"]) == (2, 2)
    assert "3 studies, 2 seeds" in Path(told.result["report"]).read_text()


# ── other places ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_another_home_and_another_storage_are_further_looks(bench: Bench) -> None:
    first = bench.folder / "first.toml"
    assert bench.run(first, home="elsewhere").test["look"] == 2
    assert bench.run(first, home="elsewhere").test["look"] == 2  # the recorded result
    storage = f"sqlite:///{bench.folder}/other.db"
    again = bench.run(bench.write("second"), "--storage", storage)
    assert again.test["look"] == 3
    for words in ((), ("--storage", storage)):
        told = bench.tell("ledger", "--verify", *words)
        assert told.result["verified"], told.result["problem"]


def test_a_home_copied_before_the_opening_is_a_further_look(bench: Bench) -> None:
    second = bench.write("second")
    bench.run(second, "--search-only")
    shutil.copytree(bench.folder / "home", bench.folder / "copy")
    looks = [bench.tell("confirm", str(second), home=home).test["look"] for home in ("home", "copy")]
    assert looks == [2, 3]


@pytest.mark.slow
def test_a_home_copied_after_the_opening_gives_its_record(bench: Bench) -> None:
    shutil.copytree(bench.folder / "home", bench.folder / "copy")
    assert bench.run(bench.folder / "first.toml", home="copy").test["look"] == 1
    assert bench.run(bench.write("second"), home="copy").test["look"] == 2


@pytest.mark.parametrize("user", ["user.db", pytest.param("off", marks=pytest.mark.slow)])
def test_a_ledger_that_was_deleted_is_said_and_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    monkeypatch.setenv("WORKBENCH_LEDGER", user if user == "off" else str(bench.folder / user))
    (bench.folder / "home" / "workbench.db").unlink()
    assert "gone" in bench.tell("ledger", "--verify").result["problem"]
    told = bench.run(bench.write("second"))
    assert told.test["look"] == 2
    assert told.test["rows_opened_before"] == told.test["rows"]
    assert "This ledger lacks 1 opening" in told.err
    assert "This ledger lacks 1 opening" in Path(told.result["report"]).read_text()
    after = bench.tell("ledger", "--verify")
    assert after.status == 1
    assert "was seen as" in after.result["problem"]


@pytest.mark.slow
def test_an_older_copy_of_the_ledger_is_said_and_counted(bench: Bench) -> None:
    old = bench.folder / "old.db"
    shutil.copy(bench.folder / "home" / "workbench.db", old)
    assert bench.run(bench.write("second")).test["look"] == 2
    shutil.copy(old, bench.folder / "home" / "workbench.db")
    told = bench.run(bench.write("third"))
    assert told.test["look"] == 3
    assert "lacks 1 opening" in told.err


@pytest.mark.parametrize(
    ("user", "words"),
    [
        pytest.param("off", "it is switched off", marks=pytest.mark.slow),
        ("/dev/null/openings.db", "/dev/null"),
    ],
)
def test_it_is_said_that_looks_of_other_homes_are_not_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, user: str, words: str
) -> None:
    monkeypatch.setenv("WORKBENCH_LEDGER", user)
    told = bench.run(bench.folder / "first.toml", home="elsewhere")
    assert told.test["look"] == 1
    for said in (told.err, told.test["remarks"], Path(told.result["report"]).read_text()):
        assert "Looks of other homes are not counted" in said
        assert words in said


@pytest.mark.slow
def test_a_mixed_witness_of_earlier_versions_accuses_nobody(bench: Bench) -> None:
    home = bench.folder / "home"
    new = home / "ledger-home.witness"
    lines = [" ".join(line.split()[:2]) for line in new.read_text().splitlines()]
    other = [f"{number} {'ab' * 32}" for number in range(1, 7)]
    new.unlink()
    (home / "ledger.witness").write_text("\n".join([lines[0], *other[:3], *lines[1:], *other[3:]]) + "\n")
    assert bench.tell("ledger", "--verify").result["verified"]
    assert bench.run(bench.write("second")).test["look"] == 2
    (home / "ledger.witness").write_text("\n".join(lines) + "\n")
    assert bench.tell("ledger", "--verify").result["verified"]
    (home / "ledger.witness").write_text("\n".join([lines[0], lines[1][:-4] + "beef", lines[2]]) + "\n")
    assert not bench.tell("ledger", "--verify").result["verified"]


def test_the_ledgers_hold_no_cell(bench: Bench) -> None:
    for file in (bench.folder / "user.db", bench.folder / "home" / "workbench.db"):
        held = sqlite3.connect(file)
        texts = [content for (content,) in held.execute("SELECT content FROM workbench_ledger")]
        blobs = [data for (data,) in held.execute("SELECT data FROM workbench_ledger_blobs")]
        held.close()
        assert not any(word in text for text in texts for word in ("Bonn", "Oslo", '"place"', '"kind"'))
        assert sum(map(len, blobs)) < 24 * 100


# ── by hand ─────────────────────────────────────────────────────────────────────────────────────


def test_predicting_sealed_rows_with_their_target_is_a_look_by_hand(bench: Bench) -> None:
    second = bench.write("second", table(1))
    bench.run(second, "--search-only")
    out = str(bench.folder / "out.csv")
    table(1).drop(columns="kind").to_csv(bench.folder / "features.csv", index=False)
    told = bench.tell("predict", str(second), str(bench.folder / "features.csv"), "-o", out)
    assert (told.status, told.result["test_rows"], told.err) == (0, 0, "")
    for _ in range(2):  # the second time it is the same look
        told = bench.tell("predict", str(second), str(bench.folder / "second.csv"), "-o", out)
        assert told.status == 0
        assert told.result["test_rows"] == 24
        assert "a look by hand" in told.err
        assert len(pd.read_csv(out)) == ROWS
    listed = bench.tell("ledger", "--verify").result
    assert [line["by_hand"] for line in listed["openings"]] == [False, True]
    assert listed["verified"], listed["problem"]
    test = bench.tell("confirm", str(second)).test
    assert (test["look"], test["rows_opened_before"]) == (2, 24)
    table(2).to_csv(bench.folder / "new.csv", index=False)
    told = bench.tell("predict", str(second), str(bench.folder / "new.csv"), "-o", out)
    assert (told.result["test_rows"], told.err) == (0, "")


# ── a verdict in place of a score ───────────────────────────────────────────────────────────────


def test_a_verdict_tells_no_score(bench: Bench) -> None:
    told = bench.run(bench.write("second"), "--verdict-only")
    test = told.test
    assert (test["look"], test["value"], test["low"], test["high"]) == (2, None, None, None)
    assert test["verdict"].startswith("not better than the choice of first-")
    assert told.result["baselines"] == {}
    report = Path(told.result["report"])
    assert "not better than the choice of first-" in report.read_text()
    assert not (report.parent / "test.npz").exists()
    assert bench.run(bench.folder / "second.toml").test == test  # and no later call tells it
    held = sqlite3.connect(bench.folder / "home" / "workbench.db")
    kept = [json.loads(text)["score"] for (text,) in held.execute(
        "SELECT content FROM workbench_ledger WHERE kind = 'score'"
    )]  # fmt: skip
    held.close()
    assert np.isnan(kept[-1]["value"])


@pytest.mark.slow
def test_a_verdict_says_when_the_choice_is_better(bench: Bench) -> None:
    weak = bench.write("weak", table(7, 1200), **{'target = "kind"': 'target = "kind"\ndrop = ["a", "c"]'})
    bench.run(weak)
    strong = STUDY.replace("table.csv", "weak.csv").replace("epochs     = 1", "epochs     = 30")
    told = bench.run(bench.write("strong", None, text=strong), "--verdict-only")
    assert told.test["verdict"].startswith("better than the choice of weak-")


@pytest.mark.slow
def test_a_verdict_is_no_change_to_a_first_look(bench: Bench) -> None:
    test = bench.run(bench.write("second", table(1)), "--verdict-only").test
    assert test["look"] == 1
    assert test["low"] <= test["value"] <= test["high"]
