"""The choice: the best trials and the default, trained again from seeds that took no part in the search."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np

from workbench.core.errors import WorkbenchError
from workbench.core.records import NO_SCORE, Curves, SeedRecord, TrialRecord, configurations_of, counted_loss
from workbench.core.types import Array, DataSpec, Settings, Value
from workbench.nn.models import ensemble, n_parameters
from workbench.nn.recipe import Hyperparameters
from workbench.training.engine import Engine, Job, Trained
from workbench.training.population import best_params
from workbench.tuning import space
from workbench.tuning.finalists import Field, field
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.space import OWN, Program, of_finalists
from workbench.tuning.trial import undefined

#: Seeds of retrained models begin here, far from the numbers of trials.
FIRST_SEED = 1_000_000
#: The most trials that are trained again beside the default, and trials of the search for each of them: of
#: a small search fewer, since a finalist trains for all epochs from every seed.
FINALISTS, TRIALS_EACH = 5, 8


class Delivered(NamedTuple):
    """A trained model."""

    program: Program
    hyper: Hyperparameters
    params: Any


class Again(NamedTuple):
    """A configuration after one more training."""

    record: SeedRecord  # its score is NaN if it diverged
    model: Delivered
    block: Array | None  # [G], see `population.pseudo_values`; None if it diverged or nobody asked

    @property
    def failed(self) -> bool:
        """Whether it diverged."""
        return math.isnan(self.record.validation)


class Retrained(NamedTuple):
    """The chosen configuration after training it again."""

    values: Mapping[str, Value]  # every setting, resolved
    networks: tuple[Delivered, ...]  # of the seeds that did not diverge, the first seed's first
    seeds: tuple[SeedRecord, ...]

    @property
    def model(self) -> Delivered:
        """The first seed's."""
        return self.networks[0]

    @property
    def first(self) -> Retrained:
        """The first seed's network alone."""
        return self._replace(networks=self.networks[:1])


def choose(trials: Iterable[TrialRecord], direction: Literal["maximize", "minimize"]) -> TrialRecord:
    """The configuration with the best validation score, by its first trial; see `configurations_of`.

    Raises WorkbenchError if there is none, with what to try.
    """
    trials = list(trials)
    complete = configurations_of(trials, direction)
    if not complete:
        without = [trial for trial in trials if trial.reason in NO_SCORE]
        diverged = [trial for trial in without if not undefined(trial.curves)]
        if without and not diverged:
            raise WorkbenchError(
                f"no trial has a score: the losses of {len(without)} of {len(trials)} are finite, but the "
                "metric has no value on the validation rows; take another [select] metric"
            )
        more = len(without) - len(diverged)
        raise WorkbenchError(
            f"no trial is complete: {len(diverged)} of {len(trials)} diverged"
            + (f", and of {more} the metric has no value on the validation rows" if more else "")
            + "; lower the upper end of learning_rate, set clip, or scale the data"
        )
    return complete[0]


