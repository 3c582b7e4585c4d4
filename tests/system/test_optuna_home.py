"""The default home as Optuna's readers see it: while a study runs, after a kill, after it, and torn."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from tests.helpers.end_to_end import SMALL, Place, Ran, optuna_studies, place
from tests.helpers.servers import wait
from tests.system.test_crashes import after, start, strike

pytestmark = pytest.mark.filterwarnings("ignore")  # of the libraries that read


def studies(where: Place) -> list[optuna.Study]:
    """Every study that a reader finds there at this moment; none where there is no file yet."""
    if not (where.home / "optuna.log").exists():
        return []
    shown = optuna_studies(where)
    return [optuna.load_study(study_name=n, storage=shown) for n in optuna.get_all_study_names(shown)]


def states(where: Place) -> list[TrialState]:
    return [trial.state for study in studies(where) for trial in study.get_trials(deepcopy=False)]


def shows_what_is_recorded(where: Place, found: optuna.Study) -> None:
    trials = {trial.number: trial for trial in where.outcome.trials}
    assert [trial.number for trial in found.trials] == sorted(trials)
    for theirs in found.trials:
        ours = trials[theirs.number]
        assert theirs.state.name.lower() == ours.state
        assert theirs.params == dict(ours.params)
    chosen = where.outcome.selection
    assert chosen is not None
    assert found.user_attrs["chosen trial"] == chosen.trial


def test_a_reader_opens_the_home_while_a_study_runs_after_a_kill_and_after_it(tmp_path: Path) -> None:
    long = SMALL.replace("epochs     = 14", "epochs     = 7000").replace("patience = 4", "patience = 9000")
    where = place(tmp_path, long.replace("1e20", "1e-2"))
    with start(where) as process:
        wait(lambda: TrialState.RUNNING in states(where) or process.poll() is not None, 120)
        assert process.poll() is None, process.communicate()
        (study,) = studies(where)
        running = study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
        assert all(trial.params for trial in running)
        wait(lambda: any(trial.intermediate_values for trial in studies(where)[0].trials), 120)
        process.kill()
    assert TrialState.RUNNING in states(where)  # nobody was left to say so
    launches = len(where.events("launch"))
    with start(where) as process:
        strike(process, where, after("launch", launches + 1), signal.SIGINT)
        process.communicate(timeout=200)
    assert process.returncode == 130
    assert TrialState.RUNNING not in states(where)
    assert TrialState.WAITING in states(where)
    ran = where.run()
    assert ran.status == 0, ran.err
    (study,) = studies(where)
    shows_what_is_recorded(where, study)


def copy_of(finished: tuple[Place, Ran], folder: Path) -> Place:
    where = place(folder)
    shutil.copytree(finished[0].home, where.home)
    return where


@pytest.mark.parametrize("how", ["torn", "lost"])
def test_a_finished_study_brings_its_file_back(finished: tuple[Place, Ran], tmp_path: Path, how: str) -> None:
    """A home of an earlier version lacks the file as well: it kept Optuna's studies in workbench.db."""
    where = copy_of(finished, tmp_path)
    file = where.home / "optuna.log"
    if how == "lost":
        file.unlink()
    else:
        with file.open("r+b") as log:
            log.truncate(file.stat().st_size - 15)
    ran = where.run()
    assert ran.status == 0
    assert ran.result == finished[1].result
    assert (str(file) in ran.err) == (how == "torn")
    (study,) = studies(where)
    shows_what_is_recorded(where, study)


def test_a_study_brings_back_the_others_of_its_home(finished: tuple[Place, Ran], tmp_path: Path) -> None:
    where = copy_of(finished, tmp_path)
    file, earlier = where.home / "optuna.log", where.outcome.study
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:9]) + lines[9][:-15] + b"".join(lines[10:]))
    with pytest.raises(ValueError, match="line 1 column"):
        studies(where)
    other = place(
        tmp_path / "other", SMALL.replace('"small"', '"other"').replace("trials = 24", "trials = 7")
    )
    ran = Place(other.file, where.home).run("--search-only")
    assert ran.status == 0, ran.err
    assert "damaged" in ran.err
    found: dict[str, Any] = {study.study_name: study for study in studies(where)}
    assert set(found) == {earlier, ran.result["study"]}
    assert len(found[ran.result["study"]].trials) == 7
    folder = where.home / "studies" / earlier
    trials = {trial.number: trial for trial in _outcome(folder).trials}
    assert {t.number: t.params for t in found[earlier].trials} == {
        n: dict(t.params) for n, t in trials.items()
    }


def _outcome(folder: Path) -> Any:
    from workbench.storage import outcomes

    return outcomes.load(folder)
