"""TPE: equal to Optuna's, and what it makes of running, pruned, diverged and old trials."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from tests.helpers.suggest_cases import AXES, Seen, past, search
from workbench.core.types import Axis, Range
from workbench.tuning.samplers import STARTUP, model, suggest
from workbench.tuning.space import distributions


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
@pytest.mark.parametrize("count", [30, 400])
def test_tpe_is_optunas(direction: str, count: int) -> None:
    """Against Optuna's own sampler on a study made through its public interface."""
    history = past(count)
    words = distributions(AXES)
    sampler = optuna.samplers.TPESampler(
        seed=int(np.random.SeedSequence((7, count)).generate_state(1)[0]), n_startup_trials=STARTUP
    )
    study = optuna.create_study(direction=direction, sampler=sampler)
    for trial in history:
        state = {"complete": TrialState.COMPLETE, "failed": TrialState.FAIL}.get(
            trial.state, TrialState.PRUNED
        )
        if trial.state == "running" and not trial.rungs:
            state = TrialState.RUNNING
        study.add_trial(
            optuna.trial.create_trial(
                state=state,
                value=trial.value,
                params=dict(trial.params),
                distributions=words,
                intermediate_values=dict(trial.rungs),
            )
        )
    asked = study.ask()
    expected = sampler.sample_relative(study, study.get_trials()[asked.number], words)
    (found,) = suggest(AXES, history, 1, sampler="tpe", seed=7, direction=direction)  # type: ignore[arg-type]
    for name, value in expected.items():
        assert found[name] == (pytest.approx(value, rel=1e-6) if isinstance(value, float) else value)


def test_tpe_without_the_faster_normal_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    history = past(60)
    fast = suggest(AXES, history, 4, sampler="tpe", seed=0, direction="minimize")
    monkeypatch.setattr(model, "_agrees", lambda own: False)
    slow = suggest(AXES, history, 4, sampler="tpe", seed=0, direction="minimize")
    for ours, theirs in zip(fast, slow, strict=True):
        assert ours == {
            k: pytest.approx(v, rel=1e-6) if isinstance(v, float) else v for k, v in theirs.items()
        }


def test_tpe_beats_random_over_seeds() -> None:
    best = {
        name: np.array([min(search(name, seed, 70, 14)) for seed in range(20)]) for name in ("tpe", "random")
    }
    assert np.mean(best["tpe"] < best["random"]) >= 0.75
    assert np.median(best["tpe"]) < 0.5 * np.median(best["random"])


def test_running_trials_with_good_scores_attract_suggestions() -> None:
    axes: dict[str, Axis] = {"x": Range(0.0, 1.0)}
    rng = np.random.default_rng(0)
    bad = [
        Seen(i, {"x": float(x)}, "pruned", None, {4: 1.0 + float(x)})
        for i, x in enumerate(rng.uniform(0, 1, 60))
    ]
    good = [Seen(60 + i, {"x": 0.9 + 0.01 * i}, "running", None, {4: 0.1, 12: 0.01 * i}) for i in range(6)]
    blind = [trial._replace(rungs={}) for trial in good]

    def mean(history: list[Seen]) -> float:
        found = suggest(axes, history, 24, sampler="tpe", seed=0, direction="minimize")
        return float(np.mean([float(params["x"]) for params in found]))

    assert mean(bad + good) > 0.75
    assert mean(bad + blind) < 0.4


def test_diverged_trials_repel_suggestions() -> None:
    axes: dict[str, Axis] = {"x": Range(0.0, 1.0)}
    points = np.random.default_rng(0).uniform(0, 1, 80)
    history = [
        Seen(i, {"x": float(x)}, "pruned", None, {} if x > 0.4 else {4: 2.0 + float(x)})
        for i, x in enumerate(points)
    ]
    found = suggest(axes, history, 16, sampler="tpe", seed=0, direction="minimize")
    assert np.mean([float(params["x"]) < 0.4 for params in found]) > 0.9


def test_infinite_scores_are_borne() -> None:
    history = [trial._replace(value=math.inf if i % 3 else -math.inf) for i, trial in enumerate(past(40))]
    assert len(suggest(AXES, history, 2, sampler="tpe", seed=0, direction="minimize")) == 2


def test_a_long_history_is_cut_to_the_best_and_the_latest() -> None:
    history = past(3000)
    kept = model.bounded(history, "minimize", 1000)
    scored = [trial for trial in kept if trial.state in ("complete", "pruned") or trial.rungs]
    assert len(scored) == 1000
    assert [trial.number for trial in kept] == sorted(trial.number for trial in kept)
    waiting = [trial for trial in history if trial.state == "running" and not trial.rungs]
    assert set(numbers_of(kept)) >= set(numbers_of(waiting))
    complete = sorted((t for t in history if t.state == "complete"), key=lambda t: float(t.value or 0))
    assert {trial.number for trial in complete[:333]} <= {trial.number for trial in kept}
    assert model.bounded(history[:900], "minimize", 1000) == history[:900]


def numbers_of(trials: Sequence[Seen]) -> list[int]:
    return [trial.number for trial in trials]


def test_a_cut_history_finds_as_good_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = np.array([min(search("tpe", seed, 110, 22)) for seed in range(4)])
    monkeypatch.setattr(model, "LIMIT", 75)  # the least that keeps the 25 best
    cut = np.array([min(search("tpe", seed, 110, 22)) for seed in range(4)])
    assert np.median(cut) < 2 * np.median(whole) + 0.01
