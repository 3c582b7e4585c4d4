"""The rule that ends a search: when a further gain is within noise, and not before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tuning.test_loop import EPOCHS, Journal, comparable, finish, search
from workbench.core.records import Curves, TrialRecord
from workbench.core.types import Array
from workbench.tuning.stopping import LEAST_TRIALS, Progress, enough, progress

NOTHING = Curves(*(np.zeros(0, np.float32) for _ in Curves._fields))


def trials(scores: Array) -> tuple[list[TrialRecord], dict[int, Array]]:
    """Complete trials from row scores [T, N]."""
    records = [
        TrialRecord(n, {}, "complete", "finished", float(rows.mean()), 1, 1, NOTHING, n, "r", 0.0)
        for n, rows in enumerate(scores)
    ]
    return records, dict(enumerate(scores))


def row_scores(truth: Array, rows: int, seed: int) -> Array:
    """Right answers of trials with these accuracies; rows are hard or easy for all of them at once."""
    draw = np.random.default_rng(seed)
    hard, own = draw.normal(size=rows), draw.normal(size=(len(truth), rows))
    return (truth[:, None] + hard + 0.5 * own > 0).astype(np.float64)


def test_a_search_among_equals_ends_and_one_that_climbs_goes_on() -> None:
    ended = {"equal": 0, "climbing": 0}
    for seed in range(40):
        for name, truth in (("equal", np.full(60, 1.0)), ("climbing", np.linspace(-1.0, 1.5, 60))):
            found = progress(*trials(row_scores(truth, 300, seed)), "maximize", paired=True)
            ended[name] += enough(found) is not None
    assert ended["equal"] >= 30
    assert ended["climbing"] == 0


def test_fewer_rows_are_more_noise() -> None:
    truth, ended = np.concatenate([np.zeros(30), np.linspace(0.0, 0.1, 30)]), {100: 0, 20_000: 0}
    for seed in range(20):
        for rows in ended:
            found = progress(*trials(row_scores(truth, rows, seed)), "maximize", paired=True)
            ended[rows] += enough(found) is not None
    assert ended[100] >= 10
    assert ended[20_000] == 0


def test_the_gain_is_of_the_second_half_or_of_chance() -> None:
    scores = np.tile(np.linspace(0.5, 0.6, 50)[:, None], (1, 20)) + np.random.default_rng(0).normal(
        scale=1e-4, size=(50, 20)
    )
    rising, best_first = trials(scores), trials(scores[::-1].copy())
    up = progress(*rising, "maximize", paired=True)
    down = progress(*best_first, "maximize", paired=True)
    assert up is not None
    assert down is not None
    assert up.gain == pytest.approx(0.1 * 25 / 49, rel=0.01), "what the second half brought"
    # The best was there early, but a random half lacks it half of the time, and so on.
    assert down.gain == pytest.approx(0.1 / 49, rel=0.05)


def test_either_direction_is_the_same() -> None:
    scores = row_scores(np.linspace(0.0, 0.3, 50), 200, 1)
    up = progress(*trials(scores), "maximize", paired=True)
    down = progress(*trials(-scores), "minimize", paired=True)
    assert up == pytest.approx(down)


def test_other_rows_for_each_trial_are_more_noise() -> None:
    scores = row_scores(np.linspace(0.0, 0.3, 50), 200, 2)
    paired = progress(*trials(scores), "maximize", paired=True)
    apart = progress(*trials(scores), "maximize", paired=False)
    assert paired is not None
    assert apart is not None
    assert apart.noise > 1.2 * paired.noise


def test_too_few_trials_say_nothing() -> None:
    assert progress(*trials(np.ones((LEAST_TRIALS - 1, 5))), "maximize", paired=True) is None
    records, blocks = trials(np.ones((60, 5)))
    assert progress(records, {n: blocks[n] for n in range(5)}, "maximize", paired=True) is None
    assert enough(None) is None
    assert enough(Progress(float("nan"), 1.0)) is None
    assert enough(Progress(0.0, float("nan"))) is None


# ── in a search ─────────────────────────────────────────────────────────────────────────────────


def after(count: int) -> Any:
    def rule(trials: Any, blocks: Any) -> str | None:
        return "so said the rule" if len(list(trials)) >= count else None

    return rule


def test_what_is_alive_ends_and_no_trial_is_asked_for(tmp_path: Path) -> None:
    journal = Journal()
    running = search(tmp_path, journal, enough=after(6))
    for _ in running.rounds():
        pass
    assert running.stopped == "so said the rule"
    assert 6 <= len(running.trials) < 30
    assert sorted(running.trials) == list(range(len(running.trials)))
    assert max(trial.epochs for trial in running.trials.values()) == EPOCHS or all(
        trial.reason != "finished" for trial in running.trials.values()
    )
    # Whoever comes back finds it ended, whatever the rule would say now.
    again = search(tmp_path, journal, enough=after(10_000))
    for _ in again.rounds():
        pass
    assert again.stopped == "so said the rule"
    assert comparable(again.trials) == comparable(running.trials)
    # Without the rule the same study goes on to its budget.
    rest = Journal(journal.events)
    whole = finish(tmp_path, rest)
    assert sorted(whole) == list(range(30))
    assert comparable(finish(tmp_path, Journal(rest.events))) == comparable(whole), "replayed, stop and all"


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_interrupted_it_ends_at_the_same_trial(tmp_path: Path, share: float) -> None:
    undisturbed = Journal()
    whole = finish(tmp_path / "whole", undisturbed, enough=after(6))
    journal = Journal(room=round(share * len(undisturbed.events)))
    with pytest.raises(KeyboardInterrupt):
        finish(tmp_path / "cut", journal, enough=after(6))
    assert comparable(finish(tmp_path / "cut", Journal(journal.events), enough=after(6))) == comparable(whole)
