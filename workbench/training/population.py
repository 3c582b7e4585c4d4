"""Many lanes in one compiled program, sharded over the devices of this host.

The lane axis P is mapped here and nowhere else. A program is known by its recipe, the number of lanes and
the shapes of the data; everything else is traced. Lanes never talk to each other: a lane's result does not
depend on its neighbours, their order, or on padding, up to rounding, and not at all in the same program on
one kind of device.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from workbench.core.cores import cores
from workbench.core.types import Fold
from workbench.nn import optimizers, prng
from workbench.nn.recipe import Hyperparameters, Recipe
from workbench.training import batching, devices, scoring, trainer
from workbench.training.trainer import Epoch, Lane

LANES = "lanes"
#: Bytes from which on a CPU's device reads an array of NumPy's where it lies, instead of copying it.
ALIGNED = 64
#: Of an accelerator's free memory, what lanes may take; and how often a lane's own size each needs: its
#: gradients, what the step before it held, and the outputs of its layers.
MEMORY_SHARE, COPIES = 0.7, 6


def meshes_of_host() -> tuple[Mesh, ...]:
    """The devices that train one program each, along the axis `lanes`.

    Accelerators share a population. A CPU is one device, or one for every `devices.IN_FLIGHT` of its cores.
    """
    local = jax.local_devices()
    if local[0].platform != "cpu":
        return (Mesh(np.array(local), (LANES,)),)
    needed = -(-cores() // devices.IN_FLIGHT)
    return tuple(Mesh(np.array([device]), (LANES,)) for device in local[:needed])


def mesh_of_host() -> Mesh:
    """The first of `meshes_of_host`."""
    return meshes_of_host()[0]


def place(mesh: Mesh, fold: Fold) -> Fold:
    """The data on every device, once for all lanes; on a CPU, where they lie in the host's memory."""
    if in_turn(mesh):
        fold = jax.tree.map(_aligned, fold)
    return jax.device_put(fold, NamedSharding(mesh, PartitionSpec()))


def _aligned(array: Any) -> np.ndarray:
    """The array, copied if a device could not read it where it lies."""
    array = np.ascontiguousarray(array)
    if array.ctypes.data % ALIGNED == 0:
        return array
    room = np.empty(array.nbytes + ALIGNED, np.uint8)
    start = -room.ctypes.data % ALIGNED
    copy: np.ndarray = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def power_of_two(count: int) -> int:
    """The least power of two that is no less: populations are of few sizes, so few programs are compiled."""
    return 1 << (count - 1).bit_length()


