"""Reports about searches: spaces that end, names, places that several share, clocks that jump.

Optuna 2021, 2880 and 5440: the same parameters are tried again, and the luckiest try is called the best.
Optuna 5052, Keras Tuner 35, 192 and 237: a small space ends a search, or does not, and nothing says why.
What becomes of both is in tests/tuning/test_replicates.py.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.helpers.bad_input_cases import study_text
from tests.helpers.end_to_end import TINY, Place, place, scores
from workbench.cli.main import main


@pytest.mark.parametrize("name", ["a/b", "with space", "../up", "Größe", "x" * 200, "a:b", ""])
def test_names_that_registries_and_file_systems_take_for_something_else(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """MLflow has no slash or colon in names of registered models, and folders know more such characters."""
    file = tmp_path / "x.toml"
    file.write_text(study_text("", f'name = "{name}"'), encoding="utf-8")
    assert main(["check", str(file), "--home", str(tmp_path / "home")]) == 2
    assert f'name = "{name}"'[:40] in capsys.readouterr().err
    assert not (tmp_path / "home").exists()


@pytest.mark.slow
def test_two_studies_at_once_in_a_new_home(tmp_path: Path) -> None:
    """Two first runs make the same databases at the same moment (`table already exists` of SQLite)."""
    one, two = (place(tmp_path / name, TINY.replace('"tiny"', f'"{name}"')) for name in ("one", "two"))
    home = tmp_path / "home"
    one, two = (Place(where.file, home) for where in (one, two))
    with ThreadPoolExecutor(2) as both:
        ran = list(both.map(lambda where: where.run(), (one, two)))
    for each in ran:
        assert each.status == 0, each.err
        assert "next run brings" not in each.err
    assert len(list((home / "studies").iterdir())) == 2
    assert main(["ledger", "--verify", "--home", str(home)]) == 0


@pytest.mark.slow
def test_a_clock_that_jumps_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Durations below zero, and trials that end before they began, once a laptop has set its clock."""
    steady = place(tmp_path / "steady", TINY)
    words = ("run", str(steady.file), "--home", str(steady.home), "--search-only", "--json")
    assert main(list(words)) == 0
    clock, calls = time.time, iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: clock() - 3600.0 * (next(calls) % 7))
    jumping = place(tmp_path / "jumping", TINY)
    words = ("run", str(jumping.file), "--home", str(jumping.home), "--search-only", "--json")
    assert main(list(words)) == 0
    monkeypatch.undo()
    assert scores(jumping.outcome) == scores(steady.outcome)
    assert all(seconds >= 0 for seconds in jumping.outcome.seconds.values())
