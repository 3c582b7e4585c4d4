"""What an example costs, held to the products that stand in the traced program of a model."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np
import pytest

from tests.helpers.problems import lane
from workbench.nn.models import n_products, predict, start, work
from workbench.nn.recipe import Recipe


def recipe(family: str, inputs: tuple[int, ...], **options: Any) -> Recipe:
    return Recipe(
        family, inputs, 3, "cross_entropy", "accuracy",
        depth=2 if family in ("mlp", "tabm") else 0, width=8, options=tuple(sorted(options.items())),
    )  # fmt: skip


def products(jaxpr: Any, times: int = 1) -> int:
    """Of all matrix products in a traced program; those of a scan as often as it turns."""
    found = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            ((contracted, _), _) = equation.params["dimension_numbers"]
            inner = math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
            found += times * inner * math.prod(equation.outvars[0].aval.shape)
        again = times * equation.params.get("length", 1)
        for value in equation.params.values():
            if hasattr(value, "jaxpr") or hasattr(value, "eqns"):
                found += products(getattr(value, "jaxpr", value), again)
    return found


CNN = {"blocks": 2, "kernel": 3, "channels": 4, "pooling": "max", "padding": "same"}
STEPS = {"output": "last", "masked": False}
CASES = {
    "image": ("cnn", (8, 8, 2), CNN),
    "image, valid, mean": ("cnn", (12, 12, 1), CNN | {"padding": "valid", "global_pooling": "mean"}),
    "image, residual": ("cnn", (8, 8, 1), CNN | {"residual_blocks": 1, "pooling": "none"}),
    "series": ("cnn", (11, 3), CNN | {"kernel": 5, "masked": True}),
    "rnn": ("rnn", (7, 3), STEPS),
    "lstm of each step": ("lstm", (7, 3), STEPS | {"output": "each"}),
    "gru both ways": ("gru", (7, 3), STEPS | {"bidirectional": True}),
    "masked": ("lstm", (7, 3), STEPS | {"masked": True}),
    "two": ("rnn", (7, 3), STEPS | {"ensemble": 2}),
}


@pytest.mark.parametrize("case", CASES)
def test_kernels_count_for_each_place_and_recurrences_for_each_step(case: str) -> None:
    family, inputs, options = CASES[case]
    one = recipe(family, inputs, **options)
    hyper = lane(depth=one.depth, width=8)
    params = jax.eval_shape(lambda: start(one, hyper, key=jax.random.key(0)))
    x = jax.ShapeDtypeStruct(inputs, np.float32)
    traced = jax.make_jaxpr(lambda params, x: predict(one, hyper, params, x))(params, x)
    found = work(one, {**options, "width": 8})
    assert found.products == products(traced.jaxpr)
    gates = {"rnn": 1, "gru": 3, "lstm": 4}.get(family, 0)
    ways = (1 + bool(options.get("bidirectional"))) * int(options.get("ensemble", 1))
    assert found.turns == gates * inputs[0] * ways


def test_where_each_weight_meets_an_example_once_nothing_changes() -> None:
    one, settings = recipe("mlp", (5,)), {"depth": 2, "width": 8}
    assert work(one, settings) == (n_products(one, settings), 0)
    several = recipe("tabm", (5,), members=4)
    assert work(several, settings | {"members": 4}).products == n_products(several, settings | {"members": 4})
