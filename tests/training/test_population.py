"""Lanes do not know each other.

Alone or among others, padded or not, at once or in rungs, the result is the same.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.lanes import train
from tests.helpers.problems import blobs, fold, lane, line, mlp
from workbench.core.errors import WorkbenchError
from workbench.core.types import Fold
from workbench.nn.recipe import Hyperparameters, Recipe
from workbench.training import population
from workbench.training.engine import Engine, Job, Trained
from workbench.training.programs import Programs

EPOCHS = 12
VARIED = [
    lane(seed=1, learning_rate=0.02),
    lane(seed=2, activation=1, optimizer=1, schedule=1),
    lane(seed=3, width=5, depth=1, dropout=0.4),
    lane(seed=4, width=3, l2=0.1, label_smoothing=0.1, patience=2),
]


def engine(data: Fold | None = None, seed: int = 0, lanes: int = 1) -> Engine:
    return Engine(lambda variant: blobs() if data is None else data, capacity=EPOCHS, seed=seed, lanes=lanes)


def run(
    recipe: Recipe,
    hypers: list[Hyperparameters],
    lanes: int = 1,
    data: Fold | None = None,
    epochs: int = EPOCHS,
) -> list[Trained]:
    return engine(data, lanes=lanes).run_many([Job(recipe, "raw", hyper, 0, epochs) for hyper in hypers])


def assert_same(one: Trained, other: Trained, *, rtol: float = 0.0, atol: float = 0.0) -> None:
    assert one.status == other.status
    assert one.epochs == other.epochs
    for mine, theirs in zip(one.curves, other.curves, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=rtol, atol=atol)


@pytest.mark.parametrize("family", ["mlp", "tabm"])
def test_neighbours_and_order_change_nothing_to_the_bit(family: str) -> None:
    recipe = mlp(family=family, options=(("members", 3),))
    together = run(recipe, VARIED)
    reversed_ = run(recipe, VARIED[::-1])[::-1]
    for position, hyper in enumerate(VARIED):
        assert_same(together[position], run(recipe, [hyper])[0])
        assert_same(together[position], reversed_[position])


def test_side_by_side_equals_in_turn_but_for_rounding(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = run(mlp(), VARIED)
    monkeypatch.setattr(population, "in_turn", lambda mesh: False)
    narrow, wide = run(mlp(), VARIED, 4), run(mlp(), VARIED, 8)
    for one, other, third in zip(turns, narrow, wide, strict=True):
        assert_same(one, other, rtol=1e-4, atol=1e-5)
        assert_same(other, third, rtol=1e-4, atol=1e-5)
    assert_same(narrow[1], run(mlp(), [VARIED[1]], 4)[0])


def test_a_population_takes_those_that_want_the_same_and_has_few_sizes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(population, "in_turn", lambda mesh: False)
    machine = engine(lanes=4)
    jobs = [Job(mlp(), "raw", hyper, 0, 2 + i % 2) for i, hyper in enumerate(VARIED)]
    for one, job in zip(machine.run_many(jobs), jobs, strict=True):
        assert len(one.curves.train_loss) == job.last
        assert_same(one, run(mlp(), [job.hyper], 4, epochs=job.last)[0])
    assert machine.programs == 1


@given(st.lists(st.integers(0, 9), min_size=1, max_size=24), st.sampled_from([1, 2, 3, 8]))
def test_places_hold_every_lane_once_and_share_the_work(costs: list[int], devices: int) -> None:
    width = -(-len(costs) // devices) * devices
    places = population.places(costs, width, devices)
    assert sorted(lane for lane in places if lane is not None) == list(range(len(costs)))
    loads = [
        sum(costs[lane] for lane in hand if lane is not None)
        for hand in np.array(places, object).reshape(devices, -1)
    ]
    assert max(loads) - min(loads) <= max(costs)
    stacked = population.stack([np.int32(i) for i in range(len(costs))], places)
    assert [int(lane) for lane in population.unstack(stacked, places)] == list(range(len(costs)))


@pytest.mark.parametrize(
    "room",
    [
        {"width": 13, "depth": 4},
        pytest.param({"width": 16}, marks=pytest.mark.slow),
        pytest.param({"depth": 3}, marks=pytest.mark.slow),
    ],
)
def test_padding_changes_rounding_alone(room: dict[str, int]) -> None:
    for tight, padded in zip(run(mlp(), VARIED), run(mlp(**room), VARIED), strict=True):
        assert_same(tight, padded, rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("family", "turns"),
    [
        ("mlp", True),
        ("mlp", False),
        # That their spare layers are zero is asked of the models themselves; what clips knows no family.
        *(pytest.param(family, True, marks=pytest.mark.slow) for family in ("residual", "highway", "tabm")),
    ],
)
def test_layers_that_a_lane_has_not_are_zero_and_count_for_nothing(
    family: str, turns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clipping and penalties see the lane's own layers alone, as decay does."""
    monkeypatch.setattr(population, "in_turn", lambda mesh: turns)
    hypers = [lane(seed=d, depth=d, l2=0.3, l1=0.01, clip=0.1, dropout=0.2) for d in (1, 3)]
    room = mlp(family=family, depth=4, clip=True, options=(("members", 3),))
    for hyper, roomy in zip(hypers, run(room, hypers), strict=True):
        depth = int(hyper.depth)
        assert_same(run(replace(room, depth=depth), [hyper])[0], roomy, rtol=2e-3, atol=1e-3)
        spare = [roomy.lane.params[f"hidden_{layer:02d}"] for layer in range(depth, 4)]
        assert not any(np.any(leaf) for leaf in jax.tree.leaves(spare))


