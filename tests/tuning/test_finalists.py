"""Which finalist is kept, and what its score is worth: rules by hand, and searches whose truth is known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tests.core.test_records import trial
from tests.helpers import outcomes
from workbench.core.records import Declared, TestScore
from workbench.evaluation.declarations import reached
from workbench.evaluation.optimism import Optimism
from workbench.evaluation.report.sentences import declared as told
from workbench.tuning.finalists import Field, Rule, carried, choice, field, gain, luck, shortlist_luck
from workbench.tuning.selection import shortlist

Array = np.ndarray
NOTHING = Optimism(0.0, 0.0, 0)


def finalists(
    means: list[float], parameters: list[int], *, default: int | None = None, noise: float = 0.02,
    seed: int = 0, trainings: int = 3, rows: int = 100, losses: list[float] | None = None,
    maximize: bool = True,
) -> Field:  # fmt: skip
    """Finalists of given means, whose rows and trainings scatter by `noise` each for itself."""
    draw = np.random.default_rng(seed)
    blocks = []
    for _ in range(trainings):
        apart = noise * math.sqrt(rows) * draw.normal(size=(len(means), rows))
        common = draw.normal(size=rows)  # rows are hard or easy for all
        blocks.append(
            np.array(means)[:, None] + apart - apart.mean(axis=1, keepdims=True) + common - common.mean()
        )
    scores = np.stack([block.mean(axis=1) for block in blocks], axis=1)
    sign = 1 if maximize else -1
    return field(
        sign * scores, np.array(losses or [0.0] * len(means)), np.array(parameters),
        [sign * block for block in blocks], [0] * trainings, default=default, maximize=maximize,
    )  # fmt: skip


@pytest.mark.parametrize("maximize", [True, False])
@pytest.mark.parametrize(
    ("means", "parameters", "default", "kept"),
    [
        ([0.90, 0.899, 0.80], [50, 10, 5], 2, 1),  # the smaller of two that are as good
        ([0.90, 0.899, 0.898], [50, 10, 90], 2, 2),  # the default, however large
        ([0.90, 0.80, 0.70], [50, 10, 5], 2, 0),  # nothing is near
        ([0.90, 0.899, 0.70], [50, 50, 5], 2, 0),  # of equal size the better mean
        ([0.90, 0.899], [50, 10], None, 1),  # the default diverged
        ([0.90], [50], 0, 0),
    ],
)
def test_beyond_noise(
    means: list[float], parameters: list[int], default: int | None, kept: int, maximize: bool
) -> None:
    among = finalists(means, parameters, default=default, maximize=maximize)
    assert choice(among, "beyond-noise") == kept
    assert choice(among, "best") == 0
    assert choice(among, "keep-default") == (kept if kept == default else 0)


def test_equal_means_go_by_loss() -> None:
    for rule in ("best", "beyond-noise"):
        among = finalists([0.9, 0.9, 0.9], [7, 7, 7], noise=0.0, losses=[0.3, 0.1, 0.2])
        assert choice(among, rule) == 1  # type: ignore[arg-type]


def test_what_rows_do_to_all_alike_is_no_noise() -> None:
    """Two finalists whose scores of rows differ by the same everywhere differ for certain."""
    assert choice(finalists([0.9, 0.899], [50, 10], noise=0.0), "beyond-noise") == 0
    assert choice(finalists([0.9, 0.899], [50, 10], noise=0.01), "beyond-noise") == 1


def test_trainings_that_disagree_are_noise() -> None:
    among = finalists([0.9, 0.88], [50, 10], noise=0.0)
    assert choice(among, "beyond-noise") == 0
    swing = np.array([[0.0, 0.0, 0.0], [0.1, -0.1, 0.0]])
    assert choice(among._replace(scores=among.scores + swing), "beyond-noise") == 1


@pytest.mark.parametrize("rule", ["keep-default", "beyond-noise", "best"])
def test_two_folds_of_which_one_is_left_out(rule: Rule) -> None:
    """What one fold says of a difference is the scatter of its rows."""
    among = finalists([0.90, 0.89, 0.88], [50, 10, 5], default=2, trainings=2)._replace(
        divisions=(1, 2), folds=2
    )
    found = luck(among, rule, choice(among, rule), NOTHING, 1.0)
    assert math.isfinite(found.estimate)
    assert math.isfinite(found.error)


def test_blocks_that_are_no_numbers_are_left_out() -> None:
    among = finalists([0.9, 0.8], [5, 5])
    broken = [block.copy() for block in among.blocks]
    broken[0][1, :10] = np.nan
    again = field(
        among.scores, among.losses, among.parameters, broken, among.divisions, default=1, maximize=True
    )
    assert {block.shape for block in again.blocks} == {(2, 90)}
    assert choice(again, "beyond-noise") == 0
    assert math.isfinite(luck(again, "best", 0, NOTHING, 1.0).estimate)


@given(st.integers(0, 10_000), st.integers(1, 6), st.integers(1, 4))
def test_what_holds_for_every_choice(seed: int, count: int, trainings: int) -> None:
    draw = np.random.default_rng(seed)
    default = int(draw.integers(count)) if draw.random() < 0.8 else None
    means = (0.9 + 0.02 * draw.normal(size=count)).tolist()
    sizes = draw.permutation(100)[:count].tolist()
    among = finalists(means, sizes, default=default, trainings=trainings, rows=30, seed=seed)
    kept, best = choice(among, "beyond-noise"), choice(among, "best")
    score = among.scores.mean(axis=1)
    assert best == score.argmax()
    if default is not None:
        assert score[kept] >= score[default] - 1e-12
    apart = among.scores[best] - among.scores[kept]
    rows = np.mean([block[best] - block[kept] for block in among.blocks], axis=0)
    error = math.sqrt(rows.var(ddof=1) / 30 + (apart.var(ddof=1) / trainings if trainings > 1 else 0.0))
    assert apart.mean() <= error + 1e-12
    order = draw.permutation(count)
    moved = Field(
        among.scores[order], among.losses[order], among.parameters[order],
        None if default is None else order.tolist().index(default),
        tuple(block[order] for block in among.blocks), among.divisions,
    )  # fmt: skip
    assert order[choice(moved, "beyond-noise")] == kept
    assert choice(among._replace(scores=among.scores + 3.0), "beyond-noise") == kept


# ── searches whose truth is known ───────────────────────────────────────────────────────────────


def world(rng: np.random.Generator, *, spread: float, trials: int = 30, rows: int = 240) -> Any:
    """Accuracy of a search and of its finalists, three times trained; true accuracies; the best single one.

    What a model says of a row depends on the row, on configuration and row, on seed and row, and on its seed.
    The default, trial 0, is as good as any.
    """
    quality = 1.5 - spread * rng.exponential(size=trials)
    quality[0] = 1.5
    truth = stats.norm.cdf(quality / math.sqrt(1 + 0.4**2 + 0.5**2 + 0.1**2))
    hard, peculiar = rng.normal(size=rows), 0.4 * rng.normal(size=(trials, rows))

    def train(which: Array) -> Array:
        seed = 0.1 * rng.normal(size=(len(which), 1)) + 0.5 * rng.normal(size=(len(which), rows))
        return (quality[which, None] + hard + peculiar[which] + seed > 0).astype(np.float64)

    searched = train(np.arange(trials))
    best = np.argsort(-searched.mean(axis=1), kind="stable")
    numbers = np.array(list(dict.fromkeys([*best[:5], 0])))
    again = [train(numbers) for _ in range(3)]
    among = field(
        np.stack([block.mean(axis=1) for block in again], axis=1), np.zeros(len(numbers)),
        rng.permutation(100)[: len(numbers)], again, [0] * 3,
        default=numbers.tolist().index(0), maximize=True,
    )  # fmt: skip
    return searched, truth, numbers, among, int(best[0])


RULES: tuple[Rule, ...] = ("best", "beyond-noise", "keep-default")


@pytest.mark.parametrize("spread", [0.0, 0.15, 0.5])
def test_choosing_among_finalists_beats_the_best_single_score(spread: float) -> None:
    lost, below, gap = {rule: [] for rule in (*RULES, "single")}, dict.fromkeys((*RULES, "single"), 0), []
    studies = 25
    for study in range(studies):
        searched, truth, numbers, among, single = world(np.random.default_rng(study), spread=spread)
        kept = {rule: numbers[choice(among, rule)] for rule in RULES} | {"single": single}
        for rule, number in kept.items():
            lost[rule].append(truth.max() - truth[number])
            below[rule] += truth[number] < truth[0] - 1e-12
        for rule in ("best", "keep-default"):
            winner = choice(among, rule)
            shared = carried(searched[numbers], np.mean(among.blocks, axis=0))
            found = luck(among, rule, winner, shortlist_luck(searched, 5, maximize=True), shared)
            gap.append((found.estimate - (among.scores[winner].mean() - truth[numbers[winner]]), found.error))
    for rule in RULES:
        assert np.mean(lost[rule]) <= np.mean(lost["single"])
        if rule != "best":
            assert below[rule] <= 0.5 * below["single"]
    # The optimism is right on average, to within the error that it states of one study.
    differences, errors = np.array(gap).T
    stated, simulated = math.sqrt(np.mean(errors**2)), differences.std() / math.sqrt(studies)
    assert abs(differences.mean()) < 0.5 * stated + 2 * simulated


def test_the_luck_of_a_shortlist_that_takes_all_is_none() -> None:
    scores = np.random.default_rng(0).normal(size=(4, 50))
    assert shortlist_luck(scores, 4, maximize=True).estimate == 0.0
    assert shortlist_luck(scores, 0, maximize=True).estimate == 0.0
    assert shortlist_luck(scores, 2, maximize=True).estimate > 0.0
    assert shortlist_luck(-scores, 2, maximize=False) == shortlist_luck(scores, 2, maximize=True)


def test_what_fresh_seeds_leave() -> None:
    draw = np.random.default_rng(0)
    same, other = draw.normal(size=(2, 5, 4_000))
    assert carried(same, same) == pytest.approx(1.0)
    assert carried(same + draw.normal(size=4_000), other) == pytest.approx(0.0, abs=0.03)
    assert carried(same + other, same) == pytest.approx(0.5, abs=0.03)


def test_the_gain_over_the_default() -> None:
    among = finalists([0.9, 0.8, 0.7], [5, 5, 5], default=1)
    found = gain(among, 0, Optimism(0.01, 0.02, 3))
    assert found is not None
    assert found.gain == pytest.approx(0.09)
    assert found.high - found.low > 2 * 1.96 * 0.02
    assert gain(among, 1, NOTHING) == (0.0, 0.0, 0.0, False)
    assert gain(among._replace(default=None), 0, NOTHING) is None


# ── who is a finalist ───────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("trials", "few"), [(1, 1), (8, 1), (24, 3), (40, 5), (400, 5)])
def test_the_best_few_and_the_default(trials: int, few: int) -> None:
    known = [trial(n, 0.5 + n / 1000, 1.0, params={"depth": n}) for n in range(trials)]
    best = list(range(trials - 1, max(-1, trials - 1 - few), -1))
    assert [one.number for one in shortlist(known, "maximize")] == [*best, *([0] if 0 not in best else [])]


def test_a_configuration_is_one_finalist() -> None:
    same = [trial(n, 0.9, n / 10, params={"depth": 1 + (n > 3)}) for n in range(1, 40)]
    default = trial(0, 0.5, 1.0, params={"depth": 1})
    found = shortlist([*same, default], "maximize")
    assert [(one.number, one.value) for one in found] == [(4, pytest.approx(0.9)), (0, pytest.approx(0.8))]
    failed = trial(0, None, 1.0, state="failed")
    assert [one.number for one in shortlist([*same, failed], "maximize")] == [1, 4]


# ── what was said beforehand ────────────────────────────────────────────────────────────────────

BEFORE = Declared("Which?", "beyond-noise", 0.01, "a" * 64, 0, opened=False)


def asked(low: float | None, high: float | None, *, wanted: float = 0.01, trial: int = 3) -> Any:
    outcome = outcomes.classification()
    assert outcome.selection is not None
    value = None if low is None or high is None else (low + high) / 2
    return replace(
        outcome,
        selection=replace(outcome.selection, trial=trial),
        test=TestScore("accuracy", 0.9, 0.8, 0.95, 100, 1),
        baselines={"default": {"value": 0.8, "gain": value, "low": low, "high": high}},
        declared=(replace(BEFORE, smallest_gain=wanted),),
    )


@pytest.mark.parametrize(
    ("low", "high", "wanted", "number", "verdict"),
    [
        (0.02, 0.04, 0.01, 3, "reached"),
        (0.01, 0.04, 0.01, 3, "reached"),
        (0.0, 0.02, 0.01, 3, "undecided"),
        (-0.02, 0.005, 0.01, 3, "not reached"),
        (None, None, 0.01, 3, None),
        (None, None, 0.01, 0, "not reached"),  # the default itself
        (None, None, 0.0, 0, "reached"),
    ],
)
def test_whether_a_gain_is_reached(
    low: float | None, high: float | None, wanted: float, number: int, verdict: str | None
) -> None:
    outcome = asked(low, high, wanted=wanted, trial=number)
    assert reached(outcome) == verdict
    said = told(outcome)
    assert said is not None
    assert "declared before the first trial" in said
    assert (verdict or "would count") in said
    assert reached(replace(outcome, test=None)) is None
    assert reached(replace(outcome, declared=())) is None
    assert told(replace(outcome, declared=())) is None


def test_a_gain_is_called_95_percent_only_without_a_remark() -> None:
    plain = asked(0.02, 0.04)
    assert "gains 0.03 (95 % interval 0.02 to 0.04): reached beyond noise." in str(told(plain))
    warned = replace(plain, baselines={"default": plain.baselines["default"] | {"note": "too few rows"}})
    assert "gains 0.03 (interval 0.02 to 0.04: too few rows): reached." in str(told(warned))
    nothing = asked(0.02, 0.04).baselines["default"] | {"low": None, "high": None, "note": "too few rows"}
    withheld = str(told(replace(plain, baselines={"default": nothing})))
    assert "gains 0.03 (no interval: too few rows): undecided." in withheld


def test_a_goal_that_was_moved_is_told() -> None:
    outcome = asked(0.0, 0.02)
    moved = replace(BEFORE, smallest_gain=0.0, fingerprint="b" * 64, trials=24)
    late = told(replace(outcome, declared=(BEFORE, moved)))
    assert late is not None
    assert "declared after 24 trials, before which it was 0.01" in late
    peeked = told(replace(outcome, declared=(BEFORE, replace(moved, opened=True))))
    assert peeked is not None
    assert "after the test set was opened" in peeked
    gone = told(replace(outcome, declared=(BEFORE, replace(moved, smallest_gain=None))))
    assert gone is not None
    assert "any more" in gone
