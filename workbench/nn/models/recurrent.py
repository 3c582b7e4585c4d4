"""Recurrent networks over sequences.

    Elman  h_t = tanh(W x_t + U h_{t-1} + b)
    LSTM   i, f, o = sigmoid(W x_t + U h_{t-1} + b),  g = tanh(W x_t + U h_{t-1} + b),  own W, U, b for each
           c_t = f ∘ c_{t-1} + i ∘ g,  h_t = o ∘ tanh(c_t)

The state starts at zero; the biases of f start at one, so that the cell starts by remembering. An affine
output follows. Options of the recipe, static:

    output  "last": [K] from the state after the last step; "each": [T, K], an output for every step
    masked  whether the last feature says of each step that it is there (1) or padding (0), which is how the
            preparation of sequences of unequal lengths leaves them; False if it is not given. Padding leaves
            the state as it was

Where every step has a target, `steps_as_rows` makes rows of the steps for losses and metrics.

Source: *Regression to neural networks*; Elman 1990; Hochreiter & Schmidhuber 1997; Gers et al. 2000 (forget
gate); Jozefowicz et al. 2015 (its bias of one).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from workbench.nn import prng
from workbench.nn.models.base import Model, Params
from workbench.nn.models.layers import OUT_STREAM, dense, in_use, padded
from workbench.nn.recipe import Hyperparameters, Recipe
from workbench.nn.regularizers import drop

#: The order of the LSTM's gates along the first axis of its weights.
INPUT, FORGET, CELL, OUTPUT = range(4)

State = tuple[jax.Array, ...]
#: (U, state, W x_t + b) -> state; its first part is h [H].
Cell = Callable[[jax.Array, State, jax.Array], State]


def steps_as_rows(
    outputs: jax.Array, y: jax.Array, weight: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Every step a row: outputs [N T, K], y [N T] or [N T, K], weight [N T].

    Of outputs [N, T, K], y [N, T] codes or [N, T, K] numbers, weight [N] of the sequences. A step has no
    target where y is a negative code or NaN; it gets weight zero and the target zero.
    """
    there = y >= 0 if jnp.issubdtype(y.dtype, jnp.integer) else ~jnp.isnan(y)
    counted = there if y.ndim == 2 else there.all(axis=-1)
    rows = jnp.where(counted, weight[:, None], 0.0)
    y = jnp.where(there, y, jnp.zeros_like(y))
    return outputs.reshape(-1, outputs.shape[-1]), y.reshape(-1, *y.shape[2:]), rows.ravel()


def _elman(recurrent: jax.Array, state: State, drive: jax.Array) -> State:
    return (jnp.tanh(drive + recurrent @ state[0]),)


def _lstm(recurrent: jax.Array, state: State, drive: jax.Array) -> State:
    h, c = state
    width = h.shape[0]
    z = drive + (recurrent.reshape(4 * width, width) @ h).reshape(4, width)
    i, f, o = (jax.nn.sigmoid(z[gate]) for gate in (INPUT, FORGET, OUTPUT))
    c = f * c + i * jnp.tanh(z[CELL])
    return o * jnp.tanh(c), c


def _model(cell: Cell, gates: tuple[int, ...], parts: int, forget: bool) -> Model:
    """A model around a cell: leading axes of its weights, arrays in its state, whether it can forget."""

    def init(recipe: Recipe, hyper: Hyperparameters, *, key: jax.Array) -> Params:
        """Layers cell (weight_input [(4,) H, F], weight_recurrent [(4,) H, H], bias [(4,) H]) and out."""
        room, width, features = recipe.width, hyper.width, _features(recipe.inputs, _masked(recipe))
        key_input, key_recurrent, key_out = (prng.key_of(key, i) for i in (0, 1, OUT_STREAM))
        bias = jnp.zeros((*gates, room), jnp.float32)
        if forget:
            bias = bias.at[FORGET].set(jnp.where(in_use(recipe, hyper), jnp.float32(1.0), 0.0))
        shape, used = (*gates, room, features), (*gates, width, features)
        square, inner = (*gates, room, room), (*gates, width, width)
        return {
            "cell": {
                "weight_input": padded(recipe, hyper, shape, used, features, width, key=key_input),
                "weight_recurrent": padded(recipe, hyper, square, inner, width, width, key=key_recurrent),
                "bias": bias,
            },
            "out": dense(recipe, hyper, (recipe.outputs, recipe.outputs), (room, width), key=key_out),
        }

    def apply(
        recipe: Recipe, hyper: Hyperparameters, params: Params, x: jax.Array, *, key: jax.Array | None = None
    ) -> jax.Array:
        """Outputs [K] or [T, K] of x [T, F]. `key` draws the dropped units, the same ones at every step."""
        active, weights, each = in_use(recipe, hyper), params["cell"], recipe.option("output") == "each"
        masked = _masked(recipe)
        steps = x[:, :-1] if masked else x
        drive = jnp.tensordot(steps, weights["weight_input"], axes=(1, -1)) + weights["bias"][None]

        def step(state: State, inputs: tuple[jax.Array, jax.Array]) -> tuple[State, jax.Array | None]:
            drive, there = inputs
            after = tuple(
                jnp.where(active, part, 0.0) for part in cell(weights["weight_recurrent"], state, drive)
            )
            if masked:
                after = tuple(jnp.where(there > 0.0, new, old) for new, old in zip(after, state, strict=True))
            return after, after[0] if each else None

        start = (jnp.zeros(recipe.width, drive.dtype),) * parts
        state, states = jax.lax.scan(step, start, (drive, x[:, -1]))
        h = states if each else state[0][None]
        if recipe.dropout and key is not None:
            h = jax.vmap(lambda row: drop(row, hyper.dropout, key=key))(h)
        outputs = h @ params["out"]["weight"].T + params["out"]["bias"][None]
        return outputs if each else outputs[0]

    def n_parameters(
        inputs: tuple[int, ...], outputs: int, *, width: int, masked: bool = False, **settings: Any
    ) -> int:
        """G (F + H + 1) H + (H + 1) K with G = 1 or, for the LSTM, 4."""
        del settings
        n_gates = gates[0] if gates else 1
        return n_gates * (_features(inputs, masked) + width + 1) * width + (width + 1) * outputs

    return Model(init, apply, n_parameters)


def _masked(recipe: Recipe) -> bool:
    return bool(dict(recipe.options).get("masked", False))


def _features(inputs: tuple[int, ...], masked: bool) -> int:
    return inputs[1] - 1 if masked else inputs[1]


ELMAN = _model(_elman, (), 1, forget=False)
LSTM = _model(_lstm, (4,), 2, forget=True)
