"""A study while it runs: the steps from search to result, on a workspace and with records written behind.

The journal is written first; MLflow and Optuna are brought up to date from what it holds, in the
background. Whatever interrupts a session, the next one replays the journal and goes on.
"""

from __future__ import annotations

import importlib
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np

from workbench.core import vocabulary
from workbench.core.addresses import redact
from workbench.core.errors import BusyError, StoreError
from workbench.core.locations import Locations, local_store
from workbench.core.provenance import environment
from workbench.core.records import Declared, Outcome, Selection, TestScore, settings_of
from workbench.core.types import Array
from workbench.data import findings
from workbench.data.defined import dominated
from workbench.evaluation.saved_model import fingerprint, judged, load
from workbench.storage import database, ledger, outcomes
from workbench.storage.tracking import Status
from workbench.study import results
from workbench.study.cluster import crew_of
from workbench.study.compiling import Compiling
from workbench.study.config import Study, check_testable, idle_axes
from workbench.study.interrupts import stop_requested
from workbench.study.recorder import Records
from workbench.study.watch import Watch
from workbench.study.workspace import enter, search_of
from workbench.tuning import space
from workbench.tuning.loop import Round
from workbench.tuning.standing import Standing

if TYPE_CHECKING:
    from workbench.study.confirmation import Confirmed


#: What the steps after the search import, half a second each: drawing; scikit-learn for baselines.
_LATER, _CONFIRMING = ("choice", "report"), ("confirmation", "baselines")


#: The stage in which trials train.
_SEARCHING = "searching"
#: Why a grid, or brute force, ends before its budget.
EXHAUSTED = "every combination of the axes' values was tried"


class _Shown(NamedTuple):
    """What the delivered model says of some rows."""

    outputs: Array  # [N, K]
    targets: Array
    on: Literal["validation", "test"]
    weights: Array | None = None  # how much the rows count; None: all alike


