"""Transformations of optax as optimizers: every alias of optax and optax.contrib, and a user's own factories.

An alias is a function whose first argument is `learning_rate` and which returns an
optax.GradientTransformation. Its numbers and truth values are keys of `[optimizer]`; what else it takes keeps
optax's default. A lane's learning rate and arguments reach it traced, so a value compiles nothing. An
argument that the constructor looks at (whether to use Nesterov's form, from which size on to factor) cannot
be traced: it belongs to the recipe, and each of its values is a program. Which arguments those are is found
by trying, and so is whether a transformation may be padded: one that looks at whole matrices (a mean over a
row, a spectral norm) would see the zeros beyond a lane's width, and one whose memory does not start at zero
may move them, so their lanes train in programs of their own size.

    plan   what of a transformation is static, and whether it needs its own size
    build  the transformation of a lane

Source: https://optax.readthedocs.io; DeepMind et al. 2020, *The DeepMind JAX Ecosystem*.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple, get_args, get_origin

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib

from workbench import words
from workbench.errors import InputError
from workbench.types import Value

__all__ = [
    "Argument",
    "Factory",
    "Plan",
    "arguments",
    "build",
    "merged",
    "names",
    "part_of",
    "plan",
    "register",
    "taken",
]

#: (learning_rate, **arguments) -> the transformation.
Factory = Callable[..., optax.GradientTransformation]
#: The keys of `[optimizer]` that are no argument of a transformation.
KEYS = ("name", "learning_rate", "schedule", "warmup", "clip")
#: Of the common seven in optax: the alias, what is a word or setting of its own here, and other conventions.
COMMON: dict[str, tuple[Factory, dict[str, Any]]] = {
    "sgd": (optax.sgd, {}),
    "momentum": (optax.sgd, {}),
    "nesterov": (optax.sgd, {"nesterov": True}),
    "adagrad": (optax.adagrad, {"initial_accumulator_value": 0.0, "eps": 1e-16}),
    "rmsprop": (optax.rmsprop, {"eps_in_sqrt": False}),
    "adam": (optax.adam, {}),
    "adamw": (optax.adamw, {}),
}
ELSEWHERE = ("b1", "b2", "momentum", "nesterov", "weight_decay")
#: Sizes of the trial network and its room: from 128 on adafactor factors its moments and galore projects.
INPUTS, UNITS, ROOM, OUTPUTS = 129, 5, 136, 3
_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
#: How far a lane may move apart by padding, relative to the longest step and to the largest parameter.
TOLERANCE, ROUNDING = 1e-4, 1e-6


class Argument(NamedTuple):
    """An argument that a study file may set."""

    kind: Literal["truth", "whole", "real", "any"]
    required: bool
    default: Any


class Plan(NamedTuple):
    """How a transformation enters a program."""

    static: tuple[str, ...]  # arguments that belong to the recipe
    traced: tuple[str, ...]  # arguments that flow through
    exact: bool  # whether it must not be padded


@cache
def _aliases() -> dict[str, Factory]:
    """The aliases of optax by name, those of optax.contrib after them."""
    found: dict[str, Factory] = {}
    for module in (optax, optax.contrib):
        for name, value in sorted(vars(module).items()):
            if name.startswith(("_", "scale_by_")) or not inspect.isfunction(value):
                continue
            signature = inspect.signature(value)
            first = next(iter(signature.parameters), None)
            if first == "learning_rate" and "GradientTransformation" in str(signature.return_annotation):
                found.setdefault(name, value)
    return found


def names() -> tuple[str, ...]:
    """Every optimizer: the common seven, those that were registered, the aliases of optax."""
    return tuple(dict.fromkeys((*words.OPTIMIZERS, *words.FACTORIES, *_aliases())))


def arguments(name: str) -> dict[str, Argument]:
    """What a study file may set of an optimizer beside the keys that all have."""
    common = words.is_common(name)
    found: dict[str, Argument] = {}
    for parameter in _parameters(name)[1:]:
        kind = _kind(parameter)
        if kind and not (common and parameter.name in ELSEWHERE):
            found[parameter.name] = Argument(kind, parameter.default is parameter.empty, parameter.default)
    return found


def taken(name: str, given: Iterable[str]) -> tuple[str, ...]:
    """Of the arguments that a study file names, those that this optimizer takes."""
    own = arguments(name)
    is_open = any(parameter.kind is parameter.VAR_KEYWORD for parameter in _parameters(name))
    return tuple(key for key in given if key in own or is_open)


def register(name: str, factory: Factory, *, replace: bool = False) -> None:
    """Add an optimizer under a name that study files may then use.

        register("mine", lambda learning_rate, b1=0.9: optax.chain(
            optax.scale_by_adam(b1=b1), optax.scale_by_learning_rate(learning_rate)))

    `factory` takes the learning rate first and by that name, then numbers and truth values, which become keys
    of [optimizer]; it returns an optax.GradientTransformation. Values arrive traced wherever the factory can
    bear that. `replace` takes the place of an optimizer of that name.

    Raises InputError if the name is taken or the factory is no such function.
    """
    if not isinstance(name, str) or not name:
        raise InputError(f"optimizer {name!r}: its name must be text such as 'mine'")
    if not callable(factory):
        raise InputError(
            f"optimizer {name!r}: {factory!r} cannot be called; give a factory of a transformation"
        )
    if name in names() and not replace:
        raise InputError(f"optimizer {name!r} is known already; choose another name, or say replace=True")
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except ValueError:
        raise InputError(f"optimizer {name!r}: its factory has no signature; wrap it in a function") from None
    if not parameters or parameters[0].name != "learning_rate" or parameters[0].kind in _STARRED:
        shown = ", ".join(str(parameter) for parameter in parameters)
        raise InputError(f"optimizer {name!r}: its factory takes ({shown}); the first must be learning_rate")
    clash = next((p.name for p in parameters[1:] if p.name in KEYS), None)
    if clash:
        raise InputError(
            f"optimizer {name!r}: its argument {clash} is a key that every optimizer has; rename it"
        )
    if all(p.default is not p.empty for p in parameters[1:] if p.kind not in _STARRED):
        _try_factory(name, factory, any(p.kind is p.VAR_KEYWORD for p in parameters))
    words.FACTORIES[name] = factory
    _static.cache_clear()
    _is_exact.cache_clear()


def plan(name: str, sample: Mapping[str, Value], values: Mapping[str, Value]) -> Plan:
    """How an optimizer with these arguments enters a program.

    sample  a value of each argument, the same for all trials of a study
    values  those of the trial

    Raises ValueError, with the second half of a sentence, if it cannot train here.
    """
    static = _static(name, tuple(sorted(sample.items())))
    fixed = tuple((key, values[key]) for key in static)
    traced = tuple(key for key in sorted(sample) if key not in static)
    return Plan(static, traced, _is_exact(name, fixed, tuple((key, sample[key]) for key in traced)))


def build(
    name: str,
    rate: jax.Array,
    given: Mapping[str, Any],
    *,
    momentum: jax.Array | float = 0.9,
    beta2: jax.Array | float = 0.999,
    seed: jax.Array | int = 0,
) -> optax.GradientTransformation:
    """The transformation of this name; everything but the name may be traced.

    Its state has plain arrays alone (random keys as their data), which an update leaves of the same types, so
    that it can be carried through a loop and saved.

    given            arguments; the others are at optax's defaults
    momentum, beta2  of the common seven, whose decoupled weight decay is not in here
    seed             of a transformation that draws; its argument `key` is no key of a study file
    """
    factory, own = _factory(name), dict(given)
    if words.is_common(name):
        own = COMMON[name][1] | own
        if name in ("momentum", "nesterov"):
            own["momentum"] = momentum
        elif name in ("adam", "adamw"):
            own |= {"b1": momentum, "b2": beta2}
        if name == "adamw":
            own["weight_decay"] = 0.0
    if "key" in inspect.signature(factory).parameters:
        own["key"] = jax.random.key(seed)
    with _promotion():
        made = factory(rate, **own)

    def init(params: Any) -> Any:
        with _promotion():
            return jax.tree.map(_plain, made.init(params))

    def update(updates: Any, state: Any, params: Any) -> tuple[Any, Any]:
        with _promotion():
            like = jax.eval_shape(made.init, params)
            updates, after = made.update(updates, jax.tree.map(_as, state, like), params)
            return updates, jax.tree.map(lambda new, old: jnp.asarray(_plain(new), old.dtype), after, state)

    return optax.GradientTransformation(init, update)


@contextmanager
def _promotion() -> Iterator[None]:
    """The promotion of types and ranks that optax is written for, whatever the caller has set."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def _plain(leaf: Any) -> Any:
    """A random key as its data."""
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _as(leaf: Any, like: Any) -> Any:
    """The inverse of `_plain`, where `like` is a random key."""
    return jax.random.wrap_key_data(leaf) if _is_key(like) else leaf


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _factory(name: str) -> Factory:
    if name in words.FACTORIES:
        factory: Factory = words.FACTORIES[name]
        return factory
    return COMMON[name][0] if name in COMMON else _aliases()[name]


