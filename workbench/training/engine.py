"""Trains lanes: puts them into compiled programs, runs those, takes the lanes out again.

On a CPU every core that may be used has a thread, which takes the next lane of its own accord and trains it
in a program of one lane; all threads share the program and the rows. An accelerator trains lanes side by
side: one thread gathers those that want the same, and fills a population. Between two jobs a lane lives on
the host, as plain NumPy arrays: that is what packing, checkpoints and other processes need.
"""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from workbench.core import vocabulary
from workbench.core.cores import cores
from workbench.core.errors import WorkbenchError
from workbench.core.records import Curves
from workbench.core.target_transform import to_data
from workbench.core.types import Fold
from workbench.nn.recipe import Hyperparameters, Recipe
from workbench.training import population, scoring, trainer
from workbench.training.lane_rates import LaneRates, folder_of_programs, shape_class
from workbench.training.programs import Programs
from workbench.training.trainer import Lane

#: Blocks of validation rows that are remembered of each complete trial: enough for a jackknife.
BLOCKS = 400
STATUS: dict[int, Literal["running", "stopped", "diverged"]] = {
    trainer.RUNNING: "running",
    trainer.STOPPED: "stopped",
    trainer.DIVERGED: "diverged",
}


class Job(NamedTuple):
    """A lane to train, from `first` epochs behind it to `last`."""

    recipe: Recipe
    variant: Hashable  # of the data
    hyper: Hyperparameters
    first: int
    last: int
    lane: Lane | None = None  # None: a new one, or one that was lost and is trained again up to `first`
    seed: int | None = None  # another seed of the order of the rows, for training a choice again
    blocks: Literal["never", "stopped", "ended"] = "never"  # when `Trained.block` is wanted
    also: bool = False  # whether `Trained.also` is wanted


class Trained(NamedTuple):
    """A lane after a job."""

    lane: Lane  # on the host
    curves: Curves  # of the epochs of this job
    status: Literal["running", "stopped", "diverged"]
    score: float | None  # validation score so far, of the epoch that counts
    best_epoch: int
    epochs: int
    block: np.ndarray | None  # [G] of a lane that ended with a score: see `population.pseudo_values`
    seconds: float  # from when it was taken up to when it was done
    also: np.ndarray | None = None  # [M] scores by further metrics, of the epoch that counts


#: A job, and what it will bring.
Asked = tuple[Job, Future[Trained]]


