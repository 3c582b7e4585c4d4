"""Every family of the registry: shapes, gradients, tracing, padding, counting, learning by heart."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.families import case, loss_and_gradients, predicted, scattered, start
from tests.helpers.problems import lane
from workbench.core import vocabulary
from workbench.core.errors import InputError
from workbench.nn import models, optimizers
from workbench.nn.models import MODELS, convolution, n_parameters, trimmed
from workbench.nn.models.layers import layer_widths, tapered
from workbench.nn.models.recurrent import steps_as_rows
from workbench.nn.recipe import Recipe
from workbench.nn.regularizers import decay_mask

FAMILIES = list(MODELS)
#: Families and settings that take a way of their own through the code.
VARIANTS = [
    *((family, {}) for family in FAMILIES),
    ("cnn", {"pooling": "mean", "padding": "valid", "kernel": 2}),
    ("cnn", {"pooling": "none", "blocks": 1}),
    ("cnn", {"residual_blocks": 1, "global_pooling": "mean", "blocks": 1}),
    ("cnn", {"inputs": (7, 4), "masked": True, "residual_blocks": 1, "blocks": 1}),
    *((family, {"output": "each"}) for family in ("rnn", "lstm")),
    *((family, {"masked": True}) for family in ("rnn", "lstm")),
    ("gru", {"bidirectional": True, "output": "each", "masked": True}),
    *((family, {"taper": 0.6, "width": 5, "depth": 3}) for family in ("mlp", "tabm")),
    *((family, {"norm": "layer"}) for family in ("mlp", "residual", "highway")),
    *(
        (family, {"embedding": kind, "frequencies": 3, "numbers": 5})
        for family, kind in (("mlp", "periodic"), ("mlp", "pbld"), ("residual", "pbld"), ("tabm", "periodic"))
    ),
]
NAMES = [" ".join([family, *map(str, changes.values())]) for family, changes in VARIANTS]
DEEP = [family for family in FAMILIES if "depth" in vocabulary.FAMILIES[family].shaped_by]
WIDE = [family for family in FAMILIES if "width" in vocabulary.FAMILIES[family].shaped_by]


def leaves(tree):
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def test_the_registry_has_the_words():
    assert list(MODELS) == list(vocabulary.FAMILIES)


@pytest.mark.parametrize(("family", "changes"), VARIANTS, ids=NAMES)
def test_shapes_gradients_and_tracing(family, changes):
    recipe, _, hyper, x, y = case(family, **changes)
    params = scattered(start(recipe, hyper))
    together = predicted(recipe, hyper, params, x)
    steps = (recipe.inputs[0],) if changes.get("output") == "each" else ()
    several = (3,) if MODELS[family].several else ()
    assert together.shape == (len(x), *steps, *several, recipe.outputs)
    one = MODELS[family].apply(recipe, hyper, params, x[0])  # neither mapped nor compiled
    np.testing.assert_allclose(together[0], one, rtol=1e-4, atol=1e-5)

    _, gradients = loss_and_gradients(recipe, hyper, params, x, y)
    assert jax.tree.structure(gradients) == jax.tree.structure(params)
    assert {leaf.dtype for leaf in jax.tree.leaves((params, gradients, one))} == {np.dtype(np.float32)}
    for name, leaf in leaves(gradients).items():
        assert np.isfinite(leaf).all(), name
        assert np.any(leaf), name
    for name, weight in leaves(decay_mask(params)).items():
        assert name.split("'")[-2].startswith("weight" if weight else ("bias", "scale"))


@pytest.mark.parametrize("family", FAMILIES)
def test_lanes_in_one_program_equal_lanes_alone(family):
    """The lane axis goes over hyperparameters and parameters, not over the rows."""
    recipe, _, hyper, x, y = case(family)
    narrow = hyper._replace(width=np.int32(max(recipe.width - 2, 0)), depth=np.int32(min(recipe.depth, 1)))
    lanes = [(lane, start(recipe, lane)) for lane in (hyper, narrow)]
    alone = [loss_and_gradients(recipe, lane, params, x, y) for lane, params in lanes]
    stacked = jax.tree.map(lambda *leaf: np.stack(leaf), *lanes)
    together = jax.jit(jax.vmap(lambda lane, params: loss_and_gradients(recipe, lane, params, x, y)))(
        *stacked
    )
    for position, found in enumerate(alone):
        jax.tree.map(
            lambda many, one, at=position: np.testing.assert_allclose(many[at], one, rtol=1e-4, atol=1e-5),
            together,
            found,
        )


@pytest.mark.parametrize(
    ("family", "changes"), [v for v in VARIANTS if v[0] in WIDE and "pooling" not in v[1]]
)
def test_padding_changes_rounding_alone(family, changes):
    tight, _, hyper, x, y = case(family, **changes)
    found = []
    for recipe in (tight, replace(tight, width=8, depth=4 if family in DEEP else 0)):
        params = start(recipe, hyper)
        value, gradients = loss_and_gradients(recipe, hyper, params, x, y)
        found.append((value, leaves(params), leaves(gradients)))
    (value, params, gradients), (padded_value, padded_params, padded_gradients) = found
    np.testing.assert_allclose(value, padded_value, rtol=1e-5)
    for name in params:
        corner = tuple(slice(size) for size in params[name].shape)
        np.testing.assert_array_equal(padded_params[name][corner], params[name], name)
        np.testing.assert_allclose(
            padded_gradients[name][corner], gradients[name], rtol=1e-4, atol=1e-6, err_msg=name
        )
        for padded in (padded_params[name], padded_gradients[name]):
            beyond = np.array(padded)
            beyond[corner] = 0.0
            assert not beyond.any(), name
    unused = padded_gradients.keys() - params.keys()
    assert bool(unused) == (family in DEEP)
    assert not any(np.any(padded_gradients[name]) for name in unused)


begun = jax.jit(models.start, static_argnames="recipe")
delivered = jax.jit(models.predict, static_argnames="recipe")


@pytest.mark.parametrize(
    ("family", "changes", "members"),
    [
        *((*variant, 1) for variant in VARIANTS),
        # What members add is the same for all ways through a family.
        *((family, {}, 2) for family in FAMILIES),
        ("mlp", {"taper": 0.6, "width": 5, "depth": 3}, 2),
    ],
)
def test_what_is_delivered_has_no_room(family, changes, members):
    it = case(family, **changes)
    options = (("ensemble", members), *it.recipe.options) if members > 1 else it.recipe.options
    tight = replace(it.recipe, options=options)
    room = replace(tight, width=tight.width and 8, depth=tight.depth and 4)
    params = jax.tree.map(np.asarray, begun(room, it.hyper, key=jax.random.key(0)))
    recipe, kept = trimmed(room, it.hyper, params)
    assert recipe == tight
    size, needed = sum(leaf.size for leaf in jax.tree.leaves(kept)), n_parameters(tight, it.settings)
    assert size == needed or ("taper" in changes and size > needed)  # which leaves room in later layers
    for x in it.x[:2]:
        expected = delivered(room, it.hyper, params, x)
        np.testing.assert_allclose(delivered(recipe, it.hyper, kept, x), expected, rtol=1e-5, atol=1e-6)


def test_room_that_is_laid_out_otherwise_stays():
    it = case("mlp")
    room = replace(it.recipe, width=8)
    params = {"out": {"weight": np.ones((2, 8), np.float32)[:, ::-1], "bias": np.zeros(2, np.float32)}}
    assert trimmed(room, it.hyper, params) == (room, params)
    full = jax.tree.map(lambda leaf: np.ones(leaf.shape, np.float32), models.shapes(room))
    assert trimmed(room, it.hyper, full) == (room, full)


@pytest.mark.parametrize(("family", "changes"), VARIANTS, ids=NAMES)
def test_the_formula_counts_the_parameters(family, changes):
    it = case(family, **changes)
    counted = n_parameters(it.recipe, it.settings)
    assert MODELS[family].n_parameters is not None
    if "taper" in changes:  # what is padding has no gradient, whatever stands there
        params = scattered(start(it.recipe, it.hyper))
        gradients = loss_and_gradients(it.recipe, it.hyper, params, it.x, it.y)[1]
        assert counted == sum(np.count_nonzero(leaf) for leaf in jax.tree.leaves(gradients))
    else:
        assert counted == sum(leaf.size for leaf in jax.tree.leaves(start(it.recipe, it.hyper)))


def test_widths_that_taper_off():
    """A lane of 256, 128, 64 units says what its weights say in NumPy, in a program with room for more."""
    it = case("mlp", taper=0.5, width=256, depth=3)
    room = replace(it.recipe, width=300, depth=5)
    params, h = start(room, it.hyper), it.x
    used = {name: np.asarray(layer["weight"]) for name, layer in params.items()}
    for name, width in (("hidden_00", 256), ("hidden_01", 128), ("hidden_02", 64)):
        assert not used[name][width:].any()
        np.testing.assert_array_equal(np.count_nonzero(used[name][:width], axis=1), h.shape[1])
        h = np.tanh(h @ used[name][:width, : h.shape[1]].T)
    assert not used["hidden_03"].any()
    np.testing.assert_allclose(
        predicted(room, it.hyper, params, it.x), h @ used["out"][:, :64].T, rtol=1e-4, atol=1e-5
    )
    assert 0.5 < used["out"][:, :64].std() / np.sqrt(2 / (64 + 3)) < 2  # drawn as after 64 units


@pytest.mark.parametrize(("family", "changes"), [("mlp", {"norm": "layer"}), ("tabm", {})])
def test_widths_that_are_given_are_those_that_taper_off_without_the_room(family, changes):
    tapers = case(family, taper=0.5, width=8, depth=2, **changes)
    given = case(family, widths="8 4", width=8, depth=2, **changes)
    assert given.recipe.widths == (8, 4)
    assert n_parameters(given.recipe, given.settings) == n_parameters(tapers.recipe, tapers.settings)
    params, room = (start(it.recipe, it.hyper) for it in (given, tapers))
    found = loss_and_gradients(given.recipe, given.hyper, params, given.x, given.y)
    wide = loss_and_gradients(tapers.recipe, tapers.hyper, room, given.x, given.y)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == n_parameters(given.recipe, given.settings)

    def corner(leaf, small):
        return np.asarray(leaf)[tuple(slice(size) for size in small.shape)]

    jax.tree.map(lambda small, leaf: np.testing.assert_array_equal(small, corner(leaf, small)), params, room)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    jax.tree.map(lambda small, leaf: close(small, corner(leaf, small)), found, wide)


@given(width=st.integers(1, 8192), taper=st.floats(0.01, 1.0), depth=st.integers(1, 6))
def test_widths_are_the_same_on_both_sides(width, taper, depth):
    recipe = Recipe("mlp", (3,), 1, "mse", "rmse", depth, width, options=(("tapers", True),))
    traced = layer_widths(recipe, lane(width=width, taper=taper, depth=depth))
    known = tapered(width, depth, taper)
    assert [int(one) for one in traced] == known
    assert known[0] == width
    assert sorted(known, reverse=True) == known
    assert known[-1] >= 1


@partial(jax.jit, static_argnames=("recipe", "steps"))
def learned(recipe, hyper, x, y, steps=400):
    def step(carry, _):
        params, moments = carry
        loss, gradients = loss_and_gradients(recipe, hyper, params, x, y)
        return optimizers.update(recipe, hyper, gradients, moments, params, jnp.float32(0.03)), loss

    params = start(recipe, hyper)
    return jax.lax.scan(step, (params, optimizers.init(recipe, hyper, params)), None, steps)[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_eight_rows_are_learned_by_heart(family):
    it = case(family, activation="relu" if family == "cnn" else "tanh", width=16, depth=1, blocks=1)
    losses = learned(it.recipe, it.hyper, it.x, it.y)
    assert losses[0] > 0.3 or family == "perceptron"  # whose loss of zero weights is zero
    assert losses[-1] < 0.02


@pytest.mark.parametrize("family", WIDE)
def test_dropped_units(family):
    recipe, _, hyper, x, _ = case(family)
    recipe, params = replace(recipe, dropout=True), start(recipe, hyper)
    none, half = (hyper._replace(dropout=np.float32(rate)) for rate in (0.0, 0.5))
    apply = jax.jit(partial(MODELS[family].apply, recipe))
    plain = predicted(recipe, half, params, x)[0]
    np.testing.assert_allclose(apply(none, params, x[0], key=jax.random.key(0)), plain, rtol=1e-5, atol=1e-6)
    first, again, other = (apply(half, params, x[0], key=jax.random.key(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, plain)
    assert not np.allclose(first, other)


def test_an_image_that_is_too_small_is_refused():
    settings = {"blocks": 3, "kernel": 3, "channels": 2, "pooling": "max", "padding": "valid"}
    assert convolution.shapes((8, 8, 1), **{**settings, "padding": "same"})[-1] == (1, 1, 8)
    with pytest.raises(InputError, match=r"blocks = 3.*8 x 8 places in block 2.*fewer blocks or padding"):
        convolution.shapes((8, 8, 1), **settings)
    assert convolution.shapes((9, 2), **{**settings, "padding": "same"})[1:] == [(5, 2), (3, 4), (2, 8)]
    with pytest.raises(
        InputError, match=r"leave nothing of 4 steps in block 2; take fewer blocks or padding"
    ):
        convolution.shapes((4, 2), **settings)


def test_steps_become_rows_and_those_without_a_target_count_for_nothing():
    outputs = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    codes = np.array([[0, 1, -1], [1, -1, -1]], np.int32)
    weight = np.array([1.0, 2.0], np.float32)
    rows, y, counted = steps_as_rows(*map(jnp.asarray, (outputs, codes, weight)))
    np.testing.assert_array_equal(rows, outputs.reshape(6, 2))
    np.testing.assert_array_equal(y, [0, 1, 0, 1, 0, 0])
    np.testing.assert_array_equal(counted, [1, 1, 0, 2, 0, 0])
    numbers = np.where(codes[..., None] < 0, np.nan, np.float32(0.5)) * np.ones(2, np.float32)
    _, y, counted = steps_as_rows(*map(jnp.asarray, (outputs, numbers.astype(np.float32), weight)))
    np.testing.assert_array_equal(counted, [1, 1, 0, 2, 0, 0])
    np.testing.assert_array_equal(y[:3], [[0.5, 0.5], [0.5, 0.5], [0, 0]])
