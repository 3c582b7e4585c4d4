"""Transformations of optax as optimizers: every alias of optax and optax.contrib, and a user's own factories.

An alias is a function whose first argument is `learning_rate` and which returns an
optax.GradientTransformation. Its numbers and truth values are keys of `[optimizer]`; what else it takes keeps
optax's default. A lane's learning rate and arguments reach it traced, so a value compiles nothing. An
argument that the constructor looks at (whether to use Nesterov's form, from which size on to factor) cannot
be traced: it belongs to the recipe, and each of its values is a program of its own. `transformation_plans`
finds out which those are.

Source: https://optax.readthedocs.io; DeepMind et al. 2020, *The DeepMind JAX Ecosystem*.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal, NamedTuple, get_args, get_origin

import jax
import jax.numpy as jnp
import optax
import optax.contrib

from workbench.core import vocabulary
from workbench.core.errors import InputError
from workbench.nn import words
from workbench.nn.words import reason_of

#: (learning_rate, **arguments) -> the transformation.
Factory = Callable[..., optax.GradientTransformation]
#: The keys of `[optimizer]` that are no argument of a transformation.
KEYS = (
    *("name", "learning_rate", "clip", "schedule", "warmup", "final", "power", "boundaries", "scales"),
    *("pct_start", "div_factor", "final_div_factor"),
)
#: The common seven in optax: the alias, and where the common rule has another convention.
COMMON: dict[str, tuple[Factory, dict[str, Any]]] = {
    "sgd": (optax.sgd, {}),
    "momentum": (optax.sgd, {}),
    "nesterov": (optax.sgd, {"nesterov": True}),
    "adagrad": (optax.adagrad, {"initial_accumulator_value": 0.0, "eps": 1e-16}),
    "rmsprop": (optax.rmsprop, {"eps_in_sqrt": False}),
    "adam": (optax.adam, {}),
    "adamw": (optax.adamw, {}),
}
#: Arguments of theirs that are words or settings here.
ELSEWHERE = ("b1", "b2", "momentum", "nesterov", "weight_decay")
_STARRED = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Argument(NamedTuple):
    """An argument that a study file may set."""

    kind: Literal["truth", "whole", "real", "any"]
    required: bool
    default: Any


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
    return tuple(dict.fromkeys((*vocabulary.OPTIMIZERS, *vocabulary.FACTORIES, *_aliases())))


def arguments(name: str) -> dict[str, Argument]:
    """What a study file may set of an optimizer beside the keys that all have."""
    common = vocabulary.is_common(name)
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

    Args:
        name: What `[optimizer] name` says.
        factory: Takes the learning rate first and by that name, then numbers and truth values, which become
            keys of [optimizer]; returns an optax.GradientTransformation. Values arrive traced, float32
            scalars, wherever the factory can bear that.
        replace: Take the place of an optimizer of that name.

    Raises:
        InputError: if the name is taken or the factory is no such function.
    """
    words.check_callable("optimizer", str(name), factory, "a factory of a transformation")
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
        _tryfactory_of(name, factory, any(p.kind is p.VAR_KEYWORD for p in parameters))
    words.admit("optimizer", name, names(), replace=replace)
    vocabulary.FACTORIES[name] = factory


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
    factory, own = factory_of(name), dict(given)
    if vocabulary.is_common(name):
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


def factory_of(name: str) -> Factory:
    """What makes the transformation of this name."""
    if name in vocabulary.FACTORIES:
        factory: Factory = vocabulary.FACTORIES[name]
        return factory
    return COMMON[name][0] if name in COMMON else _aliases()[name]


def _parameters(name: str) -> list[inspect.Parameter]:
    factory = factory_of(name)
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


def _tryfactory_of(name: str, factory: Factory, is_open: bool) -> None:
    """Raises InputError if a factory makes no transformation; one that takes anything may ask for more."""
    try:
        made = factory(0.1)
    except Exception as error:
        if is_open:
            return
        raise InputError(
            f"optimizer {name!r}: its factory fails at learning_rate 0.1 ({reason_of(error)}); mend it"
        ) from error
    if not (callable(getattr(made, "init", None)) and callable(getattr(made, "update", None))):
        raise InputError(
            f"optimizer {name!r}: its factory returned {type(made).__name__}; "
            "return an optax.GradientTransformation, such as optax.chain(...)"
        )
