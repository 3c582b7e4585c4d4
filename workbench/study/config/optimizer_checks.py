"""What a study asks of its optimizers and of the schedule of the learning rate: whether they can give it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workbench.core import vocabulary
from workbench.core.formatting import toml
from workbench.core.types import Range, Value
from workbench.study.config.errors import label, unlike
from workbench.study.config.kinds import listed
from workbench.study.config.optimizer import arguments_of, named
from workbench.study.config.schema import SETTINGS, where
from workbench.study.config.text import numbers, offence, shown, values
from workbench.tuning.space import arguments, first

if TYPE_CHECKING:
    from workbench.study.config.study import Study


def optimizer_complaints(study: Study) -> Iterator[str]:
    """Why an optimizer cannot train, or not with these arguments, or a schedule not run."""
    yield from _of_schedule(study)
    given, names = arguments(study.settings), named(study.settings["optimizer"])
    if not given and all(vocabulary.is_common(name) for name in names):
        return
    from workbench.nn import transformations

    for key in given:
        if not any(transformations.taken(name, [key]) for name in names):
            yield (
                f"{shown(study, vocabulary.flat_argument(key))} is no argument of optimizer {listed(names)}; "
                + unlike(key, arguments_of(names), "drop it")
            )
    for name in names:
        if not vocabulary.is_common(name) or transformations.taken(name, given):
            yield from _of_arguments(study, name)


def _of_arguments(study: Study, name: str) -> Iterator[str]:
    from workbench.nn import transformation_plans, transformations

    given, known = arguments(study.settings), transformations.arguments(name)
    missing = [key for key, one in known.items() if one.required and key not in given]
    if missing:
        yield (
            f"{offence(study, 'optimizer', name)} needs {' and '.join(missing)}; "
            "write each as a key of [optimizer]"
        )
    try:
        for key in transformation_plans.check(name, _sample(study, name), {}):  # those that cannot be traced
            setting, flat = given[key], vocabulary.flat_argument(key)
            if isinstance(setting, Range) and not setting.integer and setting.step is None:
                yield (
                    f"{shown(study, flat)} is looked at when optimizer {toml(name)} is "
                    "made, so each of its values is a program of its own; write { choices = [...] }"
                )
            for value in values(study, flat):
                transformation_plans.check(name, _sample(study, name), {key: value})
    except ValueError as error:
        yield f"{offence(study, 'optimizer', name)} {error}; choose another"


def optimizer_notes(study: Study) -> list[str]:
    """Remarks on what is written but not read, and on what an optimizer costs or adds."""
    remarks, names = [], named(study.settings["optimizer"])
    own = [name for name in names if not vocabulary.is_common(name)]
    for key, readers in vocabulary.READ_BY.items():
        reading = set(names) & set(readers) or (own and key == "weight_decay")
        if study.settings[key] != SETTINGS[key].default and not reading:
            remarks.append(f"{label(where(key).path)} is not read by optimizer {listed(names)}")
    schedules = [str(name) for name in values(study, "schedule")]
    parts = {part for name in schedules for part in name.split(vocabulary.JOIN)}
    for key, readers in vocabulary.SCHEDULED.items():
        if study.settings[key] != SETTINGS[key].default and not parts & set(readers):
            remarks.append(f"{label(where(key).path)} is not read by schedule {listed(schedules)}")
    if study.settings["boundaries"] != "" and not any(
        name == "piecewise" or vocabulary.JOIN in name for name in schedules
    ):
        remarks.append(f"{label(where('boundaries').path)} is not read by schedule {listed(schedules)}")
    if own:
        remarks += _own_notes(study, own)
    return remarks


def _own_notes(study: Study, own: list[str]) -> list[str]:
    from workbench.nn import transformation_plans, transformations

    remarks = []
    shaped = [key for key in ("width", "depth") if key in study.axes]
    for name in own:
        sample = _sample(study, name)
        if shaped and transformation_plans.plan(name, sample, sample).exact:
            remarks.append(
                f"optimizer {toml(name)} does not bear padding, so every {' and '.join(shaped)} is "
                "a program of its own; few choices compile sooner"
            )
        decay = transformations.arguments(name).get("weight_decay")
        written = "weight_decay" in arguments(study.settings)
        if study.settings["weight_decay"] != 0.0 and decay and decay.default and not written:
            remarks.append(
                f"optimizer {toml(name)} decays by {toml(decay.default)} itself, beside "
                "[regularization] weight_decay; [optimizer] weight_decay = 0 leaves that alone"
            )
    return remarks


def _of_schedule(study: Study) -> Iterator[str]:
    """Boundaries that do not fit the schedules, and scales that do not fit the boundaries."""
    epochs, warmup = max(numbers(study, "epochs")), max(numbers(study, "warmup"))
    for text in values(study, "boundaries"):
        ends, said = [float(number) for number in str(text).split()], offence(study, "boundaries", text)
        if sorted(set(ends)) != ends or (ends and ends[-1] >= epochs):
            yield f"{said} must ascend and end before [training] epochs = {toml(epochs)}"
        if ends and ends[0] <= warmup:
            yield f"{said} must begin after the warm-up of {toml(warmup)} epochs"
        for schedule in values(study, "schedule"):
            parts = str(schedule).split(vocabulary.JOIN)
            if ends and len(parts) > 1 and len(ends) != len(parts) - 1:
                yield (
                    f"{said} must name the {len(parts) - 1} epochs at which "
                    f"the parts of schedule = {toml(schedule)} end, or be left out"
                )
        for scales in values(study, "scales"):
            if scales and len(str(scales).split()) != len(ends):
                yield (
                    f"{offence(study, 'scales', scales)} must be as many as [optimizer] boundaries, "
                    f"of which there are {len(ends)}"
                )


def _sample(study: Study, name: str) -> dict[str, Value]:
    """A value of each argument that an optimizer is given."""
    from workbench.nn import transformations

    given = arguments(study.settings)
    return {key: first(given[key]) for key in transformations.taken(name, given)}
