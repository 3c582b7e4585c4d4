"""Which parameters to try next: Optuna's samplers, each draw a pure function of seed, number and history.

Whatever the sampler, the device is one. For every trial a study is made in memory, of the trials before it as
the scheduler's clock has them; a fresh sampler, seeded by the study's seed and the trial's number, is asked
once. So a draw depends neither on how often or in which process something was asked, nor on the machine, and
an interrupted search goes on as it would have.

Optuna's samplers keep notes between draws, as attributes of trials and studies. They are made anew of the
history:

    qmc                      trial n is point n - 1 of the sequence; the first one is drawn at random
    grid                     Optuna's order of the cells, without those that were tried
    brute_force              the cells that were tried are all that it knows
    cmaes, nsgaii, nsgaiii   trials with scores, by their numbers, fill the generations one after the other

A grid, and brute force, end the search when every cell was tried.

Axes with conditions. An axis that takes no part in a trial is not drawn, and the trial does not have it. TPE
models axes that take part together as one group (Optuna's `group`, which a study may set to false); CMA-ES,
the genetic samplers and the Gaussian process learn the axes that take part in every trial, and draw the
others at random; a point of a sequence has a place for every axis, which is left out where that takes no
part; cells of a grid that differ only in axes without a part are one.

What a sampler sees of a trial. TPE ranks complete trials by score, before pruned ones, by how far they came
and then by their score there. A running trial that has scores at rungs is shown as one that was pruned at its
last rung: it is ranked among its equals, while Optuna's RUNNING trials count as bad however good their scores
are. A running trial without a score is RUNNING (the constant liar), a failed one says nothing. Generations go
by ranks alone, so pruned trials take part in them with the rank that TPE gives them; `consider_pruned_trials
= false` of cmaes leaves them out. The Gaussian process learns from complete trials.
"""

from __future__ import annotations

import importlib.util
import itertools
import math
import warnings
from collections.abc import Container, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from decimal import Decimal
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState

from workbench.core.conditions import in_effect, ordered
from workbench.core.errors import StudyError
from workbench.core.formatting import toml
from workbench.core.types import Axis, Choice, Value
from workbench.core.vocabulary import EXHAUSTIVE, SAMPLERS
from workbench.tuning import tpe
from workbench.tuning.history import Direction, History, Seen, Window, rank
from workbench.tuning.sampler_words import Sampler, named
from workbench.tuning.space import combinations, distributions, first, size

#: Modules that a sampler needs beside Optuna's own, and what they are called.
NEEDS = {"gp": {"torch": "PyTorch"}, "cmaes": {"cmaes": "cmaes"}}
#: Cells of a grid at most: Optuna lists and shuffles all of them, which takes 90 MB for so many.
MOST_CELLS = 1_000_000
#: Trials with scores that a sampler sees at most: the best third, and of the others the latest. TPE's model
#: of good trials is made of the best 25 at most, so that stays exactly the same; its model of the others
#: loses the oldest, which have the least weight in it. On two noisy functions of 8 mixed axes, 1,200 trials
#: and 5 seeds, limits of 200, 400, 700, 1,000 and none found equally good trials. A Gaussian process costs
#: the cube of their number.
LIMITS = {"tpe": 500, "gp": 300}
#: What is set unless a study sets it; everything else is as Optuna has it.
DEFAULTS: dict[str, dict[str, Any]] = {
    "qmc": {"scramble": True},
    "cmaes": {"n_startup_trials": 1},  # these are Optuna's own, which the tags of generations go by
    "nsgaii": {"population_size": 50},
    "nsgaiii": {"population_size": 50},
}
#: The states of trials that tell a sampler the space, the best first.
_TELLING = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.FAIL)
#: Trials that are invented at most to see whether a sampler bears its arguments.
REHEARSED = 200


class _Asked(NamedTuple):
    number: int
    params: Mapping[str, Value]
    state: str = "running"
    value: float | None = None
    rungs: Mapping[int, float] = {}


