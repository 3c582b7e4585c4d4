"""Words from a file that a command names and from an installed package, for every command and for workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.end_to_end import environment
from workbench.cli.main import COMMANDS, main

MINE = """\
import jax
import jax.numpy as jnp
import optax
import workbench as wb


def init(recipe, hyper, *, key):
    weight = 0.1 * jax.random.normal(key, (recipe.outputs, *recipe.inputs))
    return {"weight": weight, "bias": jnp.zeros(recipe.outputs)}


def apply(recipe, hyper, params, x, *, key=None):
    return params["weight"] @ jnp.sin(x) + params["bias"]


wb.register_model("sines", wb.Model(init, apply))
wb.register_activation("my_mish", lambda z: z * jnp.tanh(jax.nn.softplus(z)))
wb.register_loss("absolute", lambda outputs, y, smoothing: jnp.abs(outputs - y).mean(), ("regression",))
wb.register_metric(
    "worst", lambda outputs, y, weight: jnp.max(jnp.abs(outputs - y) * weight[:, None]),
    direction="minimize", task="regression",
)
wb.register_optimizer("calm", lambda learning_rate, b1=0.9: optax.adam(learning_rate, b1=b1))
"""
STUDY = """\
name = "own"
[data]
source = "diabetes"
[model]
family = { choices = ["sines", "mlp"] }
activation = "my_mish"
width = 4
depth = 1
[optimizer]
name = "calm"
b1 = { low = 0.8, high = 0.95 }
[training]
loss = "absolute"
epochs = 2
[search]
trials = 3
seeds = 1
[select]
metric = "worst"
"""


def workbench(folder: Path, *words: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environ = environment()
    if path is not None:
        environ["PYTHONPATH"] = f"{path}{os.pathsep}{environ.get('PYTHONPATH', '')}"
    command = [sys.executable, "-m", "workbench", *words]
    return subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "own.toml").write_text(STUDY)
    return tmp_path


@pytest.mark.slow  # four commands and a search
def test_every_command_knows_the_words_of_a_file(folder: Path) -> None:
    plugin = ("--plugin", "mine.py", "--json")
    ran = workbench(folder, "run", "own.toml", *plugin)
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert result["trials"]["failed"] == 0
    assert result["test"]["metric"] == "worst"
    assert result["test"]["low"] is None  # nobody knows how it scatters
    for command in ("check", "show", "confirm"):
        again = workbench(folder, command, "own.toml", *plugin)
        assert again.returncode == 0, again.stderr
    again = workbench(folder, "reproduce", "own.toml#0", *plugin)
    assert json.loads(again.stdout)["agrees"], again.stderr
    told = {key["key"]: key["holds"] for key in json.loads(workbench(folder, "keys", *plugin).stdout)["keys"]}
    assert "sines" in told["family"]
    assert "my_mish" in told["activation"]
    assert "worst" in told["metric"]
    without = workbench(folder, "show", "own.toml")
    assert without.returncode == 2
    assert '"sines"' in without.stderr


@pytest.mark.slow  # a process of its own for the words
def test_an_installed_package_offers_words(folder: Path) -> None:
    site = folder / "site"
    (site / "offered-1.0.dist-info").mkdir(parents=True)
    (site / "offered.py").write_text("def add():\n" + "".join(f"    {line}\n" for line in MINE.splitlines()))
    (site / "offered-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: offered\nVersion: 1.0\n"
    )
    points = site / "offered-1.0.dist-info" / "entry_points.txt"
    points.write_text("[workbench.plugins]\noffered = offered:add\n")
    checked = workbench(folder, "check", "own.toml", "--json", path=site)
    assert checked.returncode == 0, checked.stderr
    points.write_text("[workbench.plugins]\noffered = offered:nothing\n")
    checked = workbench(folder, "check", "own.toml", "--json", path=site)
    assert checked.returncode == 2
    assert "plugin offered = offered:nothing: fails (AttributeError" in checked.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such Python file; correct the path"),
        (
            "import workbench as wb\n\n1 / 0\n",
            r"fails in line 3 (ZeroDivisionError: division by zero); mend it",
        ),
        ("def\n", "fails in line 1 (SyntaxError"),
        (
            "import workbench as wb\nwb.register_activation('relu', abs)\n",
            "activation 'relu' is known already",
        ),
    ],
)
def test_what_is_no_plugin_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, said: str
) -> None:
    file = tmp_path / "broken.py"
    if content is not None:
        file.write_text(content)
    assert main(["keys", "--plugin", str(file)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"--plugin = {file}: ")
    assert said in told
    assert "broken" not in sys.modules


def test_every_command_takes_one(capsys: pytest.CaptureFixture[str]) -> None:
    for command in COMMANDS:
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert "--plugin FILE" in capsys.readouterr().out


def test_a_file_is_run_once_and_keeps_to_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Even where a module of Python has it."""
    file = tmp_path / "json.py"
    file.write_text("print('ran', __name__)\n")
    for _ in range(2):
        assert main(["ledger", "--home", str(tmp_path), "--plugin", str(file)]) == 0
    assert capsys.readouterr().out.count("ran workbench_plugin_json") == 1
    assert json.__file__ != str(file)
    del sys.modules["workbench_plugin_json"]
