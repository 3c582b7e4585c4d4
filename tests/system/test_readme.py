"""The README is run: studies written, commands and Python executed, in order, in one folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.end_to_end import environment

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    return [(match[1], match[2]) for match in BLOCK.finditer(README.read_text(encoding="utf-8"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("readme")
    for language, text in blocks():
        named = re.match(r"# file: (\S+)\n", text)
        if language in ("toml", "python") and named:
            (made / named[1]).write_text(text, encoding="utf-8")
    return made


def run(command: list[str], folder: Path) -> str:
    environ = environment() | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_the_blocks_run_in_order(folder: Path) -> None:
    ran = 0
    for language, text in blocks():
        if language == "bash":
            for line in text.splitlines():
                run(["bash", "-c", line], folder)
            ran += 1
        elif language == "python":
            run([sys.executable, "-W", "ignore", "-c", text], folder)
            ran += 1
    assert ran >= 4


def test_every_file_that_it_links_to_is_there() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README.read_text(encoding="utf-8"))
    assert links
    for link in links:
        assert (README.parent / link).exists(), link
