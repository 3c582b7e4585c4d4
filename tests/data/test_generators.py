"""Drawn data: what the formulas say, what can be reached, and the same rows for ever."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from workbench.core.errors import DataError
from workbench.core.records import Opening
from workbench.core.types import DataSpec
from workbench.data import BUILTIN, load, prepare, row_marks, unseal
from workbench.data.sources import generators
from workbench.data.sources.generators import COMMON, REMEMBERED, SYMBOLS

STUDIED = ["xor", "rings", "spirals", "sine", "polynomial", "bag_of_words", "adding-100", "copy-20"]


def test_the_articles_points() -> None:
    x, y = generators.tickets()
    line = LinearRegression().fit(x, y)
    assert (line.coef_[0], line.intercept_) == pytest.approx((0.125, 17.5))
    x, y = generators.purchases()
    assert list(zip(x[:, 0], y, strict=True)) == [(30, 1), (40, 1), (55, 0), (70, 1), (130, 0)]


@pytest.mark.parametrize("name", ["tickets", "purchases"])
def test_too_few_rows_for_a_study(name: str) -> None:
    assert BUILTIN[name]().target in ("price", "bought")
    with pytest.raises(DataError, match=r"cannot be divided .* it is for experiments"):
        load(DataSpec(source=name))


@pytest.mark.parametrize("name", ["xor", "rings", "spirals"])
def test_planes_need_curves(name: str) -> None:
    x, y = getattr(generators, name)()
    assert x.shape == (1000, 2)
    assert np.bincount(y).tolist() == [500, 500]
    assert LogisticRegression().fit(x[:600], y[:600]).score(x[600:], y[600:]) < 0.75
    assert KNeighborsClassifier(5).fit(x[:600], y[:600]).score(x[600:], y[600:]) > 0.98


def test_stated_accuracies() -> None:
    x, y = generators.xor(50_000, seed=3)
    assert np.mean(((x[:, 0] > 0.5) != (x[:, 1] > 0.5)) == y) == pytest.approx(0.999, abs=1e-3)
    x, y = generators.rings(50_000, seed=3)
    assert np.mean((np.hypot(*x.T) > 1.5) == y) == pytest.approx(0.999, abs=1e-3)
    words, y = generators.bag_of_words(20_000, seed=3)
    own = np.arange(400) % 4 == np.arange(4)[:, None]
    chance, rare = np.where(own, 0.03, 0.006), words[:, COMMON:].astype(float)
    likelihood = rare @ np.log(chance).T + (1 - rare) @ np.log1p(-chance).T
    assert np.mean(likelihood.argmax(axis=1) == y) == pytest.approx(0.81, abs=0.01)


def test_curves_and_their_noise() -> None:
    x, y = generators.sine(20_000)
    noise = y - np.sin(x[:, 0])
    assert noise.std() == pytest.approx(0.1, rel=0.02)
    assert stats.kstest(noise / 0.1, "norm").pvalue > 1e-3
    assert stats.kstest(x[:, 0] / (2 * np.pi), "uniform").pvalue > 1e-3
    x, y = generators.polynomial(20_000)
    np.testing.assert_allclose(np.polyfit(x[:, 0], y, 3), [0.5, -1, -1, 2], atol=0.03)
    assert (x.min(), x.max()) == (pytest.approx(-2, abs=1e-3), pytest.approx(3, abs=1e-3))


def test_words_are_rare_and_tell_the_class() -> None:
    x, y = generators.bag_of_words(20_000)
    assert set(np.unique(x)) == {0, 1}
    np.testing.assert_allclose(x[:, :COMMON].mean(axis=0), 0.8 / np.arange(1, COMMON + 1), atol=0.015)
    by_class = np.stack([x[y == code, COMMON:].mean(axis=0) for code in range(4)])
    assert (by_class.argmax(axis=0) == np.arange(400) % 4).mean() > 0.99
    assert by_class.max(axis=0).mean() == pytest.approx(0.03, rel=0.05)


@pytest.mark.parametrize("steps", [2, 3, 7, 100])
def test_adding(steps: int) -> None:
    x, y = generators.adding(steps, 4000)
    assert (x.shape, x.dtype) == ((4000, steps, 2), np.float32)
    marks = x[:, :, 1]
    half = steps // 2
    assert (marks[:, :half].sum(axis=1) == 1).all()
    assert (marks[:, half:].sum(axis=1) == 1).all()
    assert marks.any(axis=0).all()
    np.testing.assert_array_equal((x[:, :, 0].astype(float) * marks).sum(axis=1), y)
    assert np.mean((y - 1) ** 2) == pytest.approx(1 / 6, rel=0.1)


@pytest.mark.parametrize("delay", [0, 20])
def test_copy(delay: int) -> None:
    x, y = generators.copy(delay, 500)
    steps = delay + 2 * REMEMBERED
    assert x.shape == (500, steps, SYMBOLS + 2)
    assert (x.sum(axis=2) == 1).all()
    shown = x.argmax(axis=2)
    cue = REMEMBERED + delay
    assert (shown[:, cue] == SYMBOLS + 1).all()
    assert (np.delete(shown[:, REMEMBERED:], delay, axis=1) == SYMBOLS).all()
    assert (y[:, :cue] == -1).all()
    np.testing.assert_array_equal(y[:, cue:], shown[:, :REMEMBERED])
    assert np.bincount(y[:, cue:].ravel()).min() > 0.9 * 5000 / SYMBOLS


def test_the_set_copy_asks_for_all_symbols() -> None:
    dataset, _ = load(DataSpec(source="copy-20"))
    assert dataset.input_shape == (40, 10)
    assert isinstance(dataset.rows, np.ndarray)
    codes = np.array([int(name) for name in dataset.classes])
    asked = dataset.target[:, -REMEMBERED:]
    np.testing.assert_array_equal(codes[asked], dataset.rows[:, :REMEMBERED].argmax(axis=2))
    assert (dataset.target[:, :-REMEMBERED] == -1).all()


@pytest.mark.parametrize("call", [lambda: generators.adding(1), lambda: generators.copy(-1)])
def test_impossible_lengths(call: object) -> None:
    with pytest.raises(ValueError, match="cannot have"):
        call()  # type: ignore[operator]


def test_other_lengths_and_seeds() -> None:
    assert load(DataSpec(source="adding-30"))[0].input_shape == (30, 2)
    assert load(DataSpec(source="copy-3"))[0].input_shape == (23, 10)
    (a, _), (b, _) = generators.rings(seed=0), generators.rings(seed=1)
    assert not np.isclose(a, b).any(axis=1).any()


@pytest.mark.parametrize("name", STUDIED)
def test_under_seal_like_any_other_set(name: str) -> None:
    spec = DataSpec(source=name)
    dataset, sealed = load(spec)
    again, same = load(spec)
    assert (dataset.fingerprint, sealed) == (again.fingerprint, same)
    rows = unseal(sealed, dataset, Opening("s", sealed.fingerprint, "c", 1))
    assert len(rows.x) == sealed.rows == dataset.test_rows
    assert not np.isin(rows.marks[:, 0], row_marks(dataset.rows)[:, 0]).mean() > 0.02
    other, elsewhere = load(replace(spec, split_seed=1))
    assert sealed.fingerprint != elsewhere.fingerprint
    held = unseal(elsewhere, other, Opening("s", elsewhere.fingerprint, "c", 1))
    if isinstance(rows.x, np.ndarray):  # the same set, so another seed's test rows are partly the same
        assert 0.1 < np.isin(held.marks[:, 0], rows.marks[:, 0]).mean() < 0.3
    fold, _ = prepare(dataset)
    assert np.isfinite(fold.train.x).all()


DIGESTS = {
    "xor": "96a57b5a1774ea24",
    "rings": "f8bb7ad6bb424586",
    "spirals": "f643387425a8afa0",
    "sine": "d25f57283cdbc948",
    "polynomial": "cf58ac5a855cfa8e",
    "bag_of_words": "cc5b110d42264bc2",
    "adding": "cce8abea5f1fe84d",
    "copy": "ac114e16c36e1a11",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_never_changes(name: str) -> None:
    """Seals depend on this: other rows under the same name would break every recorded study."""
    x, y = getattr(generators, name)(*((20,) if name in ("adding", "copy") else ()), rows=50)
    digest = hashlib.sha256(
        np.concatenate([x.reshape(50, -1), y.reshape(50, -1)], axis=1).astype("<f8").tobytes()
    )
    assert digest.hexdigest()[:16] == DIGESTS[name]


def test_rare_words_can_be_learned() -> None:
    fold, _ = prepare(load(DataSpec(source="bag_of_words"))[0], scale="none")
    forest = RandomForestClassifier(100, random_state=0).fit(fold.train.x, fold.train.y)
    assert 0.6 < forest.score(fold.validation.x, fold.validation.y) < 0.82
