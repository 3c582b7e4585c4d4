"""From the words of a study to what the engine takes: axes, recipes and hyperparameters.

A trial's settings decide its `Program` (what is compiled, and which preparation of the data it trains on)
and its `Hyperparameters` (what flows through). Recipes that differ in activation, optimizer, schedule,
initialization, depth, batch size or, within a room of the `ladder`, width share a program by masks and traced
selection. An optimizer of optax that is none of the common seven has programs of its own.

Divisions of the development rows that a trial trains on are numbered: from 1 on they are the study's folds or
further hold-outs, as `data.resampling` makes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar, cast

import numpy as np

from workbench.core.conditions import axes as axes  # what is searched, for those above
from workbench.core.conditions import in_effect, met, of_family, ordered
from workbench.core.types import Axis, Choice, DataSpec, Range, Settings, Task, Value
from workbench.core.vocabulary import (
    AUGMENTATIONS,
    FAMILIES,
    PINBALL,
    SETTINGS,
    Family,
    argument_of,
    is_common,
    of_layer,
    pinball,
)
from workbench.nn.recipe import Hyperparameters, Recipe

#: Training and validation rows as the split has them; every development row for training.
OWN, ALL_ROWS = 0, -1


def of_trial(spec: DataSpec, number: int) -> tuple[int, ...]:
    """The divisions that this trial trains on: all folds, the next hold-out, or the split's own."""
    if spec.folds:
        return tuple(range(1, spec.folds + 1))
    return (1 + number % spec.holdouts,) if spec.holdouts else (OWN,)


def of_finalists(spec: DataSpec) -> tuple[int, ...]:
    """The divisions that finalists are compared on: all folds, all hold-outs, or the split's own."""
    return tuple(range(1, (spec.folds or spec.holdouts) + 1)) or (OWN,)


if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


T = TypeVar("T")

#: Settings of families that lanes of one program may differ in.
TRACED = ("depth", "width", "activation", "initializer", "init_scale", "dropout", "sigma", "taper")
#: Options at which a design is what it was before there were such: they leave no trace in its recipe.
PLAIN = (
    ("norm", "none"),
    ("global_pooling", "none"),
    ("residual_blocks", 0),
    ("bidirectional", False),
    ("widths", ""),
)
#: Rectifiers lose half of the variance, which He's initialization makes up for; SELU keeps it after LeCun's.
RECTIFIERS = ("relu", "leaky_relu", "gelu", "silu", "mish")


class Problem(NamedTuple):
    """What a program must know of the data."""

    task: Task
    inputs: tuple[int, ...]  # *F after preparation
    classes: int  # number of classes; 0 for regression
    targets: int  # K of a regression, or labels
    rows: int  # training rows
    masked: bool = False  # sequences whose last feature says which steps are there
    numbers: int = 0  # how many inputs, the first ones, stand for numbers


class Variant(NamedTuple):
    """Which preparation of the data a trial trains on."""

    scale: str
    degree: int
    class_weight: Literal["none", "balanced"]
    target_transform: str = "none"
    division: int = OWN
    numbers: str = "plain"
    bins: int = 0  # read by other numbers than plain


@dataclass(frozen=True)
class Program:
    """Trials with equal programs train together."""

    recipe: Recipe
    variant: Variant

    @property
    def id(self) -> str:
        """A short name for records."""
        return self.recipe.id


