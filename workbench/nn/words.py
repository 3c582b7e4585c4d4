"""How a user's own word is added: one set of rules for models, losses, metrics, activations and optimizers.

A word is tried before it is added, on shapes alone, so that a function of another kind is told by its name
and not by what a compiler says of it later.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from workbench.core.errors import InputError

_edition = 0


def edition() -> int:
    """How often a word was replaced in this process: what was compiled before is of another one."""
    return _edition


def admit(kind: str, name: object, known: Collection[str], *, replace: bool) -> None:
    """Return if `name` may become a word of this kind, and forget what was compiled for an earlier one.

    Raises InputError for what is no name, or is taken while `replace` is false.
    """
    global _edition
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"{kind} {name!r}: its name must be text such as 'mine'")
    if name in known and not replace:
        raise InputError(f"{kind} {name!r} is known already; choose another name, or say replace=True")
    if name in known:
        _edition += 1
        jax.clear_caches()


def check_callable(kind: str, name: str, function: object, what: str) -> None:
    """Raises InputError for what cannot be called."""
    if not callable(function):
        raise InputError(f"{kind} {name!r}: {function!r} cannot be called; give {what}")


def tried(kind: str, name: str, call: Callable[..., Any], *arguments: Any, how: str) -> Any:
    """The shapes that a function gives for arguments of these shapes; nothing is computed.

    how  it was called, such as "(outputs [3], y, smoothing)"

    Raises InputError, naming the word, if it fails.
    """
    try:
        return jax.eval_shape(call, *arguments)
    except Exception as error:
        raise InputError(f"{kind} {name!r}: fails for {how} ({reason_of(error)}); mend it") from error


def number(shape: tuple[int, ...] = (), dtype: Any = np.float32) -> jax.ShapeDtypeStruct:
    """An argument to try a word with."""
    return jax.ShapeDtypeStruct(shape, dtype)


def described(found: Any) -> str:
    """What a function gave, in words: `float32 [3]`, or the type of what is no array."""
    if isinstance(found, jax.ShapeDtypeStruct):
        return f"{found.dtype} {list(found.shape)}"
    return type(found).__name__


def is_scalar(found: Any) -> bool:
    """Whether a function gave one floating number."""
    return (
        isinstance(found, jax.ShapeDtypeStruct)
        and found.shape == ()
        and bool(jnp.issubdtype(found.dtype, jnp.floating))
    )


def reason_of(error: Exception) -> str:
    """The first sentence of an exception, with its kind."""
    text = str(error).strip().splitlines() or [""]
    first = text[0] if len(text[0]) <= 160 else f"{text[0][:157]}..."
    return f"{type(error).__name__}: {first.rstrip('.')}"
