"""The loop: ask, train, tell. What has happened is committed before anybody hears of it, and replayed later.

Three kinds of event decide everything that follows: a `budget` (how many trials there may be, from now on),
an `ask` (which parameters were drawn) and a `launch` (what training one trial to the end of a rung has
brought). The scheduler says in which order they come, whatever the order in which devices are done; so the
events of an interrupted search are the first ones of the undisturbed one, and replaying them brings it to the
state in which it was left. A suggestion is a pure function of the history and the number of the ask.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

import numpy as np

from workbench.core.errors import StoreError
from workbench.core.records import NO_SCORE, TrialRecord, encode_trial
from workbench.core.types import Value, decode_array, encode_array
from workbench.nn.recipe import Hyperparameters
from workbench.training.checkpoints import Store
from workbench.training.engine import Engine
from workbench.tuning import space
from workbench.tuning.earlier import Finished
from workbench.tuning.fold_mean import Merged, decode, encode, merged
from workbench.tuning.history import History, Seen
from workbench.tuning.jobs import LaneResult, Member, Part, Train
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.scheduler import Ask, Await, Judged, LaneReport, Launch, Scheduler
from workbench.tuning.space import Program
from workbench.tuning.trial import Trial, advance, finish, reported, undefined

Event = dict[str, Any]
#: The kinds of events that are replayed.
_DECIDING = ("budget", "ask", "stop", "launch")


class Known(NamedTuple):
    """What a sampler may know of a trial that was asked for."""

    number: int
    params: Mapping[str, Value]
    state: str  # running | complete | pruned
    value: float | None
    rungs: Mapping[int, float]


class Round(NamedTuple):
    """What one launch has brought."""

    finished: tuple[TrialRecord, ...]  # its trial, if that has ended
    rung: int  # 1-based
    epochs: int  # behind its lanes
    replayed: bool
    running: tuple[int, float | None] | None = None  # its trial, if that goes on, and the score so far


class Search:
    """A search in progress.

    plan       of the study's lanes; the axes of its settings are searched
    divisions  of the rows that a trial, by number, trains on
    trials     the budget
    engine     hears early which programs will be wanted
    train      has a part trained, here or with the help of others
    suggest    (history, count) -> parameters of new trials, a pure function
    start      parameters of the trials after the default configuration, before any are suggested
    enough     why it may end before its budget, given what has finished and its blocks; None: it goes on
    ends       whether it stays ended, given why an earlier run ended it; None: if `enough` is there
    commit     makes events durable, all of them or none, before anything else hears of them
    recorded   the events of earlier runs
    finished   what came of the search of an earlier version; nothing is trained
    """

    def __init__(
        self,
        *,
        plan: LanePlan,
        divisions: Callable[[int], tuple[int, ...]],
        trials: int,
        scheduler: Scheduler,
        engine: Engine,
        train: Train,
        suggest: Callable[[Sequence[Seen], int], list[dict[str, Value]]],
        start: Sequence[Mapping[str, Value]] = (),
        enough: Callable[[Iterable[TrialRecord], Mapping[int, np.ndarray]], str | None] | None,
        ends: Callable[[str], bool] | None = None,
        commit: Callable[[list[Event]], None],
        store: Store,
        recorded: Iterable[Event] = (),
        finished: Finished | None = None,
    ) -> None:
        self.seconds = {"sample": 0.0}
        self.trials: dict[int, TrialRecord] = {}
        self.blocks: dict[int, np.ndarray] = {}  # of complete trials, [G] each: see population.pseudo_values
        self.stopped = ""  # why the search has ended before its budget
        self._plan, self._axes, self._divisions = plan, space.axes(plan.settings), divisions
        self._budget = trials
        self._scheduler, self._engine, self._train, self._suggest = scheduler, engine, train, suggest
        self._fixed = [space.default(self._axes), *map(dict, start)]
        self._enough, self._commit, self._store = enough, commit, store
        self._ends = ends or (lambda reason: enough is not None)
        self._recorded = deque(event for event in recorded if event["kind"] in _DECIDING)
        self._alive: dict[int, Trial] = {}
        self._unheard: dict[int, Trial] = {}  # that have ended
        self._history = History()
        self._begun: dict[int, Launch] = {}  # by trial; replayed ones, of which nothing is known yet
        self._training: dict[int, list[Future[LaneResult]]] = {}  # by trial
        self._events: list[Event] = []  # that have happened and are not committed
        self._rounds: list[Round] = []  # that nobody has heard of
        self.exhausted = False  # no more parameters are to be had, before the budget is spent
        self._finished = finished

    def rounds(self) -> Iterator[Round]:
        """Run to the end, or until the caller stops iterating: nothing that was yielded is lost."""
        if self._finished is not None:
            yield self._take(self._finished)
            return
        while True:
            step = self._scheduler.next()
            if isinstance(step, Launch):
                self._begun[step.trial] = step
                continue
            if self._recorded:
                yield from self._replay(step)
                continue
            if self._set_budget():
                continue
            for launch in self._begun.values():
                self._training[launch.trial] = self._train(self._part(launch))
            self._begun.clear()
            if step is None:
                yield from self._told()
                return
            if isinstance(step, Ask):
                self._ask(step.trials)
            else:
                yield from self._await(step.launch)

    @property
    def alive(self) -> list[Trial]:
        """The trials that were asked for, and of whose end nobody has heard."""
        return [*self._alive.values(), *self._unheard.values()]

    def foresee(self) -> None:
        """Begin to compile what the first trials will train in: the default configuration, in all widths."""
        default = space.default(self._axes)
        widths = [{"width": width} for width in self._plan.widths] if "width" in default else []
        if not self._recorded:
            self._foresee(
                self._plan.lane({**default, **width}, 0, self._divisions(0)[0]) for width in ({}, *widths)
            )

    # ── asking ──

    def _set_budget(self) -> bool:
        """Once everything is replayed: let the scheduler know how many trials there may be."""
        stopped = self.stopped and self._ends(self.stopped)
        wanted = self._scheduler.asked if stopped else max(self._budget, self._scheduler.asked)
        if wanted == self._scheduler.total or self.exhausted:
            return False
        self._happened({"kind": "budget", "trials": wanted})
        return True

    def _ask(self, count: int) -> None:
        began = time.perf_counter()
        if reason := self._enough and self._enough(self.trials.values(), self.blocks):
            self._happened({"kind": "stop", "reason": reason})
            return
        first = len(self._history)
        drawn = self._fixed[first : first + count]
        known: Sequence[Seen] = self._history
        if drawn:
            fixed = (Known(number, params, "running", None, {}) for number, params in enumerate(drawn, first))
            known = [*known, *fixed]
        drawn = [*drawn, *self._suggest(known, count - len(drawn))]
        self.seconds["sample"] += time.perf_counter() - began
        if not drawn:  # a grid is exhausted before the budget
            self.exhausted = True
            self._happened({"kind": "budget", "trials": first})
            return
        self._happened({"kind": "ask", "first": first, "params": drawn})
        asked = [self._alive[number] for number in range(first, first + len(drawn))]
        self._foresee([(trial.programs[0], trial.hypers[0]) for trial in asked])

    def _foresee(self, lanes: Iterable[tuple[Program, Hyperparameters]]) -> None:
        known = [(program.recipe, program.variant, hyper) for program, hyper in lanes]
        for foresee in (self._engine.foresee, self._engine.foresee_blocks):  # what is wanted first, first
            for recipe, variant, hyper in known:
                foresee(recipe, variant, hyper)

    def _happened(self, event: Event) -> None:
        """What was decided without training, now or in an earlier run."""
        if event["kind"] == "budget":
            self.stopped, self._scheduler.total = "", event["trials"]
        elif event["kind"] == "stop":
            self.stopped = event["reason"]  # those that are alive go on
            self._scheduler.close()
        else:
            for number, params in enumerate(event["params"], start=event["first"]):
                lanes = [self._plan.lane(params, number, division) for division in self._divisions(number)]
                programs, hypers = zip(*lanes, strict=True)
                self._alive[number] = Trial(number, params, programs, hypers)
                self._history.append(Known(number, params, "running", None, {}))
            self._scheduler.add(self._plan.epoch_seconds(params) for params in event["params"])
        self._events.append(event)

    # ── training ──

    def _part(self, launch: Launch) -> Part:
        """What a launch trains: a lane for each division of the rows."""
        trial = self._alive[launch.trial]
        lanes = self._lanes(trial, launch.first) or (None,) * len(trial.programs)
        members = tuple(
            Member(trial.number, trial.params, *each)
            for each in zip(trial.programs, trial.hypers, lanes, strict=True)
        )
        final = launch.rung == len(self._scheduler.rungs) - 1
        return Part(members, launch.first, launch.last, final, keep=len(members) > 1)

    def _lanes(self, trial: Trial, epochs: int) -> Any:
        """The lanes as they were after `epochs`, from a checkpoint if need be; None for new or lost ones."""
        if epochs == 0 or trial.lanes is not None:
            return trial.lanes
        pairs = zip(trial.programs, trial.hypers, strict=True)
        template = tuple(self._engine.template(program.recipe, hyper) for program, hyper in pairs)
        return self._store.get(trial.number, template, epochs)

    def _await(self, launch: Launch) -> Iterator[Round]:
        """Judge a launch; before waiting for it, let everybody hear of what is known."""
        futures = self._training.pop(launch.trial)
        if not all(future.done() for future in futures):
            yield from self._told()
        brought = merged([future.result() for future in futures])
        event = {"kind": "launch", "trial": launch.trial, "finished": time.time(), **encode(brought)}
        for name in ("block", "also"):
            if (array := getattr(brought, name)) is not None:
                event[name] = encode_array(array)
        self._judge(launch, brought, event, replayed=False)

    def _judge(self, launch: Launch, brought: Merged, event: Event, *, replayed: bool) -> None:
        losses = brought.curves.validation_loss
        report = LaneReport(brought.status, brought.score, float(losses[-1]) if len(losses) else math.inf)
        verdict, trial = self._scheduler.judge(report), self._alive[launch.trial]
        if verdict.reason == "diverged" and undefined(brought.curves):
            verdict = verdict._replace(reason="undefined")
        if verdict.reason == "early stopped" and self._plan.reached(brought.score):
            verdict = verdict._replace(reason="reached")
        advance(trial, launch.last, brought.curves, brought.score, brought.best_epoch, brought.seconds)
        trial.lanes = brought.lanes
        if brought.also is not None:
            trial.also = dict(zip(self._plan.also, map(float, brought.also), strict=True))
        record = self._ended(trial, verdict, report, event["finished"])
        if brought.block is not None:
            self.blocks[trial.number] = brought.block
        finished = () if record is None else (record,)
        running = (trial.number, brought.score) if record is None else None
        self._rounds.append(Round(finished, launch.rung + 1, launch.last, replayed, running))
        if replayed:
            return
        if record is None:
            self._store.put({trial.number: trial.lanes})
        self._events += [*map(encode_trial, finished), event]

    def _ended(
        self, trial: Trial, verdict: Judged, report: LaneReport, finished: float
    ) -> TrialRecord | None:
        """The record of a trial that does not go on; the sampler hears of both kinds."""
        state = verdict.state or "running"
        rungs = {} if verdict.reason in NO_SCORE else reported(trial, report, self._scheduler.sign)
        value = rungs[max(rungs)] if verdict.state == "complete" else None
        self._history.replace(Known(trial.number, trial.params, state, value, rungs))
        if verdict.state is None:
            return None
        self._unheard[trial.number] = self._alive.pop(trial.number)
        record = self.trials[trial.number] = finish(trial, verdict, report.score, finished)
        return record

    def _told(self) -> Iterator[Round]:
        """Make durable what has happened, and then let the caller hear of it."""
        if self._events:
            self._commit(self._events)
        rounds, self._rounds, self._events = self._rounds, [], []
        self._store.drop(trial.number for round_ in rounds for trial in round_.finished)
        for heard in rounds:
            for trial in heard.finished:
                del self._unheard[trial.number]
            yield heard

    # ── replaying ──

    def _take(self, finished: Finished) -> Round:
        self.trials, self.blocks = dict(finished.trials), dict(finished.blocks)
        self.stopped, rungs = finished.stopped, self._scheduler.rungs
        return Round(tuple(self.trials.values()), len(rungs), rungs[-1], replayed=True)

    def _replay(self, step: Ask | Await | None) -> Iterator[Round]:
        event = self._recorded.popleft()
        if event["kind"] != "launch":
            self._happened(event)
        elif isinstance(step, Await) and step.launch.trial == event["trial"]:
            self._begun.pop(event["trial"])
            block, also = (decode_array(event[name]) if name in event else None for name in ("block", "also"))
            brought = decode(event)._replace(block=block, also=also)
            self._judge(step.launch, brought, event, replayed=True)
        else:
            raise StoreError(
                f"the journal holds a launch of trial {event['trial']} where this version of workbench would "
                "do something else: it lacks lines, or has them out of order, or another version began the "
                "study; restore it from a copy, go on with that version, or give the study a new name"
            )
        self._events.clear()  # it is in the journal
        yield from self._told()
