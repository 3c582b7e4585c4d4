"""Trains launches: puts lanes into a program, runs it, takes them out again.

Between launches a lane lives on the host, as plain NumPy arrays: that is what packing the living, refilling
and checkpoints need.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from workbench import population, scoring, training, words
from workbench.errors import WorkbenchError
from workbench.programs import Programs
from workbench.recipe import Hyperparameters, Recipe
from workbench.training import Lane
from workbench.types import Curves, Fold
from workbench.units import to_data

__all__ = ["Engine", "Trained"]

#: Blocks of validation rows that are remembered of each complete trial: enough for a jackknife.
BLOCKS = 400
STATUS: dict[int, Literal["running", "stopped", "diverged"]] = {
    training.RUNNING: "running",
    training.STOPPED: "stopped",
    training.DIVERGED: "diverged",
}


class Trained(NamedTuple):
    """A lane after a launch."""

    lane: Lane  # on the host
    curves: Curves  # of the epochs of this launch
    status: Literal["running", "stopped", "diverged"]
    score: float | None  # validation score so far, of the epoch that counts
    best_epoch: int
    epochs: int


class Engine:
    """Trains launches of a study in compiled programs.

    prepare   the prepared data of a variant; asked once for each
    capacity  epochs of the longest rung
    seed      of the study: the order of the rows and the dropped units
    """

    def __init__(self, prepare: Callable[[Any], Fold], *, capacity: int, seed: int) -> None:
        self.mesh = population.mesh_of_host()
        self._programs = Programs()
        self._prepare = prepare
        self._capacity = capacity
        self._seed = seed
        self._folds: dict[Hashable, Fold] = {}
        self._foreseen: set[tuple[Hashable, ...]] = set()

    @property
    def programs(self) -> int:
        """How many training programs were compiled."""
        return self._programs.count("advance")

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds of training, and of compiling while nothing trained: see `Programs`."""
        return self._programs.seconds

    def foresee(self, recipe: Recipe, variant: Hashable, width: int, hyper: Hyperparameters) -> None:
        """Begin to compile what a launch of this recipe will need, beside whatever else goes on."""
        if self._is_foreseen("training", recipe, variant, width):
            return
        hypers, lanes = self._shapes(recipe, width, hyper)
        key, number = jax.eval_shape(jax.random.key, 0), np.int32(0)
        self._programs.foresee("start", population.start, (recipe, self.mesh), (hypers, key))
        self._programs.foresee(
            "advance", population.advance, self._static(recipe),
            (hypers, lanes, self.fold(variant), key, number, number),
        )  # fmt: skip

    def foresee_blocks(self, recipe: Recipe, variant: Hashable, width: int, hyper: Hyperparameters) -> None:
        """Begin to compile what `pseudo_values` of such lanes will need."""
        if self._is_foreseen("blocks", recipe, variant, width):
            return
        fold = self.fold(variant)
        block = self._blocks(fold)
        self._programs.foresee(
            "rows", *self._judging(recipe, block), (*self._shapes(recipe, width, hyper), fold, block)
        )

    def run(
        self,
        recipe: Recipe,
        variant: Hashable,
        width: int,
        hypers: Sequence[Hyperparameters],
        lanes: Sequence[Lane] | None,
        *,
        first: int,
        last: int,
        seed: int | None = None,
    ) -> list[Trained]:
        """Train lanes from `first` epochs behind them to `last`; new lanes if none are given.

        width  lanes in the program; rounded up to a multiple of the devices
        seed   another seed of the order of the rows, for training a choice again

        A population that does not fit into memory is halved until it does. Raises WorkbenchError if a lane
        for each device is too much.
        """
        try:
            return self._run(recipe, variant, width, hypers, lanes, first, last, seed)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            half = self._room(width) // 2
            if half < self.mesh.size:
                raise WorkbenchError(
                    f"a single {recipe.family} does not fit into the memory of "
                    f"{self.mesh.devices.flat[0].device_kind}; lower the upper end of width or depth, or "
                    "batch_size"
                ) from error
        parts = [slice(at, at + half) for at in range(0, len(hypers), half)]
        return [
            trained
            for part in parts
            for trained in self.run(
                recipe, variant, half, hypers[part], None if lanes is None else lanes[part],
                first=first, last=last, seed=seed,
            )
        ]  # fmt: skip

    def _run(
        self,
        recipe: Recipe,
        variant: Hashable,
        width: int,
        hypers: Sequence[Hyperparameters],
        lanes: Sequence[Lane] | None,
        first: int,
        last: int,
        seed: int | None,
    ) -> list[Trained]:
        self.foresee(recipe, variant, width, hypers[0])
        places = population.places([int(hyper.depth) for hyper in hypers], self._room(width), self.mesh.size)
        fold = self.fold(variant)
        key = jax.random.key(self._seed if seed is None else seed)
        hyper = population.stack(hypers, places)
        if lanes is None:
            stacked = self._programs.call("start", population.start, (recipe, self.mesh), (hyper, key))
        else:
            stacked = population.stack(lanes, places)
        after, record = self._programs.call(
            "advance",
            population.advance,
            self._static(recipe),
            (hyper, population.rest(stacked, places), fold, key, np.int32(first), np.int32(last - first)),
        )
        pairs = zip(population.unstack(after, places), population.unstack(record, places), strict=True)
        return [_trained(lane, epochs, first) for lane, epochs in pairs]

    def pseudo_values(
        self,
        recipe: Recipe,
        variant: Hashable,
        width: int,
        hypers: Sequence[Hyperparameters],
        lanes: Sequence[Lane],
    ) -> np.ndarray:
        """What blocks of validation rows say of the lanes' scores, [lanes, G].

        The blocks are the same for all lanes.
        """
        places = population.places([0] * len(lanes), self._room(width), self.mesh.size)
        fold = self.fold(variant)
        block = self._blocks(fold)
        stacked = population.stack(hypers, places), population.stack(lanes, places)
        values = self._programs.call("rows", *self._judging(recipe, block), (*stacked, fold, block))
        return np.stack(population.unstack(values, places))

    def outputs(
        self, recipe: Recipe, variant: Hashable, hyper: Hyperparameters, params: Any, x: np.ndarray
    ) -> np.ndarray:
        """[N, *F] -> [N, K] of one model in evaluation mode; regression in the units of the data."""
        fold = self.fold(variant)
        out = self._programs.call("outputs", _outputs, (recipe,), (hyper, params, jnp.asarray(x)))
        if words.METRICS[recipe.metric].task != "regression":
            return np.asarray(out)
        return np.asarray(to_data(out, fold, jnp))

    def template(self, recipe: Recipe, hyper: Hyperparameters) -> Lane:
        """The shapes and types of a lane of this recipe."""
        shapes: Lane = jax.eval_shape(lambda h: training.start(recipe, h, jax.random.key(0)), hyper)
        return shapes

    def fold(self, variant: Hashable) -> Fold:
        """The prepared data of a variant, on the devices."""
        if variant not in self._folds:
            self._folds[variant] = population.place(self.mesh, self._prepare(variant))
        return self._folds[variant]

    def _is_foreseen(self, *what: Hashable) -> bool:
        """Whether this was asked before; from now on it was."""
        known = what in self._foreseen
        self._foreseen.add(what)
        return known

    def _shapes(self, recipe: Recipe, width: int, hyper: Hyperparameters) -> tuple[Any, Any]:
        """What stacked hyperparameters and lanes will be."""
        room = self._room(width)
        lane = self.template(recipe, hyper)
        return population.shapes_of(self.mesh, room, hyper), population.shapes_of(self.mesh, room, lane)

    def _room(self, width: int) -> int:
        """Lanes of the program, a multiple of the devices."""
        return -(-width // self.mesh.size) * self.mesh.size

    def _blocks(self, fold: Fold) -> np.ndarray:
        """The block of each validation row, int32 [N]."""
        rows = len(fold.validation.y)
        shuffled = np.random.default_rng(self._seed).permutation(rows).astype(np.int32)
        return shuffled % np.int32(min(rows, BLOCKS))

    def _judging(self, recipe: Recipe, block: np.ndarray) -> tuple[Any, tuple[Any, ...]]:
        return population.pseudo_values, (recipe, self.mesh, int(block.max()) + 1)

    def _static(self, recipe: Recipe) -> tuple[Any, ...]:
        return recipe, self.mesh, self._capacity, population.in_turn(self.mesh)


def _trained(lane: Lane, record: training.Epoch, first: int) -> Trained:
    count = max(0, int(lane.epochs) - first)  # a lane that had stopped before trained nothing
    score = float(lane.best_score)
    return Trained(
        lane=lane,
        curves=Curves(*(np.array(field[:count]) for field in record)),
        status=STATUS[int(lane.status)],
        score=None if np.isnan(score) else score,
        best_epoch=int(lane.best_epoch),
        epochs=int(lane.epochs),
    )


_outputs: Any = jax.jit(scoring.outputs, static_argnames=("recipe",))
