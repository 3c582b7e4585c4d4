"""The public names as a user's editor sees them: documented, printable, typed."""

from __future__ import annotations

import ast
import inspect
import os
import re
import shutil
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import pytest

import workbench as wb

ROOT = Path(wb.__file__).parents[1]
#: What a default may look like in help() at most.
LONGEST = 60
ARRAYS = re.compile(r"\b(Array|ArrayLike)\b")
EMPTY = inspect.Parameter.empty

USER = """\
import pandas as pd

import workbench as wb

study = wb.vary(wb.read_study("study.toml"), depth=2)
reveal_type(study)
reveal_type(wb.run(study, wb.resolve(home="runs")))
reveal_type(wb.train(study, seeds=3).train_loss)
reveal_type(wb.register_loss)
wb.train(study, seed=3)


def enough(now: wb.Figures) -> bool:
    return now["done"] >= 20


frame = pd.DataFrame({"age": [31, 44], "churned": ["no", "yes"]})
made = wb.create_study(frame, target="churned", trials=60, depth=wb.axis(1, 3), tell=None)
result = wb.run(made, on_rung=enough)
print(result.best.params["depth"], result["best"], result.trials["value"].max(), result.report.name)
print(result.model.predict(frame)["prediction"], result.model.predict_proba(frame)[:, 1])
if result.test is not None:
    print(result.test.low, result.test.high)
reveal_type(wb.Classifier(trials=3, depth=wb.axis(1, 2)).fit(frame, ["no", "yes"]))
"""


def parameters(name: str) -> dict[str, inspect.Parameter]:
    value = getattr(wb, name)
    if isinstance(value, type) and issubclass(value, Exception):
        return {}  # which nobody but the package makes
    if typing.is_typeddict(value):
        keys = inspect.get_annotations(value, eval_str=True)
        kind = inspect.Parameter.KEYWORD_ONLY
        return {key: inspect.Parameter(key, kind, annotation=held) for key, held in keys.items()}
    return dict(inspect.signature(value).parameters)


def sections(name: str) -> dict[str, str]:
    """The parts of a docstring in Google style, by their headings."""
    parts = re.split(r"^(Args|Returns|Raises):\n", inspect.getdoc(getattr(wb, name)) or "", flags=re.M)
    return {"": parts[0], **dict(zip(parts[1::2], parts[2::2], strict=True))}


def described(text: str) -> dict[str, str]:
    """What `Args:` says, by the names of the parameters."""
    parts = re.split(r"^    \**(\w+): ", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("name", wb.__all__)
def test_docstrings_say_what_goes_in_and_comes_out(name: str) -> None:
    found, taken = sections(name), parameters(name)
    assert found[""].strip(), "says nothing"
    said = described(found.get("Args", ""))
    assert set(said) == set(taken)
    for key, parameter in taken.items():
        if ARRAYS.search(str(parameter.annotation)) and "Callable" not in str(parameter.annotation):
            assert re.search(r"\[[A-Z*n].*\]", said[key]), f"{key} is an array; say its shape"
    if inspect.isfunction(getattr(wb, name)):
        gives = inspect.signature(getattr(wb, name)).return_annotation not in ("None", None)
        assert ("Returns" in found) == gives
        raised = re.findall(r"\braise (\w+Error)\(", inspect.getsource(getattr(wb, name)))
        assert set(raised) <= set(re.findall(r"^    (\w+): ", found.get("Raises", ""), flags=re.M))


@pytest.mark.parametrize("name", wb.__all__)
def test_defaults_print_in_a_line(name: str) -> None:
    """What help() shows."""
    for key, parameter in parameters(name).items():
        assert parameter.default is EMPTY or len(repr(parameter.default)) <= LONGEST, key


@pytest.mark.parametrize("file", sorted((ROOT / "workbench").rglob("*.py")), ids=lambda file: file.stem)
def test_no_default_is_the_environment(file: Path) -> None:
    """It holds passwords, and help() prints defaults."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.arguments):
            for default in (*node.defaults, *filter(None, node.kw_defaults)):
                assert "environ" not in ast.unparse(default), f"{file}:{default.lineno}"


def test_the_environment_is_read_when_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "set later"))
    assert wb.resolve().home == tmp_path / "set later"
    assert wb.resolve(environ={}).home == Path("runs").absolute()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site-packages of an environment in which the project is installed as `make setup` installs it."""
    pytest.importorskip("pip")
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "workbench", source / "workbench", ignore=shutil.ignore_patterns("__pycache__"))
    run(sys.executable, "-m", "venv", "--without-pip", str(folder / "venv"))
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    # The libraries, but not what is installed there for editing: a .pth file is read in a site folder alone.
    (site / "libraries.pth").write_text(str(Path(pytest.__file__).parents[1]))
    python = str(folder / "venv" / "bin" / "python")
    options = ("--quiet", "--no-index", "--no-build-isolation", "--no-deps", "--ignore-installed")
    run(python, "-m", "pip", "install", *options, "--editable", str(source))
    return site


def run(*words: str, cwd: Path | None = None) -> str:
    """A program's output; nothing of ours is on its path."""
    clean = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MYPYPATH", "PIP_CONFIG_FILE")}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=clean, cwd=cwd)
    assert not done.stderr or done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_editable_install_is_a_folder_on_the_path(installed: Path) -> None:
    """Type checkers read paths and no import hooks."""
    source = installed.parents[3] / "source"
    assert any(Path(line) == source for p in installed.glob("*.pth") for line in p.read_text().splitlines())
    assert (source / "workbench" / "py.typed").is_file()
    program = "import workbench; print(workbench.__file__)"
    shown = run(str(installed.parents[2] / "bin" / "python"), "-c", program, cwd=installed)
    assert Path(shown.strip()) == source / "workbench" / "__init__.py"


@pytest.mark.slow  # mypy reads what the package imports
def test_a_users_type_checker_sees_the_types(installed: Path, tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "user.py").write_text(USER)
    python = str(installed.parents[2] / "bin" / "python")
    said = run(python, "-m", "mypy", "--strict", "--no-error-summary", "user.py", cwd=tmp_path)
    revealed: dict[int, Any] = dict(
        re.findall(r'^user\.py:(\d+): note: Revealed type is "(.*)"$', said, re.M)
    )
    assert revealed["6"] == "workbench.study.config.study.Study"
    assert revealed["7"] == "workbench.study.result.Result"
    assert "ndarray" in revealed["8"]
    assert revealed["9"].startswith("def (name: str, function: def (")
    assert revealed["24"] == "workbench.study.estimators.Classifier"
    errors = [line for line in said.splitlines() if ": error: " in line]
    assert len(errors) == 1, said
    assert errors[0].startswith('user.py:10: error: Unexpected keyword argument "seed"')
