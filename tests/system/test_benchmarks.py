"""Every benchmark can be called, and the central ones work in miniature. Nothing is timed here."""

from __future__ import annotations

import importlib
import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.benchmarks import common, digits, workers
from experiments.benchmarks.common import Run
from experiments.benchmarks.preprocessing import CASES
from workbench.study.config import read_study

ROOT = Path(__file__).parents[2]
BENCHMARKS = (
    "study",
    "quality",
    "step",
    "overhead",
    "growth",
    "asha",
    "busy",
    "parallel",
    "children",
    "cold",
    "coverage",
    "housing",
    "splitting",
    "preprocessing",
    "optimism",
    "gpu",
    "tables",
    "workers",
    "all",
)
HELPERS = ("common", "digits", "gpu_device", "peer", "sklearn_loop", "table_peers", "table_sources")
TORCH = ("torch_training", "pytorch_loop", "pytorch_batched")

Call = Callable[..., dict[str, Any]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """A benchmark's main with these options, and the JSON that it writes."""

    def run(name: str, *words: str, written: str | None = None) -> dict[str, Any]:
        monkeypatch.setattr(sys, "argv", [f"{name}.py", "--repeats", "1", *words, "--results", str(tmp_path)])
        importlib.import_module(f"experiments.benchmarks.{name}").main()
        document: dict[str, Any] = json.loads((tmp_path / f"{written or name}.json").read_text())
        assert document["benchmark"] == (written or name)
        assert {"cores", "hardware", "jax", "load"} <= document["machine"].keys()
        return document["results"]

    return run


@pytest.mark.parametrize("name", [*BENCHMARKS, *HELPERS])
def test_it_can_be_imported(name: str) -> None:
    importlib.import_module(f"experiments.benchmarks.{name}")


@pytest.mark.parametrize("name", TORCH)
def test_the_loops_of_pytorch_can_be_imported(name: str) -> None:
    pytest.importorskip("torch")
    importlib.import_module(f"experiments.benchmarks.{name}")


@pytest.mark.parametrize("name", BENCHMARKS)
def test_help_says_what_is_measured(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--help"])
    module = importlib.import_module(f"experiments.benchmarks.{name}")
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "--repeats" in text
    assert module.__doc__.splitlines()[0] in text


def test_it_is_one_command() -> None:
    words = [sys.executable, "-m", "experiments.benchmarks.study", "--help"]
    text = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert text.startswith("usage: experiments.benchmarks.study")


def test_the_study_is_the_one_of_the_peers(tmp_path: Path) -> None:
    import optuna

    study = read_study(digits.study_file(tmp_path))
    from workbench.tuning.space import axes, distributions

    asked = optuna.create_study().ask()
    params = digits.space(asked)
    assert distributions(axes(study.settings)) == asked.distributions
    assert list(axes(study.settings)) == list(params)


def test_the_rows_are_the_loader_s_own(tmp_path: Path) -> None:
    digits.save_rows(digits.study_file(tmp_path), tmp_path / "rows.npz")
    rows = digits.load_rows(tmp_path / "rows.npz")
    assert len(rows.x) == len(rows.y) == 1078
    assert len(rows.x_validation) == 360
    np.testing.assert_allclose(rows.x.mean(axis=0), 0.0, atol=1e-5)
    assert np.bincount(rows.y_validation).min() > 30


@pytest.mark.parametrize(("threads", "each"), [(4, 1), (1, 4)])
def test_messages_are_kept_under_way_and_their_parts_counted(threads: int, each: int) -> None:
    """By helpers that take no time: whatever has come back in time was sent, and no more was under way."""
    under_way, most, lock = 0, 0, threading.Lock()
    with ThreadPoolExecutor(threads) as pool:

        class Helpers:
            def send(self, content: bytes, variants: list[Any]) -> Future[bytes]:
                nonlocal under_way, most
                with lock:
                    under_way += 1
                    most = max(most, under_way)
                return pool.submit(self.back, content)

            def back(self, content: bytes) -> bytes:
                nonlocal under_way
                time.sleep(0.002)
                with lock:
                    under_way -= 1
                return content

        sent: list[int] = []
        parts = ((b"", sent.append(1) or each) for _ in itertools.count())
        passed = workers._passed(Helpers(), parts, 2 * threads, 0.3)
    assert most <= 2 * threads
    assert passed % each == 0
    assert 0 < passed <= each * (len(sent) - 2 * threads)


def test_coverage_in_miniature(call: Call) -> None:
    """A metric with few studies: what is counted adds up."""
    results = call("coverage", "--studies", "20", "--only", "f1")
    assert len(results["cells"]) == 3 * 2 * 2 * 4
    for cell in results["cells"]:
        assert cell["plain"] + cell["warned"] + cell["withheld"] == pytest.approx(1)
        assert cell["misled"] <= cell["plain"]


def test_the_luck_of_a_simulated_search_is_found(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    optimism = importlib.import_module("experiments.benchmarks.optimism")
    monkeypatch.setattr(optimism, "TRIALS", (100,))
    monkeypatch.setattr(optimism, "SPREADS", (0.05,))
    monkeypatch.setattr(optimism, "ALIKE", (0.8,))
    results = call("optimism", "--studies", "40")
    assert 0.6 < results["cells"][0]["ratio"] < 1.5
    assert results["cells"][0]["without"] < results["cells"][0]["ratio"]


@pytest.mark.slow
def test_study_in_miniature(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command and scikit-learn's loop really run, in processes of their own."""
    study = importlib.import_module("experiments.benchmarks.study")
    monkeypatch.setattr(study, "installed", lambda *names: False)
    monkeypatch.setattr(study, "OURS", ("asha",))
    small = {"model": {"depth": 1, "width": 4, "activation": "relu"}, "regularization": {"dropout": 0.0}}
    monkeypatch.setattr(study, "study_file", partial(digits.study_file, **small))
    results = call("study", "--trials", "1", "--budget", "2", "--epochs", "1")
    assert results["extrapolated"]
    assert results["peer_trials"] == 1
    assert results["seconds"].keys() == {"asha", "sklearn_loop"}
    assert results["ours"]["asha"][0]["trials"]["total"] == 2
    assert results["ratios"]["sklearn_loop"]["asha"] > 0


def test_the_whole_study_is_extrapolated_from_its_trials() -> None:
    from experiments.benchmarks.study import _whole

    run = Run(10.0, 10.0, {"trials": [1.0, 1.0, 4.0], "search": 7.5, "best": 0.9})
    assert _whole(run, 3) == 10.0
    # 2.5 s around the search, and the median trial with its half second of asking and telling.
    assert _whole(run, 200) == pytest.approx(2.5 + 200 * 1.5)


def test_step_in_miniature(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    step = importlib.import_module("experiments.benchmarks.step")
    monkeypatch.setattr(step, "installed", lambda *names: False)
    monkeypatch.setattr(
        step, "python", lambda name, child, *words: Run(1.0, 1.0, step._child(*map(str, words)))
    )
    monkeypatch.setattr(step, "NETWORKS", {"8-8-10, batch 128": (8, 128)})
    monkeypatch.setattr(step, "_matmul_rate", lambda: 100.0)
    results = call("step", "--epochs", "1", "--lanes", "1,2")
    network = results["8-8-10, batch 128"]
    assert set(network["microseconds_by_lanes"]) == {"1", "2"}
    assert network["share_of_matmul"] == pytest.approx(network["gflops"][str(network["best_lanes"])] / 100.0)


def test_the_rate_of_the_machine_is_a_rate() -> None:
    from experiments.benchmarks.step import _matmul_rate

    assert 0.1 < _matmul_rate(size=64, times=1) < 1e6


def test_a_loop_of_pytorch_is_a_step(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from experiments.benchmarks import step

    digits.save_rows(digits.study_file(tmp_path), tmp_path / "rows.npz")
    rows = digits.load_rows(tmp_path / "rows.npz")
    assert step._pytorch(rows, loader=False, epochs=2).keys() == step.NETWORKS.keys()


def test_overhead_in_miniature(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tracker really writes; the study is taken from `test_study_in_miniature`."""
    seconds = {"total": 10.0, "compile": 4.0, "train": 5.0, "sample": 0.2, "track": 0.3, "other": 0.5}
    overhead = importlib.import_module("experiments.benchmarks.overhead")
    monkeypatch.setattr(overhead, "workbench", lambda study, at: Run(11.0, 9.0, {"seconds": seconds}))
    results = call("overhead", "--records", "40", "--points", "9")
    assert results["study"]["share"]["median"] == pytest.approx(0.1)
    assert results["study"]["met"]
    assert results["mlflow"]["seconds"]["median"] > 0.0


def test_splitting_in_miniature(call: Call) -> None:
    results = call("splitting", "--rows", "300", "--images", "200")
    assert results.keys() == {"numbers", "text", "images"}
    assert all(case["seconds"]["median"] > 0.0 for case in results.values())


@pytest.mark.parametrize("name", CASES)
def test_contenders_prepare_the_same_features(name: str, tmp_path: Path) -> None:
    preprocessing = importlib.import_module("experiments.benchmarks.preprocessing")
    preprocessing._draw(str(tmp_path / "rows"), "3000")
    for found in preprocessing._agreement(name, str(tmp_path / "rows")).values():
        assert found["largest"] < 1e-5
        assert found["same"] > 0.999


@pytest.mark.slow
def test_preprocessing_in_miniature(call: Call) -> None:
    results = call("preprocessing", "--rows", "2000", "--only", "labels")
    assert results["import"]["wall"]["median"] > 0.0
    found = results["rows"]["2000"]["labels"]
    assert found["contenders"].keys() == {"ours", "plain", "blocks"}
    assert all(figures["memory"]["median"] >= 0.0 for figures in found["contenders"].values())
    assert {"plain", "blocks"} >= set(found["as_good"])


def test_parts_of_a_growing_study() -> None:
    from experiments.benchmarks.growth import _by_part

    steady = [(done, 100.0 + 0.5 * done) for done in range(8, 101, 4)]
    assert _by_part(steady, 20) == pytest.approx([500.0] * 5)
    slower = [(done, float(done**2)) for done in range(8, 101, 4)]
    parts = _by_part(slower, 20)
    assert len(parts) == 5
    assert parts == sorted(parts)


def test_without_a_gpu_it_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gpu = importlib.import_module("experiments.benchmarks.gpu")
    monkeypatch.setattr(gpu, "python", lambda name: Run(1.0, 1.0, {"platform": "cpu", "kind": "cpu"}))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--results", str(tmp_path)])
    gpu.main()
    assert "no GPU" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_lanes_against_throughput_and_the_region(capsys: pytest.CaptureFixture[str]) -> None:
    gpu = importlib.import_module("experiments.benchmarks.gpu")
    flat = {str(1 << k): {"microseconds": 100.0 / min(1 << k, 16)} for k in range(8)}
    found = gpu._lanes({network: dict(flat) for network in gpu.NETWORKS})
    assert [found[network]["flat_region"] for network in gpu.NETWORKS] == [16, 16]
    marked = [line for line in capsys.readouterr().err.splitlines() if "flat up to here" in line]
    assert [line.split(",")[-2].split()[0] for line in marked] == ["16", "16"]
    assert all("160000 steps of lanes a second" in line for line in marked)


def test_rivals_of_tables_are_scored_on_rows_that_nobody_trained_on(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ridge and plain boosting again, by hand; and an interrupted run goes on with what it has."""
    from sklearn.datasets import load_diabetes
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import train_test_split
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    words = ("--tables", "diabetes", "--splits", "2", "--trials", "2", "--contenders", "linear,boosted")
    found = call("tables", *words)
    x, y = load_diabetes(return_X_y=True, as_frame=True)
    models = {
        "linear": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13))),
        "boosted": HistGradientBoostingRegressor(random_state=0),
    }
    for name, model in models.items():
        errors = []
        for split in (0, 1):
            train, test, y_train, y_test = train_test_split(x, y, test_size=0.2, random_state=split)
            with threadpool_limits(limits=1):
                said = model.fit(train, y_train).predict(test)
            errors.append(float(np.sqrt(np.mean((said - y_test) ** 2))))
        assert found["tables"]["diabetes"][name]["mean"] == pytest.approx(np.mean(errors), rel=0.02)
    from experiments.benchmarks import tables

    monkeypatch.setattr(tables, "_peer", None)  # nobody is fitted again
    assert call("tables", *words)["rank"] == found["rank"]


def test_ranks_and_wins_of_tables() -> None:
    from experiments.benchmarks.tables import Scored, summary

    def scored(table: str, split: int, who: str, score: float) -> Scored:
        return Scored(table, split, who, score, score, 1.0, {"gain over default": -0.5 if split else None})

    errors = {"ours": (1.0, 3.0), "linear": (2.0, 3.0), "mlp": (3.0, 1.0)}  # of a regression
    shares = {"ours": (0.8, 0.9), "linear": (0.7, 0.7), "mlp": (0.9, 0.8)}  # of classes
    cells = [
        scored(table, split, who, values[split])
        for table, each in (("diabetes", errors), ("wine", shares))
        for who, values in each.items()
        for split in (0, 1)
    ]
    found = summary(cells)
    # diabetes: 1 2 3 and 2.5 2.5 1; wine: 2 3 1 and 1 3 2
    assert found["rank"] == pytest.approx({"ours": 1.625, "linear": 2.625, "mlp": 1.75})
    assert found["wins"]["linear"]["rate"] == pytest.approx((0.75 + 1.0) / 2)
    assert found["wins"]["mlp"]["rate"] == pytest.approx(0.5)
    assert found["wins"]["mlp"]["low"] <= 0.5 <= found["wins"]["mlp"]["high"]
    gain = found["tables"]["wine"]["gain over"]["mlp"]
    # Differences -.1 and .1: their mean, and 12.706 times the root of .02 (1/2 + 1/4)
    assert (gain["low"], gain["mean"]) == pytest.approx((-12.7062 * np.sqrt(0.02 * 0.75), 0.0), abs=1e-4)
    assert found["below its own default"] == 0.5


def test_a_failure_shows_its_last_words() -> None:
    with pytest.raises(RuntimeError, match="status 3"):
        common.fresh([sys.executable, "-c", "raise SystemExit(3)"])
    assert common.fresh([sys.executable, "-c", "print('noise'); print('{\"a\": 1}')"]).output == {"a": 1}


def test_contenders_take_turns() -> None:
    turns: list[str] = []

    def contender(name: str) -> Callable[[], Run]:
        def run() -> Run:
            turns.append(name)
            return Run(1.0, 1.0, None)

        return run

    common.alternate({"a": contender("a"), "b": contender("b")}, 2)
    assert turns == ["a", "b", "a", "b"]


def test_a_study_file_is_written_as_toml() -> None:
    import tomllib

    tables = {"name": "x", "data": {"split": {"train": 0.5}, "drop": ["a", "b"]}, "search": {"trials": 3}}
    assert tomllib.loads(common.toml(tables)) == tables