def distributions(searched: Mapping[str, Axis]) -> dict[str, BaseDistribution]:
    """The axes in Optuna's own words."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    def one(axis: Axis) -> BaseDistribution:
        if isinstance(axis, Choice):
            return CategoricalDistribution(axis.choices)
        if axis.integer:
            return IntDistribution(int(axis.low), int(axis.high), log=axis.log, step=int(axis.step or 1))
        return FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)

    return {name: one(axis) for name, axis in searched.items()}


def default(searched: Mapping[str, Axis]) -> dict[str, Value]:
    """The default configuration.

    The middle of every range (the geometric one of a log range), the first choice.
    """
    return completed(searched, {})


def completed(searched: Mapping[str, Axis], given: Mapping[str, Value]) -> dict[str, Value]:
    """The default configuration but for some values, of the axes that then take part."""
    return in_effect(searched, lambda name, axis: given[name] if name in given else _middle(axis))


def on_axis(axis: Axis, value: object) -> Value | None:
    """A value as the axis has it; None where it is not on the axis."""
    if isinstance(axis, Choice):
        return next((one for one in axis.choices if one == value and type(one) is type(value)), None)
    if isinstance(value, bool) or not isinstance(value, int | float) or not axis.low <= value <= axis.high:
        return None
    if axis.integer and value != int(value):
        return None
    steps = (value - axis.low) / axis.step if axis.step else 0.0
    if abs(steps - round(steps)) > 1e-8:
        return None
    return int(value) if axis.integer else float(value)


def resolve(settings: Settings, params: Mapping[str, Value]) -> dict[str, Value]:
    """Every setting of one trial; an axis that takes no part in it is at its other value."""

    def one(name: str, setting: Value | Axis) -> Value:
        if name not in params and isinstance(setting, Range | Choice) and setting.otherwise is not None:
            return setting.otherwise
        return params.get(name, cast("Value", setting))

    return {name: one(name, setting) for name, setting in settings.items()}


def arguments(settings: Mapping[str, T]) -> dict[str, T]:
    """What a study, or a trial, says of its optimizers' own arguments, by their own names."""
    return {argument_of(name): value for name, value in settings.items() if name not in SETTINGS}


def size(axis: Axis) -> float:
    """How many values an axis has; infinity if it is continuous."""
    if isinstance(axis, Choice):
        return len(axis.choices)
    if axis.low == axis.high:
        return 1
    step = axis.step or (1 if axis.integer else 0)
    return math.floor((axis.high - axis.low) / step + 1e-8) + 1 if step else math.inf


def combinations(axes: Mapping[str, Axis]) -> float:
    """How many configurations there are; infinity where an axis is continuous.

    Values of an axis by which no condition goes are alike, and counted together.
    """
    asked: dict[str, dict[Value, None]] = {}
    for axis in axes.values():
        for key, wanted in axis.when:
            asked.setdefault(key, {}).update(dict.fromkeys(wanted))

    def count(names: list[str], taken: Mapping[str, Value]) -> float:
        if not names:
            return 1
        name, *others = names
        if not met(axes[name].when, taken):
            return count(others, taken)
        alike = size(axes[name]) - len(asked.get(name, ()))
        told = sum(count(others, {**taken, name: value}) for value in asked.get(name, ()))
        return told + (alike * count(others, taken) if alike else 0)

    return count(ordered(axes), {})


def first(setting: Value | Axis) -> Value:
    """A value that a setting may take, the same in every trial."""
    if isinstance(setting, Range):
        return int(setting.low) if setting.integer else float(setting.low)
    return setting.choices[0] if isinstance(setting, Choice) else setting


def variant(values: Mapping[str, Value], division: int = OWN) -> Variant:
    """The preparation of the data that a trial with these values trains on."""
    weight: Literal["none", "balanced"] = "balanced" if values["class_weight"] == "balanced" else "none"
    transform = str(values.get("target_transform", "none"))
    numbers = str(values.get("numbers", "plain"))
    bins = 0 if numbers == "plain" else int(values["bins"])
    return Variant(str(values["scale"]), int(values["degree"]), weight, transform, division, numbers, bins)