def check(axes: Mapping[str, Axis], sampler: Sampler) -> None:
    """Raise StudyError if a sampler lacks a package, or does not bear its arguments or so many values."""
    name, arguments = named(sampler)
    wrote = f"[search] sampler = {toml(sampler)}"
    for module, package in NEEDS.get(name, {}).items():
        if importlib.util.find_spec(module) is None:
            raise StudyError(
                f"{wrote} needs {package}, which is not installed; pip install {module}, "
                'or take sampler = "tpe"'
            )
    cells = math.prod(size(axis) for axis in axes.values())  # also those that conditions make alike
    if name == "grid" and cells > MOST_CELLS:
        raise StudyError(
            f"{wrote} lists all combinations, and {cells:,.0f} are more than {MOST_CELLS:,}; "
            'take sampler = "brute_force", which lists none'
        )
    if arguments and name not in ("gp", *EXHAUSTIVE):  # whose arguments bear any value of their kind
        try:
            _rehearse(axes, sampler)
        except Exception as error:
            raise StudyError(f"{wrote} is refused by Optuna ({error}); change its arguments") from None


def _rehearse(axes: Mapping[str, Axis], sampler: Sampler) -> None:
    """Let a sampler draw after as many trials as it waits for."""
    _, arguments = named(sampler)
    waits = [int(arguments.get(key, 10)) for key in ("n_startup_trials", "population_size", "popsize")]
    n = min(2 + sum(max(0, wait) for wait in waits), REHEARSED)
    random = Suggester(axes, sampler="random", seed=0, direction="minimize").suggest([], n)
    past = [_Asked(number, params, "complete", float(number)) for number, params in enumerate(random)]
    Suggester(axes, sampler=sampler, seed=0, direction="minimize").suggest(past, 1)


# ── the device ──


