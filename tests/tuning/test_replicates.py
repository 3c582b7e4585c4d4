"""Trials of the same settings are seeds of one configuration; no score is not the same as divergence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.end_to_end import place
from tests.helpers.tracking_cases import trial
from workbench.cli.main import main
from workbench.core.errors import WorkbenchError
from workbench.core.records import Curves, TrialRecord, configurations_of
from workbench.evaluation.facts import tally
from workbench.tuning.selection import choose, shortlist
from workbench.tuning.trial import undefined

SCORES = st.lists(
    st.tuples(st.sampled_from([1, 2, 3]), st.one_of(st.none(), st.integers(0, 8).map(lambda k: k / 8))),
    min_size=1,
    max_size=20,
)


def search(scores: list[tuple[int, float | None]]) -> list[TrialRecord]:
    """Trials of these depths and scores; without one they diverged."""
    return [
        trial(
            number,
            params={"depth": depth},
            value=score,
            state="pruned" if score is None else "complete",
            reason="diverged" if score is None else "finished",
        )
        for number, (depth, score) in enumerate(scores)
    ]


@given(SCORES, st.sampled_from(["maximize", "minimize"]))
def test_configurations_are_compared_by_the_means_of_their_trials(
    scores: list[tuple[int, float | None]], direction: str
) -> None:
    found = configurations_of(search(scores), direction)  # type: ignore[arg-type]
    table = pd.DataFrame(scores, columns=["depth", "score"]).astype({"score": float}).dropna()
    grouped = table.reset_index().groupby("depth").agg(first=("index", "min"), mean=("score", "mean"))
    assert {one.number: one.value for one in found} == pytest.approx(
        dict(zip(grouped["first"], grouped["mean"], strict=True))
    )
    means = [one.value for one in found]
    assert means == sorted(means, reverse=direction == "maximize")  # type: ignore[type-var]


def test_a_lucky_seed_is_no_better_trial() -> None:
    trials = search([(1, 0.5), (2, 0.99), (2, 0.1), (2, 0.2), (3, 0.8)])
    assert choose(trials, "maximize").number == 4
    assert [one.number for one in shortlist(trials, "maximize")] == [4, 0]


def curves(score: float, loss: float = 1.0) -> Curves:
    return Curves(*(np.full(3, value, np.float32) for value in (1.0, loss, score)))


@pytest.mark.parametrize(
    ("of", "expected"),
    [
        (curves(np.nan), True),
        (curves(np.nan, np.nan), False),
        (curves(np.nan, np.inf), False),
        (curves(0.5), False),
        (curves(np.inf), False),
    ],
)
def test_a_metric_without_a_value_is_no_divergence(of: Curves, expected: bool) -> None:
    assert undefined(of) is expected


def test_both_are_counted_and_told_apart() -> None:
    without = {"value": None, "state": "pruned"}
    trials = [
        trial(0, **without, reason="undefined", curves=curves(np.nan)),
        trial(1, **without, reason="diverged", curves=curves(np.nan, np.nan)),
        trial(2, **without, reason="diverged", curves=curves(np.nan, np.nan)),
    ]
    assert tally(trials) == "3 trials: 2 diverged, 1 without a value of the metric"
    with pytest.raises(WorkbenchError, match="2 of 3 diverged, and of 1 the metric has no value"):
        choose(trials, "maximize")
    with pytest.raises(WorkbenchError, match="no trial has a score: the losses of 1 of 1 are finite"):
        choose(trials[:1], "maximize")


SMALL_SPACE = """\
name = "small"
[data]
source = "iris"
[model]
family = "softmax"
[optimizer]
learning_rate = { choices = [0.01, 0.001] }
[regularization]
l2 = { choices = [0.0, 0.01] }
[training]
epochs = 2
[search]
trials = 7
seeds = 1
sampler = "SAMPLER"
"""


@pytest.mark.parametrize("sampler", ["grid", pytest.param("brute_force", marks=pytest.mark.slow), "tpe"])
def test_a_small_space_is_told(sampler: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = place(tmp_path, SMALL_SPACE.replace("SAMPLER", sampler))
    words = (str(where.file), "--home", str(where.home), "--json")
    assert main(["check", *words]) == 0
    (note,) = (note for note in json.loads(capsys.readouterr().out)["notes"] if "combinations" in note)
    assert f"the axes have 4 combinations, and [search] trials = 7: {sampler}" in note
    assert main(["run", *words, "--search-only"]) == 0
    out, err = capsys.readouterr()
    result, configurations = json.loads(out), {tuple(t.params.items()) for t in where.outcome.trials}
    if sampler == "tpe":
        assert result["trials"]["total"] == 7
        assert result["stopped"] is None
        assert f"the 7 trials are of {len(configurations)} configurations" in err
    else:
        assert result["trials"]["total"] == len(configurations) == 4
        assert result["stopped"] == "every combination of the axes' values was tried"
        assert f"the search ends after 4 of 7 trials: {result['stopped']}" in err
        assert main(["run", *words, "--search-only"]) == 0  # and again it is only read
        assert json.loads(capsys.readouterr().out) == result
