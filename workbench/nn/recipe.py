"""What decides a compiled program, and what flows through it.

`Recipe` is static: two trials with equal recipes train in one program. `Hyperparameters` are traced:
changing one recompiles nothing. They never mix, and no Python branch looks at a traced value.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from workbench.core.types import Value


@dataclass(frozen=True)
class Recipe:
    """Frozen and hashable: the static argument of every jitted function, and the grouping key.

    `depth` and `width` are upper bounds; a lane uses its own, smaller ones by masks. Where a tuple of
    names stands, a lane selects one by its traced index; with one name nothing is selected.
    """

    family: str
    inputs: tuple[int, ...]  # *F, the shape of one example
    outputs: int  # K
    loss: str
    metric: str
    depth: int = 0
    width: int = 0
    activations: tuple[str, ...] = ("linear",)
    initializers: tuple[str, ...] = ("glorot_uniform",)
    optimizers: tuple[str, ...] = ("adam",)
    schedules: tuple[str, ...] = ("constant",)
    arguments: tuple[tuple[str, Value], ...] = ()  # of the optimizer, those that cannot be traced, sorted
    traced: tuple[
        str, ...
    ] = ()  # its other arguments, sorted; a lane's values are `Hyperparameters.arguments`
    exact: bool = False  # depth and width are those of every lane: its optimizer does not bear padding
    boundaries: tuple[float, ...] = ()  # of the schedule, in epochs
    scales: tuple[float, ...] = ()  # by which `piecewise` multiplies there
    batch: int = 32  # rows in one step of the program
    accumulate: bool = False  # lanes whose batch size is a multiple of `batch` add gradients up
    dropout: bool = False  # whether any lane drops units
    clip: bool = False  # whether any lane clips its gradients
    keep_best: bool = False  # whether the best parameters are carried beside the last ones
    by_loss: bool = (
        False  # whether the validation loss decides between epochs of one score, or the first counts
    )
    options: tuple[tuple[str, Value], ...] = ()  # what else the family is shaped by, sorted by name

    def option(self, name: str) -> Value:
        """The value of a family's own setting."""
        return dict(self.options)[name]

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of each hidden layer where each has a number of its own; else nothing."""
        return tuple(int(width) for width in str(dict(self.options).get("widths", "")).split())

    @property
    def each(self) -> bool:
        """Whether every step of a sequence has outputs of its own."""
        return dict(self.options).get("output") == "each"

    @property
    def labels(self) -> bool:
        """Whether each output is a label of its own, which a row may or may not have."""
        return bool(dict(self.options).get("labels", False))

    @property
    def augments(self) -> bool:
        """Whether a step draws what it does to images."""
        return bool(dict(self.options).get("augments", False))

    @property
    def averages(self) -> bool:
        """Whether the average of the weights over the updates is judged."""
        return bool(dict(self.options).get("averages", False))

    @property
    def stop_at(self) -> float | None:
        """Score after whose epoch a lane has enough; None: whatever it has."""
        goal = dict(self.options).get("stop_at")
        return None if goal is None else float(goal)

    @property
    def ensemble(self) -> int:
        """How many initializations of the design are averaged."""
        return int(dict(self.options).get("ensemble", 1))

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that name the program in records."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:8]


class Hyperparameters(NamedTuple):
    """Scalars of one lane; [P] each when stacked. int32 or float32 as said."""

    depth: Any  # int32, hidden layers in use
    width: Any  # int32, units in use in each hidden layer
    activation: Any  # int32, index into recipe.activations
    initializer: Any  # int32, index into recipe.initializers
    init_scale: Any  # float32, half-range of `uniform`, deviation of `normal`
    optimizer: Any  # int32, index into recipe.optimizers
    learning_rate: Any  # float32
    momentum: Any  # float32, first-moment decay (beta 1)
    beta2: Any  # float32, second-moment decay
    schedule: Any  # int32, index into recipe.schedules
    warmup: Any  # float32, epochs of linear warm-up
    l1: Any  # float32
    l2: Any  # float32, lambda of lambda/2 * sum of squared weights (biases are free)
    weight_decay: Any  # float32, decoupled
    dropout: Any  # float32, probability of dropping a hidden unit
    label_smoothing: Any  # float32
    clip: Any  # float32, largest global gradient norm; inf: none
    batch_size: Any  # int32, rows in one update
    epochs: Any  # int32, length of the schedule
    patience: Any  # int32, epochs without improvement before a stop; 0: never
    min_delta: Any  # float32, gain of the score from which on it is an improvement
    seed: Any  # uint32, initialization and dropout
    threshold: Any = np.float32(0.5)  # float32, above which probability the second of two classes is said
    final: Any = np.float32(-1.0)  # float32, share of the rate that the schedule ends at; below 0: its own
    power: Any = np.float32(1.0)  # float32, of the polynomial schedule
    pct_start: Any = np.float32(0.3)  # float32, share of the epochs in which `one_cycle` rises
    div_factor: Any = np.float32(25.0)  # float32, by which `one_cycle` begins below the rate
    final_div_factor: Any = np.float32(1e4)  # float32, by which it ends below its beginning
    sigma: Any = np.float32(0.1)  # float32, deviation of the frequencies that embed numbers
    taper: Any = np.float32(1.0)  # float32, width of a hidden layer as a share of the one before
    shift: Any = np.float32(0.0)  # float32, pixels by which a training image is shifted at most
    flip: Any = np.float32(0.0)  # float32, probability that left and right change places in it
    ema: Any = np.float32(0.0)  # float32, share of the average of the weights that an update keeps; 0: none
    arguments: Any = ()  # the optimizer's own, in the order of recipe.traced
