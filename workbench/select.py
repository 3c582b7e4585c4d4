"""The choice.

The best complete trial on the validation rows, trained again from seeds that took no part in the search.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from workbench import space
from workbench.divisions import ALL_ROWS
from workbench.engine import Engine
from workbench.errors import WorkbenchError
from workbench.models import n_parameters
from workbench.population import best_params
from workbench.ranking import ranked
from workbench.recipe import Hyperparameters
from workbench.space import Problem, Program, Variant
from workbench.types import Curves, SeedRecord, Settings, TrialRecord, Value
from workbench.widths import width_for_one

__all__ = ["Delivered", "Retrained", "choose", "refit", "retrain"]

#: Seeds of retrained models begin here, far from the numbers of trials.
FIRST_SEED = 1_000_000


class Delivered(NamedTuple):
    """A trained model."""

    program: Program
    hyper: Hyperparameters
    params: Any


class Retrained(NamedTuple):
    """The chosen configuration after training it again."""

    values: Mapping[str, Value]  # every setting, resolved
    model: Delivered  # the first seed's
    seeds: tuple[SeedRecord, ...]


def choose(trials: Iterable[TrialRecord], direction: Literal["maximize", "minimize"]) -> TrialRecord:
    """The complete trial with the best validation score; among equals see `ranking`.

    Raises WorkbenchError if there is none, with what to try.
    """
    trials = list(trials)
    complete = ranked(trials, direction)
    if not complete:
        ended = [trial for trial in trials if trial.reason == "diverged"]
        if trials and len(ended) == len(trials) and all(_finite_losses(trial.curves) for trial in trials):
            raise WorkbenchError(
                f"no trial has a score: the losses of all {len(trials)} are finite, but the metric has no "
                "value on the validation rows; take another [select] metric"
            )
        diverged = len(ended)
        raise WorkbenchError(
            f"no trial is complete: {diverged} of {len(trials)} diverged; lower the upper end of "
            "learning_rate, set clip, or scale the data"
        )
    return complete[0]


def _finite_losses(curves: Curves) -> bool:
    return bool(np.isfinite(curves.train_loss).all() and np.isfinite(curves.validation_loss).all())


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
            delivered = Delivered(program, hyper, best_params(program.recipe, trained.lane))
        score = math.nan if failed or trained.score is None else trained.score
        records.append(SeedRecord(seed, score, trained.best_epoch, trained.curves))
    assert delivered is not None
    return Retrained(values, delivered, tuple(records))


def refit(
    engine: Engine,
    settings: Settings,
    problems: Callable[[Variant], Problem],
    metric: str,
    again: Retrained,
    *,
    rooms: Sequence[int],
    width: int,
) -> tuple[Delivered, SeedRecord]:
    """Train the retrained configuration once more on training and validation rows together.

    From the first seed, for as many epochs as counted when validation rows could still say when to stop; its
    schedule stays as long as it was. There are no rows left to validate on: its record holds the training
    loss alone.

    Raises WorkbenchError if it diverges.
    """
    values, first = again.values, again.seeds[0]
    problem = problems(space.variant(values, ALL_ROWS))
    program = space.program({**settings, "patience": 0}, values, problem, metric, rooms, ALL_ROWS)
    hyper = space.hyperparameters(program.recipe, {**values, "patience": 0}, problem, first.seed)
    epochs, parameters = first.best_epoch, n_parameters(program.recipe, values)
    width = width_for_one(engine.mesh, width, program.recipe, parameters, problem.rows * epochs)
    trained = engine.run(
        program.recipe, program.variant, width, [hyper], None, first=0, last=epochs, seed=first.seed
    )[0]
    if trained.status == "diverged":
        raise WorkbenchError(
            f"the chosen configuration diverged at epoch {trained.epochs} when it was trained on all "
            "development rows; lower the upper end of learning_rate, set clip, or drop refit"
        )
    losses = trained.curves.train_loss
    nothing = np.full_like(losses, np.nan)
    record = SeedRecord(first.seed, math.nan, epochs, Curves(losses, nothing, nothing))
    return Delivered(program, hyper, best_params(program.recipe, trained.lane)), record
