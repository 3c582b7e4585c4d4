"""Places for the Optuna study that is written behind."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "optuna.log"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'optuna.db'}"


@pytest.fixture(params=["journal", "sqlite"])
def where(request: pytest.FixtureRequest, file: Path, url: str) -> Path | str:
    return file if request.param == "journal" else url
