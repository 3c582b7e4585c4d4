"""The notebook is run, cell by cell in one process, and holds no output."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.end_to_end import environment

NOTEBOOK = Path(__file__).parents[2] / "experiments" / "getting_started.ipynb"


def cells(kind: str) -> list[dict[str, Any]]:
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    return [cell for cell in document["cells"] if cell["cell_type"] == kind]


def test_it_holds_code_and_words_alone() -> None:
    assert cells("markdown")
    assert NOTEBOOK.stat().st_size < 20_000
    for cell in cells("code"):
        assert (cell["outputs"], cell["execution_count"]) == ([], None)
        compile("".join(cell["source"]), "cell", "exec")


#: What a notebook does with a cell: run it, and show what its last line is.
SHOW = """
import ast, sys
here = {"__name__": "__main__"}
for cell in sys.argv[1:]:
    *body, last = ast.parse(cell).body
    exec(compile(ast.Module(body, []), "cell", "exec"), here)
    if isinstance(last, ast.Expr):
        shown = eval(compile(ast.Expression(last.value), "cell", "eval"), here)
        print(len(shown._repr_html_()) if hasattr(shown, "_repr_html_") else 0, repr(shown), sep="\\n")
    else:
        exec(compile(ast.Module([last], []), "cell", "exec"), here)
assert len(here["scores"]) > 2
assert 0.0 < here["confirmed"].test.value < 0.5
assert here["confirmed"].test.look == 1
"""


@pytest.mark.slow  # a search and a test
def test_it_goes_from_a_data_frame_to_a_champion(tmp_path: Path) -> None:
    code = ["".join(cell["source"]) for cell in cells("code")]
    command = [sys.executable, "-W", "ignore", "-c", SHOW, *code]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "sealed test rows, opened once, log loss is" in done.stdout
    assert "Study('wines'" in done.stdout
    assert (tmp_path / "runs" / "created" / "wines" / "study.toml").exists()
    told = subprocess.run(
        [sys.executable, "-m", "workbench", "show", "wines"], cwd=tmp_path, env=environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "wines-" in told.stdout, told.stderr