def _parameters(name: str) -> list[inspect.Parameter]:
    factory = _factory(name)
    try:
        return list(inspect.signature(factory, eval_str=True).parameters.values())
    except NameError:  # an annotation that only type checkers can read
        return list(inspect.signature(factory).parameters.values())


def _kind(parameter: inspect.Parameter) -> Literal["truth", "whole", "real", "any"] | None:
    """What a study file may write for an argument; None: nothing."""
    default, annotation = parameter.default, parameter.annotation
    types = (annotation, *get_args(annotation))
    if parameter.kind in _STARRED or parameter.name == "key":
        return None
    if isinstance(default, bool) or annotation is bool:
        return "truth"
    if annotation is parameter.empty:
        if default in (None, parameter.empty):
            return "any"
        return "whole" if isinstance(default, int) else "real" if isinstance(default, float) else None
    if isinstance(default, int) and annotation is not float:
        return "whole"  # a count, though optax says ArrayLike
    if isinstance(default, float) or default in (None, parameter.empty):
        is_tree = any(get_origin(one) in (Mapping, Iterable) for one in types)
        return None if is_tree else "real" if float in types else "whole" if int in types else None
    return None


def _try_factory(name: str, factory: Factory, is_open: bool) -> None:
    """Raises InputError if a factory makes no transformation; one that takes anything may ask for more."""
    try:
        made = factory(0.1)
    except Exception as error:
        if is_open:
            return
        raise InputError(
            f"optimizer {name!r}: its factory fails at learning_rate 0.1 ({_reason(error)}); mend it"
        ) from error
    if not (callable(getattr(made, "init", None)) and callable(getattr(made, "update", None))):
        raise InputError(
            f"optimizer {name!r}: its factory returned {type(made).__name__}; "
            "return an optax.GradientTransformation, such as optax.chain(...)"
        )


@lru_cache(maxsize=1024)
def _static(name: str, sample: tuple[tuple[str, Value], ...]) -> tuple[str, ...]:
    """The arguments that cannot be traced. Raises ValueError if none or all being static helps."""
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
def _is_exact(name: str, fixed: tuple[tuple[str, Value], ...], traced: tuple[tuple[str, Value], ...]) -> bool:
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
    reason = _reason(error)
    if isinstance(error, TypeError) and "keyword" in reason:
        asked = re.findall(r"'(\w+)'", reason)
        if "missing" in reason and asked:
            return f"asks every update for {' and '.join(asked)}, which training here does not hand on"
    return f"cannot train here: {reason}"


def _reason(error: Exception) -> str:
    """The first sentence of an exception, with its kind."""
    text = str(error).strip().splitlines() or [""]
    first = text[0] if len(text[0]) <= 160 else f"{text[0][:157]}..."
    return f"{type(error).__name__}: {first.rstrip('.')}"