def program(
    settings: Settings, values: Mapping[str, Value], problem: Problem, metric: str, widths: Sequence[int],
    division: int = OWN,
) -> Program:  # fmt: skip
    """The program in which a trial with these values trains, given what the whole study may select.

    problem   of the trial's variant of the data
    rooms     for hidden units, ascending: see `ladder`
    division  of the development rows
    """
    family = str(values["family"])
    settings, word = of_family(settings, family), FAMILIES[family]
    binary = problem.task == "classification" and problem.classes == 2 and family != "softmax"
    batch, accumulate = _batch(settings["batch_size"], int(values["batch_size"]), problem.rows)
    shaped = {name: settings[name] for name in word.shaped_by if name in settings}
    names, arguments, traced, exact = _optimizer(settings, values)
    if exact:
        shaped |= {name: values[name] for name in ("depth", "width") if name in shaped}
        widths = [int(values["width"])]
    depth = int(_largest(shaped["depth"])) if "depth" in shaped else 0
    width = min(room for room in widths if room >= int(values["width"])) if "width" in shaped else 0
    if given := [int(each) for each in _numbers(values, "widths")] if "widths" in word.shaped_by else []:
        depth, width = len(given), max(given)
    recipe = Recipe(
        family=family,
        inputs=problem.inputs,
        outputs=problem.targets if problem.task != "classification" else 1 if binary else problem.classes,
        loss=_loss(values, family, problem.task, binary=binary or problem.task == "multilabel"),
        metric=metric,
        depth=depth,
        width=width,
        activations=_names(shaped["activation"]) if "activation" in shaped else ("linear",),
        initializers=_initializers(shaped) if "initializer" in shaped else ("zeros",),
        optimizers=names,
        schedules=_names(settings["schedule"]),
        arguments=arguments,
        traced=traced,
        exact=exact,
        boundaries=_numbers(values, "boundaries"),
        scales=_numbers(values, "scales"),
        batch=batch,
        accumulate=accumulate,
        dropout="dropout" in shaped and _largest(shaped["dropout"]) > 0,
        clip=settings["clip"] != math.inf,
        keep_best=_largest(settings["patience"]) > 0,
        by_loss=_largest(settings["patience"]) > 0,
        options=_options(
            values,
            word,
            problem,
            tapers=shaped.get("taper", 1.0) != 1.0,
            augments=any(_largest(settings.get(name, 0.0)) > 0 for name in AUGMENTATIONS),
            averages=_largest(settings.get("ema", 0.0)) > 0,
            labels=problem.task == "multilabel",
        ),
    )
    return Program(recipe, variant(values, division))


def hyperparameters(
    recipe: Recipe, values: Mapping[str, Value], problem: Problem, seed: int
) -> Hyperparameters:
    """The traced half of a trial, NumPy scalars of the stated types."""
    activation = str(values["activation"]) if len(recipe.activations) > 1 else recipe.activations[0]
    integers = {
        "depth": len(recipe.widths) or (int(values["depth"]) if recipe.depth else 0),
        "width": max(recipe.widths, default=int(values["width"]) if recipe.width else 0),
        "activation": recipe.activations.index(activation),
        "initializer": recipe.initializers.index(_initializer(str(values["initializer"]), activation))
        if recipe.width
        else 0,
        "optimizer": recipe.optimizers.index(str(values["optimizer"])),
        "schedule": recipe.schedules.index(str(values["schedule"])),
        "batch_size": int(values["batch_size"]) or problem.rows,
        "epochs": int(values["epochs"]),
        "patience": int(values["patience"]),
    }
    reals = {
        name: np.float32(cast("float", values[name]))
        for name in Hyperparameters._fields
        if name not in integers and name in values
    }
    given = arguments(values)
    reals |= {name: np.float32(given[name]) for name in ("momentum", "beta2") if name in given}
    return Hyperparameters(
        **{name: np.int32(value) for name, value in integers.items()}, **reals, seed=np.uint32(seed),
        arguments=tuple(_scalar(given[name]) for name in recipe.traced),
    )  # fmt: skip


def _middle(axis: Axis) -> Value:
    if isinstance(axis, Choice):
        return axis.choices[0]
    middle = math.sqrt(axis.low * axis.high) if axis.log else (axis.low + axis.high) / 2
    if axis.step:
        middle = axis.low + round((middle - axis.low) / axis.step) * axis.step
    return round(middle) if axis.integer else float(middle)


def _names(setting: Value | Axis) -> tuple[str, ...]:
    """The names a setting may take, sorted so that the order in the file does not matter."""
    return (
        tuple(sorted(str(name) for name in setting.choices))
        if isinstance(setting, Choice)
        else (str(setting),)
    )


