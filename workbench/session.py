"""A study while it runs: its data, journal, engine and records, and the steps from search to result.

The journal is written first; MLflow and Optuna are brought up to date from what it holds, in the
background. Whatever interrupts a session, the next one replays the journal and goes on.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, replace
from types import TracebackType
from typing import Any, Self

import numpy as np

from workbench import data, outcomes, results, space, words
from workbench.checkpoints import Store
from workbench.choice import Choice, freeze
from workbench.confirmation import confirm
from workbench.data import SealedTest
from workbench.delivery import artifacts, report
from workbench.display import Watch
from workbench.engine import Engine, configure, widths
from workbench.errors import DataError
from workbench.interrupts import stop_requested
from workbench.outcomes import write_text
from workbench.places import Places, prepare
from workbench.provenance import environment
from workbench.scheduler import Scheduler
from workbench.search import Round, Search
from workbench.select import choose
from workbench.space import Problem, Variant
from workbench.spool import Spool
from workbench.spool import read as read_journal
from workbench.storage import Storage
from workbench.study import Study
from workbench.study_checks import check_fit, metric_of
from workbench.suggest import Suggester
from workbench.tracking import Parent, Status, Tracker
from workbench.types import Fold, Outcome, TestScore

__all__ = ["Session"]

#: Seconds that the end of a run waits for MLflow and for the Optuna storage; what is left comes with the
#: next run.
PATIENCE = 120.0


class Session:
    """Use as a context manager: entering loads the data and opens the records, leaving closes them."""

    def __init__(self, study: Study, places: Places, watch: Watch) -> None:
        self.study, self.places, self.watch = study, places, watch
        self.folder = places.study(study.id)
        self._began = time.perf_counter()
        self._seconds = {"track": 0.0}
        self._folds: dict[Variant, tuple[Fold, Any]] = {}
        self._choice: Choice | None = None
        self._test: TestScore | None = None
        self._shown: tuple[str, np.ndarray, np.ndarray] | None = None
        self._ended: Status = "FAILED"
        self._closed = False

    def __enter__(self) -> Self:
        self.watch.stage(f"loading {self.study.data.source}")
        self._load()
        try:
            self._open()
        except BaseException:
            self.spool.close()
            raise
        return self

    def _open(self) -> None:
        """The engine, and the records that are written behind."""
        study, watch = self.study, self.watch
        configure(self.places.home / "cache" / "jax")
        self.metric = metric_of(study, self.dataset.task)
        self.direction = words.METRICS[self.metric].direction
        epochs = int(_fixed(study, "epochs"))
        self.engine = Engine(lambda variant: self._prepared(variant)[0], capacity=epochs, seed=study.seed)
        axes = space.axes(study.settings)
        self.tracker = Tracker.open(
            self.places.tracking_uri, self._parent(), artifacts=self.places.home / "artifacts",
            notify=watch.note
        )
        self.storage = Storage(
            self.places.storage, study.id, self.direction, axes, {"question": study.question}, tell=watch.note
        )
        suggester = Suggester(axes, sampler=study.search.sampler, seed=study.seed, direction=self.direction)
        self._search = Search(
            settings=study.settings,
            problems=self._problem,
            metric=self.metric,
            scheduler=Scheduler(
                total=study.search.trials,
                epochs=epochs,
                pruner=study.search.pruner,
                widths=widths(self.engine),
                maximize=self.direction == "maximize",
            ),
            engine=self.engine,
            suggest=suggester.suggest,
            commit=self.spool.append,
            store=Store(self.folder / "checkpoints"),
            recorded=list(self.spool.records),
        )
        self.epochs = epochs

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(self._ended if kind is None else "KILLED")

    # ── the steps ──

    def search(self) -> bool:
        """Train until the budget is spent. False if the user asked for a stop before."""
        watch, total = self.watch, self.study.search.trials
        watch.plan(total, self.epochs)
        watch.stage("searching")
        began, replayed = time.perf_counter(), 0
        with stop_requested(watch.note) as stopping:
            for step in self._search.rounds():
                replayed += len(step.finished) if step.replayed else 0
                self._tell(step, began, replayed)
                if stopping() and not step.replayed:
                    self._ended = "KILLED"
                    return False
        return True

    def choose(self) -> None:
        """Freeze the choice: the best trial, trained again over seeds, saved as it will be delivered."""
        best = choose(self._search.trials.values(), self.direction)
        self.watch.stage(f"training trial {best.number} again over {self.study.search.seeds} seeds")
        self._choice = freeze(
            best,
            study=self.study,
            search=self._search,
            engine=self.engine,
            dataset=self.dataset,
            prepared=self._prepared,
            problems=self._problem,
            metric=self.metric,
            folder=self.folder / "model",
        )
        self._shown = ("validation", self._choice.outputs, self._choice.targets)

    def confirm(self) -> None:
        """Open the test set, once; or learn what it showed when it was opened."""
        self.watch.stage("opening the test set")
        confirmed = confirm(
            results.ledger_of(self.places),
            study=self.study.id,
            dataset=self.dataset,
            sealed=self.sealed,
            model=self.folder / "model",
            metric=self.metric,
            tell=self.watch.note,
        )
        self._test = confirmed.recorded.score
        if confirmed.outputs is not None and confirmed.targets is not None:
            self._shown = ("test", confirmed.outputs, confirmed.targets)

    def finish(self) -> dict[str, Any]:
        """Write the outcome, the report and the end of the MLflow run."""
        self.watch.stage("writing the report")
        outcome = self._outcome()
        written = report(outcome, self.study, self.places)
        began = time.perf_counter()
        self.tracker.finish(outcome, files=artifacts(written, self.study), model=self.folder / "model")
        self.watch.stage("waiting for MLflow")
        self._close("FINISHED")
        self._seconds["track"] += time.perf_counter() - began
        outcome = replace(outcome, seconds=self._clock(), mlflow=self.tracker.where())
        outcomes.save(outcome, self.folder)
        document = results.result(outcome, written.html)
        results.save(document, self.folder)
        return document

    def interrupted(self) -> dict[str, Any]:
        """What is known when the user stops the search."""
        return results.result(self._outcome(), None, status="interrupted")

    # ── what the steps stand on ──

    def _close(self, status: Status) -> None:
        """Bring the records up to date and close them, once."""
        if self._closed:
            return
        self._closed = True
        if left := self.storage.close(timeout=PATIENCE):
            self.watch.note(f"{left} trials are not in the Optuna storage yet; the next run brings them")
        remainder = self.tracker.close(status, timeout=PATIENCE)
        if remainder.any:
            self.watch.note(
                f"MLflow lacks {len(remainder.trials)} trials ({remainder.reason}); the next run brings them"
            )
        self.spool.close()

    def _load(self) -> None:
        """The data, checked against the study and against what is recorded of it.

        Nothing is written before that.
        """
        study, journal = self.study, self.folder / "journal"
        known = next((record for record in read_journal(journal) if record["kind"] == "study"), None)
        sealed = None if known is None else SealedTest(**known["seal"])
        self.dataset, self.sealed = data.load(study.data, sealed)
        rows = len(self.dataset.train)
        check_fit(
            study, self.dataset.task, len(self.dataset.classes), self.dataset.input_shape, train_rows=rows
        )
        if known is not None and known["data"] != self.dataset.fingerprint:
            raise DataError(
                f"{study.data.source}: its rows have changed since study {study.id} began; bring the old file back, or give "
                "the study a new name"
            )
        prepare(self.places)
        self.spool = Spool(journal)
        if known is None:
            seal = asdict(self.sealed)
            self.spool.append([{"kind": "study", "id": study.id, "data": self.dataset.fingerprint, "seal": seal}])
        write_text(self.folder / "study.toml", study.text)
        for note in self.dataset.notes:
            self.watch.note(note)

    def _prepared(self, variant: Variant) -> tuple[Fold, Any]:
        if variant not in self._folds:
            self._folds[variant] = data.prepare(self.dataset, **variant._asdict())
        return self._folds[variant]

    def _problem(self, variant: Variant) -> Problem:
        fold, _ = self._prepared(variant)
        targets = 1 if fold.train.y.ndim == 1 else fold.train.y.shape[1]
        return Problem(
            self.dataset.task, fold.train.x.shape[1:], len(self.dataset.classes), targets, len(fold.train.x)
        )

    def _parent(self) -> Parent:
        axes = space.axes(self.study.settings)
        fixed = {name: value for name, value in self.study.settings.items() if name not in axes}
        return Parent(
            study=self.study.id,
            name=self.study.name,
            metric=self.metric,
            direction=self.direction,
            question=self.study.question,
            seed=self.study.seed,
            params=fixed,  # type: ignore[arg-type]  # axes are left out above
            tags={"workbench.data": self.dataset.fingerprint},
        )

    def _tell(self, step: Round, began: float, replayed: int) -> None:
        """Bring the records and the display up to date with a round."""
        start = time.perf_counter()
        if step.finished:
            self.tracker.trials(step.finished)
            self.storage.put(step.finished)
        self._seconds["track"] += time.perf_counter() - start
        trials = self._search.trials.values()
        complete = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
        best = choose(complete, self.direction) if complete else None
        total, done = self.study.search.trials, len(trials)
        fresh = done - replayed
        eta = (time.perf_counter() - began) / fresh * (total - done) if fresh > 0 else None
        self.watch.progress(
            done=done,
            pruned=sum(trial.state == "pruned" for trial in trials),
            failed=sum(trial.state == "failed" for trial in trials),
            total=total,
            best_value=None if best is None else best.value,
            best_trial=None if best is None else best.number,
            rung=step.rung,
            epochs_done=step.epochs,
            eta_seconds=eta,
        )

    def _clock(self) -> dict[str, float]:
        seconds = {**self.engine.seconds, **self._search.seconds, **self._seconds}
        total = time.perf_counter() - self._began
        return {"total": total, **seconds, "other": max(0.0, total - sum(seconds.values()))}

    def _outcome(self) -> Outcome:
        shown = self._shown or ("validation", np.zeros((0, 1), np.float32), np.zeros(0, np.int32))
        return Outcome(
            study=self.study.id,
            question=self.study.question,
            task=self.dataset.task,
            metric=self.metric,
            direction=self.direction,
            axes=space.axes(self.study.settings),
            trials=tuple(sorted(self._search.trials.values(), key=lambda trial: trial.number)),
            selection=None if self._choice is None else self._choice.selection,
            test=self._test,
            data=self.dataset.summary(),
            classes=tuple(str(name) for name in self.dataset.classes),
            outputs=shown[1],
            targets=shown[2],
            outputs_on=shown[0],  # type: ignore[arg-type]  # one of the two words
            seconds=self._clock(),
            programs=self.engine.programs,
            mlflow=self.tracker.where(timeout=5.0),
            environment=environment(f"{self.engine.mesh.size} {self.engine.mesh.devices.flat[0].platform} devices"),
            study_file=self.study.text,
        )


def _fixed(study: Study, name: str) -> float:
    value = study.settings[name]
    assert isinstance(value, int | float)
    return value
