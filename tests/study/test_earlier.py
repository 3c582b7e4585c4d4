"""A search that an earlier version has finished is confirmed, shown and used; an unfinished one is refused.

In `earlier/` lies what such a version left of a search: launches of many trials, and no word of how many
train at once.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_wine

from workbench.core.errors import StoreError
from workbench.core.locations import Locations, resolve
from workbench.core.types import decode_array
from workbench.storage import journal as spool
from workbench.storage import outcomes
from workbench.study import workflow
from workbench.study.config import Study, read_study
from workbench.study.predict import predict
from workbench.study.workspace import enter

LEFT = Path(__file__).parent / "earlier"


@pytest.fixture
def begun(tmp_path: Path) -> tuple[Study, Locations, Path]:
    """The study, its home, and its folder there."""
    study, locations = read_study(LEFT / "study.toml"), resolve(str(tmp_path / "home"))
    folder = locations.study(study.id)
    shutil.copytree(LEFT, folder)
    return study, locations, folder


@pytest.mark.slow
def test_a_finished_search_is_confirmed_as_it_was_chosen(begun: tuple[Study, Locations, Path]) -> None:
    study, locations, folder = begun
    before = spool.read(folder / "journal")
    shown = workflow.show(study, locations)
    assert shown["test"] is None
    result = workflow.confirm(study, locations)
    assert result["status"] == "confirmed"
    assert result["test"]["rows"] == 35
    (old,) = (event["selection"] for event in before[-2:] if event["kind"] == "choice")
    assert result["best"]["trial"] == old["trial"]
    after = spool.read(folder / "journal")
    assert [event["kind"] for event in after[len(before) :]] == ["baselines", "session"]
    recorded = {event["number"]: event for event in before if event["kind"] == "trial"}
    outcome = outcomes.load(folder)
    assert outcome is not None
    assert [trial.number for trial in outcome.trials] == sorted(recorded)
    for trial in outcome.trials:
        np.testing.assert_array_equal(
            trial.curves.train_loss, decode_array(recorded[trial.number]["curves"]["train_loss"])
        )
    rows = load_wine(as_frame=True).data
    rows.to_csv(locations.home / "rows.csv", index=False)
    predict(study, locations, locations.home / "rows.csv", locations.home / "predictions.csv")
    assert len(pd.read_csv(locations.home / "predictions.csv")) == len(rows)


def test_it_is_trained_by_the_rules_of_then(begun: tuple[Study, Locations, Path]) -> None:
    study, locations, _ = begun
    here = enter(study, locations, lambda note: None)
    here.journal.close()
    assert here.plan.rules == 1
    values = here.plan.resolve({"learning_rate": 0.01})
    assert int(here.plan.on_all_rows(values, 0, 3)[1].epochs) == here.plan.epochs > 3


def test_a_lost_model_is_chosen_again_among_the_trials_of_then(begun: tuple[Study, Locations, Path]) -> None:
    study, locations, folder = begun
    shutil.rmtree(folder / "model")
    result = workflow.run(study, locations, search_only=True)
    assert result["trials"] == {"total": 6, "complete": 2, "pruned": 4, "failed": 0}
    kinds = [event["kind"] for event in spool.read(folder / "journal")]
    assert kinds[-2:] == ["choice", "session"]


@pytest.mark.parametrize(("lines", "trials"), [(5, 6), (10, 6), (16, 8)])
def test_an_unfinished_search_is_refused(
    lines: int, trials: int, begun: tuple[Study, Locations, Path]
) -> None:
    study, locations, folder = begun
    for name in ("outcome.json", "outputs.npz"):
        (folder / name).unlink()
    journal = folder / "journal"
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:lines]))
    study = dataclasses.replace(study, search=dataclasses.replace(study.search, trials=trials))
    for _ in range(2):  # the journal is given back
        with pytest.raises(
            StoreError, match=r"begun by an earlier version, .* not finished; go on with that"
        ):
            workflow.run(study, locations, search_only=True)
