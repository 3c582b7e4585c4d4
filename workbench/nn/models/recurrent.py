"""Recurrent networks over sequences.

    Elman  h_t = tanh(W x_t + U h_{t-1} + b)
    LSTM   i, f, o = sigmoid(W x_t + U h_{t-1} + b),  g = tanh(W x_t + U h_{t-1} + b),  own W, U, b for each
           c_t = f ∘ c_{t-1} + i ∘ g,  h_t = o ∘ tanh(c_t)
    GRU    r, z = sigmoid(W x_t + U h_{t-1} + b),  n = tanh(W x_t + b + r ∘ U h_{t-1}),  own W, U, b for each
           h_t = (1 - z) ∘ n + z ∘ h_{t-1}

The state starts at zero; the biases of f start at one, so that the cell starts by remembering. An affine
output follows. Options of the recipe, static:

    output  "last": [K] from the state after the last step; "each": [T, K], an output for every step
    bidirectional  whether a second cell goes from the last step to the first; the output sees the states of
            both after their last steps, or at each. False if it is not given
    masked  whether the last feature says of each step that it is there (1) or padding (0), which is how the
            preparation of sequences of unequal lengths leaves them; False if it is not given. Padding leaves
            the state as it was

Where every step has a target, `steps_as_rows` makes rows of the steps for losses and metrics.

Source: *Regression to neural networks*; Elman 1990; Hochreiter & Schmidhuber 1997; Gers et al. 2000 (forget
gate); Jozefowicz et al. 2015 (its bias of one); Cho et al., arXiv:1406.1078 (GRU, here with the reset gate
after the product, as cuDNN has it); Schuster & Paliwal 1997 (both directions).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from workbench.nn import prng
from workbench.nn.models.base import Model, Params, Work
from workbench.nn.models.layers import OUT_STREAM, in_use, padded
from workbench.nn.recipe import Hyperparameters, Recipe
from workbench.nn.regularizers import drop

#: The order of the LSTM's gates along the first axis of its weights.
INPUT, FORGET, CELL, OUTPUT = range(4)
#: That of the GRU's.
RESET, UPDATE, NEW = range(3)
#: The layers of the cells, the second one where there are two directions.
CELLS = ("cell", "cell_back")

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


def _gru(recurrent: jax.Array, state: State, drive: jax.Array) -> State:
    (h,) = state
    width = h.shape[0]
    inner = (recurrent.reshape(3 * width, width) @ h).reshape(3, width)
    r, z = (jax.nn.sigmoid(drive[gate] + inner[gate]) for gate in (RESET, UPDATE))
    n = jnp.tanh(drive[NEW] + r * inner[NEW])
    return (n + z * (h - n),)


def _model(cell: Cell, gates: tuple[int, ...], parts: int, forget: bool) -> Model:
    """A model around a cell: leading axes of its weights, arrays in its state, whether it can forget."""

    def init(recipe: Recipe, hyper: Hyperparameters, *, key: jax.Array) -> Params:
        """Layers cell (weight_input [(G,) H, F], weight_recurrent [(G,) H, H], bias [(G,) H]) and out.

        With two directions also cell_back, and weight_back [K, H] of out, which sees its state.
        """
        room, width, features = recipe.width, hyper.width, _features(recipe.inputs, _masked(recipe))
        bias, names = jnp.zeros((*gates, room), jnp.float32), CELLS[: 1 + _bidirectional(recipe)]
        if forget:
            bias = bias.at[FORGET].set(jnp.where(in_use(recipe, hyper), jnp.float32(1.0), 0.0))
        shape, used = (*gates, room, features), (*gates, width, features)
        square, inner = (*gates, room, room), (*gates, width, width)
        params = {}
        for i, name in enumerate(names):
            key_input, key_recurrent = (prng.key_of(key, 2 * i + j) for j in (0, 1))
            params[name] = {
                "weight_input": padded(recipe, hyper, shape, used, features, width, key=key_input),
                "weight_recurrent": padded(recipe, hyper, square, inner, width, width, key=key_recurrent),
                "bias": bias,
            }
        out, seen = recipe.outputs, len(names) * width
        keys = (prng.key_of(key, OUT_STREAM + i) for i in range(len(names)))
        weights = [
            padded(recipe, hyper, (out, room), (out, width), seen, out, key=key_out) for key_out in keys
        ]
        params["out"] = {
            **dict(zip(("weight", "weight_back"), weights, strict=False)),
            "bias": jnp.zeros(out, jnp.float32),
        }
        return params

    def states(
        recipe: Recipe, hyper: Hyperparameters, weights: Params, x: jax.Array, *, reverse: bool
    ) -> jax.Array:
        """H of x [T, F]: [T, H] after each step, or [1, H] after the last."""
        active, masked, each = in_use(recipe, hyper), _masked(recipe), recipe.option("output") == "each"
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
        last, of_steps = jax.lax.scan(step, start, (drive, x[:, -1]), reverse=reverse)
        return last[0][None] if of_steps is None else of_steps

    def apply(
        recipe: Recipe, hyper: Hyperparameters, params: Params, x: jax.Array, *, key: jax.Array | None = None
    ) -> jax.Array:
        """Outputs [K] or [T, K] of x [T, F]. `key` draws the dropped units, the same ones at every step."""

        def said(name: str, weight: str, direction: int) -> jax.Array:
            h = states(recipe, hyper, params[name], x, reverse=bool(direction))
            if recipe.dropout and key is not None:
                h = jax.vmap(lambda row: drop(row, hyper.dropout, key=key, stream=direction))(h)
            return h @ params["out"][weight].T

        outputs = said(CELLS[0], "weight", 0) + params["out"]["bias"][None]
        if _bidirectional(recipe):
            outputs = outputs + said(CELLS[1], "weight_back", 1)
        return outputs if recipe.option("output") == "each" else outputs[0]

    def n_parameters(
        inputs: tuple[int, ...],
        outputs: int,
        *,
        width: int,
        masked: bool = False,
        bidirectional: bool = False,
        **settings: Any,
    ) -> int:
        """D G (F + H + 1) H + (D H + 1) K for D directions and G = 1; LSTM 4, GRU 3."""
        del settings
        directions, n_gates = 1 + bidirectional, gates[0] if gates else 1
        cells = n_gates * (_features(inputs, masked) + width + 1) * width
        return directions * cells + (directions * width + 1) * outputs

    def work(
        inputs: tuple[int, ...],
        outputs: int,
        *,
        width: int,
        masked: bool = False,
        bidirectional: bool = False,
        output: str = "last",
        **settings: Any,
    ) -> Work:
        """D G (F + H) H products and D G turns at each of T steps, D H K where there are outputs."""
        del settings
        directions, n_gates, steps = 1 + bidirectional, gates[0] if gates else 1, inputs[0]
        cells = steps * n_gates * (_features(inputs, masked) + width) * width
        heads = (steps if output == "each" else 1) * width * outputs
        return Work(directions * (cells + heads), directions * n_gates * steps)

    return Model(init, apply, n_parameters, work=work)


def _masked(recipe: Recipe) -> bool:
    return bool(dict(recipe.options).get("masked", False))


def _bidirectional(recipe: Recipe) -> bool:
    return bool(dict(recipe.options).get("bidirectional", False))


def _features(inputs: tuple[int, ...], masked: bool) -> int:
    return inputs[1] - 1 if masked else inputs[1]


ELMAN = _model(_elman, (), 1, forget=False)
LSTM = _model(_lstm, (4,), 2, forget=True)
GRU = _model(_gru, (3,), 1, forget=False)