def test_more_choices_change_rounding_alone() -> None:
    hypers = [lane(seed=5), lane(seed=6, width=4)]
    few = run(mlp(activations=("relu",), optimizers=("adam",), schedules=("constant",)), hypers)
    for one, other in zip(few, run(mlp(), hypers), strict=True):
        assert_same(one, other, rtol=2e-3, atol=1e-3)


def test_adding_up_gradients_equals_a_larger_batch() -> None:
    hypers = [lane(seed=7, batch_size=32, dropout=0.0), lane(seed=8, batch_size=32, dropout=0.0, optimizer=1)]
    whole = run(mlp(batch=32, dropout=False), hypers)
    summed = run(mlp(batch=16, accumulate=True, dropout=False), hypers)
    for one, other in zip(whole, summed, strict=True):
        np.testing.assert_allclose(one.curves.validation_loss, other.curves.validation_loss, rtol=1e-3)


def test_a_nan_neighbour_does_no_harm() -> None:
    wild = lane(seed=9, learning_rate=1e30, optimizer=1)
    results = run(mlp(), [VARIED[0], wild, VARIED[1]])
    assert results[1].status == "diverged"
    assert results[1].epochs < EPOCHS
    assert_same(results[0], run(mlp(), [VARIED[0]])[0])
    assert_same(results[2], run(mlp(), [VARIED[1]])[0])


def test_rungs_equal_one_go_to_the_bit() -> None:
    once = run(mlp(), VARIED)
    machine = engine()
    lanes, parts = None, []
    for first, last in ((0, 2), (2, 7), (7, EPOCHS)):
        trained = train(machine, mlp(), "raw", VARIED, lanes, first=first, last=last)
        lanes = [result.lane for result in trained]
        parts.append([result.curves.train_loss for result in trained])
    assert machine.programs == 1
    for position, result in enumerate(once):
        np.testing.assert_array_equal(
            result.curves.train_loss, np.concatenate([part[position] for part in parts])
        )


