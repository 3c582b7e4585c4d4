"""`reproduce`: the same figures from the record alone, and what it says when they are others."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_wine

from tests.helpers.end_to_end import TINY, Place, Ran, place
from workbench.cli.main import main
from workbench.core.records import Outcome
from workbench.storage import outcomes
from workbench.storage.tracking import child_id, parent_id

Said = dict[str, object]


def again(target: str, home: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, Said, str]:
    status = main(["reproduce", target, "--home", str(home), "--json"])
    out, err = capsys.readouterr()
    return status, json.loads(out.splitlines()[-1]), err


def named(outcome: Outcome, reason: str) -> int:
    return next(trial.number for trial in outcome.trials if trial.reason == reason)


@pytest.mark.parametrize("reason", ["pruned", "diverged", "early stopped"])
def test_a_trial_to_the_bit(
    finished: tuple[Place, Ran], capsys: pytest.CaptureFixture[str], reason: str
) -> None:
    where, ran = finished
    number = named(where.outcome, reason)
    status, said, _ = again(f"{where.file}#{number}", where.home, capsys)
    assert status == 0
    assert said["trial"] == number
    assert said["largest"] == {"train_loss": 0.0, "validation_loss": 0.0, "validation_score": 0.0}
    by_run = again(child_id(str(ran.result["study"]), number), where.home, capsys)
    assert by_run[0] == 0
    assert by_run[1]["trial"] == number
    assert by_run[1]["largest"] == said["largest"]


def test_the_choice_to_the_bit(finished: tuple[Place, Ran], capsys: pytest.CaptureFixture[str]) -> None:
    where, ran = finished
    for target in (str(where.file), parent_id(str(ran.result["study"]))):
        status, said, _ = again(target, where.home, capsys)
        assert (status, said["agrees"], said["trial"], said["warnings"]) == (0, True, None, [])
        assert said["largest"] == {"train_loss": 0.0, "validation_loss": 0.0, "validation_score": 0.0}
    assert main(["reproduce", str(where.file), "--home", str(where.home)]) == 0
    assert "the figures agree" in capsys.readouterr().out


def test_a_record_that_was_changed_does_not_agree(
    finished: tuple[Place, Ran], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where, _ = finished
    home = tmp_path / "home"
    shutil.copytree(where.home, home)
    (folder,) = (home / "studies").iterdir()
    outcome = where.outcome
    number = named(outcome, "early stopped")
    trials = list(outcome.trials)
    curves = trials[number].curves
    loss = np.array(curves.validation_loss)
    loss[0] *= 1.01
    trials[number] = replace(trials[number], curves=curves._replace(validation_loss=loss))
    versions = {**outcome.environment, "jax": "0.0.1"}
    outcomes.save(replace(outcome, trials=tuple(trials), environment=versions), folder)
    status, said, err = again(f"{where.file}#{number}", home, capsys)
    assert status == 1
    assert not said["agrees"]
    assert 1e-3 < said["largest"]["validation_loss"] <= 0.0101 * max(1.0, loss[0])  # type: ignore[index]
    assert "and was 0.0.1" in err
    other = named(outcome, "pruned")
    assert again(f"{where.file}#{other}", home, capsys)[0] == 0


@pytest.mark.slow
def test_other_rows_are_said_and_tell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = place(tmp_path, TINY.replace('source = "wine"', 'source = "wine.csv"\ntarget = "target"'))
    table = load_wine(as_frame=True).frame
    table.to_csv(tmp_path / "wine.csv", index=False)
    ran = where.run("--search-only")
    assert ran.status == 0
    assert again(f"{where.file}#0", where.home, capsys)[0] == 0
    table.assign(hue=table["hue"] + (table.index % 5 == 0)).to_csv(tmp_path / "wine.csv", index=False)
    assert main(["reproduce", f"{where.file}#0", "--home", str(where.home)]) == 2  # it is another study now
    assert "wine.csv changed since study" in capsys.readouterr().err
    status, said, err = again(ran.result["mlflow"]["run_id"], where.home, capsys)
    assert "the rows of the data are not those of the record" in err
    assert said["warnings"]
    assert status == (0 if said["agrees"] else 1)
    (tmp_path / "wine.csv").unlink()
    assert main(["reproduce", f"{where.file}#0", "--home", str(where.home)]) == 2


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("{file}#400", "the study has the trials 0 to 23; name one of them"),
        ("{file}#x", "'x' is no number of a trial"),
        ("0" * 32, "is the run of no study under"),
        ("nowhere.toml", "there is no such file"),
    ],
)
def test_targets_that_are_not_there(
    finished: tuple[Place, Ran], capsys: pytest.CaptureFixture[str], target: str, says: str
) -> None:
    where, _ = finished
    assert main(["reproduce", target.format(file=where.file), "--home", str(where.home)]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert len(error.splitlines()) == 1


def test_a_study_that_was_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = place(tmp_path, TINY)
    assert main(["reproduce", str(where.file), "--home", str(where.home)]) == 2
    assert "nothing is recorded of this study" in capsys.readouterr().err
    assert not where.home.exists()
