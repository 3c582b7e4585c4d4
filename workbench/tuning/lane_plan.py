"""How a configuration of a study becomes a lane: the one value that everything that trains needs to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from workbench.core.types import Settings, Value
from workbench.core.vocabulary import METRICS
from workbench.nn import schedules
from workbench.nn.models import n_products, work
from workbench.nn.recipe import Hyperparameters, Recipe
from workbench.training.costs import COSTS, Costs
from workbench.tuning import space
from workbench.tuning.space import ALL_ROWS, OWN, Problem, Program, Variant

#: The rules that a study trains by, as they were when it began: what was recorded comes out again.
#:
#:   1  of epochs with one score the first counts; a refit stops early on a schedule that is as long as ever,
#:      and is delivered whatever came of it
#:   2  of epochs with one score the one of the lowest validation loss counts; a refit has the whole schedule,
#:      over as many epochs as have the rates that counted, and is delivered if it fits its rows
#:   3  the average of the networks of all seeds is delivered where validation rows find it no worse, and a
#:      delivered model has its own width and depth, without the room of its program
RULES = 3


@dataclass(frozen=True)
class LanePlan:
    """The settings of a study, and what is decided for all of its trainings together.

    Attributes:
        settings: every setting of the study, fixed or an axis.
        problem: what a variant of the data is to a program.
        metric: by which epochs and trials are judged.
        widths: hidden units that programs are compiled for, ascending; see `buckets`.
        rules: see `RULES`.
        stop_at: score that ends a lane which has validation rows; None: no score does.
        also: metrics that trials are scored by beside it.
    """

    settings: Settings
    problem: Callable[[Variant], Problem]
    metric: str
    widths: tuple[int, ...]
    rules: int = RULES
    also: tuple[str, ...] = ()
    stop_at: float | None = None

    @property
    def epochs(self) -> int:
        """Epochs of a lane that nothing stops."""
        return int(cast("int", self.settings["epochs"]))

    def resolve(self, params: Mapping[str, Value]) -> dict[str, Value]:
        """Every setting of a configuration."""
        return space.resolve(self.settings, params)

    def lane(
        self, params: Mapping[str, Value], seed: int, division: int = OWN
    ) -> tuple[Program, Hyperparameters]:
        """What a lane trains in, and with: a configuration on one division of the rows, from one seed."""
        values = self.resolve(params)
        problem = self.problem(space.variant(values, division))
        program = space.program(self.settings, values, problem, self.metric, self.widths, division)
        if self.rules < 2:
            program = replace(program, recipe=replace(program.recipe, by_loss=False))
        if self.stop_at is not None:
            options = tuple(sorted((*program.recipe.options, ("stop_at", self.stop_at))))
            program = replace(program, recipe=replace(program.recipe, options=options))
        return program, space.hyperparameters(program.recipe, values, problem, seed)

    def reached(self, score: float | None) -> bool:
        """Whether a score is what the study stops at, or better."""
        sign = 1.0 if METRICS[self.metric].direction == "maximize" else -1.0
        goal = self.stop_at
        return score is not None and goal is not None and sign * (score - float(np.float32(goal))) >= 0.0

    def on_all_rows(
        self, values: Mapping[str, Value], seed: int, epochs: int
    ) -> tuple[Program, Hyperparameters]:
        """The same for resolved settings on all development rows, where nothing says when to stop.

        It has its whole schedule, warm-up and boundaries included, over the epochs that it is to be trained
        for: `hyper.epochs`, see `schedules.shortened`. By the first rules the schedule stays as it was.

        epochs  that counted when validation rows could say when to stop
        """
        values, settings = {**values, "patience": 0}, {**self.settings, "patience": 0}
        problem = self.problem(space.variant(values, ALL_ROWS))
        program = space.program(settings, values, problem, self.metric, self.widths, ALL_ROWS)
        hyper = space.hyperparameters(program.recipe, values, problem, seed)
        if self.rules < 2:
            return program, hyper
        length = schedules.shortened(program.recipe, hyper, epochs)
        share = length / int(values["epochs"])
        ends = tuple(end * share for end in program.recipe.boundaries)
        shorter = hyper._replace(epochs=np.int32(length), warmup=np.float32(hyper.warmup * share))
        return replace(program, recipe=replace(program.recipe, boundaries=ends)), shorter

    def epoch_seconds(self, params: Mapping[str, Value], costs: Costs = COSTS["cpu"]) -> float:
        """What the clock of a search takes an epoch of a configuration for, by the constants.

        Each weight counts once, also a kernel's: another count would have searches that have begun ask for
        other trials.
        """
        recipe, values, rows = self._padded(params)
        return costs.epoch(n_products(recipe, values), rows, recipe.batch)

    def expected_seconds(self, params: Mapping[str, Value], costs: Costs = COSTS["cpu"]) -> float:
        """Seconds that an epoch of a configuration takes, by the constants and not by this machine."""
        recipe, values, rows = self._padded(params)
        needed = work(recipe, values)
        return costs.epoch(needed.products, rows, recipe.batch, needed.turns)

    def _padded(self, params: Mapping[str, Value]) -> tuple[Recipe, Mapping[str, Value], int]:
        """A configuration in its program, whose padding is multiplied too, and its training rows."""
        values = self.resolve(params)
        problem = self.problem(space.variant(values))
        recipe = space.program(self.settings, values, problem, self.metric, self.widths).recipe
        if recipe.width:
            values = {**values, "width": recipe.width, "taper": 1.0}
        return recipe, values, problem.rows
