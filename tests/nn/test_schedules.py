"""Learning-rate schedules against NumPy, PyTorch and optax."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.core import vocabulary
from workbench.nn.schedules import SCHEDULES, Curve, Plateau, factor, plateau_init, plateau_update

NAMES = tuple(vocabulary.SCHEDULES)
EPOCHS = 50.0
AT = np.arange(0.0, 60.25, 0.25)


def curve(name, warmup=0.0, epochs=EPOCHS, plateau=None, **more):
    one = lambda epoch: factor((name,), jnp.int32(0), epoch, epochs, warmup, plateau, **more)  # noqa: E731
    return np.asarray(jax.vmap(one)(jnp.asarray(AT, jnp.float32)))


def usual(name, t):
    """A schedule by its formula, at the numbers that it has if nothing is said."""
    rising, cosine = t < 0.3, lambda a, b, way: b + (a - b) * (1 + np.cos(np.pi * way)) / 2
    return {
        "cosine": (1 + np.cos(np.pi * t)) / 2,
        "flat_cos": np.where(t < 0.5, 1.0, cosine(1.0, 0.0, 2 * t - 1)),
        "coslog4": (1 - np.cos(2 * np.pi * np.log2(1 + 15 * t))) / 2,
        "exponential": 0.01**t,
        "polynomial": 1 - t,
        "piecewise": np.where(t < 0.5, 1.0, np.where(t < 0.75, 0.1, 0.01)),
        "one_cycle": np.where(rising, cosine(0.04, 1.0, t / 0.3), cosine(1.0, 4e-6, (t - 0.3) / 0.7)),
    }.get(name, np.ones_like(t))


def test_the_registry_has_the_words():
    assert list(SCHEDULES) == vocabulary.SCHEDULES


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
    np.testing.assert_allclose(curve(name, warmup), expected * usual(name, t), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_a_warmup_as_long_as_the_schedule_is_finite(name):
    values = curve(name, warmup=EPOCHS)
    assert np.isfinite(values).all()
    expected = AT[AT < EPOCHS] / EPOCHS * {"one_cycle": 0.04, "coslog4": 0.0}.get(name, 1.0)
    np.testing.assert_allclose(values[AT < EPOCHS], expected, rtol=1e-5)


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


#: A study's words and numbers, and the schedule of optax that they are; 100 steps of half an epoch.
STEPS = 100
OF_OPTAX = {
    "constant": ("constant", {}, optax.constant_schedule(1.0)),
    "cosine": ("cosine", {}, optax.cosine_decay_schedule(1.0, STEPS)),
    "cosine to 0.2": ("cosine", {"final": 0.2}, optax.cosine_decay_schedule(1.0, STEPS, alpha=0.2)),
    "flat cosine": (
        "flat_cos", {},
        optax.join_schedules([optax.constant_schedule(1.0), optax.cosine_decay_schedule(1.0, 50)], [50]),
    ),
    "exponential": ("exponential", {}, optax.exponential_decay(1.0, STEPS, 0.01)),
    "exponential to 0.5": ("exponential", {"final": 0.5}, optax.exponential_decay(1.0, STEPS, 0.5)),
    "line": ("polynomial", {}, optax.linear_schedule(1.0, 0.0, STEPS)),
    "square": (
        "polynomial", {"power": 2.0, "final": 0.1}, optax.polynomial_schedule(1.0, 0.1, 2.0, STEPS)
    ),
    "one cycle": ("one_cycle", {}, optax.cosine_onecycle_schedule(STEPS, 1.0)),
    "steep cycle": (
        "one_cycle", {"pct_start": 0.1, "div_factor": 5.0, "final_div_factor": 10.0},
        optax.cosine_onecycle_schedule(STEPS, 1.0, pct_start=0.1, div_factor=5.0, final_div_factor=10.0),
    ),
    "piecewise": ("piecewise", {}, optax.piecewise_constant_schedule(1.0, {50: 0.1, 75: 0.1})),
    "stairs": (
        "piecewise", {"boundaries": (5.0, 30.0), "scales": (0.5, 0.2)},
        optax.piecewise_constant_schedule(1.0, {10: 0.5, 60: 0.2}),
    ),
    "joined": (
        "constant-cosine-exponential", {"boundaries": (10.0, 40.0)},
        optax.join_schedules(
            [
                optax.constant_schedule(1.0), optax.cosine_decay_schedule(1.0, 60),
                optax.exponential_decay(1.0, 20, 0.01),
            ],
            [20, 80],
        ),
    ),
    "restart": (
        "cosine-cosine", {},
        optax.join_schedules([optax.cosine_decay_schedule(1.0, 50)] * 2, [50]),
    ),
    "warm-up, cosine": ("cosine", {"warmup": 10.0}, optax.warmup_cosine_decay_schedule(0.0, 1.0, 20, STEPS)),
    "warm-up, constant": ("constant", {"warmup": 10.0}, optax.warmup_constant_schedule(0.0, 1.0, 20)),
    "warm-up, exponential": (
        "exponential", {"warmup": 10.0},
        optax.warmup_exponential_decay_schedule(0.0, 1.0, 20, STEPS - 20, 0.01),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(OF_OPTAX))
def test_every_step_is_that_of_optax(case):
    name, more, theirs = OF_OPTAX[case]
    numbers = {key: jnp.float32(value) for key, value in more.items() if key in Curve._fields}
    lists = {key: value for key, value in more.items() if key in ("boundaries", "scales")}
    epochs = np.arange(STEPS + 10) / 2
    one = jax.jit(
        lambda epoch, warmup, curve: factor(
            (name,), jnp.int32(0), epoch, EPOCHS, warmup, None, curve, **lists
        )
    )
    ours = [one(epoch, more.get("warmup", 0.0), Curve(**numbers)) for epoch in epochs.astype(np.float32)]
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        expected = [theirs(step) for step in range(STEPS + 10)]
    beyond = STEPS if "exponential" in name else STEPS + 10  # which optax lets fall on for ever
    np.testing.assert_allclose(ours[:beyond], expected[:beyond], rtol=2e-5, atol=2e-6)


@given(
    parts=st.lists(st.sampled_from([name for name in NAMES if name != "one_cycle"]), min_size=2, max_size=4),
    warmup=st.sampled_from([0.0, 3.0]),
)
def test_every_part_of_a_join_begins_anew(parts, warmup):
    length = (EPOCHS - warmup) / len(parts)
    inner = tuple(warmup + length * i for i in range(1, len(parts)))
    joined = "-".join(parts)
    at = lambda epoch, **more: factor((joined,), jnp.int32(0), epoch, EPOCHS, warmup, **more)  # noqa: E731
    for i, (part, start) in enumerate(zip(parts, (warmup, *inner), strict=True)):
        begun = at(start + 0.01 * length)
        np.testing.assert_allclose(begun, usual(part, np.float32(0.01)), rtol=1e-3)
        np.testing.assert_allclose(at(start + 0.01 * length, boundaries=inner), begun, rtol=1e-3)
        half = at(start + 0.4 * length)
        np.testing.assert_allclose(half, usual(part, np.float32(0.4)), rtol=1e-3, err_msg=f"part {i}")
