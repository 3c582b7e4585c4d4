"""The loop: ask, train, tell. What has happened is committed before anybody hears of it, and replayed later.

Two kinds of event decide everything that follows: an `ask` (which parameters were drawn) and a `launch`
(how its lanes came out). Replaying them brings the scheduler to the state in which the search was left; a
suggestion is a pure function of the history and the number of the ask, so an interrupted search goes on as
the undisturbed one would have.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from workbench import space
from workbench.checkpoints import Store
from workbench.codec import decode_array, encode_array, encode_trial
from workbench.engine import Engine
from workbench.errors import StoreError
from workbench.folds import Merged, decode, encode, merged
from workbench.parts import Member, Part, Train
from workbench.recipe import Hyperparameters
from workbench.scheduler import Ask, Judged, LaneReport, Launch, Scheduler
from workbench.space import Program
from workbench.trial import Trial, advance, finish, told
from workbench.types import Settings, TrialRecord, Value

__all__ = ["Event", "Known", "Round", "Search"]

Event = dict[str, Any]


class Known(NamedTuple):
    """What a sampler may know of a trial that was asked for."""

    number: int
    params: Mapping[str, Value]
    state: str  # running | complete | pruned
    value: float | None
    rungs: Mapping[int, float]


class Round(NamedTuple):
    """What one launch has brought."""

    finished: tuple[TrialRecord, ...]
    rung: int  # 1-based
    epochs: int  # behind its lanes
    replayed: bool


class Search:
    """A search in progress.

    settings   of the study; its axes are searched
    lane       (params, seed, division) -> what a lane trains in, and with: see `trial.lane_of`
    divisions  of the rows that a trial, by number, trains on
    engine     hears early which programs will be wanted
    train      trains a part, here or with the help of others
    suggest    (history, count) -> parameters of new trials, a pure function
    enough     why it may end before its budget, given what has finished and its blocks; None: it goes on
    commit     makes events durable, all of them or none, before anything else hears of them
    recorded   the events of earlier runs
    """

    def __init__(
        self,
        *,
        settings: Settings,
        lane: Callable[[Mapping[str, Value], int, int], tuple[Program, Hyperparameters]],
        divisions: Callable[[int], tuple[int, ...]],
        scheduler: Scheduler,
        engine: Engine,
        train: Train,
        suggest: Callable[[Sequence[Known], int], list[dict[str, Value]]],
        enough: Callable[[Iterable[TrialRecord], Mapping[int, np.ndarray]], str | None],
        commit: Callable[[list[Event]], None],
        store: Store,
        recorded: Iterable[Event] = (),
    ) -> None:
        self.seconds = {"sample": 0.0}
        self.trials: dict[int, TrialRecord] = {}
        self.blocks: dict[int, np.ndarray] = {}  # of complete trials, [G] each: see population.pseudo_values
        self._axes, self._lane, self._divisions = space.axes(settings), lane, divisions
        self._scheduler, self._engine, self._train, self._suggest = scheduler, engine, train, suggest
        self._enough, self._commit, self._store, self._recorded = enough, commit, store, list(recorded)
        self.stopped = ""  # why the search has ended before its budget
        self._alive: dict[int, Trial] = {}
        self._history: dict[int, Known] = {}

    def rounds(self) -> Iterator[Round]:
        """Run to the end, or until the caller stops iterating: nothing that was yielded is lost."""
        for event in self._recorded:
            try:
                yield from self._replay(event)
            except (IndexError, KeyError, ValueError) as error:  # lines of earlier versions are not chained
                raise StoreError(
                    "the study's journal lacks lines, or has them out of order; restore it from a copy, or "
                    "remove it to search again (the ledger keeps its openings)"
                ) from error
        while (step := self._scheduler.next()) is not None:
            if isinstance(step, Ask):
                self._ask(step.trials)
            else:
                yield self._launch(step)

    def foresee(self, rooms: Iterable[int]) -> None:
        """Begin to compile what the first trials will train in: the default configuration, in all rooms."""
        default = space.default(self._axes)
        widths = [{"width": room} for room in rooms] if "width" in self._axes else []
        if not any(event["kind"] == "ask" for event in self._recorded):
            self._foresee(
                self._lane({**default, **width}, 0, self._divisions(0)[0]) for width in ({}, *widths)
            )

    # ── asking ──

    def _ask(self, count: int) -> None:
        began = time.perf_counter()
        if reason := self._enough(self.trials.values(), self.blocks):
            self._commit([{"kind": "stop", "reason": reason}])
            self._stop(reason)
            return
        first = len(self._history)
        drawn: list[dict[str, Value]] = self._suggest(list(self._history.values()), count)
        if first == 0:
            drawn = [space.default(self._axes), *drawn[1:]]
        self.seconds["sample"] += time.perf_counter() - began
        if not drawn:  # a grid is exhausted before the budget
            self._scheduler.close()
            return
        event = {"kind": "ask", "first": first, "params": drawn}
        self._commit([event])
        self._asked(event)
        asked = list(self._alive.values())[-len(drawn) :]
        self._foresee([(trial.programs[0], trial.hypers[0]) for trial in asked])

    def _foresee(self, lanes: Iterable[tuple[Program, Hyperparameters]]) -> None:
        known = [(program.recipe, program.variant, hyper) for program, hyper in lanes]
        for foresee in (self._engine.foresee, self._engine.foresee_blocks):  # what is wanted first, first
            for recipe, variant, hyper in known:
                foresee(recipe, variant, self._scheduler.widths[0], hyper)

    def _asked(self, event: Event) -> None:
        for number, params in enumerate(event["params"], start=event["first"]):
            lanes = [self._lane(params, number, division) for division in self._divisions(number)]
            programs, hypers = zip(*lanes, strict=True)
            self._alive[number] = Trial(number, params, programs, hypers)
            self._history[number] = Known(number, params, "running", None, {})
            self._scheduler.add([(number, programs[0])])

    def _stop(self, reason: str) -> None:
        """Ask for no more trials; those that are alive go on."""
        self.stopped = reason
        self._scheduler.close()

    # ── training ──

    def _launch(self, launch: Launch) -> Round:
        began = time.perf_counter()
        trials = [self._alive[number] for number in launch.trials]
        brought = self._trained(launch, trials)
        share, ended = (time.perf_counter() - began) / len(trials), time.time()
        reports = [_report(lane) for lane in brought]
        judged = self._scheduler.judge(launch, reports)
        for trial, lane in zip(trials, brought, strict=True):
            advance(trial, launch.last, lane.curves, lane.score, lane.best_epoch, share)
            trial.lanes = lane.lanes
        finished = self._judged(judged, reports, ended)
        blocks = {
            trial.number: lane.block
            for trial, lane in zip(trials, brought, strict=True)
            if lane.block is not None
        }
        self.blocks |= blocks
        going = [trial for trial, verdict in zip(trials, judged, strict=True) if verdict.state is None]
        self._store.put({trial.number: trial.lanes for trial in going})
        event = {
            "kind": "launch",
            "rung": launch.rung,
            "trials": list(launch.trials),
            "seconds": share,
            "finished": ended,
            "blocks": {str(number): encode_array(values) for number, values in blocks.items()},
            "reports": [encode(lane) for lane in brought],
        }
        self._commit([*(encode_trial(record) for record in finished), event])
        self._store.drop(record.number for record in finished)
        return Round(tuple(finished), launch.rung + 1, launch.last, replayed=False)

    def _trained(self, launch: Launch, trials: Sequence[Trial]) -> list[Merged]:
        """What the launch makes of each trial; folds are trained one after the other, all trials together."""
        before = [self._lanes(trial, launch.first) for trial in trials]
        width, count, parts = self._scheduler.width(launch), len(trials[0].programs), []
        final, keep = launch.rung == len(self._scheduler.rungs) - 1, count > 1
        for k in range(count):
            members = tuple(
                Member(trial.number, trial.params, trial.programs[k], trial.hypers[k], lanes and lanes[k])
                for trial, lanes in zip(trials, before, strict=True)
            )
            parts.append(self._train(Part(members, width, launch.first, launch.last, final, keep)))
        return [merged(folds) for folds in zip(*parts, strict=True)]

    def _lanes(self, trial: Trial, epochs: int) -> Any:
        """The lanes as they were after `epochs`, from a checkpoint if need be; None for new or lost ones."""
        if epochs == 0 or trial.lanes is not None:
            return trial.lanes
        pairs = zip(trial.programs, trial.hypers, strict=True)
        template = tuple(self._engine.template(program.recipe, hyper) for program, hyper in pairs)
        return self._store.get(trial.number, template, epochs)

    def _judged(
        self, judged: Sequence[Judged], reports: Sequence[LaneReport], ended: float
    ) -> list[TrialRecord]:
        finished = []
        for verdict, report in zip(judged, reports, strict=True):
            trial = self._alive[verdict.trial]
            state = verdict.state or "running"
            rungs = {} if verdict.reason == "diverged" else told(trial, report, self._scheduler.sign)
            value = rungs[max(rungs)] if verdict.state == "complete" else None
            self._history[trial.number] = Known(trial.number, trial.params, state, value, rungs)
            if verdict.state is not None and verdict.reason is not None:
                record = finish(trial, verdict, report.score, ended)
                self.trials[trial.number] = record
                finished.append(record)
                del self._alive[trial.number]
        return finished

    # ── replaying ──

    def _replay(self, event: Event) -> Iterator[Round]:
        if event["kind"] == "ask":
            self._asked(event)
        elif event["kind"] == "stop":
            self._stop(event["reason"])
        elif event["kind"] == "launch":
            trials = [self._alive[number] for number in event["trials"]]
            launch = self._scheduler.take(trials[0].programs[0], event["rung"], event["trials"])
            lanes = [decode(document) for document in event["reports"]]
            reports = [_report(lane) for lane in lanes]
            judged = self._scheduler.judge(launch, reports)
            for trial, lane in zip(trials, lanes, strict=True):
                advance(trial, launch.last, lane.curves, lane.score, lane.best_epoch, event["seconds"])
            finished = self._judged(judged, reports, event.get("finished", 0.0))
            self.blocks |= {int(number): decode_array(text) for number, text in event["blocks"].items()}
            yield Round(tuple(finished), launch.rung + 1, launch.last, replayed=True)


def _report(lane: Merged) -> LaneReport:
    losses = lane.curves.validation_loss
    return LaneReport(lane.status, lane.score, float(losses[-1]) if len(losses) else math.inf)
