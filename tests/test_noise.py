"""The hash behind initial weights and dropped units: as in plain integers, uniform, without a pattern."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from workbench.noise import bits

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


@pytest.mark.parametrize("key", KEYS)
def test_numbers_are_uniform_in_pairs(key: jax.Array) -> None:
    """Of neighbours along both axes, and of the same place under the next key."""
    drawn = _drawn(key)
    other = _drawn(jax.random.fold_in(key, 1))
    for left, right in ((drawn[:-1], drawn[1:]), (drawn[:, :-1], drawn[:, 1:]), (drawn, other)):
        cells = (left >> 28) * 16 + (right >> 28)
        counts = np.bincount(cells.ravel().astype(np.int64), minlength=256)
        assert scipy.stats.chisquare(counts).pvalue > 1e-5


def test_no_row_repeats_another() -> None:
    """Neither in its place nor shifted: of 120,000 numbers of 32 bits one or two may meet by chance."""
    drawn = _drawn(KEYS[3])
    assert drawn.size - np.unique(drawn).size < 10
