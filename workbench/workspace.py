"""What a study works with: data, journal and engine.

They are opened in this order: the study is held against its data and against what is recorded of it, the
places are prepared, the journal is locked. Nothing is written before everything is known to be right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from workbench import data, space, words
from workbench.checkpoints import Store
from workbench.costs import costs_of
from workbench.data import Dataset, SealedTest
from workbench.devices import configure, machine
from workbench.divisions import of_trial
from workbench.engine import Engine
from workbench.errors import DataError, StoreError
from workbench.files import write_text
from workbench.ladder import rooms
from workbench.loop import Search
from workbench.models import n_parameters
from workbench.parts import Train
from workbench.places import Places, prepare
from workbench.population import power_of_two
from workbench.preparations import Preparations
from workbench.scheduler import RECENT, Scheduler, expected_epochs, lag_of, parallel_of
from workbench.spool import Spool
from workbench.spool import read as read_journal
from workbench.stopping import enough, progress
from workbench.study import Study
from workbench.study_checks import check_fit, metric_of
from workbench.suggest import Suggester
from workbench.trial import lane_of
from workbench.types import Value

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
    parallel: int  # trials in training at once, as it was decided when the study began
    lag: int  # launches that may be over before one is judged; the same holds
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
        begun = _begin(study, journal, preparations, sealed)
        lanes = power_of_two((begun["parallel"] + begun["lag"]) * max(1, study.data.folds))
        engine = Engine(preparations.fold, capacity=epochs, seed=study.seed, lanes=lanes)
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
        parallel=begun["parallel"],
        lag=begun["lag"],
        rooms=tuple(begun["rooms"]),
        recent=begun["recent"],
    )


def development(study: Study, journal: Path) -> tuple[Dataset, SealedTest]:
    """The data, checked against the study and against what its journal says of them. Writes nothing."""
    known = next((record for record in read_journal(journal) if record["kind"] == "study"), None)
    dataset, sealed = data.load(study.data, None if known is None else SealedTest(**known["seal"]))
    classes, shape, rows = len(dataset.classes), dataset.input_shape, dataset.fewest_train_rows
    check_fit(study, dataset.task, classes, shape, train_rows=rows, of_steps=dataset.of_steps)
    if known is not None and known["data"] != dataset.fingerprint:
        raise DataError(
            f"{study.data.source}: its rows have changed since study {study.id} began; bring the old file "
            "back, or give the study a new name"
        )
    return dataset, sealed


def search_of(study: Study, here: Workspace, train: Train) -> Search:
    """The search of a study, at the point to which its journal brings it."""
    direction = words.METRICS[here.metric].direction
    paired = not study.data.holdouts
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
        cost=lambda params: _epoch_seconds(study, here, params),
        trials=study.search.trials,
        scheduler=Scheduler(
            epochs=here.epochs,
            pruner=study.search.pruner,
            parallel=here.parallel,
            lag=here.lag,
            maximize=direction == "maximize",
            recent=here.recent,
        ),
        engine=here.engine,
        train=train,
        suggest=Suggester(
            study.axes, sampler=study.search.sampler, seed=study.seed, direction=direction
        ).suggest,
        enough=(lambda trials, blocks: enough(progress(trials, blocks, direction, paired=paired)))
        if study.search.stop == "noise"
        else None,
        commit=here.journal.append,
        store=Store(here.folder / "checkpoints"),
        recorded=here.journal.records,
    )


def _epoch_seconds(study: Study, here: Workspace, params: Mapping[str, Value]) -> float:
    """What an epoch of these parameters costs, by the constants and not by this machine."""
    values = space.resolve(study.settings, params)
    about = here.preparations.problem(space.variant(values))
    recipe = space.program(study.settings, values, about, here.metric, here.rooms).recipe
    if recipe.width:
        values["width"] = recipe.width  # the padding is multiplied, too
    return costs_of("cpu").epoch(n_parameters(recipe, values), about.rows, recipe.batch)


def _begin(study: Study, journal: Spool, preparations: Preparations, sealed: SealedTest) -> Mapping[str, Any]:
    """What was decided when the study began, which every later session keeps to."""
    for record in journal.of_kind("study"):
        if "parallel" not in record:
            raise StoreError(
                f"{journal.path}: the study was begun by an earlier version, which asked for other trials on "
                "other machines; go on with that version, or give the study a new name"
            )
        return record
    dataset, trials, epochs = preparations.dataset, study.search.trials, int(str(study.settings["epochs"]))
    parallel = min(study.search.parallel or parallel_of(trials, study.search.sampler), trials)
    ladder = rooms(
        study.settings,
        preparations.problem,
        metric_of(study, dataset.task),
        lane_epochs=trials * max(1, study.data.folds) * expected_epochs(epochs, study.search.pruner),
        costs=costs_of(machine()[0]),
    )
    begun = {
        "kind": "study",
        "id": study.id,
        "file": str(study.path.absolute()),
        "data": dataset.fingerprint,
        "seal": asdict(sealed),
        "parallel": parallel,
        "lag": lag_of(parallel),
        "rooms": list(ladder),
        "recent": RECENT,
    }
    journal.append([begun])
    return begun
