"""Standard streams that are closed or full, as a shell leaves them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CLOSED = {"output": ">&-", "output and errors": ">&- 2>&-", "all": ">&- 2>&- <&-"}


def shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-c", f'exec "$0" -m workbench {command}', sys.executable],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "WORKBENCH_LEDGER": "off"},
    )


@pytest.mark.skipif(not Path("/bin/sh").exists(), reason="needs a shell")
@pytest.mark.parametrize("which", CLOSED)
@pytest.mark.parametrize("json", ["", " --json"])
def test_closed_streams_do_not_end_a_command(which: str, json: str, tmp_path: Path) -> None:
    done = shell(f"ledger --home '{tmp_path}'{json} {CLOSED[which]}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.skipif(not Path("/bin/sh").exists(), reason="needs a shell")
def test_a_closed_stream_is_given_to_no_file() -> None:
    """Descriptor 1 would be the next file's, and whatever prints would write into it."""
    program = (
        "import os, sys; from workbench.cli.streams import showable; showable(); "
        "opened = os.open(os.devnull, os.O_RDONLY); print('chatter'); sys.exit(opened < 3)"
    )
    done = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" >&-', sys.executable, program], check=False)
    assert done.returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("json", ["", " --json"])
def test_a_full_disk_under_standard_output_is_a_sentence(json: str, tmp_path: Path) -> None:
    done = shell(f"ledger --home '{tmp_path}'{json} > /dev/full")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "standard output cannot be written (No space left on device); what was done is kept, and the same "
        "command prints it again"
    ]
