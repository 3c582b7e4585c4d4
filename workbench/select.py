"""The choice.

The best complete trial on the validation rows, trained again from seeds that took no part in the search.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from workbench import space
from workbench.engine import Engine
from workbench.errors import WorkbenchError
from workbench.models import n_parameters
from workbench.population import best_params
from workbench.ranking import ranked
from workbench.recipe import Hyperparameters
from workbench.space import Problem, Program, Variant
from workbench.types import SeedRecord, Settings, TrialRecord, Value
from workbench.widths import width_for_one

__all__ = ["Retrained", "choose", "retrain"]

#: Seeds of retrained models begin here, far from the numbers of trials.
FIRST_SEED = 1_000_000


class Retrained(NamedTuple):
    """The chosen configuration after training it again."""

    values: Mapping[str, Value]  # every setting, resolved
    program: Program
    hyper: Hyperparameters  # of the model that is delivered, the first seed's
    params: Any
    seeds: tuple[SeedRecord, ...]


def choose(trials: Iterable[TrialRecord], direction: Literal["maximize", "minimize"]) -> TrialRecord:
    """The complete trial with the best validation score; among equals see `ranking`.

    Raises WorkbenchError if there is none, with what to try.
    """
    trials = list(trials)
    complete = ranked(trials, direction)
    if not complete:
        diverged = sum(trial.reason == "diverged" for trial in trials)
        raise WorkbenchError(
            f"no trial is complete: {diverged} of {len(trials)} diverged; lower the upper end of "
            "learning_rate, set clip, or scale the data"
        )
    return complete[0]


def retrain(
    engine: Engine,
    settings: Settings,
    problems: Callable[[Variant], Problem],
    metric: str,
    params: Mapping[str, Value],
    *,
    rooms: Sequence[int],
    width: int,
    seeds: int,
) -> Retrained:
    """Train a configuration again over `seeds`: other weights to begin with, order of rows, dropped units.

    The first seed's model is the one that is delivered; it was fixed before any of them was trained, so the
    seeds are no second selection. Seeds that diverge are reported with a validation score of NaN.

    Raises WorkbenchError if the first one diverges.
    """
    values = space.resolve(settings, params)
    problem = problems(space.variant(values))
    program = space.program(settings, values, problem, metric, rooms)
    epochs = int(values["epochs"])
    parameters = n_parameters(program.recipe, values)
    width = width_for_one(engine.mesh, width, program.recipe, parameters, problem.rows * epochs * seeds)
    records, delivered = [], None
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        hyper = space.hyperparameters(program.recipe, values, problem, seed)
        trained = engine.run(
            program.recipe, program.variant, width, [hyper], None, first=0, last=epochs, seed=seed
        )[0]
        failed = trained.status == "diverged" or trained.score is None
        if delivered is None:
            if failed:
                raise WorkbenchError(
                    f"the chosen configuration diverged at epoch {trained.epochs} when it was trained again; "
                    "lower the upper end of learning_rate, or set clip"
                )
            delivered = (hyper, best_params(program.recipe, trained.lane))
        score = math.nan if failed or trained.score is None else trained.score
        records.append(SeedRecord(seed, score, trained.best_epoch, trained.curves))
    assert delivered is not None
    return Retrained(values, program, *delivered, seeds=tuple(records))
