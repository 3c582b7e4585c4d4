"""How a configuration of a study becomes a lane: the one value that everything that trains needs to know."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

from workbench.core.types import Settings, Value
from workbench.nn.models import n_parameters
from workbench.nn.recipe import Hyperparameters
from workbench.training.costs import COSTS, Costs
from workbench.tuning import space
from workbench.tuning.space import ALL_ROWS, OWN, Problem, Program, Variant


@dataclass(frozen=True)
class LanePlan:
    """The settings of a study, and what is decided for all of its trainings together.

    Attributes:
        settings: every setting of the study, fixed or an axis.
        problem: what a variant of the data is to a program.
        metric: by which epochs and trials are judged.
        widths: hidden units that programs are compiled for, ascending; see `buckets`.
    """

    settings: Settings
    problem: Callable[[Variant], Problem]
    metric: str
    widths: tuple[int, ...]

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
        return program, space.hyperparameters(program.recipe, values, problem, seed)

    def on_all_rows(self, values: Mapping[str, Value], seed: int) -> tuple[Program, Hyperparameters]:
        """The same for resolved settings on all development rows, where nothing says when to stop."""
        values, settings = {**values, "patience": 0}, {**self.settings, "patience": 0}
        problem = self.problem(space.variant(values, ALL_ROWS))
        program = space.program(settings, values, problem, self.metric, self.widths, ALL_ROWS)
        return program, space.hyperparameters(program.recipe, values, problem, seed)

    def epoch_seconds(self, params: Mapping[str, Value], costs: Costs = COSTS["cpu"]) -> float:
        """Seconds of an epoch of a configuration on one core, by the constants and not by this machine."""
        values = self.resolve(params)
        problem = self.problem(space.variant(values))
        recipe = space.program(self.settings, values, problem, self.metric, self.widths).recipe
        if recipe.width:
            values = {**values, "width": recipe.width}  # the padding is multiplied, too
        return costs.epoch(n_parameters(recipe, values), problem.rows, recipe.batch)