def _optimizer(
    settings: Settings, values: Mapping[str, Value]
) -> tuple[tuple[str, ...], tuple[tuple[str, Value], ...], tuple[str, ...], bool]:
    """Of a recipe: its optimizers, their arguments that cannot be traced, those that are, and `exact`.

    Optimizers of the common rule share a program; another one has its own.
    """
    name, names, searched = str(values["optimizer"]), _names(settings["optimizer"]), arguments(settings)
    if not searched and is_common(name):
        return tuple(filter(is_common, names)), (), (), False
    from workbench.nn import transformation_plans, transformations  # which load optax

    taken = {each: transformations.taken(each, searched) for each in names}
    if is_common(name) and not taken[name]:
        return tuple(each for each in names if is_common(each) and not taken[each]), (), (), False
    own = arguments(values)
    sample = {key: first(searched[key]) for key in taken[name]}
    plan = transformation_plans.plan(name, sample, {key: own[key] for key in taken[name]})
    return (name,), tuple((key, own[key]) for key in plan.static), plan.traced, plan.exact


def _scalar(value: Value) -> np.generic:
    if isinstance(value, bool):
        return np.bool_(value)
    return np.int32(value) if isinstance(value, int) else np.float32(cast("float", value))


def _numbers(values: Mapping[str, Value], name: str) -> tuple[float, ...]:
    """A list of numbers, which a setting holds as text."""
    return tuple(float(number) for number in str(values.get(name, "")).split())


def _largest(setting: Value | Axis) -> float:
    if isinstance(setting, Choice):
        return max(float(choice) for choice in setting.choices)
    return float(setting.high if isinstance(setting, Range) else setting)


def _batch(setting: Value | Axis, size: int, rows: int) -> tuple[int, bool]:
    """Rows in one step of the program, and whether lanes add up the gradients of several steps."""
    if isinstance(setting, Range):
        sizes = [int(setting.low), int(setting.step or 1)]
    else:
        choices = setting.choices if isinstance(setting, Choice) else (setting,)
        sizes = [min(int(choice) or rows, rows) for choice in choices]
    step = math.gcd(*sizes)
    if 2 * step >= min(sizes):
        return step, len(set(sizes)) > 1 or isinstance(setting, Range)
    return min(size or rows, rows), False


def _options(
    values: Mapping[str, Value], word: Family, problem: Problem, **has: bool
) -> tuple[tuple[str, Value], ...]:
    """What else shapes the family: static, so every combination of values is a program of its own.

    What an earlier version wrote lacks later settings, and has them at what they then were.

    has  what some lane of the program does, beside what the family is shaped by
    """
    own = {name: values[name] for name in word.shaped_by if name not in TRACED and name in values}
    own = {name: value for name, value in own.items() if (name, value) not in PLAIN}
    if own.get("embedding", "none") == "none":
        own = {name: value for name, value in own.items() if name not in ("embedding", "frequencies")}
    else:
        own["numbers"] = problem.numbers
    own |= {name: True for name, is_so in has.items() if is_so}
    if len(problem.inputs) == 2 and 2 in word.ranks:
        own["masked"] = problem.masked
    if values["ensemble"] != 1:
        own["ensemble"] = values["ensemble"]
    return tuple(sorted(own.items()))


def _loss(values: Mapping[str, Value], family: str, task: Task, *, binary: bool) -> str:
    name = str(values["loss"])
    if name == PINBALL:
        return pinball(float(values.get("quantile", 0.5)))
    if name != "auto":
        return name
    if family == "perceptron":
        return "perceptron"
    return "mse" if task == "regression" else "binary_cross_entropy" if binary else "cross_entropy"


def _initializer(name: str, activation: str) -> str:
    if name != "auto":
        return name
    first = of_layer(activation, 0)
    return "he_normal" if first in RECTIFIERS else "lecun_normal" if first == "selu" else "glorot_uniform"


def _initializers(shaped: Settings) -> tuple[str, ...]:
    names, activations = _names(shaped["initializer"]), _names(shaped.get("activation", "tanh"))
    return tuple(sorted({_initializer(name, activation) for name in names for activation in activations}))
