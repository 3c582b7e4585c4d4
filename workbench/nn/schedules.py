"""Learning-rate schedules: factors in [0, 1] that multiply a lane's own rate.

    constant     1
    cosine       from 1 to `final` (0) along half a cosine
    flat_cos     1 for the first half, then as cosine
    coslog4      (1 - cos(2π log2(1 + 15 t))) / 2, four cycles from 0 to 1 and back, each twice the one before
    exponential  final^t, down to `final` (a hundredth)
    polynomial   (1 - t)^power, from 1 to `final` (0); power 1 is a line
    piecewise    1, multiplied by `scales` at `boundaries` (by a tenth after a half and three quarters)
    one_cycle    from 1/div_factor to 1 in the share pct_start of the epochs, then to 1/(div_factor *
                 final_div_factor), each along half a cosine
    plateau      1, divided by ten whenever the training loss has stopped falling

Here t runs from 0, at the end of the warm-up, to 1, after `epochs` epochs, and stays there. A warm-up
multiplies any of them by a straight line from 0 to 1. Several names joined by `-` follow one another, each
over its own part of the epochs: the parts end at `boundaries`, or have equal lengths.

The curves are those of optax.schedules. Where optax wants numbers that are known beforehand and a lane's may
be traced (exponential_decay, cosine_onecycle_schedule, the warm-up), they are written out, and held to optax.

Source: *Perceptron to MLP* (divide by ten on a plateau, gradual decay, warm-up); Loshchilov & Hutter,
arXiv:1608.03983 (cosine); Smith & Topin, arXiv:1708.07120 (one cycle); Holzmüller, Grinsztajn & Steinwart,
arXiv:2407.04491 (coslog4, flat_cos).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from workbench.core.vocabulary import JOIN
from workbench.nn.recipe import Hyperparameters, Recipe

#: What `exponential` comes down to at the end if nothing else is said.
FINAL = 0.01
#: Where `piecewise` divides the rate if nothing else is said, as shares of the epochs, and by how much.
SHARES, SCALE = (0.5, 0.75), 0.1
#: Epochs without improvement that `plateau` bears before it divides the rate.
PATIENCE = 5
#: Relative fall of the training loss that `plateau` takes for an improvement.
THRESHOLD = 1e-4
#: Parts of an epoch in which factors are summed.
PARTS = 16
#: By how much `plateau` divides the rate.
DIVISOR = 10.0


class Plateau(NamedTuple):
    """What the plateau schedule remembers from one epoch to the next."""

    factor: jax.Array  # float32, 1, 0.1, 0.01, ...
    best: jax.Array  # float32, lowest training loss so far
    wait: jax.Array  # int32, epochs since


class Curve(NamedTuple):
    """The numbers of a schedule, float32 scalars that may be traced; see `Hyperparameters`."""

    final: jax.Array | float = -1.0
    power: jax.Array | float = 1.0
    pct_start: jax.Array | float = 0.3
    div_factor: jax.Array | float = 25.0
    final_div_factor: jax.Array | float = 1e4
    stalled: jax.Array | float = 1.0  # the factor of `plateau`

    def falls_to(self, usual: float) -> jax.Array:
        """The share of the rate at the end: `final`, or the schedule's usual one."""
        final = jnp.asarray(self.final, jnp.float32)
        return jnp.where(final < 0.0, usual, final)


def factor_of(
    recipe: Recipe, hyper: Hyperparameters, epoch: jax.Array | float, plateau: Plateau | None = None
) -> jax.Array:
    """The factor of a lane's learning rate after `epoch` epochs: see `factor`."""
    return factor(
        recipe.schedules,
        hyper.schedule,
        epoch,
        hyper.epochs.astype(jnp.float32),
        hyper.warmup,
        plateau,
        Curve(*(getattr(hyper, name) for name in Curve._fields if name != "stalled")),
        recipe.boundaries,
        recipe.scales,
    )


def shortened(recipe: Recipe, hyper: Hyperparameters, epochs: int) -> int:
    """How long the whole schedule has to be for the rates of `epochs` epochs of it.

    A lane that stops after `epochs` has had most of its high rates and none of its low ones. A schedule that
    falls all the way in no more epochs moves the weights less; so it gets as many as have the same sum of
    factors, which for `cosine` is up to twice as many. `constant`, and `plateau`, which falls when the loss
    says so, get no more.

    Returns no less than `epochs` and no more than `hyper.epochs`.
    """
    whole = int(hyper.epochs)
    middles = (np.arange(PARTS * whole, dtype=np.float32) + np.float32(0.5)) / np.float32(PARTS)
    factors = np.asarray(jax.vmap(lambda epoch: factor_of(recipe, hyper, epoch))(middles), np.float64)
    share = factors[: PARTS * epochs].sum() / factors.sum()
    return min(whole, max(epochs, round(whole * float(share))))


