"""Bad data or studies that it does not suit: exit status 2, one sentence that names it, nothing written."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from tests.helpers.bad_input_cases import refused

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
