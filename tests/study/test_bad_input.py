"""Bad studies and options: exit status 2, one sentence that names what is wrong, nothing written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.bad_input_cases import refused, study_text


class Bad(NamedTuple):
    """One line of a study file and what the sentence about it must say."""

    section: str
    line: str
    says: tuple[str, ...]


ONE_LINE = [
    # names of keys
    Bad(
        "optimizer",
        "learning_rte = 0.1",
        ("[optimizer] learning_rte is not a key", "did you mean learning_rate?"),
    ),
    Bad("optimizer", "lr = 0.1", ("[optimizer] lr is not a key", "did you mean learning_rate?")),
    Bad(
        "training",
        "learning_rate = 0.1",
        ("[training] learning_rate", "[optimizer] learning_rate is its place"),
    ),
    Bad("", "epochs = 5", ("epochs is not a key outside a section", "[training] epochs is its place")),
    Bad("", "dta = 5", ("dta is not a key or section", "did you mean [data]?")),
    Bad("model", "zzzzz = 5", ("[model] zzzzz is not a key", "[model] takes family, depth")),
    Bad("model", "optimizer = 'adam'", ("[model] optimizer is not a key here", "is its place")),
    # types
    Bad("model", "depth = 2.0", ("[model] depth = 2", "whole number", "write 2")),
    Bad("model", "depth = true", ("[model] depth = true", "whole number from 1 to 64")),
    Bad("model", "depth = 2015-01-01", ("[model] depth = 2015-01-01", "whole number")),
    Bad("optimizer", 'learning_rate = "0.1"', ('learning_rate = "0.1"', "without quotes")),
    Bad("optimizer", "learning_rate = [0.1, 0.2]", ("plain list", "{ choices = [0.1, 0.2] }")),
    Bad("optimizer", "name = 3", ("[optimizer] name = 3", '"adam"')),
    Bad("", "seed = 1.5", ("seed = 1.5", "whole number")),
    Bad("", "name = 7", ("name = 7", "a-z")),
    Bad("data", "drop = 'a'", ('[data] drop = "a"', '["a"]')),
    Bad("data", "split = 3", ("[data] split = 3", "table", "train = 0.6")),
    Bad("", "training = 3", ("training",)),
    Bad("regularization", "early_stopping = 10", ("early_stopping = 10", "{ patience = 10 }")),
    Bad("regularization", "early_stopping = {}", ("early_stopping.patience is missing", "patience = 10")),
    # limits
    Bad("model", "depth = 0", ("[model] depth = 0", "from 1 to 64")),
    Bad("model", "width = 10000", ("[model] width = 10000", "8192")),
    Bad("optimizer", "learning_rate = 0", ("learning_rate = 0", "above 0")),
    Bad("optimizer", "learning_rate = -0.1", ("learning_rate = -0.1", "above 0")),
    Bad("optimizer", "learning_rate = nan", ("learning_rate = nan", "number above 0")),
    Bad("optimizer", "learning_rate = inf", ("learning_rate = inf", "number above 0")),
    Bad("optimizer", "momentum = 1.0", ("[optimizer] momentum = 1", "below 1")),
    Bad("regularization", "dropout = 1", ("[regularization] dropout = 1", "below 1")),
    Bad("regularization", "l2 = -1e-3", ("[regularization] l2 = -0.001", "at least 0")),
    Bad("training", "epochs = 0", ("[training] epochs = 0", "from 1 to")),
    Bad("training", "batch_size = 0", ("[training] batch_size = 0", 'or "all"')),
    Bad("training", "batch_size = 'al'", ('batch_size = "al"', 'or "all"')),
    Bad("search", "trials = 0", ("[search] trials = 0", "from 1 to")),
    Bad("search", "seeds = 0", ("[search] seeds = 0", "from 1 to")),
    Bad("", "seed = -1", ("seed = -1", "from 0 to")),
    Bad("", "name = '../escape'", ('name = "../escape"', "beginning with a letter or digit")),
    Bad("", "name = ''", ('name = ""', "a-z")),
    # axes
    Bad("model", "depth = { low = 3, high = 1 }", ("[model] depth", "low above high", "swap")),
    Bad("model", "depth = { low = 3, high = 3 }", ("[model] depth", "low equal to high", "fixed value 3")),
    Bad("model", "depth = { low = 1 }", ("[model] depth", "lacks high")),
    Bad("model", "depth = {}", ("[model] depth", "lacks low and high")),
    Bad("model", "depth = { low = 0, high = 3 }", ("[model] depth", "low = 0", "from 1 to 64")),
    Bad("model", "depth = { low = 1, high = 65 }", ("[model] depth", "high = 65", "from 1 to 64")),
    Bad("model", "depth = { low = 1, high = 2.5 }", ("[model] depth", "high = 2.5", "whole number")),
    Bad(
        "model", "depth = { low = 1, high = 3, logg = true }", ("[model] depth", "logg", "did you mean log?")
    ),
    Bad("model", "depth = { low = 1, high = 6, step = 2 }", ("[model] depth", "write high = 5")),
    Bad("model", "depth = { low = 1, high = 3, step = 0 }", ("[model] depth", "step = 0")),
    Bad(
        "model",
        "depth = { low = 1, high = 3, step = 9 }",
        ("[model] depth", "step = 9", "longer than the axis"),
    ),
    Bad(
        "regularization",
        "l2 = { low = 0, high = 1, log = true }",
        ("l2", "low = 0 with log = true", "above 0"),
    ),
    Bad("regularization", "l2 = { low = 1e-4, high = 1, log = 1 }", ("l2", "log = 1", "true or false")),
    Bad("optimizer", "clip = { low = 1, high = 1e28, step = 1 }", ("[optimizer] clip", "a larger step")),
    Bad(
        "optimizer", "clip = { low = 1.0, high = 2.0, step = 1e-320 }", ("[optimizer] clip", "a larger step")
    ),
    Bad("model", "width = { low = 1, high = 9, log = true, step = 2 }", ("width", "both log and step")),
    Bad("model", "width = { low = 1, high = 9, choices = [1] }", ("width", "both choices and low")),
    Bad("model", "width = { choices = [] }", ("width", "no choices")),
    Bad("model", "width = { choices = 3 }", ("width", "no choices")),
    Bad("model", "width = { choices = [8, 8] }", ("width", "the choice 8 twice")),
    Bad("model", "width = { choices = [8, 'x'] }", ("width", 'the choice "x"', "whole number")),
    Bad(
        "model",
        "activation = { choices = ['relu', 'rleu'] }",
        ("activation", '"rleu"', 'did you mean "relu"?'),
    ),
    Bad("model", "activation = 'tanh-rleu'", ("activation", '"tanh-rleu"', 'did you mean "relu"?')),
    Bad("model", "activation = 'tanh-'", ("activation", '"tanh-"', '"relu", "tanh"')),
    Bad("model", "activation = { low = 1, high = 2 }", ("activation", "choices")),
    Bad("model", "activation = ['relu', 'tanh']", ("activation", 'choices = ["relu", "tanh"]')),
    Bad("training", "epochs = { low = 1, high = 9 }", ("[training] epochs", "cannot be searched")),
    Bad("search", "sampler = { choices = ['tpe'] }", ("[search] sampler", "cannot be searched")),
    # words
    Bad("model", "family = 'mpl'", ('[model] family = "mpl"', 'did you mean "mlp"?')),
    Bad("optimizer", "name = 'adm'", ('[optimizer] name = "adm"', 'did you mean "adam"?')),
    Bad("optimizer", "schedule = 'zzz'", ('schedule = "zzz"', '"constant", "cosine"')),
    Bad("select", "metric = 'acuracy'", ('[select] metric = "acuracy"', 'did you mean "accuracy"?')),
    Bad("search", "sampler = 'tp'", ('[search] sampler = "tp"', 'did you mean "tpe"?')),
    Bad("search", "pruner = 'halving'", ('[search] pruner = "halving"', '"asha"')),
    Bad("data", "scale = 'standard'", ('[data] scale = "standard"', 'did you mean "standardize"?')),
    Bad("data", "task = 'classify'", ('[data] task = "classify"', "classification")),
    # keys that contradict each other
    Bad(
        "data",
        "split = { train = 0.6, validation = 0.2, test = 0.3 }",
        ("[data] split", "sums to 1.1", "sum to 1"),
    ),
    Bad("data", "split = { train = 0.8, validation = 0.2 }", ("[data] split", "leaves no test rows")),
    Bad("data", "split = { train = 1.0, validation = 0, test = 0 }", ("split.validation = 0", "above 0")),
    Bad(
        "data", "split = { train = 0.7, valid = 0.2, test = 0.1 }", ("split.valid is not a key", "validation")
    ),
    Bad("data", "split = { train = 1.0 }", ("split.validation is missing", "validation = 0.2")),
    Bad("data", "drop = ['a', 'a']", ("[data] drop", '"a" twice')),
    Bad("data", "target = ''", ("[data] target", "name of a column")),
    Bad("data", "task = 'regression'", ("metric", "regression", '"rmse"')),
]


@pytest.mark.parametrize("bad", ONE_LINE, ids=lambda bad: f"{bad.section}-{bad.line}"[:60])
def test_one_bad_line(bad: Bad, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.toml"
    file.write_text(study_text(bad.section, bad.line))
    refused(["run", str(file), "--home", str(tmp_path / "home")], (str(file), *bad.says), tmp_path, capsys)


WHOLE = {
    "no name": ("[data]\nsource = 'wine'", ("name is missing", "name =")),
    "no data": ("name = 'x'", ("[data] is missing", "source =")),
    "no source": ("name = 'x'\n[data]\ntarget = 'y'", ("[data] source is missing",)),
    "empty file": ("", ("name is missing",)),
    "no TOML": ("name = 'x'\n[data\n", ("not valid TOML", "line 2")),
    "key twice": ("name = 'x'\nname = 'y'\n", ("not valid TOML", "line 2")),
    "huge number": (f"name = 'x'\nseed = {'9' * 5000}\n", ("not valid TOML",)),
    "large number": (
        study_text("optimizer", f"learning_rate = {'9' * 400}"),
        ("learning_rate", "number above 0"),
    ),
    "larger than any float": (
        f"name = 'x'\nseed = {'9' * 400}\n[data]\nsource = 'wine'",
        ("seed", "from 0 to"),
    ),
    "an argument's axis without choices": (
        study_text("optimizer", "b1 = { choices = 1 }").replace("[optimizer]", "[optimizer]\nname = 'lion'"),
        ("[optimizer] b1", "has no choices"),
    ),
    "an infinite end of an axis": (
        study_text("optimizer", "clip = { low = 1, high = inf }"),
        ("[optimizer] clip", "high must be a finite number"),
    ),
    "nested": (f"name = {'[' * 100_000}", ("x.toml",)),
    "grid without step": (
        study_text("optimizer", "learning_rate = { low = 0.1, high = 0.2 }").replace(
            "trials", "sampler='grid'\ntrials"
        ),
        ("[optimizer] learning_rate", "grid", "add step"),
    ),
    "zeros in hidden layers": (
        study_text("model", "initializer = 'zeros'").replace("softmax", "mlp"),
        ("[model] initializer", "zeros", "mlp"),
    ),
    "official test file beside a test share": (
        study_text("data", "split = { train = 0.6, validation = 0.2, test = 0.2 }\ntest = 't.csv'"),
        ("[data] split", '"t.csv"', "test = 0"),
    ),
    "target among the features": (
        study_text("data", "target = 'y'\nfeatures = ['y']"),
        ("[data] features", '"y"'),
    ),
    "target dropped": (study_text("data", "target = 'y'\ndrop = ['y']"), ("[data] drop", '"y"')),
    "feature dropped": (
        study_text("data", "features = ['a']\ndrop = ['a']"),
        ("[data] features and drop", '"a"'),
    ),
    "grouped by the target": (study_text("data", "target = 'y'\ngroup = 'y'"), ("[data] group", "target")),
}


@pytest.mark.parametrize(("text", "says"), WHOLE.values(), ids=WHOLE)
def test_bad_file(
    text: str, says: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.toml"
    file.write_text(text)
    refused(["check", str(file), "--home", str(tmp_path / "home")], (str(file), *says), tmp_path, capsys)


def test_files_that_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "digits.toml").write_text(study_text())
    (tmp_path / "latin.toml").write_bytes("name = 'ü'".encode("latin-1"))
    home = ["--home", str(tmp_path / "home")]
    for name, says in {
        "digts.toml": ("no such file", "did you mean", "digits.toml"),
        "nowhere/x.toml": ("no such file",),
        "": ("is a folder",),
        "latin.toml": ("UTF-8", "byte 8"),
        "nul\0.toml": ("cannot be read",),
        "x" * 300: ("cannot be read",),
    }.items():
        refused(["run", str(tmp_path / name) if name else str(tmp_path), *home], says, tmp_path, capsys)


OPTIONS = {
    "no command": ([], ("COMMAND",)),
    "unknown command": (["rn"], ("workbench rn", "did you mean run?")),
    "no study": (["run"], ("STUDY",)),
    "unknown option": (["run", "STUDY", "--trails", "3"], ("--trails", "did you mean --trials?")),
    "option of another command": (["check", "STUDY", "--search-only"], ("--search-only",)),
    "shortened option": (["run", "STUDY", "--tri", "3"], ("--tri",)),
    "trials in words": (["run", "STUDY", "--trials", "many"], ("--trials = many", "whole number")),
    "no trials": (["run", "STUDY", "--trials", "0"], ("--trials = 0", "from 1")),
    "half a trial": (["run", "STUDY", "--trials", "1.5"], ("--trials = 1.5", "whole number")),
    "port in words": (["ui", "--port", "http"], ("--port = http", "whole number")),
    "nothing to show": (["ui"], ("nothing is recorded", "--home")),
    "file store": (["run", "STUDY", "--tracking-uri", "./mlruns"], ("--tracking-uri = ./mlruns", "sqlite")),
    "old scheme": (
        ["run", "STUDY", "--storage", "postgres://u:secret@h/d"],
        ("postgres://u:***@h/d", "postgresql://"),
    ),
    "no URL": (["ledger", "--storage", "study.db"], ("--storage = study.db", "sqlite")),
}


@pytest.mark.parametrize(("argv", "says"), OPTIONS.values(), ids=OPTIONS)
def test_bad_options(
    argv: list[str],
    says: tuple[str, ...],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    file = tmp_path / "x.toml"
    file.write_text(study_text())
    refused([str(file) if word == "STUDY" else word for word in argv], says, tmp_path, capsys)


# ── a real process ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("json_too", [False, True])
def test_a_process_says_one_sentence_and_exits_with_two(json_too: bool, tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_text(study_text("model", "depth = 0"))
    argv = [sys.executable, "-m", "workbench", "run", str(file), "--home", str(tmp_path / "home")]
    done = subprocess.run([*argv, *["--json"] * json_too], capture_output=True, text=True, check=False)
    expected = f"{file}: [model] depth = 0 must be a whole number from 1 to 64"
    assert done.returncode == 2
    assert done.stderr == expected + "\n"
    if json_too:
        assert json.loads(done.stdout) == {"status": "failed", "error": expected, "exit_status": 2}
    else:
        assert done.stdout == ""
    assert not (tmp_path / "home").exists()
