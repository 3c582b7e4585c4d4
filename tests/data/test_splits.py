"""Splits: complete, disjoint, of the right sizes, by class, by group, by time, and the same for ever."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.core.errors import DataError
from workbench.core.types import Split
from workbench.data.splits import scramble, split_rows

FRACTIONS = st.sampled_from(
    [Split(), Split(0.5, 0.25, 0.25), Split(0.75, 0.25, 0.0), Split(0.7, 0.15, 0.15), Split(0.4, 0.3, 0.3)]
)


def check_partition(parts: tuple[np.ndarray, ...], n: int) -> None:
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(n))
    assert all(np.array_equal(part, np.sort(part)) for part in parts)


@settings(max_examples=200, deadline=None)
@given(
    counts=st.lists(st.integers(7, 60), min_size=1, max_size=12),
    split=FRACTIONS,
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_stratified_within_one_row(counts: list[int], split: Split, seed: int, data: st.DataObject) -> None:
    codes = np.repeat(np.arange(len(counts)), counts)
    codes = codes[
        np.argsort(data.draw(st.randoms(use_true_random=False)).sample(range(len(codes)), len(codes)))
    ]
    n = len(codes)
    parts = split_rows(codes, n, split, seed, stratify=True)
    check_partition(parts, n)
    for part, fraction in zip(parts, split, strict=True):
        assert abs(len(part) - fraction * n) < 1 + 1e-6
        inside = np.bincount(codes[part], minlength=len(counts))
        assert (np.abs(inside - fraction * np.array(counts)) < 1 + 1e-6).all()
    again = split_rows(codes, n, split, seed, stratify=True)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


@settings(max_examples=100, deadline=None)
@given(n=st.integers(3, 500), split=FRACTIONS, seed=st.integers(0, 2**63))
def test_plain_within_one_row(n: int, split: Split, seed: int) -> None:
    parts = split_rows(None, n, split, seed, stratify=False)
    check_partition(parts, n)
    for part, fraction in zip(parts, split, strict=True):
        assert abs(len(part) - fraction * n) < 1 + 1e-6 or n * min(f for f in split if f) < 1
        assert (len(part) > 0) == (fraction > 0)


@settings(max_examples=60, deadline=None)
@given(
    groups=st.lists(st.integers(0, 40), min_size=30, max_size=300),
    seed=st.integers(0, 1000),
)
def test_groups_stay_whole(groups: list[int], seed: int) -> None:
    group = np.array(groups)
    if len(np.unique(group)) < 3:
        return
    parts = split_rows(None, len(group), Split(), seed, stratify=False, group=group)
    check_partition(parts, len(group))
    seen = [set(group[part]) for part in parts]
    assert all(seen)
    assert sum(map(len, seen)) == len(np.unique(group))


def test_groups_are_balanced() -> None:
    rng = np.random.default_rng(0)
    group = rng.integers(0, 400, 4000)
    codes = (rng.random(400) < 0.3).astype(int)[group]
    parts = split_rows(codes, 4000, Split(), 0, stratify=True, group=group)
    for part, fraction in zip(parts, Split(), strict=True):
        assert len(part) == pytest.approx(4000 * fraction, rel=0.02)
        assert codes[part].mean() == pytest.approx(codes.mean(), abs=0.01)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=100))
def test_later_rows_come_later(times: list[float]) -> None:
    time = np.array(times)
    train, validation, test = split_rows(np.zeros(len(time), int), len(time), Split(), 0, True, time=time)
    check_partition((train, validation, test), len(time))
    assert time[train].max() <= time[validation].min()
    assert time[validation].max() <= time[test].min()


def test_groups_of_every_size_reach_every_part() -> None:
    rng = np.random.default_rng(0)
    size = rng.geometric(0.05, 300)
    group = np.repeat(np.arange(300), size)
    chance = np.zeros((300, 3))
    for seed in range(100):
        for j, part in enumerate(split_rows(None, len(group), Split(), seed, False, group=group)):
            chance[np.unique(group[part]), j] += 0.01
            assert len(part) == pytest.approx(len(group) * Split()[j], rel=0.02)
    order = np.argsort(size)
    for tenth in np.array_split(order, 10):
        np.testing.assert_allclose(chance[tenth].mean(axis=0), Split(), atol=0.1)


def test_small_classes_reach_every_part() -> None:
    codes = np.array([0] * 90 + [1] * 3)
    for part in split_rows(codes, 93, Split(0.9, 0.05, 0.05), 3, stratify=True):
        assert (codes[part] == 1).sum() == 1


def test_the_smallest_splits() -> None:
    sizes = lambda n, *split: [len(part) for part in split_rows(None, n, Split(*split), 0, False)]  # noqa: E731
    assert sizes(3, 0.9, 0.05, 0.05) == [1, 1, 1]
    assert sizes(6, 0.7, 0.15, 0.15) == [4, 1, 1]
    assert sizes(5, 0.6, 0.2, 0.2) == [3, 1, 1]
    assert sizes(2, 0.8, 0.2, 0.0) == [1, 1, 0]


def test_seeds_differ_and_scramble_permutes() -> None:
    a, b = (split_rows(None, 1000, Split(), seed, False)[2] for seed in (0, 1))
    assert len(np.intersect1d(a, b)) < 100  # 40 are expected by chance
    assert len(np.unique(scramble(100_000, 5))) == 100_000


def test_never_changes() -> None:
    """Seals depend on this: another split of the same seed would break every recorded study."""
    digest = hashlib.sha256()
    for part in split_rows(np.arange(300) % 3, 300, Split(), 7, True):
        digest.update(part.astype("<i8").tobytes())
    assert digest.hexdigest()[:16] == "87d8e81b9d5499cc"


def test_splitmix_reference() -> None:
    """First outputs of the public-domain splitmix64.c, computed with Python's unbounded integers."""

    def reference(state: int) -> int:
        z = (state + 0x9E3779B97F4A7C15) % 2**64
        return finalize(z)

    def finalize(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    assert int(scramble(1, 42)[0]) == reference(finalize(42))


def test_sentences() -> None:
    with pytest.raises(DataError, match='class "b" has 2 rows, but stratifying needs 3'):
        split_rows(np.array([0] * 10 + [1] * 2), 12, Split(), 0, True, classes=("a", "b"))
    with pytest.raises(DataError, match="has 2 rows, too few to divide into train, validation and test"):
        split_rows(None, 2, Split(), 0, False)
    with pytest.raises(DataError, match="group has 2 different values"):
        split_rows(None, 20, Split(), 0, False, group=np.arange(20) % 2)
    with pytest.raises(DataError, match="exclude each other"):
        split_rows(None, 20, Split(), 0, False, group=np.arange(20), time=np.arange(20))
