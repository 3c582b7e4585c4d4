"""`check`: what a study would do, without doing it. Data, split, axes, programs, and what they may cost."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from workbench.core.conditions import asked, where_met
from workbench.core.formatting import condition
from workbench.core.locations import Locations
from workbench.core.types import Axis, Choice, Value
from workbench.core.vocabulary import EXHAUSTIVE
from workbench.data import Dataset, findings
from workbench.data.defined import dominated
from workbench.study.config import Study, notes
from workbench.study.preparations import Preparations
from workbench.study.start import points
from workbench.study.workspace import development, first_plan, lane_epochs
from workbench.training.costs import costs_of
from workbench.training.devices import configure, machine
from workbench.tuning import space
from workbench.tuning.buckets import drawn
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.scheduler import LEARNING, lag_of, parallel_of
from workbench.tuning.selection import few, trainings
from workbench.tuning.space import Program, Variant

#: Configurations drawn to see which programs a space needs and how large its models are.
DRAWN = 256


def plan(study: Study, locations: Locations) -> dict[str, Any]:
    """The plan as `check --json` prints it. Raises InputError for what `run` would refuse."""
    dataset, sealed = development(study, locations.study(study.id) / "journal")
    rows = len(dataset.train)
    axes = space.axes(study.settings)
    configure(locations.home / "cache" / "jax")
    platform, lanes = machine()
    costs, folds = costs_of(platform), max(1, study.data.folds)
    lanes_as = first_plan(study, Preparations(dataset), costs)
    epochs = lanes_as.epochs

    def program(params: Mapping[str, Value]) -> Program:
        return lanes_as.lane(params, 0)[0]

    default = space.default(axes)
    configurations = drawn(axes, DRAWN)
    programs = {program(params) for params in configurations}
    parallel = study.search.parallel or parallel_of(study.search.trials, study.search.sampler_name)
    costs = costs._replace(devices=min(lanes, parallel * folds) if platform == "cpu" else lanes)
    epoch = sum(lanes_as.expected_seconds(params, costs) for params in configurations) / DRAWN
    again = study.search.seeds * epochs
    if study.rule != "single":
        finalists = 1 + few(study.search.trials)
        again *= study.data.folds > 0 or study.data.holdouts > 0  # else the choice is one of the finalists
        again += finalists * len(trainings(study.data, study.search.seeds)) * epochs
    train, compile_ = (lane_epochs(study) + again) * epoch, costs.compile * len(programs)
    return {
        "study": study.id,
        "task": dataset.task,
        "metric": lanes_as.metric,
        "data": dataset.summary(),
        "encoded": _encoded(dataset, {one.variant for one in programs}, lanes_as),
        "splits": {"train": rows, "validation": len(dataset.validation), "test (sealed)": sealed.rows},
        "axes": [
            {
                "name": name,
                "values": _words(axis),
                "recompiles": _recompiles(name, axes, program),
                "if": condition(axis).get("if"),
            }
            for name, axis in axes.items()
        ],
        "default": default,
        "programs": len(programs),
        "rooms": list(lanes_as.widths),
        "cost": {"seconds": train + compile_, "train": train, "compile": compile_},
        "costs": costs._asdict(),
        "parallel": {
            "trials": parallel,
            "given": bool(study.search.parallel),
            "lanes": parallel * folds,
            "cores": lanes,
            "advice": _advice(study, parallel, folds, lanes) if platform == "cpu" else None,
        },
        "findings": [*findings(dataset), *dataset.notes],
        "notes": [
            *notes(study),
            *dominated(lanes_as.metric, dataset),
            *_small(study, axes),
            *_at_random(study, axes),
            *_starting(study, locations, lanes_as.metric),
        ],
    }


def _starting(study: Study, locations: Locations, metric: str) -> list[str]:
    """With how many configurations the search begins. Raises StudyError if another study's are missing."""
    count = len(points(study, locations.study(study.id), metric))
    if not count:
        return []
    plural = "s" * (count > 1)
    return [f"the search begins with {count} configuration{plural} after the default; none is pruned"]


def _at_random(study: Study, axes: Mapping[str, Axis]) -> list[str]:
    """Axes that a sampler which learns draws at random, since it learns those of every trial alone."""
    name, some = study.search.sampler_name, [key for key, axis in axes.items() if axis.when]
    if name not in LEARNING or name == "tpe" or not some:
        return []
    return [f"{name} draws axes with a condition ({', '.join(some)}) at random; tpe learns them too"]


def _small(study: Study, axes: Mapping[str, Axis]) -> list[str]:
    """That there are fewer configurations than trials, and what becomes of the others."""
    count, trials, name = space.combinations(axes), study.search.trials, study.search.sampler_name
    if not axes or count >= trials:
        return []
    there = f"the axes have {count:.0f} combination{'s' * (count > 1)}, and [search] trials = {trials}"
    if name in EXHAUSTIVE:
        return [f"{there}: {name} ends when it has tried each of them once"]
    return [
        f"{there}: {name} tries some more than once, as seeds of one configuration that counts by their "
        'mean; sampler = "grid" tries each once'
    ]


def _encoded(dataset: Dataset, variants: Collection[Variant], plan: LanePlan) -> dict[str, Any] | None:
    """What becomes of the columns where numbers are encoded: features of each encoding, and bytes of all."""
    features = {variant: plan.problem(variant).inputs[0] for variant in variants}
    encoded = sorted(n for variant, n in features.items() if variant.numbers != "plain")
    if not encoded:
        return None
    rows = len(dataset.target) * max(1, dataset.spec.folds, dataset.spec.holdouts)
    plain = dataset.input_shape[0]
    return {"plain": plain, "features": encoded, "bytes": 4 * rows * sum(features.values())}


def _advice(study: Study, parallel: int, folds: int, cores: int) -> str | None:
    """What a machine leaves idle, and what it would cost the sampler to use it; None if it is busy."""
    if parallel * folds >= cores or parallel >= study.search.trials:
        return None
    enough = min(-(-cores // folds), study.search.trials)
    used = "use them all" if enough * folds >= cores else f"use {enough * folds}"
    at_a_time = f"{parallel} trials at a time" + (f" of {folds} folds" if folds > 1 else "")
    said = f"{cores} cores, {at_a_time}: parallel = {enough} would {used}"
    if study.search.sampler_name not in LEARNING:
        return f"{said}, at no cost, since {study.search.sampler_name} does not learn"
    looks, fewer = (max(1, study.search.trials // (each + lag_of(each))) for each in (parallel, enough))
    name = study.search.sampler_name.upper()
    return f"{said}, and {name} would have {fewer} looks instead of {looks} at what it has learnt"


def _recompiles(
    name: str, axes: Mapping[str, Axis], program: Callable[[Mapping[str, Value]], Program]
) -> bool:
    """Whether values of this axis need different programs, the others being at their defaults."""
    axis, others = axes[name], where_met(axes, name)
    if isinstance(axis, Choice):
        values: tuple[Value, ...] = axis.choices
    else:
        values = (int(axis.low), int(axis.high)) if axis.integer else (axis.low, axis.high)
    return len({program(space.completed(axes, {**others, name: value})) for value in values}) > 1


def _words(axis: Axis) -> str:
    part = f", if {asked(axis.when)}" if axis.when else ""
    if isinstance(axis, Choice):
        return ", ".join(str(choice) for choice in axis.choices) + part
    step = f" in steps of {axis.step:g}" if axis.step and axis.step != 1 else ""
    return f"{axis.low:g} to {axis.high:g}{' (log)' if axis.log else ''}{step}{part}"
