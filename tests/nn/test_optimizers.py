"""The common rule against PyTorch and optax; lanes that select one of it against lanes that have one.

And every other optimizer of optax as a lane has it, traced, against optax itself.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

import workbench as wb
from workbench.core import vocabulary
from workbench.core.errors import InputError
from workbench.nn import transformation_plans, transformations
from workbench.nn.optimizers import OPTIMIZERS, fused, init, update
from workbench.nn.recipe import Hyperparameters, Recipe
from workbench.nn.regularizers import decay_mask

RATE, MOMENTUM, BETA2, DECAY = 0.05, 0.8, 0.95, 0.1


def recipe_with(*optimizers: str) -> Recipe:
    return Recipe("linear", (3,), 2, "mse", "rmse", optimizers=optimizers)


def hyper_for(optimizer: int) -> Hyperparameters:
    blank = {name: np.float32(0.0) for name in Hyperparameters._fields}
    return Hyperparameters(**blank)._replace(
        optimizer=np.int32(optimizer),
        momentum=np.float32(MOMENTUM),
        beta2=np.float32(BETA2),
        weight_decay=np.float32(DECAY),
    )


def gradients_of(params: dict[str, Any], target: Any) -> dict[str, Any]:
    """Of a quartic bowl, written by hand so that it serves both libraries."""
    return {name: (w - target[name]) ** 3 + 0.5 * (w - target[name]) for name, w in params.items()}


@pytest.fixture
def problem() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    draw = np.random.default_rng(0)
    shapes = {"weight": (2, 3), "bias": (2,)}
    start = {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    target = {name: draw.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return start, target


def trajectory(
    optimizers: tuple[str, ...], index: int, start: Any, target: Any, steps: int = 20
) -> list[Any]:
    recipe, hyper = recipe_with(*optimizers), hyper_for(index)
    params = jax.tree.map(jnp.asarray, start)
    moments = init(recipe, hyper, params)
    step = jax.jit(
        lambda params, moments: update(
            recipe, hyper, gradients_of(params, target), moments, params, jnp.float32(RATE)
        )
    )
    path = []
    for _ in range(20):
        params, moments = step(params, moments)
        path.append(jax.tree.map(np.asarray, params))
    return path


def torch_trajectory(name: str, start: Any, target: Any) -> list[Any]:
    torch = pytest.importorskip("torch")
    tensors = {key: torch.nn.Parameter(torch.tensor(value)) for key, value in start.items()}
    weights, biases = [tensors["weight"]], [tensors["bias"]]
    make = {
        "sgd": lambda p: torch.optim.SGD(p, RATE),
        "momentum": lambda p: torch.optim.SGD(p, RATE, momentum=MOMENTUM),
        "nesterov": lambda p: torch.optim.SGD(p, RATE, momentum=MOMENTUM, nesterov=True),
        "adagrad": lambda p: torch.optim.Adagrad(p, RATE, eps=1e-8),
        "rmsprop": lambda p: torch.optim.RMSprop(p, RATE, alpha=0.9, eps=1e-8),
        "adam": lambda p: torch.optim.Adam(p, RATE, betas=(MOMENTUM, BETA2), eps=1e-8),
        "adamw": lambda p: torch.optim.AdamW(
            [{"params": weights}, {"params": biases, "weight_decay": 0.0}],
            RATE, betas=(MOMENTUM, BETA2), eps=1e-8, weight_decay=DECAY,
        ),
    }  # fmt: skip
    optimizer = make[name](weights + biases)
    path = []
    for _ in range(20):
        with torch.no_grad():
            values = {key: tensor.detach().numpy().copy() for key, tensor in tensors.items()}
            for key, gradient in gradients_of(values, target).items():
                tensors[key].grad = torch.tensor(gradient)
        optimizer.step()
        path.append({key: tensor.detach().numpy().copy() for key, tensor in tensors.items()})
    return path


def test_registry_is_the_vocabulary() -> None:
    assert list(OPTIMIZERS) == vocabulary.OPTIMIZERS


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_twenty_steps_equal_pytorch(name: str, problem: Any) -> None:
    ours, theirs = trajectory((name,), 0, *problem), torch_trajectory(name, *problem)
    for mine, other in zip(ours, theirs, strict=True):
        for key in mine:
            np.testing.assert_allclose(mine[key], other[key], rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_selecting_one_of_all_equals_having_one(name: str, problem: Any) -> None:
    names = tuple(OPTIMIZERS)
    alone, selected = trajectory((name,), 0, *problem), trajectory(names, names.index(name), *problem)
    for mine, other in zip(alone, selected, strict=True):
        for key in mine:
            np.testing.assert_allclose(mine[key], other[key], rtol=1e-6, atol=1e-7)


def test_moments_that_nobody_keeps_are_not_there(problem: Any) -> None:
    params, hyper = jax.tree.map(jnp.asarray, problem[0]), hyper_for(0)
    assert init(recipe_with("sgd"), hyper, params)[1:] == ((), ())
    assert init(recipe_with("momentum"), hyper, params).second == ()
    assert init(recipe_with("rmsprop"), hyper, params).first == ()


def of_optax(made: Any, start: Any, target: Any, steps: int) -> list[Any]:
    """What optax itself does with a transformation, its update compiled with nothing traced."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        params = jax.tree.map(jnp.asarray, start)
        state, path = made.init(params), []

        @jax.jit
        def step(params: Any, state: Any) -> Any:
            updates, state = made.update(gradients_of(params, target), state, params)
            return optax.apply_updates(params, updates), state

        for _ in range(steps):
            params, state = step(params, state)
            path.append(jax.tree.map(np.asarray, params))
    return path


