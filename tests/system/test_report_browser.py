"""The report in a real browser (headless Chromium): every figure shows and nothing overflows."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers import outcomes
from workbench.evaluation import plots, report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--allow-file-access-from-files",
    "--virtual-time-budget=3000",
    "--dump-dom",
    "--window-size=1300,1000",
]
# A frame of the width in question measures the page: windows narrower than 500 pixels cannot be opened.
FRAME = """<body><iframe id="page" src="{page}" style="border:0;width:{width}px;height:900px"></iframe>
<p id="found">nothing</p><script>
document.getElementById("page").onload = (event) => {{
  const page = event.target.contentDocument;
  const outside = [...page.querySelectorAll("body *")].filter(
    (part) => !part.closest(".scroll, pre") && part.getBoundingClientRect().right > {width} + 0.5);
  const shown = [...page.images].filter((image) => image.naturalWidth > 0).length;
  document.getElementById("found").textContent =
    `${{page.documentElement.scrollWidth}} wide, ${{shown}} shown, ${{outside.length}} outside`;
}};
</script>"""


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_figures_show_and_nothing_overflows(task: str, width: int, tmp_path: Path) -> None:
    assert BROWSER is not None
    outcome = outcomes.with_look(getattr(outcomes, task)(60), 2)
    figures = plots.all_figures(outcome, outcomes.IMPORTANCES)
    made = report.write(outcome, figures, outcomes.IMPORTANCES, [("Finding.", "Advice.")], tmp_path)
    frame = tmp_path / "frame.html"
    frame.write_text(FRAME.format(page=made.html.as_uri(), width=width), encoding="utf-8")
    command = [BROWSER, *QUIET, f"--user-data-dir={tmp_path / 'profile'}", frame.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    found = re.search(r'<p id="found">(\d+) wide, (\d+) shown, (\d+) outside', dom)
    assert found, dom[-500:]
    wide, shown, outside = map(int, found.groups())
    assert wide <= width
    assert shown == len(figures)
    assert outside == 0
