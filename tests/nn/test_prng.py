"""The hash behind weights, dropped units and orders: as in plain integers, uniform, without a pattern."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from workbench.nn.prng import bits, key_of, permutation

KEYS = [jax.random.key(seed) for seed in (0, 1, 2**31)] + [jax.random.fold_in(jax.random.key(7), 3)]
UNITS, ROWS = 400, 300


def _mixed(x: int) -> int:
    """Wellons' lowbias32 as its author wrote it in C."""
    x ^= x >> 16
    x = x * 0x7FEB352D % 2**32
    x ^= x >> 15
    x = x * 0x846CA68B % 2**32
    return x ^ x >> 16


def _drawn(key: jax.Array) -> np.ndarray:
    return np.asarray(bits(key, jnp.arange(ROWS), UNITS))


@pytest.mark.parametrize("key", KEYS)
def test_it_is_the_hash_in_plain_integers(key: jax.Array) -> None:
    first, second = (int(word) for word in np.asarray(jax.random.key_data(key)))
    drawn = bits(key, jnp.array([0, 5, 2**32 - 1], jnp.uint32), 40)
    for row, number in enumerate((0, 5, 2**32 - 1)):
        for unit in (0, 1, 39):
            across = _mixed((number * 0xBB67AE85 + second) % 2**32)
            along = _mixed((unit * 0x9E3779B9 + first) % 2**32)
            assert int(drawn[row, unit]) == _mixed(across ^ along)


def test_neither_length_nor_neighbours_change_a_number() -> None:
    whole = _drawn(KEYS[1])
    np.testing.assert_array_equal(bits(KEYS[1], 17, 30), whole[17, :30])
    np.testing.assert_array_equal(bits(KEYS[1], jnp.array([[9], [4]]), 5)[1, 0], whole[4, :5])


@pytest.mark.parametrize("key", KEYS)
def test_every_bit_is_even(key: jax.Array) -> None:
    drawn = _drawn(key)
    for bit in range(32):
        ones = int((drawn >> bit & 1).sum())
        assert scipy.stats.binomtest(ones, drawn.size).pvalue > 1e-5, bit


def independent(left: np.ndarray, right: np.ndarray) -> None:
    """The highest four bits of either say nothing of the other's."""
    cells = (left >> 28) * 16 + (right >> 28)
    counts = np.bincount(cells.ravel().astype(np.int64), minlength=256)
    assert scipy.stats.chisquare(counts).pvalue > 1e-5


@pytest.mark.parametrize("key", KEYS)
def test_numbers_are_uniform_in_pairs(key: jax.Array) -> None:
    """Of neighbours along both axes, and of the same place under the next key."""
    drawn = _drawn(key)
    other = _drawn(jax.random.fold_in(key, 1))
    for left, right in ((drawn[:-1], drawn[1:]), (drawn[:, :-1], drawn[:, 1:]), (drawn, other)):
        independent(left, right)


def test_no_row_repeats_another() -> None:
    """Neither in its place nor shifted: of 120,000 numbers of 32 bits one or two may meet by chance."""
    drawn = _drawn(KEYS[3])
    assert drawn.size - np.unique(drawn).size < 10


def test_keys_are_two_numbers_of_their_own() -> None:
    keys = key_of(KEYS[1], jnp.array([[0, 7], [2**20, 3]]))
    np.testing.assert_array_equal(jax.random.key_data(keys)[1, 0], bits(KEYS[1], 2**20, 2))
    assert jax.random.key_data(key_of(KEYS[1], 7)).tolist() == jax.random.key_data(keys)[0, 1].tolist()
    many = np.asarray(jax.random.key_data(key_of(KEYS[0], jnp.arange(-10_000, 10_000))))
    assert len(np.unique(many, axis=0)) == 20_000


def test_numbers_under_neighbouring_keys_are_uniform_in_pairs() -> None:
    """As the dropped units of one example and the next, and the weights of one layer and the next."""
    keys = key_of(KEYS[2], jnp.arange(ROWS))
    drawn = np.asarray(jax.vmap(lambda key: bits(key, 0, UNITS))(keys))
    parent = np.asarray(bits(KEYS[2], jnp.arange(ROWS), UNITS))
    for left, right in ((drawn[:-1], drawn[1:]), (drawn[:, :-1], drawn[:, 1:]), (drawn, parent)):
        independent(left, right)


def test_permutations_are_as_likely_as_each_other() -> None:
    keys = key_of(KEYS[0], jnp.arange(24_000))
    orders = np.asarray(jax.vmap(lambda key: permutation(key, 4))(keys))
    assert (np.sort(orders, axis=1) == np.arange(4)).all()
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 24
    assert scipy.stats.chisquare(counts).pvalue > 1e-5


def test_a_long_permutation_mixes_every_place() -> None:
    """Where a row goes says nothing of where it was, over 100 epochs of 1,000 rows."""
    orders = np.asarray(jax.vmap(lambda key: permutation(key, 1000))(key_of(KEYS[3], jnp.arange(100))))
    assert (np.sort(orders, axis=1) == np.arange(1000)).all()
    tenths = (np.arange(1000) // 100 * 10 + orders // 100).ravel()
    counts = np.bincount(tenths, minlength=100).reshape(10, 10)
    assert scipy.stats.chi2_contingency(counts).pvalue > 1e-5
    assert orders.dtype == np.int32
