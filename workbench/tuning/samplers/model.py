"""Optuna's samplers that learn from the scores, asked with a study in memory that is made of the history.

The sampler is asked n times in a row, and each suggestion is a running trial to the next (the constant
liar), so that a batch does not repeat itself.

What TPE makes of a trial. Complete trials are ranked by score, before pruned ones, which are ranked by how
far they came and then by their score there. A running trial that has scores at rungs is given as one that
was pruned at its last rung: it is ranked among its equals, while Optuna's RUNNING trials count as bad
however good their scores are. A running trial without a score is RUNNING. A failed one says nothing.

TPE's cost grows with the history, so it sees LIMIT trials with scores at most: the best third, and of the
others the latest. Its model of good trials is made of the best 25 at most, so that stays exactly the same;
its model of the others loses the oldest, which have the least weight in it. On two noisy functions of 8
mixed axes, 1,200 trials and 5 seeds, limits of 200, 400, 700, 1,000 and none found equally good trials.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from optuna.samplers._tpe import _truncnorm
from optuna.storages import InMemoryStorage
from optuna.trial import FrozenTrial, TrialState
from scipy.special import log_ndtr

from workbench.core.types import Axis, Value
from workbench.tuning.samplers import STARTUP, Direction, Seen, rank
from workbench.tuning.space import distributions

#: Trials with scores that TPE sees at most.
LIMIT = 500
#: Trials that the Gaussian process sees at most: its cost grows with their cube.
GP_LIMIT = 300

Known = dict[int, tuple[Seen, FrozenTrial]]


def ask(
    name: str,
    axes: Mapping[str, Axis],
    history: Sequence[Seen],
    first: int,
    n: int,
    seed: int,
    direction: Direction,
    known: Known,
) -> list[dict[str, Value]]:
    """Parameters of the trials numbered from `first`. `known` keeps trials in Optuna's form between calls."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # its warnings are advice to its own users
    words = distributions(axes)
    sampler: BaseSampler
    if name == "tpe":
        sampler, limit, ranks_pruned = _TPESampler(n_startup_trials=STARTUP, seed=seed), LIMIT, True
    else:
        sampler, limit, ranks_pruned = GPSampler(n_startup_trials=STARTUP, seed=seed), GP_LIMIT, False
    seen = [trial for trial in bounded(history, direction, limit) if trial.state != "failed"]
    storage = _Storage([_frozen(trial, words, known, ranks_pruned=ranks_pruned) for trial in seen])
    study = optuna.create_study(storage=storage, direction=direction, sampler=sampler)
    found = []
    with _fast_normal():
        for number in range(first, first + n):
            asked = _trial(number, TrialState.RUNNING)
            drawn = sampler.sample_relative(study, asked, words)
            if not drawn:  # the Gaussian process counts complete trials alone
                drawn = {
                    key: sampler.sample_independent(study, asked, key, word) for key, word in words.items()
                }
            inner = {key: word.to_internal_repr(drawn[key]) for key, word in words.items()}
            params = {key: word.to_external_repr(inner[key]) for key, word in words.items()}
            storage.trials.append(_trial(number, TrialState.RUNNING, params, words, inner))
            found.append(params)
    return found


def bounded(history: Sequence[Seen], direction: Direction, limit: int) -> list[Seen]:
    """Trials without scores, the best third of `limit`, and the latest others; history is by number."""
    scored = [trial for trial in history if trial.state in ("complete", "pruned") or trial.rungs]
    if len(scored) <= limit:
        return list(history)
    best = {trial.number for trial in sorted(scored, key=lambda trial: rank(trial, direction))[: limit // 3]}
    others = [trial.number for trial in scored if trial.number not in best]
    dropped = set(others[: len(scored) - limit])
    return [trial for trial in history if trial.number not in dropped]


class _Storage(InMemoryStorage):
    """A storage that shows a list of trials, and lets a sampler write nothing."""

    def __init__(self, trials: list[FrozenTrial]) -> None:
        super().__init__()
        self.trials = trials

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        del study_id, deepcopy  # nobody changes them
        return [trial for trial in self.trials if states is None or trial.state in states]

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """A sampler's note to other processes."""


class _TPESampler(TPESampler):
    """TPE that reads numbers where `_trial` put them; Optuna's converts all trials at every ask."""

    def _get_internal_repr(
        self, trials: list[FrozenTrial], search_space: dict[str, BaseDistribution], study: optuna.Study
    ) -> dict[str, np.ndarray]:
        del study
        rows = np.array([list(trial.system_attrs["inner"].values()) for trial in trials], float)
        columns = rows.reshape(len(trials), len(search_space)).T
        return dict(zip(search_space, columns, strict=True))


def _frozen(
    trial: Seen, words: Mapping[str, BaseDistribution], known: Known, *, ranks_pruned: bool
) -> FrozenTrial:
    """The trial in Optuna's form, made once for every state that it goes through."""
    if trial.number in known and known[trial.number][0] is trial:
        return known[trial.number][1]
    kind = rank(trial, "minimize")[0]
    state = TrialState.COMPLETE if kind == 0 else TrialState.PRUNED
    if trial.state == "running" and not (trial.rungs and ranks_pruned):
        state = TrialState.RUNNING
    inner = {key: word.to_internal_repr(trial.params[key]) for key, word in words.items()}
    frozen = _trial(trial.number, state, {key: trial.params[key] for key in words}, words, inner)
    if kind == 0:
        frozen.values = [trial.value]
    elif kind == 1:
        frozen.intermediate_values = dict(trial.rungs)
    known[trial.number] = trial, frozen
    return frozen


def _trial(
    number: int,
    state: TrialState,
    params: Mapping[str, Value] | None = None,
    words: Mapping[str, BaseDistribution] | None = None,
    inner: Mapping[str, float] | None = None,
) -> FrozenTrial:
    return FrozenTrial(
        number=number,
        trial_id=number,
        state=state,
        value=None,
        datetime_start=None,
        datetime_complete=None,
        params=dict(params or {}),
        distributions=dict(words or {}),
        user_attrs={},
        system_attrs={"inner": inner},
        intermediate_values={},
    )


@contextmanager
def _fast_normal() -> Iterator[None]:
    """Give TPE the logarithm of the normal distribution from SciPy: its own is in Python and slow."""
    own = getattr(_truncnorm, "_log_ndtr", None)
    if own is None or not _agrees(own):
        yield
        return
    _truncnorm._log_ndtr = log_ndtr
    try:
        yield
    finally:
        _truncnorm._log_ndtr = own


@cache
def _agrees(own: Any) -> bool:
    points = np.array([-300.0, -40.0, -20.0, -19.9, -6.0, -1.0, -1e-3, 0.0, 0.5, 3.0, 6.0, 6.1, 9.0])
    return bool(np.allclose(own(points), log_ndtr(points), rtol=1e-9, atol=1e-12))