#: The seven in optax's own words, its conventions made ours.
SEVEN = {
    "sgd": lambda: optax.sgd(RATE),
    "momentum": lambda: optax.sgd(RATE, momentum=MOMENTUM),
    "nesterov": lambda: optax.sgd(RATE, momentum=MOMENTUM, nesterov=True),
    "adagrad": lambda: optax.adagrad(RATE, initial_accumulator_value=0.0, eps=0.0),
    "rmsprop": lambda: optax.rmsprop(RATE, decay=0.9, eps=1e-8, eps_in_sqrt=False),
    "adam": lambda: optax.adam(RATE, MOMENTUM, BETA2),
    "adamw": lambda: optax.adamw(RATE, MOMENTUM, BETA2, weight_decay=DECAY, mask=decay_mask),
}


def walked(made: optax.GradientTransformation, start: Any, gradients: Any) -> Any:
    """The parameters after each of these gradients, which do not depend on them: rounding does not grow."""
    with jax.numpy_dtype_promotion("standard"):

        def step(carry: Any, gradient: Any) -> Any:
            params, state = carry
            updates, state = made.update(gradient, state, params)
            params = optax.apply_updates(params, updates)
            return (params, state), params

        params = jax.tree.map(jnp.asarray, start)
        return jax.jit(lambda: jax.lax.scan(step, (params, made.init(params)), gradients)[1])()


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_two_hundred_steps_equal_optax(name: str, problem: Any) -> None:
    start, draw = problem[0], np.random.default_rng(1)
    gradients = {
        key: jnp.asarray(draw.normal(size=(200, *leaf.shape)), jnp.float32) for key, leaf in start.items()
    }
    ours = fused(recipe_with(name), hyper_for(0), jnp.float32(RATE))
    assert isinstance(ours, optax.GradientTransformation)
    pair = (walked(made, start, gradients) for made in (ours, SEVEN[name]()))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5), *pair)


# ── the others ──────────────────────────────────────────────────────────────────────────────────

