"""A small study that lines are changed in, and what every refusal must look like."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.cli.main import main

BASE = {
    "": ['name = "bad"', "seed = 0"],
    "data": ['source = "wine"'],
    "model": ['family = "softmax"'],
    "optimizer": ["learning_rate = 0.01"],
    "regularization": ["l2 = 0.0"],
    "training": ["epochs = 3"],
    "search": ["trials = 4"],
    "select": ['metric = "accuracy"'],
}


def study_text(section: str = "", line: str = "") -> str:
    """The base study with one line in place of the same key's, or added."""
    key = line.split("=")[0].strip()
    text = []
    for name, lines in BASE.items():
        text.append(f"[{name}]" if name else "")
        text += [kept for kept in lines if name != section or kept.split("=")[0].strip() != key]
        text += [line] if name == section else []
    return "\n".join(text) + "\n"


def refused(argv: list[str], says: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Runs a command that must be refused; returns its sentence."""
    before = sorted(folder.rglob("*"))
    status = main(argv)
    out, err = capsys.readouterr()
    assert status == 2, err
    assert out == ""
    assert "Traceback" not in err
    sentence = err.splitlines()[-1]
    said_before = [
        line for line in err.splitlines()[:-1] if not line.startswith("loading ")
    ]  # a stage of the run
    assert not said_before, "one sentence"
    for fragment in says:
        assert fragment in sentence
    assert sorted(folder.rglob("*")) == before, "nothing written"
    return sentence
