"""The recipes of CONTRIBUTING.md, applied as they are written to a copy of the project that then trains.

A block shows whole lines: those with `+` go below the line above them, or in place of those with `-`. A file
begins with its path; lines before any that is there belong to the line below them, or to a new file.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from tests.helpers.end_to_end import environment
from workbench.core.errors import InputError
from workbench.data import load

ROOT = Path(wb.__file__).parents[1]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
#: Word -> the files of its recipe, each with its lines.
RECIPES: dict[str, dict[str, list[str]]] = {}
for block in re.findall(r"^```diff\n(.*?)^```$", TEXT, re.M | re.S):
    parts = re.split(r"^# (\S+)\n", block, flags=re.M)[1:]
    files = {path: lines.splitlines() for path, lines in zip(parts[::2], parts[1::2], strict=True)}
    RECIPES[re.findall(r'^\+ +"(\w+)"', block, re.M)[0]] = files

#: What of a study file says a new word, and the rest of a study that can train with it.
STUDY = """\
name = "new"
question = "Does the new word train?"
[data]
source = "sine"
[model]
family = "mlp"
width = 8
[optimizer]
name = "adam"
learning_rate = 0.01
[training]
epochs = 3
[search]
trials = 3
pruner = "none"
seeds = 1
[select]
metric = "rmse"
"""
WORDS = {
    "log_cosh": ("training", 'loss = "log_cosh"'),
    "softsign": ("model", 'activation = "softsign"'),
    "mape": ("select", 'metric = "mape"'),
    "inverse_time": ("optimizer", 'schedule = "inverse_time"'),
    "sgdw": ("optimizer", 'name = { choices = ["adam", "sgdw"] }'),
    "sines": ("model", 'family = "sines"'),
    "monte_carlo": ("search", 'sampler = "monte_carlo"'),
    "parabola": ("data", 'source = "parabola"'),
}
#: Tests that walk a registry, and which of them are about one word.
WALKED = {
    "log_cosh": ("tests/nn/test_losses.py", "registry or log_cosh"),
    "softsign": ("tests/nn/test_activations.py", "registry or softsign"),
    "mape": ("tests/nn/test_metrics.py", "registry or mape"),
    "inverse_time": ("tests/nn/test_schedules.py", "registry or inverse_time"),
    "sgdw": ("tests/nn/test_optimizers.py", "registry or sgdw"),
    "sines": ("tests/nn/test_models.py", "registry or sines"),
    "monte_carlo": ("tests/tuning/test_samplers.py", "monte_carlo"),
    "parabola": ("tests/data/test_leakage.py", "parabola"),
}
FAST = ("log_cosh", "softsign", "mape")
EACH = [pytest.param(word, marks=() if word in FAST else pytest.mark.slow) for word in WORDS]

#: Trains each study file, and says how that went.
PROGRAM = """
import json, sys
import numpy as np
import workbench as wb

for file in sys.argv[1:]:
    study = wb.read_study(file)
    searched = bool(study.axes) or "sampler" in study.text
    study = wb.vary(study, learning_rate={"low": 0.001, "high": 0.1}) if searched else study
    if searched:
        found = wb.search(study, wb.resolve(home=file + ".home"))
        loss = [found["best"]["validation"]] * 2
    else:
        loss = wb.train(study, seeds=2).train_loss[0].tolist()
    print(json.dumps({"file": file, "package": wb.__file__, "loss": loss}))