#: Optimizers that are known and cannot train here, and why.
REFUSED = {
    "lbfgs": "value and grad and value_fn", "momo": "value", "momo_adam": "value", "sophia": "obj_fn",
    "dpsgd": "l2_norm_clip", "schedule_free_adamw": "other parameters",
    "schedule_free_sgd": "other parameters", "optimistic_adam": "deprecated",
}  # fmt: skip
#: Arguments as a study file has them; numbers are traced, what cannot be is found out.
GIVEN: dict[str, dict[str, Any]] = {
    "lion": {"b1": 0.85, "b2": 0.95, "weight_decay": 0.02},
    "adafactor": {
        "decay_rate": 0.7,
        "momentum": 0.3,
        "multiply_by_parameter_scale": False,
        "decay_offset": 0,
    },
    "adabelief": {"b1": 0.8, "nesterov": True},
    "amsgrad": {"b2": 0.98, "bias_correction_nu": False},
    "radam": {"threshold": 4.0, "nesterov": True},
    "lars": {"momentum": 0.5, "trust_coefficient": 0.01, "nesterov": True},
    "muon": {"ns_steps": 3, "beta": 0.9, "nesterov": False},
    "rprop": {"eta_plus": 1.1, "max_step_size": 0.5},
    "prodigy": {"weight_decay": 0.01, "safeguard_warmup": True},
    "adam": {"eps": 1e-3},
    "rmsprop": {"decay": 0.8, "centered": True},
}
STATIC = {
    "lion": (), "adafactor": ("multiply_by_parameter_scale",), "adabelief": ("nesterov",),
    "amsgrad": ("bias_correction_nu",), "radam": ("nesterov",), "lars": ("nesterov",), "muon": ("nesterov",),
    "rprop": (), "prodigy": ("safeguard_warmup",), "adam": (), "rmsprop": ("centered",),
}  # fmt: skip
#: Those whose test is in the fast tier.
QUICK = ("lion", "adafactor", "amsgrad", "adam")
#: Those that a lane's padding would change.
EXACT = {"adafactor", "muon"}


def lane_of(name: str, given: dict[str, Any]) -> tuple[Recipe, Hyperparameters]:
    """A lane with these arguments, as `space` makes it."""
    plan = transformation_plans.plan(name, given, given)
    recipe = replace(
        recipe_with(name),
        arguments=tuple((key, given[key]) for key in plan.static),
        traced=plan.traced,
        exact=plan.exact,
    )
    numbers = tuple(
        np.asarray(given[key], np.int32 if type(given[key]) is int else np.float32) for key in plan.traced
    )
    hyper = hyper_for(0)._replace(
        learning_rate=np.float32(RATE), weight_decay=np.float32(0.0), arguments=numbers, seed=np.uint32(3)
    )
    return recipe, hyper


def traced(recipe: Recipe, hyper: Hyperparameters, start: Any, target: Any, steps: int = 8) -> list[Any]:
    """The steps of one lane, with everything of it traced."""

    @partial(jax.jit, static_argnames="recipe")
    def walk(recipe: Recipe, hyper: Hyperparameters, params: Any) -> Any:
        def step(carry: Any, _: None) -> Any:
            params, memory = carry
            after = update(recipe, hyper, gradients_of(params, target), memory, params, hyper.learning_rate)
            return after, after[0]

        return jax.lax.scan(step, (params, init(recipe, hyper, params)), None, steps)[1]

    path = jax.tree.map(np.asarray, walk(recipe, hyper, jax.tree.map(jnp.asarray, start)))
    return [jax.tree.map(lambda leaf, k=k: leaf[k], path) for k in range(steps)]


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in GIVEN]
)
def test_traced_arguments_do_what_plain_ones_do(name: str, problem: Any) -> None:
    recipe, hyper = lane_of(name, GIVEN[name])
    assert dict(recipe.arguments).keys() == set(STATIC[name])
    assert recipe.exact == (name in EXACT)
    alias = getattr(optax, name, None) or getattr(optax.contrib, name)
    own = (
        {"b1": MOMENTUM, "b2": BETA2}
        if name == "adam"
        else {"eps_in_sqrt": False}
        if name == "rmsprop"
        else {}
    )
    with jax.numpy_dtype_promotion("standard"):
        theirs = of_optax(alias(RATE, **own, **GIVEN[name]), *problem, 8)
    for mine, other in zip(traced(recipe, hyper, *problem), theirs, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5), mine, other)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in transformations.names() if name not in OPTIMIZERS])
def test_every_alias_trains_as_in_optax_or_says_why_not(name: str, problem: Any) -> None:
    if name in REFUSED:
        with pytest.raises(ValueError, match=REFUSED[name]):
            transformation_plans.plan(name, {}, {})
        return
    recipe, hyper = lane_of(name, {})
    if name == "noisy_sgd":  # draws from the lane's own seed
        path = traced(recipe, hyper, *problem)
        assert recipe.exact
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(path))
        return
    alias = getattr(optax, name, None) or getattr(optax.contrib, name)
    with jax.numpy_dtype_promotion("standard"):
        theirs = of_optax(alias(RATE), *problem, 8)
    for mine, other in zip(traced(recipe, hyper, *problem), theirs, strict=True):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), mine, other)