def few(trials: int) -> int:
    """How many trials of a search of so many are finalists, beside the default."""
    return min(FINALISTS, max(1, trials // TRIALS_EACH))


def trainings(spec: DataSpec, seeds: int) -> list[tuple[int, int]]:
    """What every finalist is trained from and on: pairs of a seed and a division of the rows.

    With folds or hold-outs the seeds take turns at them, until each was trained on equally often.
    """
    divisions = of_finalists(spec)
    count = len(divisions) * -(-seeds // len(divisions))
    return [(FIRST_SEED + k, divisions[k % len(divisions)]) for k in range(count)]


def shortlist(trials: Iterable[TrialRecord], direction: Literal["maximize", "minimize"]) -> list[TrialRecord]:
    """The finalists: the best few complete trials, of different configurations, and the default one."""
    trials = list(trials)
    count = few(len(trials))
    found: list[TrialRecord] = []
    for trial in configurations_of(trials, direction):
        if trial.number == 0 or len(found) < count:
            found.append(trial)
    return found


def train_again(
    engine: Engine,
    plan: LanePlan,
    candidates: Sequence[Mapping[str, Value]],
    *,
    trainings: Sequence[tuple[int, int]],
    blocks: bool = False,
) -> list[list[Again]]:
    """Train each candidate once for every pair of a seed and a division of the rows, [candidate][training].

    A seed decides initial weights, order of rows and dropped units; candidates share it.

    blocks  whether scores of blocks of validation rows are wanted
    """
    lanes = [
        (plan.lane(params, seed, division), seed) for params in candidates for seed, division in trainings
    ]
    jobs = [
        Job(
            program.recipe, program.variant, hyper, 0, plan.epochs, seed=seed,
            blocks="ended" if blocks else "never",
        )
        for (program, hyper), seed in lanes
    ]  # fmt: skip
    found = [
        _again(program, job, trained)
        for ((program, _), _), job, trained in zip(lanes, jobs, engine.run_many(jobs), strict=True)
    ]
    return [found[at : at + len(trainings)] for at in range(0, len(found), len(trainings))]


def retrain(engine: Engine, plan: LanePlan, params: Mapping[str, Value], *, seeds: int) -> Retrained:
    """Train a configuration again over `seeds`: other weights to begin with, order of rows, dropped units.

    What is delivered, the first seed's model or the average of all, is no choice among the seeds: the first
    was fixed before any of them was trained. Seeds that diverge are reported with a validation score of NaN.

    Raises WorkbenchError if the first one diverges.
    """
    trainings = [(seed, OWN) for seed in range(FIRST_SEED, FIRST_SEED + seeds)]
    (again,) = train_again(engine, plan, [params], trainings=trainings)
    return retrained(plan.resolve(params), again)


def retrained(values: Mapping[str, Value], again: Sequence[Again]) -> Retrained:
    """What trainings of one configuration make. Raises WorkbenchError if the first one diverged."""
    first = again[0]
    if first.failed:
        raise WorkbenchError(
            f"the chosen configuration diverged at epoch {len(first.record.curves.train_loss)} when it was "
            "trained again; lower the upper end of learning_rate, or set clip"
        )
    networks = tuple(one.model for one in again if not one.failed)
    return Retrained(values, networks, tuple(one.record for one in again))


def joined(networks: Sequence[Delivered]) -> Delivered:
    """The average of trained networks of one configuration as a model; of a single one, itself."""
    program, hyper, _ = networks[0]
    recipe, params = ensemble.joined(program.recipe, [network.params for network in networks])
    return Delivered(replace(program, recipe=recipe), hyper, params)


def refit(engine: Engine, plan: LanePlan, again: Retrained) -> tuple[Delivered, SeedRecord]:
    """Train the retrained networks once more on training and validation rows together, and average them.

    Each from its seed, with its whole schedule, over as many epochs as have the rates that counted when
    validation rows could still say when to stop (see `schedules.shortened`). There are no rows left to
    validate on: the record is that of the first one, and holds the training loss alone. Others that diverge
    are left out of the average.

    Raises WorkbenchError if the first one diverges.
    """
    seeds = [one for one in again.seeds if not math.isnan(one.validation)][: len(again.networks)]
    lanes = [plan.on_all_rows(again.values, one.seed, one.best_epoch) for one in seeds]
    lengths = [
        one.best_epoch if plan.rules < 2 else int(hyper.epochs)
        for one, (_, hyper) in zip(seeds, lanes, strict=True)
    ]
    jobs = [
        Job(program.recipe, program.variant, hyper, 0, epochs, seed=one.seed)
        for one, (program, hyper), epochs in zip(seeds, lanes, lengths, strict=True)
    ]
    trained = engine.run_many(jobs)
    if trained[0].status == "diverged":
        raise WorkbenchError(
            f"the chosen configuration diverged at epoch {trained[0].epochs} when it was trained on all "
            "development rows; lower the upper end of learning_rate, set clip, or drop refit"
        )
    losses = trained[0].curves.train_loss
    nothing = np.full_like(losses, np.nan)
    record = SeedRecord(seeds[0].seed, math.nan, lengths[0], Curves(losses, nothing, nothing))
    networks = [
        Delivered(program, hyper, best_params(program.recipe, one.lane))
        for (program, hyper), one in zip(lanes, trained, strict=True)
        if one.status != "diverged"
    ]
    return joined(networks), record


def contest(
    trials: Sequence[TrialRecord],
    trained: Sequence[Sequence[Again]],
    settings: Settings,
    *,
    maximize: bool,
    folds: int = 0,
) -> Field:
    """Trials that were trained again, none of which diverged, as the finalists of a choice."""
    numbers = [trial.number for trial in trials]
    recipes = [agains[0].model.program.recipe for agains in trained]
    sizes = [
        n_parameters(recipe, space.resolve(settings, trial.params))
        for recipe, trial in zip(recipes, trials, strict=True)
    ]
    return field(
        np.array([[one.record.validation for one in agains] for agains in trained]),
        np.array([np.mean([counted_loss(one.record) for one in agains]) for agains in trained]),
        np.array(sizes),
        [np.stack([_block(one) for one in again]) for again in zip(*trained, strict=True)],
        [one.model.program.variant.division for one in trained[0]],
        default=numbers.index(0) if 0 in numbers else None,
        maximize=maximize,
        folds=folds,
    )


def mean_blocks(trained: Sequence[Again]) -> Array:
    """What blocks of rows say after all trainings of a configuration, division by division: [G of all]."""
    by_division: dict[int, list[Array]] = {}
    for one in trained:
        by_division.setdefault(one.model.program.variant.division, []).append(_block(one))
    return np.concatenate([np.mean(blocks, axis=0) for blocks in by_division.values()])


def _block(again: Again) -> Array:
    assert again.block is not None
    return again.block


def _again(program: Program, job: Job, trained: Trained) -> Again:
    """What a training has made of a configuration."""
    failed = trained.status == "diverged" or trained.score is None
    score = math.nan if failed or trained.score is None else trained.score
    record = SeedRecord(job.seed or FIRST_SEED, score, trained.best_epoch, trained.curves)
    model = Delivered(program, job.hyper, best_params(program.recipe, trained.lane))
    return Again(record, model, None if failed else trained.block)