def test_a_population_that_does_not_fit_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(population, "in_turn", lambda mesh: False)
    whole, call = run(mlp(), VARIED, 8), Programs.call
    tried: list[int] = []

    def scarce(self: Programs, kind: str, function: Any, static: Any, dynamic: Any) -> Any:
        if kind == "advance":
            tried.append(len(dynamic[0].depth))
            if tried[-1] > room:
                raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return call(self, kind, function, static, dynamic)

    monkeypatch.setattr(Programs, "call", scarce)
    room = 2
    for one, other in zip(whole, run(mlp(), VARIED, 8), strict=True):
        assert_same(one, other, rtol=1e-4, atol=1e-5)
    assert tried[:3] == [8, 4, 2]
    assert set(tried[3:]) == {2}, "what did not fit once is not tried again"
    room = 0
    with pytest.raises(WorkbenchError, match=r"a single mlp does not fit .* lower the upper end of width"):
        run(mlp(), VARIED)


def test_a_seed_of_its_own_for_every_lane_and_for_the_study() -> None:
    first, second = run(mlp(), [lane(seed=1), lane(seed=2)])
    assert not np.array_equal(first.curves.train_loss, second.curves.train_loss)
    other = train(engine(seed=1), mlp(), "raw", [lane(seed=1)], last=EPOCHS)[0]
    assert not np.array_equal(first.curves.train_loss, other.curves.train_loss)


def test_early_stopping_keeps_the_best_weights() -> None:
    hyper = lane(seed=11, learning_rate=0.05, patience=3, dropout=0.0)
    data = blobs(rows=60, seed=2)
    result = run(mlp(dropout=False), [hyper], data=data)[0]
    scores = result.curves.validation_score
    assert result.status == "stopped"
    best = np.flatnonzero(scores == scores.max())
    assert result.best_epoch == best[np.argmin(result.curves.validation_loss[best])] + 1
    assert result.epochs == result.best_epoch + 3
    assert result.score == scores.max()
    out = engine(data).outputs(mlp(dropout=False), "raw", hyper, result.lane.best, data.validation.x)
    assert np.mean(out.argmax(axis=1) == data.validation.y) == pytest.approx(result.score)


def test_without_early_stopping_the_last_epoch_counts() -> None:
    result = run(mlp(keep_best=False), [lane(seed=1)])[0]
    assert result.best_epoch == EPOCHS
    assert result.score == result.curves.validation_score[-1]


def test_padded_rows_count_for_nothing() -> None:
    data = blobs(rows=75)
    n = len(data.train.x)
    assert n % 16, "the last batch is to be short"
    hyper = lane(seed=1, batch_size=n, dropout=0.0, schedule=0)
    recipe = mlp(dropout=False, batch=n)
    padded = data.train._replace(
        x=np.concatenate([data.train.x, np.full((9, 5), 1e6, np.float32)]),
        y=np.concatenate([data.train.y, np.zeros(9, np.int32)]),
        weight=np.concatenate([data.train.weight, np.zeros(9, np.float32)]),
    )
    plain = run(recipe, [hyper], data=data)[0]
    heavy = run(mlp(dropout=False, batch=n + 9), [hyper], data=data._replace(train=padded))[0]
    np.testing.assert_allclose(plain.curves.train_loss, heavy.curves.train_loss, rtol=1e-4)


def test_first_loss_and_gradient_step_by_hand() -> None:
    """One epoch of batch gradient descent on a linear model, in NumPy."""
    data = line()
    recipe = Recipe("linear", (4,), 1, "mse", "rmse", optimizers=("sgd",), batch=len(data.train.x))
    hyper = lane(learning_rate=0.1, l2=0.0, batch_size=len(data.train.x), dropout=0.0)
    result = run(recipe, [hyper], data=data, epochs=1)[0]
    y = (data.train.y - data.shift) / data.scale
    slope = -2.0 * (data.train.x * y).mean(axis=0)
    np.testing.assert_allclose(result.curves.train_loss, [np.mean(y**2)], rtol=1e-5)
    np.testing.assert_allclose(result.lane.params["weight"][0], -0.1 * slope, rtol=1e-4)
    predicted = data.validation.x @ result.lane.params["weight"].T + result.lane.params["bias"]
    rmse = np.sqrt(np.mean((predicted * data.scale + data.shift - data.validation.y) ** 2))
    np.testing.assert_allclose(result.curves.validation_score, [rmse], rtol=1e-5)


