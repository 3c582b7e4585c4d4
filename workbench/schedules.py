"""Learning-rate schedules: factors in [0, 1] that multiply a lane's own rate.

    constant     1
    cosine       (1 + cos π t) / 2, zero at the end
    exponential  100^-t, a hundredth at the end
    plateau      1, divided by ten whenever the training loss has stopped falling

Here t runs from 0, at the end of the warm-up, to 1, after `epochs` epochs, and stays there. A warm-up
multiplies any of them by a straight line from 0 to 1.

Source: *Perceptron to MLP* (divide by ten on a plateau, gradual decay, warm-up); Loshchilov & Hutter,
arXiv:1608.03983 (cosine).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["SCHEDULES", "Plateau", "factor", "plateau_init", "plateau_update"]

#: What `exponential` has come down to at the end.
FINAL = 0.01
#: Epochs without improvement that `plateau` bears before it divides the rate.
PATIENCE = 5
#: Relative fall of the training loss that `plateau` takes for an improvement.
THRESHOLD = 1e-4
#: By how much `plateau` divides the rate.
DIVISOR = 10.0


class Plateau(NamedTuple):
    """What the plateau schedule remembers from one epoch to the next."""

    factor: jax.Array  # float32, 1, 0.1, 0.01, ...
    best: jax.Array  # float32, lowest training loss so far
    wait: jax.Array  # int32, epochs since


def factor(
    names: tuple[str, ...],
    index: jax.Array,
    epoch: jax.Array | float,
    epochs: jax.Array | float,
    warmup: jax.Array | float,
    plateau: Plateau | None = None,
) -> jax.Array:
    """The factor of the learning rate under the schedule `names[index]`, float32 scalar.

    names     keys of SCHEDULES; with one name nothing is selected
    index     int32 scalar, may be traced, as may all that follow
    epoch     epochs done, with the share of the current one that is done
    epochs    length of the schedule
    warmup    epochs of warm-up, 0: none; the factor is 0 at epoch 0 if there is one
    plateau   read by the schedule of that name alone; None: the training loss has not stalled
    """
    epoch, epochs, warmup = (jnp.asarray(value).astype(jnp.float32) for value in (epoch, epochs, warmup))
    stalled: jax.Array = jnp.float32(1.0) if plateau is None else plateau.factor
    progress = jnp.clip((epoch - warmup) / jnp.maximum(epochs - warmup, 1e-6), 0.0, 1.0)
    factors = [SCHEDULES[name](progress, stalled) for name in names]
    value = factors[0] if len(factors) == 1 else jax.lax.select_n(jnp.asarray(index, jnp.int32), *factors)
    warming = (warmup > 0.0) & (epoch < warmup)
    risen = jnp.where(warming, epoch / jnp.where(warming, warmup, 1.0), 1.0)
    return risen * value


def plateau_init() -> Plateau:
    """The state before the first epoch."""
    return Plateau(jnp.float32(1.0), jnp.float32(np.finfo(np.float32).max), jnp.int32(0))


def plateau_update(
    state: Plateau,
    train_loss: jax.Array,
    patience: jax.Array | int = PATIENCE,
    threshold: jax.Array | float = THRESHOLD,
) -> Plateau:
    """The state after an epoch with this training loss.

    The loss has to fall below the best one by `threshold` of its size; when it has not for more than
    `patience` epochs in a row, the factor is divided by ten and the count begins again (the rule of
    torch.optim.lr_scheduler.ReduceLROnPlateau with factor 0.1). NaN is no improvement.
    """
    improved = train_loss < state.best - threshold * jnp.abs(state.best)
    wait = jnp.where(improved, 0, state.wait + 1)
    stalled = wait > patience
    return Plateau(
        factor=jnp.where(stalled, state.factor / DIVISOR, state.factor),
        best=jnp.where(improved, train_loss, state.best),
        wait=jnp.where(stalled, 0, wait),
    )


def _constant(progress: jax.Array, stalled: jax.Array) -> jax.Array:
    del progress, stalled
    return jnp.ones((), jnp.float32)


def _cosine(progress: jax.Array, stalled: jax.Array) -> jax.Array:
    del stalled
    return 0.5 * (1.0 + jnp.cos(jnp.pi * progress))


def _exponential(progress: jax.Array, stalled: jax.Array) -> jax.Array:
    del stalled
    return jnp.power(FINAL, progress)


def _plateau(progress: jax.Array, stalled: jax.Array) -> jax.Array:
    del progress
    return stalled


SCHEDULES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "constant": _constant,
    "cosine": _cosine,
    "exponential": _exponential,
    "plateau": _plateau,
}
