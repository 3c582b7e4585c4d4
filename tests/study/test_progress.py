"""What is seen while a command works: plain lines, a live terminal, or nothing."""

from __future__ import annotations

import errno
import io
import math
import os
import pty
import subprocess
import sys
import time

import pytest

from workbench.core.formatting import duration
from workbench.study import progress
from workbench.study.progress import watching
from workbench.study.watch import silent
from workbench.tuning.standing import Standing


def test_plain_lines_are_throttled(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(1000))
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with watching() as watch:
        watch.stage("searching")
        watch.plan(100, 50)
        for done in range(101):
            best = None if done < 20 else 0.9
            watch.progress(
                done=done, pruned=0, failed=0, total=100, best_value=best, best_trial=7, rung=1,
                epochs_done=10, eta_seconds=65.0,
            )  # fmt: skip
        watch.note("a remark")
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == ["searching", "  100 trials of up to 50 epochs"]
    assert lines[2] == "  0/100 trials, 0 pruned, 0 failed, best –, rung 1, epoch 10/50, 1 min 05 s left"
    assert lines[-2:] == ["  100/100 trials, 0 pruned, 0 failed, best 0.9 (trial 7)", "  note: a remark"]
    assert len(lines) == 2 + 21 + 1  # every fifth second, and the remark


def test_a_terminal_shows_it_live() -> None:
    program = (
        "from workbench.study.progress import watching\nimport time\n"
        "with watching() as watch:\n"
        "    watch.plan(20, 50)\n    watch.stage('searching [wine]')\n"
        "    watch.progress(done=5, pruned=2, failed=1, total=20, best_value=0.98765, best_trial=3, rung=2,\n"
        "                   epochs_done=12, eta_seconds=65.0)\n    time.sleep(0.5)\n"
        "    watch.note('[model] depth is not read')\n    watch.stage('opening the test set')\n"
    )
    controller, terminal = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "80"},
    )
    os.close(terminal)
    shown = b""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            piece = os.read(controller, 65536)
        except OSError as error:  # Linux says so when the other end is closed
            if error.errno != errno.EIO:
                raise
            break
        if not piece:
            break
        shown += piece
    os.close(controller)
    assert child.wait(30) == 0
    text = shown.decode()
    for said in (
        "searching [wine]",
        "5/20 trials",
        "2 pruned",
        "1 failed",
        "best 0.9877 (trial 3)",
        "rung 2, epoch 12/50",
    ):
        assert said in text
    assert "1 min 05 s left" in text
    assert "[model] depth is not read" in text
    assert "✓" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0 s"),
        (3.14, "3.1 s"),
        (12.5, "12 s"),
        (60, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (9000, "2 h 30 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
    assert duration(None) == duration(math.inf) == duration(math.nan) == "–"


def test_a_silent_watch_takes_everything(capfd: pytest.CaptureFixture[str]) -> None:
    watch = silent()
    watch.stage("a")
    watch.plan(1, 2)
    watch.progress(
        done=1,
        pruned=0,
        failed=0,
        total=2,
        best_value=1.0,
        best_trial=1,
        rung=1,
        epochs_done=3,
        eta_seconds=1.0,
    )
    watch.note("b")
    assert capfd.readouterr() == ("", "")


def test_the_best_is_told_from_the_first_rung_and_no_estimate_is_made_up() -> None:
    for direction, leader in (("maximize", (4, 0.7)), ("minimize", (3, 0.5))):
        standing = Standing(direction)  # type: ignore[arg-type]
        assert standing.leader == (None, None)
        for told in ((3, 0.9), (4, 0.7), (3, 0.5), (5, math.nan), (6, None)):
            standing.hear((), told)
        assert standing.leader == leader
    stream = io.StringIO()
    with progress._plain(stream) as watch:
        watch.plan(10, 50)
        watch.progress(
            done=0, pruned=0, failed=0, total=10, best_value=0.7, best_trial=4, rung=1, epochs_done=10,
            eta_seconds=None,
        )  # fmt: skip
    last = stream.getvalue().splitlines()[-1]
    assert last == "  0/10 trials, 0 pruned, 0 failed, best 0.7 (trial 4), rung 1, epoch 10/50"