def room_of(mesh: Mesh, lane: Any, most: int) -> int:
    """Lanes like this one that the devices train side by side, on each a power of two.

    As many as their memory holds, and `most` a device.
    """
    size = COPIES * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(lane))
    found = most
    for device in mesh.devices.flat:
        memory = device.memory_stats() or {}
        if "bytes_limit" in memory:
            free = MEMORY_SHARE * (memory["bytes_limit"] - memory.get("bytes_in_use", 0))
            found = min(found, max(1, int(free / size)))
    return mesh.size * (power_of_two(found + 1) // 2)


def in_turn(mesh: Mesh) -> bool:
    """Whether the lanes of a device train one after the other.

    On a CPU they do: side by side, the weights of several lanes push each other out of a core's cache, which
    costs up to half of the speed at 256 units and gains a fifth at 8. An accelerator wants them side by side.
    """
    return bool(mesh.devices.flat[0].platform == "cpu")


def places(costs: Sequence[float], width: int, devices: int) -> list[int | None]:
    """Which lane stands in each of `width` places, so that every device has about the same to do.

    Lanes are dealt from the dearest to the cheapest, back and forth over the devices. None is an empty place.
    """
    if not 0 < len(costs) <= width:
        raise ValueError(f"{len(costs)} lanes do not fit a population of {width}")
    share = width // devices
    hands: list[list[int]] = [[] for _ in range(devices)]
    for i, lane in enumerate(sorted(range(len(costs)), key=lambda lane: (-costs[lane], lane))):
        turn, seat = divmod(i, devices)
        hands[devices - 1 - seat if turn % 2 else seat].append(lane)
    return [lane for hand in hands for lane in (*hand, *[None] * (share - len(hand)))]


def stack(lanes: Sequence[Any], places: Sequence[int | None]) -> Any:
    """Single lanes (hyperparameters or states) as one pytree with a leading axis P, the number of places.

    An empty place repeats the first lane.
    """
    full = [lanes[place or 0] for place in places]
    return jax.tree.map(lambda *leaves: np.stack([np.asarray(leaf) for leaf in leaves]), *full)


def rest(lanes: Lane, places: Sequence[int | None]) -> Lane:
    """Stacked lanes, of which those in empty places have nothing to do."""
    empty = np.array([place is None for place in places])
    status: Any = np.where(empty, np.int32(trainer.STOPPED), np.asarray(lanes.status))
    return lanes._replace(status=status)


def unstack(stacked: Any, places: Sequence[int | None]) -> list[Any]:
    """The lanes as they were given to `stack`, on the host, one pytree each."""
    host = jax.tree.map(np.asarray, stacked)
    order = sorted((lane, p) for p, lane in enumerate(places) if lane is not None)
    return [jax.tree.map(lambda leaf, p=p: leaf[p], host) for _, p in order]


def shapes_of(mesh: Mesh, width: int, lane: Any) -> Any:
    """What `width` stacked lanes like this one will be: shapes, types and devices, no values."""
    split = NamedSharding(mesh, PartitionSpec(LANES))
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((width, *leaf.shape), leaf.dtype, sharding=split), lane
    )


@partial(jax.jit, static_argnames=("recipe", "mesh"))
def start(recipe: Recipe, mesh: Mesh, hyper: Hyperparameters, key: jax.Array) -> Lane:
    """Lanes before their first epoch; `hyper` is stacked [P], `key` the study's."""
    return _sharded(mesh, lambda h: jax.vmap(lambda one: trainer.start(recipe, one, key))(h), 1, 0)(hyper)


@partial(jax.jit, static_argnames=("recipe", "mesh", "capacity", "turns"), donate_argnames=("lanes",))
def advance(
    recipe: Recipe,
    mesh: Mesh,
    capacity: int,
    turns: bool,
    hyper: Hyperparameters,
    lanes: Lane,
    fold: Fold,
    key: jax.Array,
    first: jax.Array,
    count: jax.Array,
) -> tuple[Lane, Epoch]:
    """Train all lanes for `count` epochs, the first of which has `first` epochs behind it.

    A device whose lanes have all stopped rests.

    capacity      room for epochs in the record, at least `count`; static, so that rungs of any length share
                  one program
    turns         lanes of a device take turns instead of training side by side: see `batching.in_turn`
    hyper, lanes  stacked [P]
    key           all that is drawn, such as the order of the rows, is a function of it and of the epoch alone

    Returns the lanes and the record, each field [P, capacity], NaN where nothing was trained.
    """
    over_lanes = batching.in_turn if turns else batching.side_by_side

    def run(
        hyper: Hyperparameters, lanes: Lane, fold: Fold, key: jax.Array, first: jax.Array, count: jax.Array
    ) -> Any:
        n_lanes = hyper.depth.shape[0]
        record = Epoch(*(jnp.full((n_lanes, capacity), jnp.nan, jnp.float32) for _ in Epoch._fields))

        def going(carry: tuple[jax.Array, Lane, Epoch]) -> jax.Array:
            i, lanes, _ = carry
            return (i < count) & jnp.any(lanes.status == trainer.RUNNING)

        def one_epoch(carry: tuple[jax.Array, Lane, Epoch]) -> tuple[jax.Array, Lane, Epoch]:
            i, lanes, record = carry
            number = first + i
            key_epoch = prng.key_of(key, ~number)  # the numbers from 0 on are the lanes' seeds
            key_order, key_units = prng.key_of(key_epoch, jnp.arange(2))
            order = _order(recipe, fold.train.x.shape[0], key_order)
            examples = jnp.arange(order.size).reshape(order.shape)
            keys = prng.key_of(key_units, examples) if recipe.dropout or recipe.augments else None

            lanes, seen = over_lanes(recipe, hyper, lanes, (fold, order, number, keys))
            record = jax.tree.map(lambda all_, new: all_.at[:, i].set(new), record, seen)
            return i + 1, lanes, record

        _, lanes, record = jax.lax.while_loop(going, one_epoch, (jnp.int32(0), lanes, record))
        return lanes, record

    return _sharded(mesh, run, 2, 4)(hyper, lanes, fold, key, first, count)


