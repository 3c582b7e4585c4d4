"""Bad input, from the command line: exit status 2, one sentence that names what is wrong, nothing written."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from workbench import suggest
from workbench.cli import main
from workbench.places import resolve
from workbench.spool import Spool
from workbench.study import read_study

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
    "question mark": (["ledger", "--home", "a?b"], ("--home", "rename")),
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


# ── what only the data can tell ─────────────────────────────────────────────────────────────────

ROWS = "\n".join(f"{i},{i % 7},{i % 3}" for i in range(60))
TABLE = f"a,b,y\n{ROWS}\n"


class Data(NamedTuple):
    """A data file, lines of the study, and what the sentence must say."""

    csv: str
    data: str
    says: tuple[str, ...]
    rest: str = ""


FILES = {
    "target not in the file": Data(TABLE, "target = 'price'", ("target", "price")),
    "target misspelled": Data(
        "aa,bb,price\n" + ROWS, "target = 'prize'", ("target", "did you mean", "price")
    ),
    "feature not in the file": Data(TABLE, "target = 'y'\nfeatures = ['a', 'c']", ("features", "c")),
    "dropped column not in the file": Data(TABLE, "target = 'y'\ndrop = ['c']", ("drop", "c")),
    "everything dropped": Data(TABLE, "target = 'y'\ndrop = ['a', 'b']", ("x.toml", "drop")),
    "constant target": Data(TABLE.replace("a,b,y", "a,b,c"), "target = 'k'", ("target",)),
    "one class": Data("a,y\n" + "\n".join(f"{i},yes" for i in range(60)), "target = 'y'", ("y", "class")),
    "constant number": Data(
        "a,y\n" + "\n".join(f"{i},1.5" for i in range(60)), "target = 'y'\ntask = 'regression'", ("y", "1.5")
    ),
    "text for regression": Data(
        "a,y\n" + "\n".join(f"{i},{'no' if i % 2 else 'yes'}" for i in range(60)),
        "target = 'y'\ntask = 'regression'",
        ("y", "regression"),
    ),
    "blank target": Data(
        "a,y\n" + "\n".join(f"{i},{'' if i == 5 else i % 3}" for i in range(60)), "target = 'y'", ("y",)
    ),
    "empty file": Data("", "target = 'y'", ("d.csv", "empty")),
    "header alone": Data("a,b,y\n", "target = 'y'", ("d.csv", "rows")),
    "too few rows": Data("a,b,y\n0,1,0\n1,2,1\n", "target = 'y'", ("d.csv", "rows")),
    "no target named": Data(TABLE, "", ("target",)),
    "metric for numbers": Data(
        TABLE, "target = 'y'\ntask = 'classification'", ("[select] metric", "rmse"), "rmse"
    ),
    "metric for two classes": Data(
        TABLE,
        "target = 'y'\ntask = 'classification'",
        ("[select] metric", "roc_auc", "two classes"),
        "roc_auc",
    ),
    "no such file": Data("-", "target = 'y'", ("d.csv",)),
}


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize("case", FILES.values(), ids=FILES)
def test_bad_data(case: Data, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if case.csv != "-":
        (tmp_path / "d.csv").write_text(case.csv)
    file = tmp_path / "x.toml"
    metric = f"[select]\nmetric = '{case.rest}'\n" if case.rest else ""
    file.write_text(
        f"name = 'bad'\n[data]\nsource = 'd.csv'\n{case.data}\n[training]\nepochs = 2\nbatch_size = 8\n"
        f"[search]\ntrials = 2\n{metric}"
    )
    refused([command, str(file), "--home", str(tmp_path / "home")], case.says, tmp_path, capsys)


UNFIT = {
    "linear for classes": ("wine", "model", "family = 'linear'", ("[model] family", "linear", "softmax")),
    "logistic for three classes": (
        "wine",
        "model",
        "family = 'logistic'",
        ("[model] family", "logistic", "softmax"),
    ),
    "softmax for numbers": (
        "diabetes",
        "model",
        "family = 'softmax'",
        ("[model] family", "softmax", "linear"),
    ),
    "one of two families": (
        "wine",
        "model",
        "family = { choices = ['mlp', 'linear'] }",
        ("[model] family", 'reaches "linear"', "3 classes"),
    ),
    "loss for numbers": ("wine", "training", "loss = 'mse'", ("[training] loss", "mse", "auto")),
    "loss for two classes": (
        "wine",
        "training",
        "loss = 'binary_cross_entropy'",
        ("[training] loss", "auto"),
    ),
    "batch larger than the data": ("wine", "training", "batch_size = 5000", ("batch_size = 5000", '"all"')),
    "source misspelled": ("wnie", "model", "family = 'softmax'", ("wnie", "wine")),
    "class weights for numbers": (
        "diabetes",
        "training",
        "class_weight = 'balanced'\n[model]\nfamily = 'linear'",
        ("class_weight", "regression"),
    ),
}


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(("source", "section", "line", "says"), UNFIT.values(), ids=UNFIT)
def test_study_that_does_not_fit_its_data(
    source: str,
    section: str,
    line: str,
    says: tuple[str, ...],
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "x.toml"
    file.write_text(f"name = 'bad'\n[data]\nsource = '{source}'\n[search]\ntrials = 2\n[{section}]\n{line}\n")
    refused([command, str(file), "--home", str(tmp_path / "home")], says, tmp_path, capsys)


# ── places ──────────────────────────────────────────────────────────────────────────────────────


def test_home_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "x.toml").write_text(study_text())
    for home in ("file", "file/home", "file/a/b"):
        where = str(tmp_path / home)
        refused(["run", str(tmp_path / "x.toml"), "--home", where], (where, "--home"), tmp_path, capsys)


@pytest.mark.parametrize(
    ("command", "option", "address"),
    [
        (["run"], "--storage", "postgresql://me:secret@127.0.0.1:{port}/optuna"),
        (["experiment", "c28"], "--tracking-uri", "http://me:secret@127.0.0.1:{port}"),
    ],
)
def test_server_that_does_not_answer(
    command: list[str], option: str, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if option == "--storage":
        pytest.importorskip("psycopg")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]  # bound and not listening: refused at once
        (tmp_path / "x.toml").write_text(study_text())
        study = [str(tmp_path / "x.toml")] if command == ["run"] else []
        argv = [*command, *study, "--home", str(tmp_path / "home"), option, address.format(port=port)]
        sentence = refused(argv, (f"127.0.0.1:{port}",), tmp_path, capsys)
    assert "secret" not in sentence


def test_sampler_whose_package_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(suggest.NEEDS, "gp", ("no_such_package", "PyTorch"))
    file = tmp_path / "x.toml"
    file.write_text(study_text("search", "sampler = 'gp'"))
    says = (f'{file}: [search] sampler = "gp"', "PyTorch", "pip install")
    for command in ("check", "run"):
        refused([command, str(file), "--home", str(tmp_path / "home")], says, tmp_path, capsys)


def test_study_that_another_process_is_running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.toml"
    file.write_text(study_text())
    journal = resolve(str(tmp_path / "home")).study(read_study(file).id) / "journal"
    with closing(Spool(journal)):
        says = (str(journal), "another process")
        refused(["run", str(file), "--home", str(tmp_path / "home")], says, tmp_path, capsys)


def test_journal_that_was_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.toml"
    file.write_text(study_text())
    journal = resolve(str(tmp_path / "home")).study(read_study(file).id) / "journal"
    with closing(Spool(journal)) as spool:
        spool.append([{"kind": "ask"}, {"kind": "launch"}])
    journal.write_bytes(journal.read_bytes().replace(b"ask", b"ass"))
    says = (str(journal), "line 1 is damaged")
    refused(["run", str(file), "--home", str(tmp_path / "home")], says, tmp_path, capsys)


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