class Suggester:
    """A sampler for the many calls of one search. It keeps what it has converted, which changes no answer."""

    def __init__(
        self, axes: Mapping[str, Axis], *, sampler: Sampler, seed: int, direction: Direction
    ) -> None:
        """A sampler of these axes.

        Args:
            axes: Of the study, in its order.
            sampler: As `read` gives it and `check` lets it pass.
            seed: Of the study.
            direction: Of the score.
        """
        self._name, given = named(sampler)
        self._arguments = DEFAULTS.get(self._name, {}) | given
        self._seed, self._direction = seed, direction
        self._axes = dict(axes)
        several = [name for name in ordered(axes) if size(axes[name]) != 1]
        self._searched = {name: axes[name] for name in several}
        self._always = {name for name in several if not axes[name].when}
        if self._name == "tpe" and len(self._always) < len(several):
            self._arguments = {"group": self._arguments.get("multivariate", True)} | self._arguments
        self._groups = len(self._always) < len(several) and bool(self._arguments.get("group"))
        self._anywhere = {name: first(axis) for name, axis in self._searched.items()}
        self._distributions = distributions(self._searched)
        self._startup = int(self._arguments["n_startup_trials"]) if self._name == "cmaes" else 0
        self._population = self._generation()
        self._window: Window | None = None  # on the history of the last call, of samplers that see some of it
        self._model: tpe.Model | None = None  # on the same, of TPE
        self._known: dict[int, tuple[Seen, FrozenTrial]] = {}  # trials in Optuna's form
        self._order: list[tuple[int, ...]] = []  # the cells of a grid, as far as they were wanted
        self._evolution: list[tuple[Any, dict[str, Any]]] = []  # of cmaes, by generation: see `_evolved`

    def suggest(self, history: Sequence[Seen], n: int) -> list[dict[str, Value]]:
        """Parameters of the next trials.

        Args:
            history: Every trial before them.
            n: How many; each is a running trial to those after it.

        Returns:
            A value for every axis that takes part, for each trial; fewer trials when every cell of a grid was
            tried.
        """
        if not isinstance(history, History):
            history = History(history)
        asked: list[_Asked] = []
        found: list[dict[str, Value]] = []
        number = 1 + history[-1].number if len(history) else 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they and the log are advice to Optuna's own users
            if optuna.logging.get_verbosity() != optuna.logging.ERROR:  # which empties the caches of all logs
                optuna.logging.set_verbosity(optuna.logging.ERROR)
            window = self._looked(history)
            while len(found) < n and (drawn := self._draw(history, asked, number)) is not None:
                found.append(self._complete(drawn))
                asked.append(_Asked(number, found[-1]))
                if window is not None:
                    window.put(asked[-1])
                number += 1
        if window is not None:
            for trial in asked:  # whether they are made is the caller's to say
                window.drop(trial.number)
        if self._model is not None:
            self._model.forget(trial.number for trial in asked)
        return found

    def _complete(self, drawn: Mapping[str, Value]) -> dict[str, Value]:
        """A value for every axis that takes part, those that have but one included."""
        return in_effect(self._axes, lambda name, axis: drawn[name] if name in drawn else first(axis))

    def _looked(self, history: History) -> Window | None:
        """What a sampler that sees a part of the history sees of it by now; None for the others."""
        if self._name not in LIMITS:
            return None
        if self._window is None or self._window.history is not history:
            self._window = Window(history, self._direction, LIMITS[self._name])
            if self._name == "tpe" and len(self._always) == len(self._searched):
                self._model = tpe.Model(self._window, self._distributions, TPESampler(**self._arguments))
        self._window.refresh()
        return self._window

    def _draw(self, history: History, asked: Sequence[Seen], number: int) -> Mapping[str, Value] | None:
        """Values of the axes that have several and take part, perhaps of others; None: nothing is left."""
        if not self._searched:
            return {}
        match self._name:
            case "random":
                return self._ask([], number).params
            case "qmc":
                return self._point(number)
            case "grid" | "brute_force":
                return self._untried([*history, *asked], number)
            case "tpe" | "gp":
                return self._learnt(number)
        return self._child([*history, *asked], number)

    def _learnt(self, number: int) -> Mapping[str, Value]:
        """What TPE or the Gaussian process draws after the trials that it sees."""
        assert self._window is not None
        if self._model and (drawn := self._model.draw(seeded(self._seed, number))) is not None:
            return self._plain(drawn)
        return self._ask([self._seen(trial) for trial in self._window.seen], number).params

    # ── asking Optuna ──

    def _ask(
        self,
        past: Sequence[FrozenTrial],
        number: int,
        sampler: BaseSampler | None = None,
        direction: Direction | None = None,
    ) -> FrozenTrial:
        """The trial of this number as a sampler draws it, with what the sampler notes of it.

        This is what `study.ask` does, but for the space. For that Optuna compares all trials at every draw,
        half of the time of TPE; here it is known: the axes that take part in every trial, and one trial is
        enough to show it. Where TPE shall have groups, of axes that take part together, it sees them all.
        """
        sampler = sampler or self._sampler(seeded(self._seed, number))
        direction = direction or self._direction
        asked = self._trial(_Asked(number, {}), TrialState.RUNNING)
        study = optuna.create_study(storage=Memory([*past, asked]), sampler=sampler, direction=direction)
        one = study
        if not self._groups:
            example = self._general(min(past, key=lambda trial: _TELLING.index(trial.state), default=asked))
            one = optuna.create_study(storage=Memory([example]), sampler=sampler, direction=direction)
        with tpe.fast_normal() if self._name == "tpe" else nullcontext():
            sampler.before_trial(study, asked)
            space = sampler.infer_relative_search_space(one, asked)
            drawn = sampler.sample_relative(study, asked, space)

            def draw(name: str, axis: Axis) -> Value:
                if name not in self._searched:
                    return first(axis)
                word = self._distributions[name]
                if name not in drawn:
                    drawn[name] = sampler.sample_independent(study, asked, name, word)
                plain = self._plain({name: drawn[name]})
                asked.params |= plain
                asked.distributions[name] = word
                return plain[name]

            in_effect(self._axes, draw)
        return asked

    def _general(self, trial: FrozenTrial) -> FrozenTrial:
        """A trial with nothing but the axes that take part in every trial."""
        if len(self._always) == len(self._searched):
            return trial
        general = copy(trial)
        general.params = {name: value for name, value in trial.params.items() if name in self._always}
        general.distributions = {name: self._distributions[name] for name in general.params}
        return general

    def _plain(self, drawn: Mapping[str, Any]) -> dict[str, Value]:
        """Values of Python, where a sampler drew NumPy's."""
        words = ((name, self._distributions[name]) for name in drawn)
        return {name: word.to_external_repr(word.to_internal_repr(drawn[name])) for name, word in words}

    def _sampler(self, seed: int) -> BaseSampler:
        sampler: BaseSampler = getattr(optuna.samplers, SAMPLERS[self._name])(**self._arguments, seed=seed)
        return sampler

    def _seen(self, trial: Seen) -> FrozenTrial:
        """What TPE and the Gaussian process see of a trial, made once for every state it goes through."""
        known = self._known.get(trial.number)
        if known is None or known[0] is not trial:
            kind = rank(trial, "minimize")[0]
            state = TrialState.COMPLETE if kind == 0 else TrialState.PRUNED
            if trial.state == "failed":
                state = TrialState.FAIL
            elif trial.state == "running" and not (trial.rungs and self._name == "tpe"):
                state = TrialState.RUNNING
            value = trial.value if kind == 0 else None
            rungs = trial.rungs if kind == 1 else {}
            known = self._known[trial.number] = trial, self._trial(trial, state, value, rungs)
        return known[1]

    def _trial(
        self,
        trial: Seen,
        state: TrialState,
        value: float | None = None,
        rungs: Mapping[int, float] | None = None,
    ) -> FrozenTrial:
        """A trial in Optuna's form; one that has no parameters yet is being asked for."""
        names = [name for name in self._distributions if name in trial.params]
        return FrozenTrial(
            number=trial.number,
            trial_id=trial.number,
            state=state,
            value=value,
            datetime_start=None,
            datetime_complete=None,
            params={name: trial.params[name] for name in names},
            distributions={name: self._distributions[name] for name in names},
            user_attrs={},
            system_attrs={},
            intermediate_values=dict(rungs or {}),
        )

    # ── sequences and grids ──

    def _point(self, number: int) -> Mapping[str, Value]:
        """A point of the quasi-random sequence. Optuna counts them in the study, under a name of its own."""
        if number == 0:
            return self._ask([], number).params
        asked = self._trial(_Asked(number, {}), TrialState.RUNNING)
        storage, sampler = Memory([asked]), self._sampler(self._seed)
        study = optuna.create_study(storage=storage, sampler=sampler)
        sampler.sample_relative(study, asked, self._distributions)
        study_id = storage.get_study_id_from_name(study.study_name)
        (counter,) = storage.get_study_system_attrs(study_id)
        storage.set_study_system_attr(study_id, counter, number - 2)  # the last point's, from 0
        return self._plain(sampler.sample_relative(study, asked, self._distributions))

    def _untried(self, history: Sequence[Seen], number: int) -> Mapping[str, Value] | None:
        """A combination of values that no trial had; None when all were tried."""
        tried = {self._cell(trial.params): trial for trial in history}
        if len(tried) >= combinations(self._axes):
            return None
        if self._name == "brute_force":
            states = {"running": TrialState.RUNNING}
            past = [
                self._trial(
                    _Asked(trial.number, self._values(cell)), states.get(trial.state, TrialState.COMPLETE)
                )
                for cell, trial in tried.items()
            ]
            return self._ask(past, number).params
        for turn in itertools.count():  # Optuna draws the n-th cell for the n-th trial
            if turn == len(self._order):
                self._order.append(self._cell(self._ask([], turn, self._grid).params))
            if self._order[turn] not in tried:
                break
        return self._values(self._order[turn])

    @cached_property
    def _grid(self) -> BaseSampler:
        """Made once, since it lists and shuffles all cells; the n-th is the same whenever it is asked for."""
        space = {
            name: [_nth(axis, i) for i in range(int(size(axis)))] for name, axis in self._searched.items()
        }
        return optuna.samplers.GridSampler(space, seed=self._seed)

    def _cell(self, params: Mapping[str, Value]) -> tuple[int, ...]:
        """Which value of each axis it is, up to rounding; -1 where it takes no part."""
        return tuple(
            -1
            if name not in params
            else axis.choices.index(params[name])
            if isinstance(axis, Choice)
            else round((float(params[name]) - axis.low) / (axis.step or 1))
            for name, axis in self._searched.items()
        )

    def _values(self, cell: Sequence[int]) -> dict[str, Value]:
        places = zip(self._searched.items(), cell, strict=True)
        return {name: _nth(axis, i) for (name, axis), i in places if i >= 0}

    # ── generations ──

    def _child(self, history: Sequence[Seen], number: int) -> Mapping[str, Value]:
        """A trial of the next generation, the trials with scores being those before it.

        Optuna tags a trial with its generation when it is asked for. Here the tag is found again: the first
        `n_startup_trials` of cmaes have none, and those after them fill one generation after the other. Where
        one trial ends before the next one begins, these are Optuna's own tags.
        """
        kinds = 2 if self._arguments.get("consider_pruned_trials", True) else 1
        ranks = ((trial, rank(trial, self._direction)) for trial in history)
        scored = [(trial, merit) for trial, merit in ranks if merit[0] < kinds]
        places = {merit: float(place) for place, merit in enumerate(sorted({merit for _, merit in scored}))}
        past = [self._trial(trial, TrialState.COMPLETE, places[merit]) for trial, merit in scored]
        skip, size = self._startup, self._population
        if len(past) <= skip or not size:
            return self._ask(past, number, direction="minimize").params
        for place, trial in enumerate(past[skip:]):
            trial.system_attrs[self._tag] = place // size
            if self._arguments.get("with_margin"):
                trial.system_attrs["x_for_tell"] = self._place(trial)
        if self._name == "cmaes":
            begin = skip + (len(past) - skip - 1) // size * size  # of the last generation
            past[-1].system_attrs |= self._evolved(past[:skip], past[skip:begin])
            past = [*past[:skip], *past[begin:]]
        return self._ask(past, number, direction="minimize").params

    def _generation(self) -> int:
        """Trials in a generation; 0 if there is none, as for cmaes without an axis of numbers."""
        if self._name != "cmaes":
            return int(self._arguments.get("population_size", 0))
        dimensions = sum(not isinstance(self._searched[name], Choice) for name in self._always)
        if not dimensions:
            return 0
        usual = 4 + math.floor(3 * math.log(dimensions))  # Hansen 2016, arXiv:1604.00772
        return int(self._arguments.setdefault("popsize", usual))

    def _evolved(self, start: Sequence[FrozenTrial], told: Sequence[FrozenTrial]) -> dict[str, Any]:
        """The evolution strategy after these generations, as Optuna keeps it in a trial's attributes.

        It is what the sampler notes when it is asked after the last trial of a generation. Only order counts
        in a generation, so what came of one is kept until a later score changes that.
        """
        state: dict[str, Any] = {}
        for turn, begin in enumerate(range(0, len(told), self._population)):
            members = told[begin : begin + self._population]
            order = sorted(members, key=lambda trial: trial.value or 0.0)
            key = [tuple(trial.params.values()) for trial in order]
            if turn < len(self._evolution) and self._evolution[turn][0] == key:
                state = self._evolution[turn][1]
                continue
            del self._evolution[turn:]
            last = copy(members[-1])
            last.system_attrs = last.system_attrs | state
            asked = self._ask([*start, *members[:-1], last], 0, direction="minimize")
            state = {name: text for name, text in asked.system_attrs.items() if "optimizer" in name}
            self._evolution.append((key, state))
        return state

    @cached_property
    def _tag(self) -> str:
        """Under what name a trial has its generation: what the sampler notes of the first one."""
        past = [_Asked(number, self._anywhere) for number in range(1 + self._startup)]
        asked = self._ask([self._trial(each, TrialState.COMPLETE, 0.0) for each in past], len(past))
        return next(name for name in asked.system_attrs if name.endswith("generation"))

    def _place(self, trial: FrozenTrial) -> list[float]:
        """Where on the unit cube a trial lies, by the names of its axes: what CMA-ES with margin is told."""
        place = []
        for name, axis in sorted(self._searched.items()):
            if not isinstance(axis, Choice) and name in self._always:
                scale = math.log if axis.log else float
                low, high, value = scale(axis.low), scale(axis.high), scale(trial.params[name])
                place.append((value - low) / (high - low))
        return place


class Memory(InMemoryStorage):
    """A storage that shows a list of trials; where a sampler is asked, the last is being asked for.

    Optuna's own copies each trial that is added, which takes 0.2 ms, and numbers them itself.
    """

    def __init__(self, trials: Sequence[FrozenTrial]) -> None:
        super().__init__()
        self.trials = trials

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """The list; nobody changes the trials in it."""
        return [trial for trial in self.trials if states is None or trial.state in states]

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """A sampler's note of the trial that is asked for."""
        self.trials[-1].system_attrs[key] = value


# ── what is known of trials and axes ──


def seeded(seed: int, number: int) -> int:
    """The seed of a trial's sampler."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0])


def _nth(axis: Axis, index: int) -> Value:
    """The value of a finite axis with this index, of a step in decimal fractions as Optuna has it."""
    if isinstance(axis, Choice):
        return axis.choices[index]
    if axis.integer:
        return int(axis.low) + index * int(axis.step or 1)
    return float(Decimal(str(axis.low)) + index * Decimal(str(axis.step)))
