"""What a study works with: data, journal and engine.

They are opened in this order: the study is held against its data and against what is recorded of it, the
places are prepared, the journal is locked. Nothing is written before everything is known to be right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

from workbench import data
from workbench.core import vocabulary
from workbench.core.errors import DataError, StoreError
from workbench.core.files import write_text
from workbench.core.locations import Locations, prepare
from workbench.core.records import TrialRecord
from workbench.core.types import Array, DataSpec, Value
from workbench.data import Dataset, SealedTest
from workbench.storage.journal import Journal
from workbench.storage.journal import read as read_journal
from workbench.study import crossings
from workbench.study.config import Study, check_fit, metric_of
from workbench.study.contents import contents
from workbench.study.defined_metric import check_defined
from workbench.study.preparations import Preparations, open_engine, resume
from workbench.study.start import points
from workbench.training.checkpoints import Store
from workbench.training.costs import Costs, costs_of
from workbench.training.devices import configure, machine
from workbench.training.engine import Engine
from workbench.training.population import power_of_two
from workbench.tuning.buckets import lane_plan
from workbench.tuning.earlier import Finished, finished
from workbench.tuning.jobs import Train
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.loop import Search
from workbench.tuning.samplers import Suggester
from workbench.tuning.scheduler import RECENT, Scheduler, expected_epochs, lag_of, parallel_of
from workbench.tuning.space import of_trial
from workbench.tuning.stopping import enough, progress


class Workspace(NamedTuple):
    """Made by `enter`; whoever has it closes the journal."""

    folder: Path
    journal: Journal
    dataset: Dataset
    sealed: SealedTest
    preparations: Preparations
    plan: LanePlan
    engine: Engine
    parallel: int  # trials in training at once, as it was decided when the study began
    lag: int  # launches that may be over before one is judged; the same holds
    recent: int  # how many a lane is compared with, as it was when the study began
    finished: Finished | None  # what an earlier version's search has come to
    start: tuple[Mapping[str, Value], ...]  # what is tried after the default configuration
    began: float | None  # in seconds since 1970; None for a study of an earlier version

    @property
    def metric(self) -> str:
        """By which the study chooses."""
        return self.plan.metric


def enter(study: Study, locations: Locations, note: Callable[[str], None]) -> Workspace:
    """Open everything. Raises InputError: DataError, StudyError or StoreError."""
    now = time.time()
    folder = locations.study(study.id)
    dataset, sealed = development(study, folder / "journal")
    configure(locations.home / "cache" / "jax")
    prepare(locations, note)
    files = contents(study.data, locations.home / "data").digests
    if study.id not in (study.id_with(files), study.id_with({})):
        raise DataError(f"{study.data.source}: changed while study {study.id} was loaded; run it again")
    journal = Journal(folder / "journal")
    try:
        write_text(folder / "study.toml", study.text)
        preparations = Preparations(dataset)
        if not any(journal.of_kind("study")):
            crossings.save(dataset, folder)
            if said := crossings.earlier(study, dataset, folder):
                note(said)
        begun = _begin(study, files, journal, preparations, sealed, now)
        metric = metric_of(study, dataset.task)
        over = None if "parallel" in begun else _finished(study, journal, metric)
        begun = {**_of_budget(study), "recent": RECENT, **begun}
        # Folds have rows of their own, and so populations: no more lanes than trials are ever alike.
        lanes = power_of_two(begun["parallel"] + begun["lag"])
        plan = resume(study, preparations, begun)
        engine = open_engine(plan, preparations, seed=study.seed, lanes=lanes)
    except BaseException:
        journal.close()
        raise
    return Workspace(
        folder=folder,
        journal=journal,
        dataset=dataset,
        sealed=sealed,
        preparations=preparations,
        plan=plan,
        engine=engine,
        parallel=begun["parallel"],
        lag=begun["lag"],
        recent=begun["recent"],
        finished=over,
        start=tuple(begun.get("start", ())),
        began=begun.get("began"),
    )


def development(study: Study, journal: Path) -> tuple[Dataset, SealedTest]:
    """The data, checked against the study and against what its journal says of them. Writes nothing."""
    known = next((record for record in read_journal(journal) if record["kind"] == "study"), None)
    if known is not None and known["id"] != study.id:
        raise StoreError(
            f"{journal}: is the journal of study {known['id']}, expected that of {study.id}; bring its own "
            "back, or remove it to search again"
        )
    sealed = None if known is None else SealedTest(**known["seal"])
    dataset, sealed = data.load(study.data if known is None else as_begun(study.data, known), sealed)
    if known is not None and known.get("overlap"):  # an official file is compared when its seal is made
        dataset = replace(dataset, overlap=known["overlap"])
    classes, shape, rows = len(dataset.classes), dataset.input_shape, data.fewest_train_rows(dataset)
    check_fit(study, dataset.task, classes, shape, train_rows=rows, of_steps=dataset.of_steps)
    check_defined(metric_of(study, dataset.task), dataset, sealed)
    if known is not None and known["data"] != dataset.fingerprint:
        raise DataError(
            f"{study.data.source}: its rows have changed since study {study.id} began"
            + (
                ", though its bytes have not: another version reads them; install that one again"
                if known.get("files")
                else "; bring the old file back"
            )
            + ", or give the study a new name"
        )
    return dataset, sealed


def as_begun(spec: DataSpec, known: Mapping[str, Any]) -> DataSpec:
    """The data as a study divides them that has begun: those of earlier versions keep to row numbers.

    known  the first record of its journal
    """
    return replace(spec, split_rule=known.get("split_rule", "rows"))


def first_plan(study: Study, preparations: Preparations, costs: Costs) -> LanePlan:
    """The plan of a study that begins: what its programs are compiled for is decided by what they cost."""
    metric = metric_of(study, preparations.dataset.task)
    epochs = lane_epochs(study)
    return lane_plan(study.settings, preparations.problem, metric, lane_epochs=epochs, costs=costs)


def lane_epochs(study: Study) -> float:
    """Epochs that the search of a study may train, summed over its lanes."""
    epochs = int(cast("int", study.settings["epochs"]))
    trials = study.search.trials * max(1, study.data.folds)
    return trials * expected_epochs(epochs, study.search.pruner)


def search_of(study: Study, here: Workspace, train: Train, note: Callable[[str], None]) -> Search:
    """The search of a study, at the point to which its journal brings it."""
    direction = vocabulary.METRICS[here.metric].direction
    paired, timeout = not study.data.holdouts, study.search.timeout
    earlier = [session["seconds"]["total"] for session in here.journal.of_kind("session")][-1:]
    since = time.perf_counter() - sum(earlier)
    early = study.search.stop == "noise" or study.search.timeout or study.search.stop_at is not None

    def ended(trials: Iterable[TrialRecord], blocks: Mapping[int, Array]) -> str | None:
        if timeout is not None and any(trials) and time.perf_counter() - since > timeout:
            return study.search.timed_out
        if any(trial.state == "complete" and here.plan.reached(trial.value) for trial in trials):
            return study.search.reached
        if study.search.stop == "none":
            return None
        return enough(progress(trials, blocks, direction, paired=paired, folds=study.data.folds))

    return Search(
        plan=here.plan,
        divisions=lambda number: of_trial(study.data, number),
        trials=study.search.trials,
        scheduler=Scheduler(
            epochs=here.plan.epochs,
            pruner=study.search.pruner,
            parallel=here.parallel,
            lag=here.lag,
            maximize=direction == "maximize",
            recent=here.recent,
            kept=len(here.start),
        ),
        engine=here.engine,
        train=train,
        suggest=_suggester(study, here.metric).suggest,
        start=here.start,
        enough=ended if early else None,
        ends=study.search.ends,
        commit=partial(here.journal.append, kept=False),  # the search itself knows what has happened
        store=Store(here.folder / "checkpoints", study.id, note),
        recorded=here.journal.records,
        finished=here.finished,
    )


def _suggester(study: Study, metric: str) -> Suggester:
    direction = vocabulary.METRICS[metric].direction
    return Suggester(study.axes, sampler=study.search.sampler, seed=study.seed, direction=direction)


def _finished(study: Study, journal: Journal, metric: str) -> Finished:
    """What an earlier version has brought to its end."""
    over = finished(
        journal.records,
        study.search.trials,
        may_stop=study.search.stop == "noise",
        suggest=_suggester(study, metric).suggest,
    )
    if over is None:
        raise StoreError(
            f"{journal.path}: the study was begun by an earlier version, which asked for other trials on "
            "other machines, and its search is not finished; go on with that version, or give the study a "
            "new name"
        )
    return over


def _of_budget(study: Study) -> dict[str, int]:
    """What a study that begins decides by its own numbers."""
    trials = study.search.trials
    parallel = min(study.search.parallel or parallel_of(trials, study.search.sampler_name), trials)
    return {"parallel": parallel, "lag": lag_of(parallel)}


def _begin(
    study: Study,
    files: Mapping[str, str],
    journal: Journal,
    preparations: Preparations,
    sealed: SealedTest,
    now: float,
) -> Mapping[str, Any]:
    """What was decided when the study began, which every later session keeps to."""
    for record in journal.of_kind("study"):
        return record
    dataset, plan = preparations.dataset, first_plan(study, preparations, costs_of(machine()[0]))
    begun: dict[str, Any] = {
        "kind": "study",
        "id": study.id,
        "text": study.fingerprint,
        "files": dict(files),
        "file": str(study.path.absolute()),
        "data": dataset.fingerprint,
        "seal": asdict(sealed),
        "split_rule": dataset.spec.split_rule,
        "overlap": dataset.overlap,
        **_of_budget(study),
        "rooms": list(plan.widths),
        "recent": RECENT,
        "rules": plan.rules,
        "began": now,
    }
    if beginning := points(study, journal.path.parent, plan.metric):
        begun["start"] = beginning
    journal.append([begun])
    return begun