class Engine:
    """Trains the lanes of a study in compiled programs. Any thread may submit.

    prepare   the prepared data of a variant; asked once for each
    capacity  epochs of the longest job
    seed      of the study: the order of the rows and the dropped units
    lanes     that an accelerator's populations have at least, a power of two: what a study decides by its
              own numbers, so that lanes come out the same however they are gathered
    also      metrics by which lanes are scored beside the one that judges them
    clock     that launches of populations are timed by

    An accelerator's memory and the time of its steps decide how many more than `lanes` train at once, see
    `LaneRates`: of those, rounding alone. On a CPU nothing is timed.
    """

    def __init__(
        self,
        prepare: Callable[[Any], Fold],
        *,
        capacity: int,
        seed: int,
        lanes: int = 1,
        also: tuple[str, ...] = (),
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.meshes = population.meshes_of_host()
        self.turns = population.in_turn(self.meshes[0])
        self.threads = cores() if self.turns else 1
        self.lanes = lanes
        self._also = also
        self._most = 1 << 20  # that fit, as far as is known
        self._clock = clock
        self._classes: dict[tuple[Recipe, Hashable], str] = {}  # for which `_rates` holds
        kind = self.meshes[0].devices.flat[0].device_kind
        self._rates = None if self.turns else LaneRates(kind, folder_of_programs())
        self._programs = Programs()
        self._templates: dict[Recipe, Lane] = {}
        self._prepare = prepare
        self._capacity = capacity
        self._seed = seed
        self._lock = threading.Lock()
        self._folds: dict[tuple[Hashable, int], Fold] = {}
        self._foreseen: set[tuple[Hashable, ...]] = set()
        self._trains: dict[tuple[Recipe, Hashable], Future[Any]] = {}  # programs, as they are asked for
        self._pool = ThreadPoolExecutor(self.threads, "train")
        self._mine = threading.local()  # on which of the meshes a thread trains
        self._turn = itertools.count()
        self._waiting: queue.SimpleQueue[list[Asked]] = queue.SimpleQueue()

    @property
    def programs(self) -> int:
        """How many training programs were compiled, for each device that has its own."""
        return -(-self._programs.count("advance") // len(self.meshes))

    @property
    def seconds(self) -> dict[str, float]:
        """Wall-clock seconds of training, and of compiling while nothing trained: see `Programs`."""
        return self._programs.seconds

    @property
    def described(self) -> str:
        """What it trains on, in words."""
        if self.turns:
            return f"{self.threads} cpu devices"
        return f"{self.meshes[0].size} {self.meshes[0].devices.flat[0].platform} devices"

    # ── what is asked for ──

    def foresee(self, recipe: Recipe, variant: Hashable, hyper: Hyperparameters) -> None:
        """Begin to compile what a job of this recipe will need, beside whatever else goes on."""
        self._programs_of(recipe, variant, hyper)

    def foresee_blocks(self, recipe: Recipe, variant: Hashable, hyper: Hyperparameters) -> None:
        """Begin to compile what `pseudo_values`, and scores by further metrics, of such lanes will need."""
        if self._is_foreseen("blocks", recipe, variant):
            return
        block = self._blocks(self.fold(variant))
        for mesh in self.meshes:
            shapes = self._shapes(recipe, hyper, mesh)
            self._programs.foresee(
                "rows", *_judging(recipe, mesh, block), (*shapes, self.fold(variant, mesh), block)
            )
            if self._also:
                static = recipe, mesh, self._also
                self._programs.foresee("rows", population.scores, static, (*shapes, self.fold(variant, mesh)))

    def submit(self, job: Job) -> Future[Trained]:
        """Train a lane as soon as its program is there and a core is free.

        A population that does not fit into an accelerator's memory is halved until it does. The future raises
        WorkbenchError if a single lane is too much.
        """
        (done,) = self._submit([job])
        return done

    def run_many(self, jobs: Sequence[Job]) -> list[Trained]:
        """Train lanes on all cores, or side by side, and wait for them."""
        futures = [self.submit(job) for job in jobs] if self.turns else self._submit(jobs)
        try:
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()  # of those that are left if one failed, or the user lost patience

    def pseudo_values(
        self, recipe: Recipe, variant: Hashable, hypers: Sequence[Hyperparameters], lanes: Sequence[Lane]
    ) -> np.ndarray:
        """What blocks of validation rows say of the lanes' scores, [lanes, G].

        The blocks are the same for all lanes.
        """
        mesh = self._mesh()
        fold = self.fold(variant, mesh)
        block = self._blocks(fold)
        return self._of_lanes(*_judging(recipe, mesh, block), hypers, lanes, fold, block)

    def _of_lanes(
        self, function: Any, static: tuple[Any, ...], hypers: Sequence[Hyperparameters],
        lanes: Sequence[Lane], *rows: Any,
    ) -> np.ndarray:  # fmt: skip
        """What a function says of each lane and rows, [lanes, …]."""
        places = self._places([0] * len(lanes))
        stacked = population.stack(hypers, places), population.stack(lanes, places)
        values = self._programs.call("rows", function, static, (*stacked, *rows))
        return np.stack(population.unstack(values, places))

    def outputs(
        self, recipe: Recipe, variant: Hashable, hyper: Hyperparameters, params: Any, x: np.ndarray
    ) -> np.ndarray:
        """[N, *F] -> [N, K] of one model in evaluation mode; regression in the units of the data."""
        fold = self.fold(variant)
        out = self._programs.call("outputs", _outputs, (recipe,), (hyper, params, jnp.asarray(x)))
        if vocabulary.METRICS[recipe.metric].task != "regression":
            return np.asarray(out)
        return np.asarray(to_data(out, fold, jnp))

    def template(self, recipe: Recipe, hyper: Hyperparameters) -> Lane:
        """The shapes and types of a lane of this recipe, which decides those of `hyper` as well."""
        if recipe not in self._templates:
            self._templates[recipe] = jax.eval_shape(
                lambda h: trainer.start(recipe, h, jax.random.key(0)), hyper
            )
        return self._templates[recipe]

    def fold(self, variant: Hashable, mesh: Any = None) -> Fold:
        """The prepared data of a variant, on the devices; those of a CPU all read the same memory."""
        at = 0 if mesh is None else self.meshes.index(mesh)
        with self._lock:
            if (variant, at) not in self._folds:
                known = self._folds.get((variant, 0))
                rows = self._prepare(variant) if known is None else jax.tree.map(np.asarray, known)
                self._folds[variant, at] = population.place(self.meshes[at], rows)
            return self._folds[variant, at]

    # ── how it is done ──

    def _submit(self, jobs: Sequence[Job]) -> list[Future[Trained]]:
        """Train jobs; those of one program together from the start, where lanes train side by side."""
        asked: list[Asked] = [(job, Future()) for job in jobs]
        parts: dict[Future[Any], list[Asked]] = {}
        for job, done in asked:
            parts.setdefault(self._programs_of(job.recipe, job.variant, job.hyper), []).append((job, done))
        for program, part in parts.items():
            program.add_done_callback(partial(self._enqueue, part))
        return [done for _, done in asked]

    def _enqueue(self, part: list[Asked], _: Future[Any]) -> None:
        if self.turns:
            self._pool.submit(self._settle, part)  # a lane of its own, on a core of its own
        else:
            self._waiting.put(part)
            self._pool.submit(self._gather)

    def _gather(self) -> None:
        """All that waits, those that want the same together."""
        groups: dict[Hashable, list[Asked]] = {}
        while not self._waiting.empty():
            for job, done in self._waiting.get():
                alike = job.recipe, job.variant, job.first, job.last, job.lane is None, job.seed, job.blocks
                groups.setdefault(alike, []).append((job, done))
        for group in groups.values():
            while group:  # each population may tell how large the next one had better be
                room = self._room(group[0][0])
                self._settle(group[:room])
                group = group[room:]

    def _settle(self, group: Sequence[Asked]) -> None:
        wanted = [(job, done) for job, done in group if done.set_running_or_notify_cancel()]
        if not wanted:
            return
        try:
            trained = self._train([job for job, _ in wanted])
        except BaseException as error:
            for _, done in wanted:
                done.set_exception(error)
        else:
            for (_, done), one in zip(wanted, trained, strict=True):
                done.set_result(one)

    def _train(self, jobs: Sequence[Job]) -> list[Trained]:
        """Train jobs that are alike in all but the lane, together."""
        try:
            return self._together(jobs)
        except jax.errors.JaxRuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            room = len(self._places([0] * len(jobs))) // 2
            if room < self.meshes[0].size:
                raise WorkbenchError(
                    f"a single {jobs[0].recipe.family} does not fit into the memory of "
                    f"{self.meshes[0].devices.flat[0].device_kind}; lower the upper end of width or depth, "
                    "or batch_size"
                ) from error
        self._most, self.lanes = room, min(self.lanes, room)
        parts = [jobs[at : at + room] for at in range(0, len(jobs), room)]
        return [trained for part in parts for trained in self._train(part)]

    def _together(self, jobs: Sequence[Job]) -> list[Trained]:
        began, job = time.perf_counter(), jobs[0]
        recipe, hypers = job.recipe, [one.hyper for one in jobs]
        lanes = [one.lane for one in jobs]
        if job.first and None in lanes:  # lost ones
            lanes = [lane for lane, _ in self._advance(job, hypers, None, 0, job.first)]
        pairs = self._advance(job, hypers, lanes, job.first, job.last)
        status = [STATUS[int(lane.status)] for lane, _ in pairs]
        ended = [
            i
            for i, (lane, _) in enumerate(pairs)
            if not np.isnan(lane.best_score) and _wants_block(job.blocks, status[i])
        ]
        blocks: dict[int, np.ndarray] = {}
        if ended:
            values = self.pseudo_values(
                recipe, job.variant, [hypers[i] for i in ended], [pairs[i][0] for i in ended]
            )
            blocks = dict(zip(ended, values, strict=True))
        also: Sequence[np.ndarray | None] = [None] * len(pairs)
        if job.also and self._also:
            mesh = self._mesh()
            static, rows = (recipe, mesh, self._also), self.fold(job.variant, mesh)
            also = [*self._of_lanes(population.scores, static, hypers, [lane for lane, _ in pairs], rows)]
        seconds = time.perf_counter() - began
        return [
            _trained(lane, record, job.first, blocks.get(i), seconds)._replace(also=also[i])
            for i, (lane, record) in enumerate(pairs)
        ]

    def _advance(
        self, job: Job, hypers: Sequence[Hyperparameters], lanes: Sequence[Any] | None, first: int, last: int
    ) -> list[tuple[Lane, trainer.Epoch]]:
        """The lanes and the records of their epochs."""
        mesh, recipe = self._mesh(), job.recipe
        places = self._places([int(hyper.depth) for hyper in hypers])
        fold, key = self.fold(job.variant, mesh), jax.random.key(self._seed if job.seed is None else job.seed)
        hyper = population.stack(hypers, places)
        if lanes is None or None in lanes:
            stacked = self._programs.call("start", population.start, (recipe, mesh), (hyper, key))
        else:
            stacked = population.stack(lanes, places)
        if len(places) > len(hypers):
            stacked = population.rest(stacked, places)
        span = np.int32(first), np.int32(last - first)
        began = 0.0 if self._rates is None else self._clock()
        after, record = self._programs.call(
            "advance", population.advance, self._static(recipe, mesh), (hyper, stacked, fold, key, *span)
        )
        if self._rates is not None:
            seconds = self._clock() - began
            if (epochs := int(np.max(after.epochs)) - first) > 0:
                self._rates.add(self._class(job), recipe, len(places) // mesh.size, seconds / epochs)
        return list(zip(population.unstack(after, places), population.unstack(record, places), strict=True))

    def _programs_of(self, recipe: Recipe, variant: Hashable, hyper: Hyperparameters) -> Future[Any]:
        """Begin to compile what training needs; the program of the first device."""
        if (recipe, variant) in self._trains:
            return self._trains[recipe, variant]
        key, number = jax.eval_shape(jax.random.key, 0), np.int32(0)
        first: Future[Any] | None = None
        for mesh in self.meshes:
            hypers, lanes = self._shapes(recipe, hyper, mesh)
            self._programs.foresee("start", population.start, (recipe, mesh), (hypers, key))
            program = self._programs.foresee(
                "advance", population.advance, self._static(recipe, mesh),
                (hypers, lanes, self.fold(variant, mesh), key, number, number),
            )  # fmt: skip
            first = first or program
        assert first is not None
        self._trains[recipe, variant] = first
        return first

    def _is_foreseen(self, *what: Hashable) -> bool:
        """Whether this was asked before; from now on it was."""
        known = what in self._foreseen
        self._foreseen.add(what)
        return known

    def _mesh(self) -> Any:
        """On which devices the calling thread trains: threads take turns at them."""
        if not hasattr(self._mine, "mesh"):
            self._mine.mesh = self.meshes[next(self._turn) % len(self.meshes)]
        return self._mine.mesh

    def _shapes(self, recipe: Recipe, hyper: Hyperparameters, mesh: Any) -> tuple[Any, Any]:
        """What stacked hyperparameters and lanes will be."""
        room, lane = len(self._places([0])), self.template(recipe, hyper)
        return population.shapes_of(mesh, room, hyper), population.shapes_of(mesh, room, lane)

    def _places(self, costs: Sequence[float]) -> list[int | None]:
        """Where lanes stand in a population: one alone on a core; else see `population.places`."""
        if self.turns and len(costs) == 1:
            return [0]
        size = self.meshes[0].size
        share = population.power_of_two(-(-max(self.lanes, len(costs)) // size))
        return population.places(costs, share * size, size)

    def _room(self, job: Job) -> int:
        """Lanes that an accelerator trains at once.

        So many as a study wants; or more, as its memory holds them and a step of them takes no longer.
        """
        assert self._rates is not None
        lane, most = self.template(job.recipe, job.hyper), self._rates.room(self._class(job))
        return min(self._most, max(self.lanes, population.room_of(self.meshes[0], lane, most)))

    def _class(self, job: Job) -> str:
        """What a job costs, by the shapes of its network and its data."""
        known = job.recipe, job.variant
        if known not in self._classes:
            lane = self.template(job.recipe, job.hyper)
            self._classes[known] = shape_class(job.recipe, lane, self.fold(job.variant))
        return self._classes[known]

    def _blocks(self, fold: Fold) -> np.ndarray:
        """The block of each validation row, int32 [N]."""
        rows = len(fold.validation.y)
        shuffled = np.random.default_rng(self._seed).permutation(rows).astype(np.int32)
        return shuffled % np.int32(min(rows, BLOCKS))

    def _static(self, recipe: Recipe, mesh: Any) -> tuple[Any, ...]:
        return recipe, mesh, self._capacity, self.turns


def _wants_block(when: str, status: str) -> bool:
    return when != "never" and (status == "stopped" or (when == "ended" and status == "running"))


def _judging(recipe: Recipe, mesh: Any, block: np.ndarray) -> tuple[Any, tuple[Any, ...]]:
    return population.pseudo_values, (recipe, mesh, int(block.max()) + 1)


def _trained(
    lane: Lane, record: trainer.Epoch, first: int, block: np.ndarray | None, seconds: float
) -> Trained:
    count = max(0, int(lane.epochs) - first)  # a lane that had stopped before trained nothing
    score = float(lane.best_score)
    return Trained(
        lane=lane,
        curves=Curves(*(np.array(field[:count]) for field in record)),
        status=STATUS[int(lane.status)],
        score=None if np.isnan(score) else score,
        best_epoch=int(lane.best_epoch),
        epochs=int(lane.epochs),
        block=block,
        seconds=seconds,
    )


_outputs: Any = jax.jit(scoring.outputs, static_argnames=("recipe",))