@partial(jax.jit, static_argnames=("recipe", "mesh", "blocks"))
def pseudo_values(
    recipe: Recipe, mesh: Mesh, blocks: int, hyper: Hyperparameters, lanes: Lane, fold: Fold, block: jax.Array
) -> jax.Array:
    """What blocks of validation rows say of each lane's score, [P, G]; their mean is the score but for bias.

    G score(all rows) - (G - 1) score(without the block), Tukey's jackknife pseudo-values: for a metric that
    is a mean over rows and blocks of one row, the scores of the rows. `block` [N] is the block of each row,
    below `blocks` = G.
    """

    def run(hyper: Hyperparameters, lanes: Lane, fold: Fold, block: jax.Array) -> jax.Array:
        def one(h: Hyperparameters, lane: Lane) -> jax.Array:
            score = scoring.scorer(recipe, h, best_params(recipe, lane), fold)
            weight = fold.validation.weight
            without = jax.lax.map(lambda g: score(jnp.where(block == g, 0.0, weight)), jnp.arange(blocks))
            return blocks * score(weight) - (blocks - 1) * without

        return jax.vmap(one)(hyper, lanes)

    return _sharded(mesh, run, 2, 2)(hyper, lanes, fold, block)


@partial(jax.jit, static_argnames=("recipe", "mesh", "metrics"))
def scores(
    recipe: Recipe, mesh: Mesh, metrics: tuple[str, ...], hyper: Hyperparameters, lanes: Lane, fold: Fold
) -> jax.Array:
    """The validation scores of each lane by further metrics, [P, M], at the epoch that counts."""

    def run(hyper: Hyperparameters, lanes: Lane, fold: Fold) -> jax.Array:
        def one(h: Hyperparameters, lane: Lane) -> jax.Array:
            return scoring.scores(recipe, h, best_params(recipe, lane), fold, metrics)

        return jax.vmap(one)(hyper, lanes)

    return _sharded(mesh, run, 2, 1)(hyper, lanes, fold)


def best_params(recipe: Recipe, lane: Lane) -> Any:
    """The parameters that a lane is judged by."""
    return lane.best if recipe.keep_best else optimizers.judged(recipe, lane.moments, lane.params)


def _order(recipe: Recipe, n_rows: int, key: jax.Array) -> jax.Array:
    """The rows of an epoch, [steps, B]; the last step is filled with N, which stands for no row."""
    steps = -(-n_rows // recipe.batch)
    order = prng.permutation(key, n_rows)
    return jnp.pad(order, (0, steps * recipe.batch - n_rows), constant_values=n_rows).reshape(
        steps, recipe.batch
    )


def _sharded(mesh: Mesh, function: Any, n_split: int, n_shared: int) -> Any:
    """`function` on each device's own lanes: the first arguments are split, the others are shared."""
    return jax.shard_map(
        function,
        mesh=mesh,
        in_specs=(PartitionSpec(LANES),) * n_split + (PartitionSpec(),) * n_shared,
        out_specs=PartitionSpec(LANES),
        check_vma=False,  # nothing is exchanged between devices
    )
