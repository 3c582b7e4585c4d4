"""What the tests of studies share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own to stand in, with a home in it, and no ledger of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKBENCH_LEDGER", "off")
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
