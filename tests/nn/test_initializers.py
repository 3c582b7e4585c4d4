"""Initial weights: their distribution, and that neither padding nor neighbors change them."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from workbench.core import vocabulary
from workbench.nn.initializers import INITIALIZERS, weights

NAMES = tuple(name for name in vocabulary.INITIALIZERS if name != "auto")
SCALE, OUT, IN = 0.37, 200, 300
KEY = jax.random.key(5)

DISTRIBUTIONS = {
    "glorot_uniform": scipy.stats.uniform(-np.sqrt(6 / (OUT + IN)), 2 * np.sqrt(6 / (OUT + IN))),
    "glorot_normal": scipy.stats.norm(0, np.sqrt(2 / (OUT + IN))),
    "he_uniform": scipy.stats.uniform(-np.sqrt(6 / IN), 2 * np.sqrt(6 / IN)),
    "he_normal": scipy.stats.norm(0, np.sqrt(2 / IN)),
    "lecun_uniform": scipy.stats.uniform(-np.sqrt(3 / IN), 2 * np.sqrt(3 / IN)),
    "lecun_normal": scipy.stats.norm(0, np.sqrt(1 / IN)),
    "uniform": scipy.stats.uniform(-SCALE, 2 * SCALE),
    "normal": scipy.stats.norm(0, SCALE),
}


def draw(name, shape=(OUT, IN), fans=(IN, OUT), key=KEY):
    return weights((name,), jnp.int32(0), SCALE, shape, *fans, key=key)


def test_the_registry_has_the_words():
    assert list(INITIALIZERS) == [name for name in vocabulary.INITIALIZERS if name != "auto"]
    assert {*INITIALIZERS} == {*DISTRIBUTIONS, "zeros"}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distribution(name):
    values = np.asarray(draw(name))
    assert values.dtype == np.float32
    assert scipy.stats.kstest(values.ravel(), DISTRIBUTIONS[name].cdf).pvalue > 1e-3
    low, high = DISTRIBUTIONS[name].support()
    assert (values >= low - 1e-6).all()
    assert (values <= high + 1e-6).all()


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_elements_are_uncorrelated(name):
    values = np.asarray(draw(name)).astype(np.float64)
    noise = values.std() ** 2 / np.sqrt(values.size)
    assert abs((values[1:] * values[:-1]).mean()) < 5 * noise
    assert abs((values[:, 1:] * values[:, :-1]).mean()) < 5 * noise


def test_zeros():
    np.testing.assert_array_equal(draw("zeros"), np.zeros((OUT, IN), np.float32))


def test_deviations_equal_pytorch():
    torch = pytest.importorskip("torch")
    theirs = {
        "glorot_uniform": torch.nn.init.xavier_uniform_,
        "glorot_normal": torch.nn.init.xavier_normal_,
        "he_uniform": torch.nn.init.kaiming_uniform_,
        "he_normal": torch.nn.init.kaiming_normal_,
        "lecun_normal": partial(torch.nn.init.kaiming_normal_, nonlinearity="linear"),
    }
    for name, fill in theirs.items():
        options = {"nonlinearity": "relu"} if name.startswith("he") else {}
        reference = fill(torch.empty(OUT, IN), generator=torch.Generator().manual_seed(0), **options)
        assert np.std(draw(name)) == pytest.approx(reference.std().item(), rel=0.02), name


@pytest.mark.parametrize("name", ["glorot_uniform", "he_normal", "zeros"])
@pytest.mark.parametrize(
    ("small", "large"),
    [
        ((3, 5), (8, 5)),
        ((3, 5), (3, 19)),
        ((7, 33), (64, 130)),
        ((4, 3, 3, 2), (9, 3, 3, 11)),
        ((1, 1), (2, 2)),
    ],
)
def test_padding_changes_nothing(name, small, large):
    def at(shape):
        return np.asarray(jax.jit(lambda key: draw(name, shape, fans=(small[1], small[0]), key=key))(KEY))

    np.testing.assert_array_equal(at(large)[tuple(slice(size) for size in small)], at(small))


@pytest.mark.parametrize("index", range(len(NAMES)))
def test_selection_with_traced_index_and_fans(index):
    @jax.jit
    def selected(index, scale, fan_in, fan_out):
        return weights(NAMES, index, scale, (16, 12), fan_in, fan_out, key=KEY)

    values = selected(jnp.int32(index), jnp.float32(SCALE), jnp.int32(9), jnp.int32(10))
    np.testing.assert_allclose(values, draw(NAMES[index], (16, 12), fans=(9, 10)), rtol=1e-6)


def test_lanes_equal_one_at_a_time():
    keys = jax.vmap(jax.random.key)(jnp.arange(len(NAMES), dtype=jnp.uint32))
    index = jnp.arange(len(NAMES), dtype=jnp.int32)
    lanes = jax.vmap(lambda i, key: weights(NAMES, i, SCALE, (6, 4), 4, 6, key=key))(index, keys)
    for lane, name in enumerate(NAMES):
        np.testing.assert_allclose(lanes[lane], draw(name, (6, 4), fans=(4, 6), key=keys[lane]), rtol=1e-6)


def test_one_draw_serves_all_names_and_one_name_selects_nothing():
    def program(names):
        return str(
            jax.make_jaxpr(lambda i, key: weights(names, i, SCALE, (3,), 4, 6, key=key))(jnp.int32(0), KEY)
        )

    factor = str(0x7FEB352D)  # of the hash behind a draw
    assert program(NAMES).count(factor) == program(("uniform",)).count(factor) > 0
    assert "select" not in program(("uniform",)).replace("select_and", "")


def test_keys_decide():
    a, b = draw("normal", key=jax.random.key(0)), draw("normal", key=jax.random.key(1))
    assert abs(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1]) < 0.02
    np.testing.assert_array_equal(a, draw("normal", key=jax.random.key(0)))
