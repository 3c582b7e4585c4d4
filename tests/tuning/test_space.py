"""From settings to programs and hyperparameters, with hypothesis over spaces."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tuning.test_loop import SETTINGS
from workbench.core.types import Choice, Range
from workbench.nn.recipe import Hyperparameters
from workbench.tuning import space
from workbench.tuning.space import Problem

PROBLEM = Problem("classification", (64,), 10, 1, 1078)
ROOMS = (2, 4, 8)


def program(params: dict[str, Any], **changes: Any) -> space.Program:
    settings = {**SETTINGS, **changes}
    return space.program(settings, space.resolve(settings, params), PROBLEM, "accuracy", ROOMS)


def test_the_default_is_the_middle_or_the_first() -> None:
    axes = {
        "a": Range(1e-4, 1e-2, log=True), "b": Range(0.0, 0.5), "c": Range(1, 4, integer=True),
        "d": Range(16, 256, log=True, integer=True), "e": Choice(("x", "y")), "f": Range(0.0, 1.0, step=0.25),
    }  # fmt: skip
    middle = space.default(axes)
    assert middle == {"a": pytest.approx(1e-3), "b": 0.25, "c": 2, "d": 64, "e": "x", "f": 0.5}
    for name, distribution in space.distributions(axes).items():
        assert distribution._contains(distribution.to_internal_repr(middle[name])), name


@pytest.mark.parametrize(
    ("activation", "drawn"),
    [
        ("mish", "he_normal"),
        ("selu", "lecun_normal"),
        ("selu-relu", "lecun_normal"),
        ("tanh", "glorot_uniform"),
    ],
)
def test_weights_are_drawn_as_the_first_activation_wants_them(activation: str, drawn: str) -> None:
    params = {"depth": 1, "width": 8, "batch_size": 32, "optimizer": "adam"}
    found = program(params, activation=activation)
    assert found.recipe.initializers == (drawn,)


def test_settings_at_their_defaults_leave_no_trace_in_a_program() -> None:
    """Records name programs, and a model that is trained again has the fingerprint that it had."""
    params = {"depth": 1, "width": 8, "batch_size": 32, "optimizer": "adam"}
    later = {"embedding": "none", "frequencies": 16, "sigma": 0.1, "taper": 1.0, "members": 8, "norm": "none"}
    plain = program(params)
    assert program(params, **later) == plain
    assert dict(plain.recipe.options) == {}
    waves = program(params, **{**later, "embedding": "pbld", "sigma": Range(0.01, 1.0)})
    assert dict(waves.recipe.options) == {"embedding": "pbld", "frequencies": 16, "numbers": 0}
    axis = {**later, "taper": Range(0.5, 1.0)}
    assert program({**params, "taper": 1.0}, **axis) == program({**params, "taper": 0.5}, **axis)


@given(low=st.integers(1, 100), span=st.integers(0, 100), log=st.booleans())
def test_the_middle_of_integers_is_one_of_them(low: int, span: int, log: bool) -> None:
    middle = space.default({"n": Range(low, low + span, log=log, integer=True)})["n"]
    assert isinstance(middle, int)
    assert low <= middle <= low + span


def test_traced_axes_share_a_program() -> None:
    params = space.default(space.axes(SETTINGS))
    for name, value in {
        "depth": 1,
        "activation": "tanh",
        "optimizer": "momentum",
        "batch_size": 32,
        "l2": 1e-3,
    }.items():
        assert program({**params, name: value}) == program(params), name


def test_the_activation_of_each_layer_is_a_choice_like_any_other() -> None:
    axis = Choice(("relu", "tanh-relu", "sigmoid"))
    params = {**space.default(space.axes(SETTINGS)), "activation": "tanh-relu"}
    recipe = program(params, activation=axis).recipe
    assert recipe == program({**params, "activation": "relu"}, activation=axis).recipe
    values = space.resolve({**SETTINGS, "activation": axis}, params)
    hyper = space.hyperparameters(recipe, values, PROBLEM, 7)
    assert recipe.activations[hyper.activation] == "tanh-relu"
    assert recipe.initializers[hyper.initializer] == "glorot_uniform"  # tanh comes first


def test_a_trial_trains_in_the_narrowest_room_that_holds_it() -> None:
    params = space.default(space.axes(SETTINGS))
    rooms = {n: program({**params, "width": n}).recipe.width for n in range(2, 9)}
    assert rooms == {2: 2, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 8: 8}


@pytest.mark.parametrize(
    ("sizes", "size", "batch", "accumulate"),
    [((32, 64, 128), 64, 32, True), ((32,), 32, 32, False), ((0,), 0, 1078, False), ((30, 45), 45, 15, True),
     ((31, 64), 64, 64, False), ((2000,), 2000, 1078, False)],
)  # fmt: skip
def test_batches(sizes: tuple[int, ...], size: int, batch: int, accumulate: bool) -> None:
    setting: Any = Choice(sizes) if len(sizes) > 1 else sizes[0]
    recipe = program({**space.default(space.axes(SETTINGS)), "batch_size": size}, batch_size=setting).recipe
    assert (recipe.batch, recipe.accumulate) == (batch, accumulate)


def test_hyperparameters_have_the_stated_types() -> None:
    params = space.default(space.axes(SETTINGS))
    recipe = program(params).recipe
    hyper = space.hyperparameters(recipe, space.resolve(SETTINGS, params), PROBLEM, 7)
    integers = {
        "depth",
        "width",
        "activation",
        "initializer",
        "optimizer",
        "schedule",
        "batch_size",
        "epochs",
        "patience",
    }
    assert hyper.arguments == ()
    for name in set(Hyperparameters._fields) - {"arguments"}:
        expected = np.uint32 if name == "seed" else np.int32 if name in integers else np.float32
        assert type(getattr(hyper, name)) is expected, name
    assert recipe.activations[hyper.activation] == "relu"
    assert recipe.initializers[hyper.initializer] == "he_normal"
    assert recipe.optimizers[hyper.optimizer] == "adam"


@pytest.mark.parametrize(
    ("family", "classes", "outputs", "loss"),
    [
        ("mlp", 2, 1, "binary_cross_entropy"),
        ("softmax", 2, 2, "cross_entropy"),
        ("mlp", 3, 3, "cross_entropy"),
    ],
)
def test_outputs_and_losses(family: str, classes: int, outputs: int, loss: str) -> None:
    settings = {**SETTINGS, "family": family}
    values = space.resolve(settings, space.default(space.axes(settings)))
    recipe = space.program(settings, values, PROBLEM._replace(classes=classes), "accuracy", ROOMS).recipe
    assert (recipe.outputs, recipe.loss) == (outputs, loss)


def test_distributions_are_optunas() -> None:
    words = space.distributions(space.axes(SETTINGS))
    assert words["learning_rate"] == optuna.distributions.FloatDistribution(1e-4, 1e24, log=True)
    assert words["activation"] == optuna.distributions.CategoricalDistribution(("relu", "tanh"))
    assert math.isinf(SETTINGS["clip"])  # type: ignore[arg-type]
