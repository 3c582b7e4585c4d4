"""What a study works with: data, journal and engine.

They are opened in this order: the study is held against its data and against what is recorded of it, the
places are prepared, the journal is locked. Nothing is written before everything is known to be right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from workbench import data, words
from workbench.checkpoints import Store
from workbench.costs import costs_of
from workbench.data import Dataset, SealedTest
from workbench.defined_metric import check_defined
from workbench.devices import configure
from workbench.divisions import of_trial
from workbench.engine import Engine
from workbench.errors import DataError
from workbench.files import write_text
from workbench.ladder import rooms
from workbench.loop import Search
from workbench.parts import Train
from workbench.places import Places, prepare
from workbench.preparations import Preparations
from workbench.scheduler import RECENT, Scheduler, expected_epochs
from workbench.spool import Spool
from workbench.spool import read as read_journal
from workbench.stopping import enough, progress
from workbench.study import Study
from workbench.study_checks import check_fit, metric_of
from workbench.suggest import Suggester
from workbench.trial import lane_of
from workbench.widths import widths

__all__ = ["Workspace", "development", "enter", "search_of"]


class Workspace(NamedTuple):
    """Made by `enter`; whoever has it closes the journal."""

    folder: Path
    journal: Spool
    dataset: Dataset
    sealed: SealedTest
    preparations: Preparations
    metric: str
    engine: Engine
    epochs: int
    widths: tuple[int, ...]  # of populations, as they were decided when the study began
    rooms: tuple[int, ...]  # for hidden units, as they were decided when the study began
    recent: int  # how many a lane is compared with, as it was when the study began


def enter(study: Study, places: Places, note: Callable[[str], None]) -> Workspace:
    """Open everything. Raises InputError: DataError, StudyError or StoreError."""
    folder = places.study(study.id)
    dataset, sealed = development(study, folder / "journal")
    prepare(places, note)
    journal = Spool(folder / "journal")
    try:
        write_text(folder / "study.toml", study.text)
        configure(places.home / "cache" / "jax")
        preparations, epochs = Preparations(dataset), int(str(study.settings["epochs"]))
        engine = Engine(preparations.fold, capacity=epochs, seed=study.seed)
        begun = _begin(study, journal, preparations, sealed, engine)
    except BaseException:
        journal.close()
        raise
    return Workspace(
        folder=folder,
        journal=journal,
        dataset=dataset,
        sealed=sealed,
        preparations=preparations,
        metric=metric_of(study, dataset.task),
        engine=engine,
        epochs=epochs,
        widths=tuple(begun["widths"]),
        rooms=tuple(begun["rooms"]),
        recent=begun.get("recent", study.search.trials),  # studies of earlier versions compare with all
    )


def development(study: Study, journal: Path) -> tuple[Dataset, SealedTest]:
    """The data, checked against the study and against what its journal says of them. Writes nothing."""
    known = next((record for record in read_journal(journal) if record["kind"] == "study"), None)
    dataset, sealed = data.load(study.data, None if known is None else SealedTest(**known["seal"]))
    classes, shape, rows = len(dataset.classes), dataset.input_shape, dataset.fewest_train_rows
    check_fit(study, dataset.task, classes, shape, train_rows=rows, of_steps=dataset.of_steps)
    check_defined(metric_of(study, dataset.task), dataset, sealed)
    if known is not None and known["data"] != dataset.fingerprint:
        raise DataError(
            f"{study.data.source}: its rows have changed since study {study.id} began; bring the old file "
            "back, or give the study a new name"
        )
    return dataset, sealed


def search_of(study: Study, here: Workspace, train: Train) -> Search:
    """The search of a study, at the point to which its journal brings it."""
    direction = words.METRICS[here.metric].direction
    rule, paired = study.search.stop == "noise", not study.data.holdouts
    return Search(
        settings=study.settings,
        lane=lambda params, seed, division: lane_of(
            study.settings,
            params,
            here.preparations.problem,
            here.metric,
            here.rooms,
            seed=seed,
            division=division,
        ),
        divisions=lambda number: of_trial(study.data, number),
        scheduler=Scheduler(
            total=study.search.trials,
            epochs=here.epochs,
            pruner=study.search.pruner,
            widths=here.widths,
            maximize=direction == "maximize",
            recent=here.recent,
        ),
        engine=here.engine,
        train=train,
        suggest=Suggester(
            study.axes, sampler=study.search.sampler, seed=study.seed, direction=direction
        ).suggest,
        enough=lambda trials, blocks: (
            enough(progress(trials, blocks, direction, paired=paired, folds=study.data.folds))
            if rule
            else None
        ),
        commit=here.journal.append,
        store=Store(here.folder / "checkpoints"),
        recorded=[event for event in here.journal.records if rule or event["kind"] != "stop"],
    )


def _begin(
    study: Study, journal: Spool, preparations: Preparations, sealed: SealedTest, engine: Engine
) -> Mapping[str, Any]:
    """What was decided when the study began, which every later session keeps to."""
    for record in journal.of_kind("study"):
        return record
    dataset, trials, epochs = preparations.dataset, study.search.trials, int(str(study.settings["epochs"]))
    ladder = rooms(
        study.settings,
        preparations.problem,
        metric_of(study, dataset.task),
        lane_epochs=trials * max(1, study.data.folds) * expected_epochs(epochs, study.search.pruner),
        costs=costs_of(engine.mesh),
    )
    begun = {
        "kind": "study",
        "id": study.id,
        "file": str(study.path.absolute()),
        "data": dataset.fingerprint,
        "seal": asdict(sealed),
        "widths": list(widths(engine.mesh, -(-trials // max(1, study.data.holdouts)))),
        "rooms": list(ladder),
        "recent": RECENT,
    }
    journal.append([begun])
    return begun