"""


def test_each_recipe_is_walked() -> None:
    assert RECIPES
    assert set(RECIPES) == set(WORDS) == set(WALKED)


def test_every_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"`([\w./]+\.py)`", TEXT))
    assert len(named) > 20
    for name in named:
        assert (ROOT / name).is_file() or (ROOT / "workbench" / name).is_file(), name


def test_the_map_has_every_folder() -> None:
    drawn = TEXT.split("## The map")[1].split("```")[1]
    for folder in (ROOT / "workbench").iterdir():
        if (folder / "__init__.py").is_file():
            assert re.search(rf"(^|│) *{folder.name} ", drawn, re.M), folder.name


def applied(lines: list[str], text: str | None) -> str:
    """A file with a recipe's lines in it; None: there is none yet."""
    if text is None:
        assert all(line.startswith("+") for line in lines)
        return "".join(line[1:] + "\n" for line in lines)
    held = text.splitlines()
    added: list[str] = []
    at: int | None = None
    for line in lines:
        sign, rest = line[:1], line[1:]
        if sign == "+" and at is None:
            added.append(rest)
        elif sign == "+":
            held.insert(at, rest)
            at += 1
        else:
            assert held.count(rest) == 1, f"{rest!r} stands in the file {held.count(rest)} times"
            place = held.index(rest)
            assert place >= (at or 0), f"{rest!r} stands above what the recipe names before it"
            held[place:place] = added
            at, added = place + len(added), []
            if sign == "-":
                del held[at]
            else:
                at += 1
    assert not added
    return "\n".join(held) + "\n"


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with every recipe in it."""
    copy = tmp_path_factory.mktemp("grown")
    shutil.copy(ROOT / "pyproject.toml", copy)
    for folder in ("workbench", "tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for files in RECIPES.values():
        for path, lines in files.items():
            file = copy / path
            text = file.read_text(encoding="utf-8") if file.exists() else None
            file.write_text(applied(lines, text), encoding="utf-8")
    return copy


def study_of(word: str, folder: Path) -> Path:
    """A study file that says the word, in place of what its key has otherwise."""
    section, line = WORDS[word]
    tables = dict(re.findall(r"^\[(\w+)\]\n((?:[^\[].*\n)*)", STUDY, re.M))
    kept = [old for old in tables[section].splitlines() if old.split(" = ")[0] != line.split(" = ")[0]]
    tables[section] = "\n".join([line, *kept, ""])
    file = folder / f"{word}.toml"
    file.write_text(STUDY.split("[")[0] + "".join(f"[{name}]\n{body}" for name, body in tables.items()))
    return file


def inside(grown: Path, *words: str) -> str:
    """What a program prints that imports the copy."""
    env = environment() | {"PYTHONPATH": str(grown), "WORKBENCH_LEDGER": "off"}
    done = subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, env=env, cwd=grown
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def trained(grown: Path, folder: Path, *words: str) -> dict[str, dict[str, Any]]:
    files = [str(study_of(word, folder)) for word in words]
    said = inside(grown, "-c", PROGRAM, *files)
    return {Path(found["file"]).stem: found for found in map(json.loads, said.splitlines())}


@pytest.fixture(scope="module")
def quick(grown: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the words of the fast tier came to, in one process."""
    return trained(grown, tmp_path_factory.mktemp("quick"), *FAST)


@pytest.fixture(scope="module")
def others(grown: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What the others came to."""
    return trained(grown, tmp_path_factory.mktemp("others"), *(word for word in WORDS if word not in FAST))


@pytest.mark.parametrize("word", EACH)
def test_a_new_word_trains(word: str, grown: Path, request: pytest.FixtureRequest) -> None:
    found = request.getfixturevalue("quick" if word in FAST else "others")[word]
    assert Path(found["package"]).is_relative_to(grown)
    assert all(0 <= loss < 1e6 for loss in found["loss"])
    assert found["loss"][-1] <= found["loss"][0]


@pytest.mark.parametrize("word", WORDS)
def test_the_word_is_refused_without_its_recipe(word: str, tmp_path: Path) -> None:
    def begun() -> None:
        load(wb.read_study(study_of(word, tmp_path)).data)  # a source is looked for when it is loaded

    with pytest.raises(InputError, match=word):
        begun()


@pytest.fixture(scope="module")
def walked(grown: Path) -> set[str]:
    """The tests of the copy's registries that passed, of those that take a new word; none failed."""
    files, chosen = {file for file, _ in WALKED.values()}, " or ".join({key for _, key in WALKED.values()})
    said = inside(grown, "-m", "pytest", "-p", "no:cacheprovider", "-rp", *sorted(files), "-k", chosen)
    return set(re.findall(r"^PASSED (\S+)", said, re.M))


@pytest.mark.slow  # a test run of its own
@pytest.mark.parametrize("word", WORDS)
def test_the_tests_of_the_registry_take_the_word(word: str, walked: set[str]) -> None:
    file, chosen = WALKED[word]
    own = {name.split("::")[1] for name in walked if name.startswith(file)}
    assert any(word in name for name in own)
    assert "registry" not in chosen or any("registry" in name for name in own)


@pytest.mark.slow
def test_the_copy_has_our_style(grown: Path) -> None:
    """What a recipe writes is what `make lint` lets pass."""
    pytest.importorskip("ruff")
    changed = sorted({path for files in RECIPES.values() for path in files})
    inside(grown, "-m", "ruff", "check", *changed)
    inside(grown, "-m", "ruff", "format", "--check", *changed)
    inside(grown, "-m", "mypy")
