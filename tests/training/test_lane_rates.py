"""How many lanes an accelerator trains at once: measured, remembered, and no part of a result."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.problems import blobs, lane, mlp
from workbench.training import lane_rates, population
from workbench.training.engine import Engine, Job, Trained
from workbench.training.lane_rates import FILE, FIRST, LaneRates, flat_region, shape_class, to_try
from workbench.training.programs import Programs

POWERS = st.integers(0, 12).map(lambda k: 1 << k)


def step(lanes: int, region: int) -> float:
    """Seconds on a device whose time is flat up to `region` lanes and grows in proportion beyond."""
    return 1e-3 * max(1.0, lanes / region)


# ── the region in the measurements ──


@given(POWERS, st.sets(POWERS, min_size=1))
def test_the_end_of_the_flat_part_is_found_where_it_was_measured(region: int, others: set[int]) -> None:
    seconds = {lanes: step(lanes, region) for lanes in others | {region}}
    assert flat_region(seconds) == region


@given(
    POWERS,
    st.lists(st.floats(0.94, 1.06), min_size=13, max_size=13),
    st.floats(1e-6, 1e3),
)
def test_noise_of_six_percent_changes_nothing(region: int, noise: list[float], unit: float) -> None:
    seconds = {1 << k: unit * factor * step(1 << k, region) for k, factor in enumerate(noise)}
    assert flat_region(seconds) == region
    assert flat_region(dict(reversed(seconds.items()))) == region


@given(POWERS, st.lists(st.floats(0.9, 1.1), min_size=13, max_size=13))
def test_noise_of_ten_percent_is_one_doubling_at_most(region: int, noise: list[float]) -> None:
    seconds = {1 << k: factor * step(1 << k, region) for k, factor in enumerate(noise)}
    assert flat_region(seconds) in {region, 2 * region}


@given(st.integers(2, 11), st.floats(2, 50), st.data())
def test_one_slow_measurement_hides_nothing_that_a_larger_size_shows(
    power: int, slow: float, data: st.DataObject
) -> None:
    seconds = {1 << k: step(1 << k, 1 << power) for k in range(13)}
    seconds[1 << data.draw(st.integers(0, power - 1))] *= slow
    assert flat_region(seconds) == 1 << power


@given(st.dictionaries(POWERS, st.floats(1e-6, 1e3), min_size=1))
def test_it_is_a_size_that_was_measured_and_no_doubling_beyond_it_pays(seconds: dict[int, float]) -> None:
    region = flat_region(seconds)
    assert region in seconds
    for lanes, took in seconds.items():
        if lanes > region:
            doublings = np.log2(lanes / region)
            assert (lanes / took) < (region / seconds[region]) * 1.15**doublings * (1 + 1e-9)


def test_nothing_measured_has_no_region() -> None:
    with pytest.raises(ValueError, match="no size was measured"):
        flat_region({})


@given(POWERS)
def test_every_region_is_found_in_few_sizes_and_nothing_else_is_tried_then(region: int) -> None:
    seconds: dict[int, float] = {}
    while (lanes := to_try(seconds)) not in seconds:
        seconds[lanes] = step(lanes, region)
    assert lanes == region
    assert len(seconds) <= abs(int(np.log2(region / FIRST))) + 3
    assert max(seconds) <= 2 * max(region, FIRST)


# ── what is remembered ──


def filled(rates: LaneRates, region: int, trained: str = "net", program: str = "program") -> list[int]:
    """Launches until nothing new is tried; their sizes."""
    tried: list[int] = []
    while len(tried) < 2 or tried[-1] != rates.room(trained) or tried[-2] != tried[-1]:
        tried.append(rates.room(trained))
        rates.add(trained, program, tried[-1], step(tried[-1], region))
    return tried


def test_the_second_study_measures_nothing_again(tmp_path: Path) -> None:
    folder = tmp_path / "made when it is needed"
    assert filled(LaneRates("chip", folder), 16)[-1] == 16
    assert LaneRates("chip", folder).room("net") == 16
    assert LaneRates("chip", folder).room("another net") == FIRST
    assert LaneRates("another chip", folder).room("net") == FIRST
    assert LaneRates("chip", None).room("net") == FIRST


def test_another_jax_measures_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(LaneRates("chip", tmp_path), 16)
    monkeypatch.setattr(jax, "__version__", "99.0")
    assert LaneRates("chip", tmp_path).room("net") == FIRST


def test_two_studies_at_a_time_keep_what_each_has_found(tmp_path: Path) -> None:
    one, other = LaneRates("chip", tmp_path), LaneRates("chip", tmp_path)
    filled(one, 16, "narrow")
    filled(other, 128, "wide")
    after = LaneRates("chip", tmp_path)
    assert (after.room("narrow"), after.room("wide")) == (16, 128)


NAME = f"chip, jax {jax.__version__}, net"
WHOLE = json.dumps({NAME: {"8": 1.0, "16": 1.0, "32": 2.0}})


def test_what_is_written_by_hand_is_read(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(WHOLE)
    assert LaneRates("chip", tmp_path).room("net") == 16


@pytest.mark.parametrize(
    "content",
    [WHOLE[:cut] for cut in (0, 1, 20, len(WHOLE) - 1)]
    + ["[]", "3", "null", '{"a": 1}', "\x00\xff", "[" * 100_000]
    + [
        json.dumps({NAME: bad})
        for bad in (
            [], {}, {"16": "1"}, {"16": 1}, {"12": 1.0}, {"0": 1.0}, {"-16": 1.0}, {"16": -1.0}, {"16": 0.0},
            {"16": float("nan")}, {"16": float("inf")}, {"": 1.0}, {"²": 1.0}, {"1" * 50: 1.0},
        )
    ],
)  # fmt: skip
def test_a_torn_or_foreign_file_is_as_good_as_none(content: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content.encode("latin-1", errors="replace"))
    rates = LaneRates("chip", tmp_path)
    assert rates.room("net") == FIRST
    assert filled(rates, 16)[-1] == 16
    assert LaneRates("chip", tmp_path).room("net") == 16, "it is replaced"


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert filled(LaneRates("chip", tmp_path / "file"), 16)[-1] == 16


def test_a_program_s_first_launch_does_not_count() -> None:
    rates = LaneRates("chip", None)
    for program in ("one", "another"):
        rates.add("net", program, 64, 1000.0)
        rates.add("net", program, 64, 1.0)
        rates.add("net", program, 128, 1000.0)
        rates.add("net", program, 128, 1.0)
    assert rates.room("net") == 256


def test_networks_that_cost_the_same_share_what_is_known() -> None:
    def named(recipe: Any, rows: int = 90) -> str:
        engine = Engine(lambda variant: blobs(rows), capacity=1, seed=0)
        return shape_class(recipe, engine.template(recipe, lane()), blobs(rows))

    assert named(mlp()) == named(mlp(activations=("relu",), schedules=("cosine",), metric="log_loss"))
    others = [named(mlp()), named(mlp(width=16)), named(mlp(depth=3)), named(mlp(batch=32)), named(mlp(), 60)]
    assert len(set(others)) == 5


# ── the engine ──


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[Path]:
    """A folder of compiled programs of this test's own."""
    before = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    yield tmp_path
    jax.config.update("jax_compilation_cache_dir", before)


