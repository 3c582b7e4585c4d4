"""Learning-rate schedules against NumPy and PyTorch."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from workbench import words
from workbench.schedules import SCHEDULES, Plateau, factor, plateau_init, plateau_update

NAMES = tuple(words.SCHEDULES)
EPOCHS = 50.0
AT = np.arange(0.0, 60.25, 0.25)


def curve(name, warmup=0.0, epochs=EPOCHS, plateau=None):
    one = lambda epoch: factor((name,), jnp.int32(0), epoch, epochs, warmup, plateau)  # noqa: E731
    return np.asarray(jax.vmap(one)(jnp.asarray(AT, jnp.float32)))


def test_the_registry_has_the_words():
    assert list(SCHEDULES) == words.SCHEDULES


def test_formulas():
    t = np.minimum(AT / EPOCHS, 1.0)
    np.testing.assert_array_equal(curve("constant"), 1.0)
    np.testing.assert_allclose(curve("cosine"), (1 + np.cos(np.pi * t)) / 2, atol=1e-6)
    np.testing.assert_allclose(curve("exponential"), 0.01**t, rtol=1e-5)
    np.testing.assert_array_equal(curve("plateau"), 1.0)


def test_cosine_and_exponential_equal_pytorch():
    torch = pytest.importorskip("torch")

    def theirs(make):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        schedule, rates = make(optimizer), []
        for _ in range(int(EPOCHS)):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        return rates

    lr_scheduler = torch.optim.lr_scheduler
    at = slice(0, 4 * int(EPOCHS), 4)  # whole epochs
    np.testing.assert_allclose(
        curve("cosine")[at], theirs(lambda o: lr_scheduler.CosineAnnealingLR(o, int(EPOCHS))), atol=1e-6
    )
    np.testing.assert_allclose(
        curve("exponential")[at],
        theirs(lambda o: lr_scheduler.ExponentialLR(o, 0.01 ** (1 / EPOCHS))),
        rtol=1e-5,
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("warmup", [0.0, 4.0, 10.0])
def test_warmup_is_a_line_and_the_schedule_follows(name, warmup):
    expected = np.interp(AT, [0.0, warmup, 1e9], [0.0, 1.0, 1.0]) if warmup else np.ones_like(AT)
    t = np.clip((AT - warmup) / (EPOCHS - warmup), 0.0, 1.0)
    after = {"cosine": (1 + np.cos(np.pi * t)) / 2, "exponential": 0.01**t}.get(name, 1.0)
    np.testing.assert_allclose(curve(name, warmup), expected * after, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_warmup_as_long_as_the_schedule_is_finite(name):
    values = curve(name, warmup=EPOCHS)
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values[AT < EPOCHS], AT[AT < EPOCHS] / EPOCHS, rtol=1e-5)


@pytest.mark.parametrize("index", range(len(NAMES)))
def test_selection_and_lanes(index):
    state = plateau_init()._replace(factor=jnp.float32(0.1))
    traced = jax.jit(lambda *a: factor(NAMES, *a, state))
    arguments = (jnp.int32(index), jnp.float32(20.25), jnp.int32(50), jnp.float32(3.0))
    one = factor((NAMES[index],), jnp.int32(0), 20.25, 50, 3.0, state)
    assert one.dtype == jnp.float32
    np.testing.assert_allclose(traced(*arguments), one, rtol=1e-6)
    lanes = jax.vmap(traced, in_axes=(0, None, None, None))(
        jnp.arange(len(NAMES), dtype=jnp.int32), *arguments[1:]
    )
    np.testing.assert_allclose(lanes[index], one, rtol=1e-6)


def test_only_plateau_reads_the_plateau():
    state = Plateau(jnp.float32(0.01), jnp.float32(0.0), jnp.int32(0))
    np.testing.assert_allclose(curve("plateau", plateau=state), 0.01, rtol=1e-6)
    for name in ("constant", "cosine", "exponential"):
        np.testing.assert_array_equal(curve(name, plateau=state), curve(name))


@pytest.mark.parametrize("patience", [0, 2, 5])
def test_plateau_equals_pytorch(patience):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(patience)
    falling = 2.0 * np.exp(-np.arange(40) / 8.0)
    losses = np.concatenate([falling, falling[-1] + 0.01 * rng.random(30), [np.nan] * 3, [0.001] * 20])
    losses = losses.astype(np.float32)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.1, patience=patience, threshold=1e-4, eps=0.0
    )
    expected = []
    for loss in losses:
        theirs.step(float(loss))
        expected.append(optimizer.param_groups[0]["lr"])

    def step(state, loss):
        state = plateau_update(state, loss, patience)
        return state, state.factor

    _, actual = jax.jit(lambda x: jax.lax.scan(step, plateau_init(), x))(jnp.asarray(losses))
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-37)
    assert expected[-1] < 1e-2


def test_plateau_takes_negative_losses():
    state = plateau_update(plateau_init(), jnp.float32(-1.0))
    assert plateau_update(state, jnp.float32(-1.00001)).wait == 1
    assert plateau_update(state, jnp.float32(-1.1)).wait == 0