def factor(
    names: tuple[str, ...],
    index: jax.Array,
    epoch: jax.Array | float,
    epochs: jax.Array | float,
    warmup: jax.Array | float,
    plateau: Plateau | None = None,
    curve: Curve | None = None,
    boundaries: tuple[float, ...] = (),
    scales: tuple[float, ...] = (),
) -> jax.Array:
    """The factor of the learning rate under the schedule `names[index]`, float32 scalar.

    names       keys of SCHEDULES, or several joined by `-`; with one name nothing is selected
    index       int32 scalar, may be traced, as may all that follow up to `boundaries`
    epoch       epochs done, with the share of the current one that is done
    epochs      length of the schedule
    warmup      epochs of warm-up, 0: none; the factor is 0 at epoch 0 if there is one
    plateau     read by the schedule of that name alone; None: the training loss has not stalled
    boundaries  epochs at which the parts of a joined schedule end, or `piecewise` multiplies by `scales`
    """
    epoch, epochs, warmup = (jnp.asarray(value).astype(jnp.float32) for value in (epoch, epochs, warmup))
    curve = curve or Curve()
    if plateau is not None:
        curve = curve._replace(stalled=plateau.factor)

    whole = partial(_whole, curve=curve, boundaries=boundaries, scales=scales)
    factors = [whole(name, epoch, epochs, warmup) for name in names]
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


def _whole(
    name: str,
    epoch: jax.Array,
    epochs: jax.Array,
    warmup: jax.Array,
    *,
    curve: Curve,
    boundaries: tuple[float, ...],
    scales: tuple[float, ...],
) -> jax.Array:
    """A schedule, or several joined, from the end of the warm-up to the end of the epochs."""
    if name == "piecewise" and boundaries:
        steps = dict(zip(boundaries, scales or (SCALE,) * len(boundaries), strict=True))
        return jnp.asarray(_steps(steps)(epoch))
    parts = name.split(JOIN)
    equal = (epochs - warmup) / len(parts)
    ends = [end - warmup for end in boundaries] or [equal * i for i in range(1, len(parts))]
    starts = [jnp.zeros_like(warmup), *ends][: len(parts)]
    lengths = [end - start for start, end in zip(starts, [*starts[1:], epochs - warmup], strict=True)]
    made = [_over(length, SCHEDULES[part](curve)) for part, length in zip(parts, lengths, strict=True)]
    return jnp.asarray(optax.join_schedules(made, starts[1:])(epoch - warmup))


def _over(length: jax.Array, schedule: optax.Schedule) -> optax.Schedule:
    """A schedule of t in [0, 1] as one of the epochs since it began."""
    return lambda count: schedule(jnp.clip(count / jnp.maximum(length, 1e-6), 0.0, 1.0))


def _constant(curve: Curve) -> optax.Schedule:
    del curve
    return lambda t: jnp.ones((), jnp.float32)


def _cosine(curve: Curve) -> optax.Schedule:
    schedule: optax.Schedule = optax.cosine_decay_schedule(1.0, 1, alpha=curve.falls_to(0.0))
    return schedule


def _flat_cos(curve: Curve) -> optax.Schedule:
    cosine = _cosine(curve)
    return lambda t: cosine(jnp.maximum(2.0 * t - 1.0, 0.0))


def _coslog4(curve: Curve) -> optax.Schedule:
    del curve
    return lambda t: 0.5 - 0.5 * jnp.cos(2.0 * jnp.pi * jnp.log2(1.0 + 15.0 * t))


def _exponential(curve: Curve) -> optax.Schedule:
    return lambda t: jnp.power(curve.falls_to(FINAL), t)


def _polynomial(curve: Curve) -> optax.Schedule:
    schedule: optax.Schedule = optax.polynomial_schedule(1.0, curve.falls_to(0.0), curve.power, 1)
    return schedule


def _one_cycle(curve: Curve) -> optax.Schedule:
    """As optax.cosine_onecycle_schedule, whose peak may stand between two steps here."""
    low = 1.0 / curve.div_factor
    last = low / curve.final_div_factor

    def schedule(t: jax.Array) -> jax.Array:
        rising = t < curve.pct_start
        way = jnp.where(rising, t / curve.pct_start, (t - curve.pct_start) / (1.0 - curve.pct_start))
        start, end = jnp.where(rising, low, 1.0), jnp.where(rising, 1.0, last)
        return end + 0.5 * (start - end) * (1.0 + jnp.cos(jnp.pi * way))

    return schedule


def _piecewise(curve: Curve) -> optax.Schedule:
    del curve
    return _steps(dict.fromkeys(SHARES, SCALE))


def _plateau(curve: Curve) -> optax.Schedule:
    return lambda t: jnp.asarray(curve.stalled, jnp.float32)


def _steps(scales: dict[float, float]) -> optax.Schedule:
    schedule: optax.Schedule = optax.piecewise_constant_schedule(1.0, scales)
    return schedule


#: Name -> curve of the numbers -> factor at t in [0, 1].
SCHEDULES: dict[str, Callable[[Curve], optax.Schedule]] = {
    "constant": _constant,
    "cosine": _cosine,
    "flat_cos": _flat_cos,
    "coslog4": _coslog4,
    "exponential": _exponential,
    "plateau": _plateau,
    "polynomial": _polynomial,
    "piecewise": _piecewise,
    "one_cycle": _one_cycle,
}
