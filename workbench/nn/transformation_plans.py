"""How a transformation of optax enters a program, found by trying it.

An argument that the constructor, or an update, looks at in Python cannot be traced: it is static, a part of
the recipe. Whether lanes may be padded is tried as well. A transformation that looks at whole matrices (a
mean over a row, a spectral norm) would see the zeros beyond a lane's width, and one whose memory does not
start at zero, or that adds noise, would move them: lanes of such a one train in programs of their own size.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from workbench.core.types import Value
from workbench.nn.transformations import Factory, build, factory_of
from workbench.nn.words import reason_of

#: Sizes of the trial network and its room: from 128 on adafactor factors its moments and galore projects.
INPUTS, UNITS, ROOM, OUTPUTS = 129, 5, 136, 3
#: How far a lane may move apart by padding, relative to the longest step and to the largest parameter.
TOLERANCE, ROUNDING = 1e-4, 1e-6


class Plan(NamedTuple):
    """How a transformation enters a program."""

    static: tuple[str, ...]  # arguments that belong to the recipe
    traced: tuple[str, ...]  # arguments that flow through
    exact: bool  # whether it must not be padded


Given = tuple[tuple[str, Value], ...]


def plan(name: str, sample: Mapping[str, Value], values: Mapping[str, Value]) -> Plan:
    """How an optimizer with these arguments enters a program.

    sample  a value of each argument, the same for all trials of a study
    values  those of the trial

    Raises ValueError, with the second half of a sentence, if it cannot train here.
    """
    static = check(name, sample, {})
    fixed = tuple((key, values[key]) for key in static)
    traced = tuple(key for key in sorted(sample) if key not in static)
    numbers = tuple((key, sample[key]) for key in traced)
    return Plan(static, traced, _is_exact(name, factory_of(name), fixed, numbers))


def check(name: str, sample: Mapping[str, Value], values: Mapping[str, Value]) -> tuple[str, ...]:
    """The arguments that cannot be traced, of which some are tried at these `values`.

    Raises ValueError, with the second half of a sentence, if the optimizer cannot train here.
    """
    static = _static(name, factory_of(name), tuple(sorted(sample.items())))
    failed = _failure(name, {**sample, **values}, {}) if values else None
    if failed is not None:
        raise ValueError(failed)
    return static


@lru_cache(maxsize=1024)
def _static(name: str, factory: Factory, sample: Given) -> tuple[str, ...]:
    """The arguments that cannot be traced. Raises ValueError if it fails with none traced.

    factory  stands behind the name: another one may take its place
    """
    failed = _failure(name, dict(sample), {})
    if failed is not None:
        raise ValueError(failed)
    if _failure(name, {}, dict(sample)) is None:
        return ()
    static = tuple(
        key for key, value in sample
        if _failure(name, {k: v for k, v in sample if k != key}, {key: value}) is not None
    )  # fmt: skip
    together = _failure(
        name, {k: v for k, v in sample if k in static}, {k: v for k, v in sample if k not in static}
    )
    return static if together is None else tuple(key for key, _ in sample)


def _failure(name: str, fixed: Mapping[str, Value], traced: Mapping[str, Value]) -> str | None:
    """Why two updates fail with these arguments, as the second half of a sentence; None: they do not."""
    params = jax.tree.map(jnp.asarray, _network(UNITS))

    def steps(rate: jax.Array, values: Mapping[str, jax.Array]) -> tuple[Any, Any, Any]:
        one = build(name, rate, {**fixed, **values})
        before = one.init(params)
        updates, after = one.update(params, before, params)
        return updates, before, after

    numbers = {key: jnp.asarray(value, _type_of(value)) for key, value in traced.items()}
    try:
        updates, before, after = jax.eval_shape(steps, jnp.float32(0.1), numbers)
    except Exception as error:  # whatever a constructor or an update objects to is the answer
        return _sentence(error)
    shapes = [jax.tree.map(lambda leaf: leaf.shape, tree) for tree in (updates, params, before, after)]
    if shapes[0] != shapes[1] or shapes[2] != shapes[3]:
        return "returns updates or a state of another shape than it was given, so it cannot train here"
    if any("ScheduleFree" in type(node).__name__ for node in _nodes(before)):
        return "is judged by other parameters than it trains, which is not done here; choose another"
    return None


@lru_cache(maxsize=1024)
def _is_exact(name: str, factory: Factory, fixed: Given, traced: Given) -> bool:
    """Whether units and layers beyond a lane's own would change how it trains.

    A network and the same one padded with zeros, as lanes are, take three steps; a lane must not move apart,
    its padding must stay zero, and its memory must be that of a network without the padding, layer by layer.
    """
    numbers = {key: jnp.asarray(value, _type_of(value)) for key, value in traced}

    def walk(params: Any, gradients: list[Any]) -> tuple[Any, Any]:
        one = build(name, jnp.float32(0.1), {**dict(fixed), **numbers})
        state = one.init(params)
        for gradient in gradients:
            updates, state = one.update(gradient, state, params)
            params = optax.apply_updates(params, updates)
        return params, state

    small, large = _network(UNITS), _network(ROOM)
    steps = [
        jax.tree.map(lambda g, k=k: (1.0 + k) * np.roll(g, k), _network(UNITS, seed=1)) for k in range(3)
    ]
    alone, memory = jax.jit(walk)(small, steps)
    padded, padded_memory = jax.jit(walk)(_padded(small, large), [_padded(step, large) for step in steps])
    structures = {jax.tree.structure(part) for part in (memory, part_of(padded_memory, large, small))}
    if len(structures) > 1:
        return True

    def is_alike(leaf: jax.Array, own: np.ndarray, before: np.ndarray) -> bool:
        slack = TOLERANCE * np.abs(own - before).max() + ROUNDING * np.abs(own).max()
        return bool(np.all((np.abs(leaf - own) <= slack) & ((own != 0.0) | (leaf == 0.0))))

    alike = jax.tree.map(is_alike, padded, _padded(alone, large), _padded(small, large))
    return not all(jax.tree.leaves(alike))


def part_of(tree: Any, whole: Mapping[str, Any], names: Mapping[str, Any]) -> Any:
    """A tree whose nodes that are dictionaries of the layers in `whole` keep those in `names` alone."""
    layered = _of_layers(whole)
    return jax.tree.map(
        lambda node: {name: node[name] for name in names} if layered(node) else node, tree, is_leaf=layered
    )


def merged(tree: Any, part: Any, whole: Mapping[str, Any], names: Mapping[str, Any]) -> Any:
    """The inverse of `part_of`: what `tree` holds of layers that are not in `names`, and all of `part`."""
    nodes, structure = jax.tree.flatten(tree, is_leaf=_of_layers(whole))
    inner = jax.tree.leaves(part, is_leaf=_of_layers(names))
    both = [{**old, **new} if isinstance(new, dict) else new for old, new in zip(nodes, inner, strict=True)]
    return jax.tree.unflatten(structure, both)


def _of_layers(names: Mapping[str, Any]) -> Callable[[Any], bool]:
    """Whether a node is a dictionary of these layers."""
    return lambda node: isinstance(node, dict) and set(node) == set(names)


def _network(units: int, seed: int = 0) -> dict[str, Any]:
    """Parameters of a perceptron; with more units than UNITS there is a layer more."""
    draw = np.random.default_rng(seed)
    sizes = [INPUTS, units, *([units] if units > UNITS else []), OUTPUTS]
    layers = zip((*(f"hidden_{i:02d}" for i in range(len(sizes) - 2)), "out"), sizes[1:], sizes, strict=False)
    return {
        name: {
            "weight": draw.normal(size=(out, into)).astype(np.float32),
            "bias": draw.normal(size=out).astype(np.float32),
        }
        for name, out, into in layers
    }


def _padded(network: Mapping[str, Any], room: Mapping[str, Any]) -> dict[str, Any]:
    """A network in the room of a larger one: zero beyond its own sizes, and in the layers that it has not."""
    padded: dict[str, Any] = jax.tree.map(np.zeros_like, room)
    for name, layer in network.items():
        for key, leaf in layer.items():
            padded[name][key][tuple(slice(0, n) for n in leaf.shape)] = leaf
    return padded


def _type_of(value: Value) -> Any:
    return np.bool_ if isinstance(value, bool) else np.int32 if isinstance(value, int) else np.float32


def _nodes(tree: Any) -> list[Any]:
    """Every named tuple within a state."""
    found: list[Any] = []

    def look(node: Any) -> bool:
        if isinstance(node, tuple):
            found.append(node)
        return False

    jax.tree.leaves(tree, is_leaf=look)
    return found


def _sentence(error: Exception) -> str:
    """The second half of a sentence about an optimizer that cannot train."""
    reason = reason_of(error)
    if isinstance(error, TypeError) and "keyword" in reason:
        asked = re.findall(r"'(\w+)'", reason)
        if "missing" in reason and asked:
            return f"asks every update for {' and '.join(asked)}, which training here does not hand on"
    return f"cannot train here: {reason}"
