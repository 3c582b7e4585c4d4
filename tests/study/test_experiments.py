"""Experiments: verdicts follow from intervals, turn where the claim is false, agree with their records."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import workbench as wb
from tests.helpers.end_to_end import workbench
from tests.helpers.tracking_cases import look_at
from workbench.cli.main import main
from workbench.core.errors import StoreError, StudyError
from workbench.study import experiments

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "experiments"
NAMES = experiments.names(FOLDER)


def runner(name: str) -> Callable[..., wb.Verdict]:
    path = FOLDER / f"{experiments.find(name, FOLDER)}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    run: Callable[..., wb.Verdict] = module.run
    return run


@pytest.mark.parametrize("seed", range(5))
def test_a_verdict_is_its_interval(seed: int) -> None:
    effects = np.random.default_rng(seed).normal(0.2, 0.5, 20)
    found = wb.verdict(effects, unit="x", beyond=0.1)
    low, high = stats.t.interval(0.95, 19, effects.mean(), stats.sem(effects))
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    expected = "supported" if low > 0.1 else "not supported" if high < 0.1 else "inconclusive"
    assert found.conclusion == expected


def test_all_three_conclusions_and_bad_effects() -> None:
    noise = 0.01 * np.random.default_rng(0).normal(size=20)
    assert wb.verdict(1.0 + noise, unit="x").conclusion == "supported"
    assert wb.verdict(-1.0 + noise, unit="x").conclusion == "not supported"
    assert wb.verdict(noise - noise.mean(), unit="x").conclusion == "inconclusive"
    for bad in ([1.0], [1.0, math.nan], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="effects of the shape"):
            wb.verdict(bad, unit="x")


def test_seeds_are_lanes_and_pair_by_seed() -> None:
    study = wb.vary(wb.read_study(ROOT / "studies" / "lesson-rings.toml"), epochs=3, width=4)
    runs = wb.train(study, seeds=5)
    assert runs.train_loss.shape == (5, 3)
    assert len(runs.params) == len(runs.hyper) == 5
    np.testing.assert_array_equal(wb.train(study, seeds=3).train_loss, runs.train_loss[:3])
    with pytest.raises(StudyError, match="is an axis"):
        wb.train(wb.vary(study, width={"low": 2, "high": 4}))


# ── known answers ──


def test_c01_reaches_the_line() -> None:
    found = runner("c01")()
    assert found.facts["w"] == pytest.approx(0.125, abs=1e-6)
    assert found.facts["b"] == pytest.approx(17.5, abs=1e-4)
    assert found.conclusion == "supported"


def test_c02_finds_the_limit() -> None:
    assert runner("c02")().facts["threshold"] == pytest.approx(1.0, rel=0.05)


def test_c03_is_the_most_likely_line() -> None:
    """Against scikit-learn; the experiment asks scipy."""
    from sklearn.linear_model import LogisticRegression

    price, bought = np.array([[30.0], [40.0], [55.0], [70.0], [130.0]]), [1, 1, 0, 1, 0]
    solver = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-12, max_iter=1_000)
    solver.fit(price, bought)
    found = runner("c03")()
    assert found.facts["w"] == pytest.approx(solver.coef_[0, 0], rel=1e-4)
    assert found.facts["b"] == pytest.approx(solver.intercept_[0], rel=1e-4)


def test_c06_is_the_solver_s_answer() -> None:
    found = runner("c06")()
    assert found.facts["largest_difference"] < 1e-4
    assert found.conclusion == "supported"


def test_c28_agrees_to_ten_digits() -> None:
    found = runner("c28")()
    assert found.facts["largest"] < 1e-10
    assert found.conclusion == "supported"


# ── worlds in which the claim is false ──

FALSE: dict[str, dict[str, Any]] = {
    "c01": {"steps": 5},  # it did not walk far enough
    "c02": {"curvature": 2.0},  # the limit would be elsewhere
    "c03": {"steps": 5},
    "c04": {"judged": 0.0},  # nothing lies far away
    "c05": {"activation": "relu"},  # the chain is not linear
    "c06": {"activation": "another"},
    "c07": {"widths": (1,), "family": "mlp"},  # one unit is a straight line, too
    "c08": {"fast": "sigmoid", "slow": ("relu", "tanh")},
    "c11": {"fused": False},
    "c12": {"strengths": (0.0, 1e-12), "judged": 1e-12},  # no penalty to speak of
    "c13": {"patience": 0},  # nothing stops
    "c14": {"flexible": 1, "stiff": 12},
    "c15": {"cured": 1},  # no features are added
    "c16": {"shuffled": False},  # there is something to learn
    "c19": {"decay": 0.0},
    "c20": {"praised": "sgd", "other": "adagrad"},
    "c23": {"activation": "linear"},  # there is one minimum
    "c24": {"members": (5, 1)},
    "c26": {"scaled": "none"},
    "c27": {"passes": 6},  # a gradient that is taken six times
    "c28": {"mistake": 1e-6},
    "c29": {"upstream": 1},  # the activity of another neuron
    "c33": {"learning_rate": 1e-6},  # nothing was learned
    "c34": {"trials": 1},  # nothing to choose from
    "c35": {"peeks": False},
    "c36": {"activation": "linear"},
    "c37": {"praised": "single", "other": "beyond-noise"},
    "c38": {"decay": 0.0},
}
#: Experiments that are many searches, and take minutes; the others take up to one.
LONG = ("c37_finalists_end_below_the_default_less_often",)
QUICK = ("c01", "c02", "c03", "c06", "c11", "c14", "c28", "c29", "c35", "c38")


@pytest.mark.parametrize("name", QUICK)
def test_a_false_world_turns_the_verdict(name: str) -> None:
    assert runner(name)(20, **FALSE[name]).conclusion != "supported"


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FALSE if name not in QUICK])
def test_a_false_world_turns_the_verdict_of_long_ones(name: str) -> None:
    seeds = 2 if name == "c37" else 10  # which is many searches
    assert runner(name)(seeds, **FALSE[name]).conclusion != "supported"


# ── records ──


@pytest.mark.parametrize("name", NAMES)
def test_every_experiment_has_a_record_and_a_figure(name: str) -> None:
    record = experiments.recorded(name, FOLDER)
    assert len(record["effects"]) >= 20
    again = wb.verdict(record["effects"], unit=record["unit"], beyond=record["beyond"])
    assert again.conclusion == record["conclusion"]
    assert again.effect == pytest.approx(record["effect"])
    assert record["seconds"] < (180 if name not in LONG else 1_200)
    assert (FOLDER / "pictures" / f"{name}.png").stat().st_size < 80_000
    lines = (FOLDER / f"{name}.py").read_text().splitlines()
    assert 30 <= len(lines) <= 160


def test_the_gallery_is_that_of_the_records() -> None:
    assert (FOLDER / "README.md").read_text() == experiments.gallery(FOLDER)


def with_effects(record: dict[str, Any], effects: list[float]) -> dict[str, Any]:
    """The record that a run with these effects leaves."""
    found = wb.verdict(effects, unit=record["unit"], beyond=record["beyond"])
    figures = {name: getattr(found, name) for name in ("conclusion", "effect", "low", "high")}
    return {**record, **figures, "effects": effects}


def elsewhere(record: dict[str, Any]) -> dict[str, Any]:
    """The record as another processor would leave it."""
    return {**record, "environment": {**record["environment"], "hardware": "Another, 8 cores; trained on it"}}


@pytest.mark.parametrize("name", NAMES)
def test_records_agree_with_themselves(name: str) -> None:
    record = experiments.recorded(name, FOLDER)
    assert experiments.consistent(record) == []
    assert experiments.differences(record, record) == []
    assert experiments.differences(record, elsewhere(record)) == []


def test_what_does_not_agree_is_said() -> None:
    record = experiments.recorded("c08", FOLDER)
    effects = record["effects"]
    moved = with_effects(record, [effects[0] + 0.01, *effects[1:]])
    assert experiments.differences(record, moved) == [
        f"the effect of seed 0 is {effects[0] + 0.01:.6g} and was {effects[0]:.6g}"
    ]
    assert (
        experiments.differences(record, elsewhere(moved)) == []
    )  # rounding grows; the average is what counts
    far = with_effects(record, [effect + 0.2 for effect in effects])
    (said,) = experiments.differences(record, elsewhere(far))
    assert "outside the recorded interval" in said
    turned = with_effects(record, [-effect for effect in effects])
    assert "the verdict is supported and was not supported" in experiments.differences(record, turned)[0]
    timed = {**record, "timed": True}
    assert experiments.differences(timed, far) == []
    assert experiments.differences(timed, turned) != []
    assert "there are 5 seeds" in experiments.differences(record, with_effects(record, effects[:5]))[-1]


@pytest.mark.parametrize("key", ["conclusion", "effect", "low", "high", "effects", "beyond"])
def test_a_record_that_was_tampered_with_is_found_out(key: str) -> None:
    record = experiments.recorded("c08", FOLDER)
    forged = {"conclusion": "supported", "effects": [-0.3, *record["effects"][1:]], "beyond": -1.0}
    tampered = {**record, key: forged.get(key, 0.01)}
    assert experiments.consistent(tampered) != []
    assert experiments.differences(tampered, elsewhere(record)) != []
    assert experiments.consistent({**record, "effects": []}) != []


@pytest.mark.filterwarnings("ignore")  # of MLflow's own imports
def test_the_command_logs_to_mlflow_and_reproduces(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    home = str(tmp_path / "home")
    ran = workbench("experiment", "c28", "--home", home)
    assert ran.status == 0, ran.err
    assert "supported" in ran.out
    again = workbench("reproduce", "c28", "--home", home, "--json")
    assert again.status == 0, again.err
    assert again.result["agrees"]
    look_at(f"sqlite:///{home}/mlflow.db")
    client = MlflowClient()
    experiment = client.get_experiment_by_name("experiment-c28_written_gradients_are_automatic_ones")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert len(runs) == 2
    assert runs[0].data.tags["verdict"] == "supported"
    assert runs[0].data.metrics["effect"] == pytest.approx(again.result["again"]["effect"])
    files = {file.path for file in client.list_artifacts(runs[0].info.run_id)}
    assert files == {"record.json", "c28_written_gradients_are_automatic_ones.png"}


def test_a_record_that_cannot_be_kept_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "records").write_text("no folder")
    record = experiments.recorded("c28", FOLDER)
    with pytest.raises(StoreError, match=r"the record of c28_.* cannot be written there"):
        experiments.write(record, None, tmp_path)


@pytest.mark.parametrize("word", ["c99", "c28_written", "nonsense"])
def test_an_experiment_that_is_not_there(
    word: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(["experiment", word, "--home", str(tmp_path)]) == 2
    assert "is no experiment of experiments" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    assert main(["experiment", "all"]) == 2
    assert "is no folder here" in capsys.readouterr().err
