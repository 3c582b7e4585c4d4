"""`check`: what a study would do, without doing it. Data, split, axes, programs, and what they may cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from workbench import data, space
from workbench.engine import matmul_rate
from workbench.models import n_parameters
from workbench.places import Places
from workbench.preparations import Preparations
from workbench.scheduler import ETA, rungs_of
from workbench.space import Program
from workbench.study import Study
from workbench.study_checks import check_fit, metric_of
from workbench.suggest import Suggester
from workbench.types import Axis, Choice, Value

__all__ = ["plan"]

#: Configurations drawn to see which programs a space needs and how large its models are.
DRAWN = 256
#: Seconds to compile one program on two cores, and the share of the matrix product's rate that training
#: reaches.
COMPILE_SECONDS, EFFICIENCY = 4.0, 0.3


def plan(study: Study, places: Places) -> dict[str, Any]:
    """The plan as `check --json` prints it. Raises InputError for what `run` would refuse."""
    del places  # nothing is written
    dataset, sealed = data.load(study.data)
    rows = len(dataset.train)
    check_fit(study, dataset.task, len(dataset.classes), dataset.input_shape, train_rows=rows)
    metric = metric_of(study, dataset.task)
    axes = space.axes(study.settings)
    problem = Preparations(dataset).problem

    def program(params: Mapping[str, Value]) -> Program:
        values = space.resolve(study.settings, params)
        return space.program(study.settings, values, problem(space.variant(values)), metric)

    default = space.default(axes)
    drawn = [
        default,
        *Suggester(axes, sampler="random", seed=study.seed, direction="minimize").suggest([], DRAWN),
    ]
    programs = {program(params) for params in drawn}
    sizes = [n_parameters(program(params).recipe, space.resolve(study.settings, params)) for params in drawn]
    return {
        "study": study.id,
        "task": dataset.task,
        "metric": metric,
        "data": dataset.summary(),
        "splits": {"train": rows, "validation": len(dataset.validation), "test (sealed)": sealed.rows},
        "axes": [
            {"name": name, "values": _words(axis), "recompiles": _recompiles(name, axis, default, program)}
            for name, axis in axes.items()
        ],
        "default": default,
        "programs": len(programs),
        "cost": _cost(study, len(programs), rows, sum(sizes) / len(sizes)),
        "findings": [*dataset.findings, *dataset.notes],
        "notes": list(study.notes),
    }


def _recompiles(
    name: str, axis: Axis, default: Mapping[str, Value], program: Callable[[Mapping[str, Value]], Program]
) -> bool:
    """Whether some value of this axis needs another program than the default's."""
    if isinstance(axis, Choice):
        values: tuple[Value, ...] = axis.choices
    else:
        values = (int(axis.low), int(axis.high)) if axis.integer else (axis.low, axis.high)
    return len({program({**default, name: value}) for value in values}) > 1


def _cost(study: Study, programs: int, rows: int, parameters: float) -> dict[str, float]:
    """Seconds, roughly: six floating-point operations for each parameter, row and epoch that is trained."""
    epochs = int(str(study.settings["epochs"]))
    rungs = rungs_of(epochs, study.search.pruner)
    keep = {"none": 1.0, "median": 0.5}.get(study.search.pruner, 1 / ETA)
    trained = sum(
        (last - first) * keep**k for k, (first, last) in enumerate(zip((0, *rungs), rungs, strict=False))
    )
    work = 6.0 * parameters * rows * (study.search.trials * trained + study.search.seeds * epochs)
    train = work / (EFFICIENCY * matmul_rate())
    compile_ = COMPILE_SECONDS * programs
    return {"seconds": train + compile_, "train": train, "compile": compile_}


def _words(axis: Axis) -> str:
    if isinstance(axis, Choice):
        return ", ".join(str(choice) for choice in axis.choices)
    step = f" in steps of {axis.step:g}" if axis.step and axis.step != 1 else ""
    return f"{axis.low:g} to {axis.high:g}{' (log)' if axis.log else ''}{step}"
