"""Training one configuration over many seeds at once, for experiments: the seeds are lanes of one program."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from workbench import data
from workbench.core.errors import StudyError
from workbench.core.types import Array, DataSpec, Fold
from workbench.core.vocabulary import METRICS
from workbench.data import Dataset
from workbench.nn import words
from workbench.nn.recipe import Hyperparameters, Recipe
from workbench.study.config import Study, check_fit, metric_of, vary
from workbench.study.preparations import Preparations
from workbench.training import population
from workbench.training.checkpoints import Store
from workbench.training.devices import configure
from workbench.training.engine import Engine, Job
from workbench.tuning import jobs, space
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.loop import Search
from workbench.tuning.samplers import Suggester
from workbench.tuning.scheduler import Scheduler, lag_of, parallel_of


class Runs(NamedTuple):
    """What was trained, S seeds for E epochs. What a lane did not reach (it stopped, it diverged) is NaN.

    Args:
        train_loss: [S, E], mean over an epoch's minibatches, without penalties.
        validation_loss: [S, E].
        validation_score: [S, E], of the study's metric, in the units of the data.
        params: Of each seed, those that count: the best with early stopping, else the last.
        recipe: What decided the compiled program.
        hyper: Of each seed, what was traced.
        fold: The prepared rows.
    """

    train_loss: Array
    validation_loss: Array
    validation_score: Array
    params: tuple[Any, ...]
    recipe: Recipe
    hyper: tuple[Hyperparameters, ...]
    fold: Fold

    def epochs_to(self, loss: float) -> Array:
        """The first epoch with a training loss of `loss` or less, [S]; one more than there are for never."""
        reached = self.train_loss <= loss
        never = 1 + reached.shape[1]
        first: Array = np.where(reached.any(axis=1), 1 + reached.argmax(axis=1), never).astype(float)
        return first


def train(study: Study, *, seeds: int = 20) -> Runs:
    """Train a study without axes from `seeds` initializations; minibatches are the same for all of them.

    Two calls that differ in settings are therefore paired by seed. Nothing is recorded and no test row is
    looked at.

    Args:
        study: One configuration: no setting is an axis.
        seeds: Of the initial weights and dropped units, 0 to S - 1.

    Returns:
        Curves [S, E] and parameters.

    Raises:
        StudyError: if the study has axes.
        InputError: for data that do not fit.
    """
    if study.axes:
        raise StudyError(
            f"{study.path}: {next(iter(study.axes))} is an axis, and train takes one configuration; fix it "
            "by wb.vary, or search"
        )
    configure(None)
    dataset, preparations = _prepared(study.data)
    shape, rows = dataset.input_shape, len(dataset.train)
    check_fit(study, dataset.task, len(dataset.classes), shape, train_rows=rows, of_steps=dataset.of_steps)
    widths = (int(cast("int", study.settings["width"])),)
    plan = LanePlan(study.settings, preparations.problem, metric_of(study, dataset.task), widths)
    (program, _), epochs = plan.lane({}, 0), plan.epochs
    hypers = [plan.lane({}, seed)[1] for seed in range(seeds)]
    engine = _engine(study.data, epochs, study.seed, words.edition())
    trained = engine.run_many([Job(program.recipe, program.variant, hyper, 0, epochs) for hyper in hypers])
    curves = np.full((3, seeds, epochs), np.nan)
    for s, lane in enumerate(trained):
        for c, curve in enumerate(lane.curves):
            curves[c, s, : len(curve)] = curve
    params = tuple(population.best_params(program.recipe, lane.lane) for lane in trained)
    train_loss, validation_loss, score = curves
    return Runs(
        train_loss,
        validation_loss,
        score,
        params,
        program.recipe,
        tuple(hypers),
        preparations.fold(program.variant),
    )


def searched(
    engine: Engine,
    plan: LanePlan,
    *,
    trials: int,
    division: int,
    seed: int,
    sampler: str = "tpe",
    parallel: int = 0,
    lag: int | None = None,
) -> Search:
    """A search with ASHA on one division of the rows that `engine` prepares; nothing of it is kept.

    parallel, lag  as in `scheduler.Scheduler`; as a study of so many trials has them unless given
    """
    direction, parallel = METRICS[plan.metric].direction, parallel or parallel_of(trials, sampler)
    with tempfile.TemporaryDirectory() as folder:
        search = Search(
            plan=plan,
            divisions=lambda _: (division,),
            trials=trials,
            scheduler=Scheduler(
                epochs=plan.epochs, pruner="asha", parallel=parallel,
                lag=lag_of(parallel) if lag is None else lag, maximize=direction == "maximize",
            ),
            engine=engine,
            train=partial(jobs.submit, engine),
            suggest=Suggester(
                space.axes(plan.settings), sampler=sampler, seed=seed, direction=direction
            ).suggest,
            enough=None,
            commit=lambda _: None,
            store=Store(Path(folder)),
        )  # fmt: skip
        for _ in search.rounds():
            pass
    return search


def _last_train_loss(runs: Runs) -> Array:
    """What the last epoch left, [S]; infinite for a lane that did not reach it."""
    last: Array = np.nan_to_num(runs.train_loss[:, -1], nan=np.inf)
    return last


def tuned(
    study: Study,
    rates: Sequence[float],
    *,
    seeds: int = 20,
    by: Callable[[Runs], Array] = _last_train_loss,
) -> Runs:
    """The runs at the learning rate that suits the study best: what is compared is then not a rate.

    Args:
        study: One configuration, whose own learning rate is not looked at.
        rates: Learning rates to try.
        seeds: As `train` takes them.
        by: What is to be small, [S]; the median over seeds decides, and the mean between equal medians.

    Returns:
        Of the rates, the best one's runs.

    Raises:
        StudyError: as `train` does.
        InputError: as `train` does.
    """
    found = [train(vary(study, learning_rate=rate), seeds=seeds) for rate in rates]
    return min(found, key=lambda runs: (float(np.median(by(runs))), float(np.mean(by(runs)))))


@lru_cache(maxsize=16)
def _prepared(spec: DataSpec) -> tuple[Dataset, Preparations]:
    dataset, _ = data.load(spec)
    return dataset, Preparations(dataset)


@lru_cache(maxsize=16)
def _engine(spec: DataSpec, epochs: int, seed: int, edition: int) -> Engine:
    """One engine for all configurations of the same rows and length, so that programs are shared."""
    del edition  # what was compiled for a word that was replaced since is not shared
    return Engine(_prepared(spec)[1].compact, capacity=epochs, seed=seed)