class Machine:
    """Every device of this process as one accelerator, whose steps take as long as `step` says.

    The region is that of each device; None is one whose steps take no time to speak of.
    """

    def __init__(self, region: int | None, patch: pytest.MonkeyPatch, first: int = 8) -> None:
        self.now, self.sizes = 0.0, list[int]()
        mesh = jax.sharding.Mesh(np.array(jax.devices()), (population.LANES,))
        call: Callable[..., Any] = Programs.call

        def timed(programs: Programs, kind: str, function: Any, static: Any, dynamic: Any) -> Any:
            result = call(programs, kind, function, static, dynamic)
            if kind == "advance":
                self.sizes.append(len(dynamic[0].depth))
                lanes = self.sizes[-1] // mesh.size
                self.now += 1e-3 if region is None else step(lanes, region)
            return result

        patch.setattr(population, "meshes_of_host", lambda: (mesh,))
        patch.setattr(population, "in_turn", lambda mesh: False)
        patch.setattr(lane_rates, "FIRST", first)
        patch.setattr(Programs, "call", timed)

    def engine(self, lanes: int = 1) -> Engine:
        return Engine(lambda variant: blobs(24), capacity=1, seed=0, lanes=lanes, clock=lambda: self.now)


def jobs(count: int) -> list[Job]:
    recipe = mlp(activations=("relu",), optimizers=("adam",), schedules=("constant",))
    return [Job(recipe, "raw", lane(seed=i, width=2 + i % 7, dropout=0.1), 0, 1) for i in range(count)]