def test_trained_linear_model_is_the_least_squares_solution() -> None:
    data = line(rows=300)
    n = len(data.train.x)
    recipe = Recipe("linear", (4,), 1, "mse", "rmse", optimizers=("momentum",), batch=n)
    machine = Engine(lambda variant: data, capacity=400, seed=0)
    hyper = lane(learning_rate=0.1, l2=0.0, batch_size=n, epochs=400)
    result = train(machine, recipe, "raw", [hyper], last=400)[0]
    design = np.column_stack([data.train.x, np.ones(n)])
    solution = np.linalg.lstsq(design, ((data.train.y - data.shift) / data.scale)[:, 0], rcond=None)[0]
    np.testing.assert_allclose(result.lane.params["weight"][0], solution[:4], atol=1e-5)
    np.testing.assert_allclose(result.lane.params["bias"][0], solution[4], atol=1e-5)


def test_cores_read_the_same_rows() -> None:
    rows = np.zeros((1000, 5), np.float32)
    aligned = population._aligned(rows[1:])
    assert aligned.ctypes.data % population.ALIGNED == 0
    data = blobs()._replace(shift=aligned)
    first = population.place(population.mesh_of_host(), data)
    assert first.shift.unsafe_buffer_pointer() == aligned.ctypes.data
    other = jax.sharding.Mesh(np.array(jax.devices()[1:2]), ("lanes",))
    second = population.place(other, jax.tree.map(np.asarray, first))
    for mine, theirs in zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True):
        assert mine.unsafe_buffer_pointer() == theirs.unsafe_buffer_pointer()


def test_fold_with_two_regression_targets() -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(40, 3)).astype(np.float32)
    y = x @ draw.normal(size=(3, 2)).astype(np.float32)
    data = fold(x[:30], y[:30], x[30:], y[30:])._replace(
        shift=np.zeros(2, np.float32), scale=np.ones(2, np.float32)
    )
    recipe = Recipe("linear", (3,), 2, "mse", "rmse", optimizers=("adam",), batch=30)
    result = train(
        Engine(lambda v: data, capacity=300, seed=0),
        recipe,
        "raw",
        [lane(learning_rate=0.1, l2=0.0, batch_size=30, epochs=300)],
        last=300,
    )[0]
    assert result.score is not None
    assert result.score < 0.01
    assert jnp.shape(result.lane.params["weight"]) == (2, 3)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_step_of_a_sequence_may_have_a_target(task: str) -> None:
    """Say of each step what the step before it was; some steps have no target."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(120, 6, 1)).astype(np.float32)
    before = np.concatenate([np.zeros((120, 1), np.float32), x[:, :-1, 0]], axis=1)
    y = (before > 0).astype(np.int32) if task == "classification" else before[:, :, None]
    y[:, 0] = -1 if task == "classification" else np.nan
    data = fold(x[:80], y[:80], x[80:], y[80:])
    loss, metric = ("cross_entropy", "accuracy") if task == "classification" else ("mse", "rmse")
    recipe = Recipe(
        "rnn", (6, 1), 2 if task == "classification" else 1, loss, metric, width=8, batch=16,
        options=(("masked", False), ("output", "each")),
    )  # fmt: skip
    machine = Engine(lambda variant: data, capacity=60, seed=0)
    hyper = lane(learning_rate=0.03, epochs=60, depth=0)
    result = train(machine, recipe, "raw", [hyper], last=60)[0]
    assert result.score is not None
    assert result.score > 0.9 if task == "classification" else result.score < 0.3