def test_values_of_arguments_compile_nothing() -> None:
    compiled = 0

    @partial(jax.jit, static_argnames="recipe")
    def once(recipe: Recipe, hyper: Hyperparameters, params: Any) -> Any:
        nonlocal compiled
        compiled += 1
        return update(recipe, hyper, params, init(recipe, hyper, params), params, hyper.learning_rate)

    params = {"weight": jnp.ones((2, 3)), "bias": jnp.ones(2)}
    for b1, rate in ((0.8, 0.1), (0.9, 0.01), (0.95, 0.3)):
        recipe, hyper = lane_of("lion", {"b1": b1})
        once(recipe, hyper._replace(learning_rate=np.float32(rate)), params)
    assert compiled == 1


def test_decoupled_decay_is_ours_and_spares_biases(problem: Any) -> None:
    recipe, hyper = lane_of("sign_sgd", {})
    params = jax.tree.map(jnp.asarray, problem[0])
    none = jax.tree.map(jnp.zeros_like, params)
    decayed, _ = update(
        recipe, hyper._replace(weight_decay=np.float32(DECAY)), none, init(recipe, hyper, params), params,
        jnp.float32(RATE),
    )  # fmt: skip
    np.testing.assert_allclose(decayed["weight"], params["weight"] * (1.0 - RATE * DECAY), rtol=1e-6)
    np.testing.assert_array_equal(decayed["bias"], params["bias"])


@pytest.mark.parametrize("name", ["rprop", pytest.param("noisy_sgd", marks=pytest.mark.slow)])
def test_a_rate_of_zero_moves_nothing(name: str, problem: Any) -> None:
    recipe, hyper = lane_of(name, {})
    params = jax.tree.map(jnp.asarray, problem[0])
    moved, _ = update(recipe, hyper, params, init(recipe, hyper, params), params, jnp.float32(0.0))
    jax.tree.map(np.testing.assert_array_equal, moved, params)


# ── a user's own ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "FACTORIES", {})


@pytest.mark.usefixtures("registry")
def test_a_factory_is_an_optimizer(problem: Any) -> None:
    wb.register_optimizer(
        "mine",
        lambda learning_rate, **kw: optax.chain(
            optax.scale_by_lion(**kw), optax.scale_by_learning_rate(learning_rate)
        ),
    )
    mine = traced(*lane_of("mine", {"b1": 0.8}), *problem)
    lion = traced(*lane_of("lion", {"b1": 0.8, "weight_decay": 0.0}), *problem)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), mine, lion)
    with pytest.raises(ValueError, match=r"TypeError.*unexpected keyword argument 'bb'"):
        transformation_plans.plan("mine", {"bb": 0.8}, {"bb": 0.8})
    wb.register_optimizer("mine", lambda learning_rate: optax.sgd(learning_rate), replace=True)
    assert transformations.arguments("mine") == {}
    sgd = traced(*lane_of("mine", {}), *problem)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), sgd, of_optax(optax.sgd(RATE), *problem, 8)
    )


@pytest.mark.usefixtures("registry")
@pytest.mark.parametrize(
    ("name", "factory", "said"),
    [
        ("", optax.sgd, "must be text"),
        ("lion", optax.sgd, "known already.*replace=True"),
        ("adam", optax.sgd, "known already"),
        ("mine", 3, "cannot be called"),
        ("mine", lambda: optax.sgd(0.1), r"takes \(\); the first must be learning_rate"),
        ("mine", lambda rate: optax.sgd(rate), r"takes \(rate\); the first must be learning_rate"),
        ("mine", lambda **kw: optax.sgd(0.1), "the first must be learning_rate"),
        ("mine", lambda learning_rate, clip=1.0: optax.sgd(learning_rate), "clip is a key.*rename it"),
        ("mine", lambda learning_rate: learning_rate, "returned float; return an optax"),
        ("mine", lambda learning_rate: optax.nothing, "AttributeError.*nothing"),
    ],
)
def test_what_is_no_factory_is_told_by_name(name: str, factory: Any, said: str) -> None:
    with pytest.raises(InputError, match=f"optimizer {name!r}.*{said}"):
        wb.register_optimizer(name, factory)
    assert not vocabulary.FACTORIES