def losses(trained: list[Trained]) -> list[float]:
    return [float(value) for one in trained for curve in one.curves for value in curve]


def found_on_all_devices(region: int | None) -> dict[str, Any]:
    """What an engine does that knows nothing, and the next one that remembers."""
    with pytest.MonkeyPatch.context() as patch:
        machine = Machine(region, patch)
        first = losses(machine.engine().run_many(jobs(1200)))
        explored, machine.sizes = machine.sizes, []
        second = losses(machine.engine().run_many(jobs(300)))
    return {"explored": explored, "then": machine.sizes, "first": first, "second": second}


@pytest.mark.slow  # two sets of programs for eight devices; what two do is tested below
def test_eight_devices_whose_time_is_flat_up_to_sixteen_lanes(tmp_path: Path) -> None:
    """Never more of them in a population, once that is known; and lanes as with any other region."""
    code = (
        "import json, sys, jax; from tests.training.test_lane_rates import found_on_all_devices as found; "
        "jax.config.update('jax_compilation_cache_dir', sys.argv[1]); assert len(jax.devices()) == 8; "
        "flat = found(16); jax.config.update('jax_compilation_cache_dir', sys.argv[2]); "
        "print(json.dumps([flat, found(None)]))"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "flat"), str(tmp_path / "free")]
    forced = {"XLA_FLAGS": "--xla_force_host_platform_device_count=8"}
    ran = subprocess.run(words, env=os.environ | forced, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    flat, free = json.loads(ran.stdout.splitlines()[-1])
    ended = flat["explored"].index(8 * 32)
    assert flat["explored"][: ended + 2] == [8 * 8, 8 * 8, 8 * 16, 8 * 16, 8 * 32, 8 * 32]
    assert max(flat["explored"][ended + 2 :]) == 8 * 16
    assert max(flat["then"]) == 8 * 16
    assert free["explored"] == [8 * 8, 8 * 8, 8 * 16, 8 * 16, 8 * 32, 8 * 32, 8 * 64], (
        "all who wait go together"
    )
    for which in ("first", "second"):
        np.testing.assert_allclose(flat[which], free[which], rtol=1e-6, atol=1e-6)
    assert len(flat["first"]) >= 3 * 1200


def test_populations_are_of_few_sizes_and_none_is_compiled_for_a_count(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(8, monkeypatch)
    engine = machine.engine()
    for count in (40, 90, 33, 57):
        engine.run_many(jobs(count))
    assert all(size.bit_count() == 1 for size in machine.sizes)
    assert engine.programs == len(set(machine.sizes))
    assert json.loads((cache / FILE).read_text())


def test_what_a_study_trains_at_once_goes_before_the_region(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that its lanes come out the same to the bit, whether a machine knows the region or not."""
    machine = Machine(2, monkeypatch, first=2)
    unknown = losses(machine.engine(lanes=32).run_many(jobs(32)))
    machine.engine().run_many(jobs(60))
    machine.sizes.clear()
    known = losses(machine.engine(lanes=32).run_many(jobs(32)))
    assert set(machine.sizes) == {32}
    assert known == unknown


def test_memory_goes_before_the_region(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Device:
        """Of an accelerator with room for five lanes of which each takes 1,000 bytes."""

        def memory_stats(self) -> dict[str, int]:
            return {"bytes_limit": 100_000, "bytes_in_use": int(100_000 - 5.5 * 6_000 / 0.7)}

    class Mesh:
        size = 3
        devices = np.array([Device()] * 3)

    lane_ = [np.zeros(250, np.float32)]
    assert population.room_of(Mesh(), lane_, 64) == 3 * 4  # type: ignore[arg-type]
    assert population.room_of(Mesh(), lane_, 2) == 3 * 2  # type: ignore[arg-type]


def test_on_a_cpu_nothing_is_timed_and_nothing_is_remembered(cache: Path) -> None:
    def clock() -> float:
        raise AssertionError("it was looked at")

    engine = Engine(lambda variant: blobs(24), capacity=1, seed=0, clock=clock)
    assert len(engine.run_many(jobs(3))) == 3
    assert not (cache / FILE).exists()