class Session:
    """Use as a context manager: entering opens the workspace and the records, leaving closes them.

    cluster  where others are who help to train; "": nobody does
    """

    def __init__(self, study: Study, locations: Locations, watch: Watch, cluster: str = "") -> None:
        self.study, self.locations, self.watch, self._cluster = study, locations, watch, cluster
        self._began = time.perf_counter()
        self._selection: Selection | None = None
        self._test: TestScore | None = None
        self._baselines: dict[str, Any] = {}
        self._also: dict[str, Any] = {}
        self._by_target: dict[str, Any] = {}
        self._withheld = ""
        self._declared: tuple[Declared, ...] = ()
        self._shown = _Shown(np.zeros((0, 1), np.float32), np.zeros(0, np.int32), "validation")
        self._ended: Status = "FAILED"

    def __enter__(self) -> Self:
        study, note = self.study, self.watch.note
        self.watch.stage(f"loading {study.data.source}")
        self.here = enter(study, self.locations, note)
        self.folder, self.journal, self.metric = self.here.folder, self.here.journal, self.here.metric
        with ExitStack() as unless_it_begins:
            unless_it_begins.callback(self.journal.close)
            self._begin()
            unless_it_begins.pop_all()
        return self

    def _begin(self) -> None:
        """Everything that may refuse the study's data once they are read."""
        study, note = self.study, self.watch.note
        self.direction = vocabulary.METRICS[self.metric].direction
        self._earlier = list(self.journal.of_kind("session"))
        self._crew = crew_of(study, self.locations.home, self.here, self._cluster, note)
        self._search = search_of(study, self.here, self._crew.train, note)
        self._search.foresee()
        self._standing = Standing(self.direction)
        dataset = self.here.dataset
        self.records = Records(
            study,
            self.locations,
            metric=self.metric,
            data=dataset.fingerprint,
            note=note,
            began=self.here.began,
            alive=lambda: self._search.alive,
        )
        remarks = (
            *findings(dataset),
            *dataset.notes,
            *dominated(self.metric, dataset),
            *idle_axes(study).values(),
        )
        for remark in remarks:  # beside the compiler
            note(remark)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close("KILLED" if kind is not None and issubclass(kind, KeyboardInterrupt) else self._ended)

    # ── the steps ──

    def search(self, *, confirming: bool) -> bool:
        """Train until the budget is spent. False if the user asked for a stop before.

        confirming  the test set will be opened
        """
        watch, began, replayed = self.watch, time.perf_counter(), 0
        if confirming:
            check_testable(self.study, self.here.sealed.rows)
        self._declare()
        watch.plan(self.study.search.trials, self.here.plan.epochs)
        compiling = Compiling.of(self.here.plan)
        waiting = compiling.stage
        watch.stage(waiting or _SEARCHING)
        with stop_requested(watch.note) as stopping, ExitStack() as stack:
            self._lead(stack)
            stack.enter_context(self._crew)
            for name in _LATER + _CONFIRMING * confirming:  # while programs compile, and workers make ready
                importlib.import_module(f"workbench.study.{name}")
            for step in self._search.rounds():
                if waiting and not step.replayed:
                    compiling.took(self.here.engine.seconds["compile"])
                    watch.stage(_SEARCHING)
                    waiting = None
                if step.finished or not step.replayed:
                    self.records.trials(step.finished)
                replayed += len(step.finished) if step.replayed else 0
                self._progress(step, time.perf_counter() - began, replayed)
                if (stopping() or watch.stop()) and not step.replayed:
                    self._ended = "KILLED"
                    return False
        if self._search.stopped:
            done, total = len(self._search.trials), self.study.search.trials
            watch.note(f"the search ends after {done} of {total} trials: {self._search.stopped}")
        for remark in self._repeats():
            watch.note(remark)
        return True

    def _repeats(self) -> list[str]:
        """That there was nothing more to try, or that configurations were tried more than once."""
        done, total = len(self._search.trials), self.study.search.trials
        different = len({settings_of(trial) for trial in self._search.trials.values()})
        remarks = []
        if self._search.exhausted and done < total:
            remarks.append(f"the search ends after {done} of {total} trials: {EXHAUSTED}")
        if different < done:
            remarks.append(
                f"the {done} trials are of {different:,} configuration{'s' * (different > 1)}: those of the "
                "same settings are seeds of one, which counts by their mean"
            )
        return remarks

    def choose(self) -> None:
        """Freeze the choice: by the study's rule, trained again over seeds, saved as it will be delivered.

        Once the test set is open, the choice that it was opened for stays, and is trained again where its
        model is lost. A tested model that this journal does not know is set aside.
        """
        from workbench.evaluation.by_target import by_target
        from workbench.evaluation.evaluate import as_rows
        from workbench.study.choice import freeze, recall, remember, tested
        from workbench.study.confirmation import set_aside

        trials, model, opened = self._search.trials, self.folder / "model", self._opened_for()
        stays = tested(self.journal.records, opened)
        complete = sum(trial.state == "complete" for trial in trials.values())
        if stays is not None and complete > stays.considered:
            self.watch.note(
                f"there are more trials than trial {stays.trial} was chosen among, but the test set was "
                "opened for it, and it stays; to choose again, rename the study"
            )
        kept = recall(self.journal.records, model, len(trials), opened)
        if kept is None:
            what = "the best trial" if self.study.rule == "single" else "the best trials and the default"
            what = what if stays is None else f"trial {stays.trial}"
            count = self.study.search.seeds
            fresh = f"over {count} seeds" if count > 1 else "from a fresh seed"
            self.watch.stage(f"training {what} again {fresh}")
            set_aside(self.folder, opened)
            kept = freeze(self.study, self.here, self._search, model, self.watch.note, stays)
            if stays is not None and fingerprint(model) in opened:
                kept = stays
            else:
                self.journal.append([remember(kept, len(trials), model)])
        self.records.choice(kept, model)
        rows = self.here.preparations.fold(space.variant(kept.settings)).validation
        self._selection = kept
        dataset, asked = self.here.dataset, load(judged(self.folder))
        said = asked.estimates(rows.x)
        weights, y = dataset.weights(dataset.validation), np.asarray(rows.y)
        groups = None if dataset.group is None else dataset.group[dataset.validation]
        self._shown = _Shown(*as_rows(said, y), "validation", weights)
        self._by_target = by_target(
            self.metric,
            said,
            y,
            dataset.outputs,
            labels=dataset.task == "multilabel",
            threshold=asked.threshold,
            groups=groups,
            weight=weights,
        )

    def confirm(self, *, verdict_only: bool = False) -> None:
        """Open the test set, once; or learn what it showed when it was opened.

        verdict_only  a further look says whether the choice beats the recorded one, and no score

        The baselines are frozen before, like the choice.
        """
        from workbench.study import baselines
        from workbench.study.confirmation import confirm

        assert self._selection is not None
        default, opened = self._search.trials[0].params, bool(self._opened_for())
        stage = self.watch.stage
        frozen = baselines.frozen(self._selection, self.study, self.here, default, opened=opened, stage=stage)
        self.watch.stage("opening the test set")
        confirmed = confirm(
            results.ledger_of(self.locations),
            study=self.study.id,
            dataset=self.here.dataset,
            sealed=self.here.sealed,
            folder=self.folder,
            metric=self.metric,
            baselines=frozen.models,
            left_out=frozen.left_out,
            also=self.here.plan.also,
            tell=self.watch.note,
            tries={
                "configurations": len({settings_of(trial) for trial in self._search.trials.values()}),
                "seed": self.study.seed,
                "metric": self.metric,
            },
            verdict_only=verdict_only,
        )
        self._take(confirmed)

    def recall(self) -> None:
        """Learn what the test set showed if it was opened before; else it stays sealed."""
        from workbench.study.confirmation import recorded

        confirmed = recorded(results.ledger_of(self.locations), study=self.study.id, folder=self.folder)
        if confirmed is not None:
            self._take(confirmed)

    def finish(self) -> dict[str, Any]:
        """Write the outcome, the report and the end of the MLflow run."""
        from workbench.study.report import artifacts, content, report

        self.watch.stage("writing the report")
        outcome = self._outcome()
        found = content(outcome, self.study, self.locations, self.here.dataset, self.here.preparations)
        written = report(found, outcome, self.study, self.locations)
        self.records.finish(outcome, artifacts(written, self.study), self.folder / "model")
        self.watch.stage("waiting for MLflow")
        self._ended = "FINISHED"
        settled = self._close(self._ended)
        outcome = replace(outcome, seconds=self._clock(), mlflow=self.records.where())
        outcomes.save(outcome, self.folder)
        document = results.result(outcome, written.html)
        held = results.Held(
            document, self.study.search.trials, settled, bool(self._search.stopped), outcome.model
        )
        results.save(held, self.folder)
        return document

    def interrupted(self) -> dict[str, Any]:
        """What is known when the user stops the search."""
        return results.result(self._outcome(), None, status="interrupted")

    # ── what the steps stand on ──

    def _lead(self, stack: ExitStack) -> None:
        """Be the only one to search: for its own home the journal sees to it, for a database a lock there.

        Raises BusyError if another process is at it in another home.
        """
        storage, id_ = self.locations.storage, self.study.id
        if storage == local_store(self.locations.home, "workbench"):
            return
        busy = (
            f"{redact(storage)}: study {id_} is being run by another process in another home; wait for it, "
            "stop it, or have workbench worker help it"
        )
        try:
            stack.enter_context(database.hold(database.connect(storage), f"study {id_}", busy))
        except BusyError:
            raise
        except StoreError as error:
            self.watch.note(f"{error}; whether somebody else runs this study is not known")

    def _declare(self) -> None:
        """Have the ledger note what the study says beforehand, if it says anything."""
        study = self.study
        self._declared = ledger.declare(
            results.ledger_of(self.locations),
            study.id,
            question=study.question,
            rule=study.rule,
            smallest_gain=study.smallest_gain,
            fingerprint=study.declaration,
            trials=sum(1 for _ in self.journal.of_kind("trial")),
        )

    def _opened_for(self) -> frozenset[str]:
        """Fingerprints of the models that the test set was opened for."""
        looks = ledger.openings(results.ledger_of(self.locations))
        return frozenset(
            look.opening.choice for look in looks if look.opening.study == self.study.id and not look.hand
        )

    def _take(self, confirmed: Confirmed) -> None:
        """A figure is taken up for the very model that it was made with."""
        from workbench.evaluation.evaluate import as_rows

        self._withheld = confirmed.withheld
        if self._withheld:
            self.watch.note(self._withheld)
            return
        self._test = confirmed.recorded.score
        self._baselines = confirmed.recorded.extra.get("baselines", {})
        self._also = confirmed.recorded.extra.get("also", {})
        each = confirmed.recorded.extra.get("targets", {})  # in whatever order
        self._by_target = {name: each[name] for name in self.here.dataset.outputs if name in each}
        if confirmed.outputs is not None and confirmed.targets is not None:
            shown = as_rows(confirmed.outputs, confirmed.targets)
            self._shown = _Shown(*shown, "test", confirmed.weight)

    def _close(self, status: Status) -> bool:
        """Bring the records up to date and close them; whether nothing is left to be written."""
        settled = self.records.close(status)
        if not self.journal.closed:
            with closing(self.journal):
                programs = self.here.engine.programs
                self.journal.append([{"kind": "session", "seconds": self._clock(), "programs": programs}])
        return settled

    def _progress(self, step: Round, seconds: float, replayed: int) -> None:
        self._standing.hear(step.finished, step.running)
        best_trial, best_value = self._standing.leader
        ended = self._standing.ended
        total, done = self.study.search.trials, ended.total()
        fresh, compiled = done - replayed, self.here.engine.seconds["compile"]
        self.watch.progress(
            done=done,
            pruned=ended["pruned"],
            failed=ended["failed"],
            total=total,
            best_value=best_value,
            best_trial=best_trial,
            rung=step.rung,
            epochs_done=step.epochs,
            eta_seconds=max(0.0, seconds - compiled) / fresh * (total - done) if fresh > 0 else None,
        )

    def _clock(self) -> dict[str, float]:
        """Seconds of this session and of those before that were not killed: the last one counted them all."""
        seconds = {**self.here.engine.seconds, **self._search.seconds, "track": self.records.seconds}
        total = time.perf_counter() - self._began
        now = {"total": total, **seconds, "other": max(0.0, total - sum(seconds.values()))}
        before = self._earlier[-1]["seconds"] if self._earlier else dict.fromkeys(now, 0.0)
        return {part: now[part] + before[part] for part in now}

    def _outcome(self) -> Outcome:
        dataset, engine = self.here.dataset, self.here.engine
        return Outcome(
            study=self.study.id,
            question=self.study.question,
            task=dataset.task,
            metric=self.metric,
            direction=self.direction,
            axes=self.study.axes,
            trials=tuple(sorted(self._search.trials.values(), key=lambda trial: trial.number)),
            selection=self._selection,
            test=self._test,
            data=dataset.summary(),
            classes=tuple(str(name) for name in dataset.classes),
            outputs=self._shown.outputs,
            targets=self._shown.targets,
            outputs_on=self._shown.on,
            weights=self._shown.weights,
            seconds=self._clock(),
            programs=max(engine.programs, *(session["programs"] for session in self._earlier), 0),
            mlflow=self.records.where(timeout=5.0),
            environment=environment(engine.described),
            study_file=self.study.text,
            baselines=self._baselines,
            also=self._also,
            stopped=self._search.stopped or EXHAUSTED * self._search.exhausted,
            model=fingerprint(self.folder / "model") if self._selection is not None else "",
            withheld=self._withheld,
            declared=self._declared,
            sizes=self._sizes(),
            names=dataset.outputs,
            by_target=self._by_target,
        )

    def _sizes(self) -> dict[int, int]:
        """How many parameters the models of complete trials have."""
        from workbench.nn.models import n_parameters

        plan, trials = self.here.plan, self._search.trials.values()
        return {
            trial.number: n_parameters(plan.lane(trial.params, 0)[0].recipe, plan.resolve(trial.params))
            for trial in trials
            if trial.state == "complete"
        }
