"""TPE as Optuna has it, for a search of many trials: the same draws, in half of the time.

Optuna goes through all trials at every draw: it sorts them, reads and converts every parameter. Here a trial
is converted once, and a `Window` has them in order. The models themselves are Optuna's own, told what it
would have told them. This is the one place that knows private modules of Optuna: in another version than
those of `FAST_IN`, nothing of it is used.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import TPESampler
from scipy.special import log_ndtr

from workbench.core.types import Array
from workbench.tuning.history import Window

#: Versions of Optuna whose private modules are as this file knows them.
FAST_IN = ("5.0.0",)


class Model:
    """TPE with a study's arguments, on a `Window` of its trials.

    distributions  of the axes
    sampler        a sampler with these arguments; its seed is not used
    """

    def __init__(
        self, window: Window, distributions: Mapping[str, BaseDistribution], sampler: TPESampler
    ) -> None:
        self._window, self._space, self._sampler = window, distributions, sampler
        self._made: set[int] = set()  # numbers of the trials whose parameters are in
        self._rows = np.zeros((0, len(distributions)))  # parameters as Optuna's models read them, by number

    def draw(self, seed: int) -> dict[str, Any] | None:
        """A value for every axis, as a fresh sampler of this seed draws it; None where Optuna is to be asked.

        That is while there are too few trials to learn from, for arguments that divide the space, and in
        another version.
        """
        sampler, window = self._sampler, self._window
        if optuna.__version__ not in FAST_IN or sampler._group:
            return None
        seen = [number for number in window.numbers if number not in window.failed]
        scored = sum(number not in window.without for number in seen)
        if scored < max(1, sampler._n_startup_trials):
            return None
        from optuna.samplers._tpe.sampler import default_gamma

        ranked = filter(set(seen).__contains__, window.ranked)
        good = set(islice(ranked, (sampler._gamma or default_gamma)(scored)))
        if not sampler._constant_liar:
            seen = [number for number in seen if number not in window.without]
        for number in set(seen) - self._made:
            self._make(number)
        rows, is_good = self._rows[seen], np.array([number in good for number in seen])
        below, above, rng = rows[is_good], rows[~is_good], np.random.RandomState(seed)
        with fast_normal():
            if sampler._multivariate is not False:  # by names, as Optuna puts what all trials have in common
                return self._best(sorted(self._space), below, above, rng)
            found: dict[str, Any] = {}
            for name in self._space:
                found |= self._best([name], below, above, rng)
            return found

    def forget(self, numbers: Iterable[int]) -> None:
        """Trials of these numbers may be others from now on."""
        self._made.difference_update(numbers)

    def _make(self, number: int) -> None:
        if number >= len(self._rows):
            more = np.zeros((1 + number, self._rows.shape[1]))
            self._rows = np.concatenate([self._rows, more])
        params = self._window.trial(number).params
        self._rows[number] = [word.to_internal_repr(params[name]) for name, word in self._space.items()]
        self._made.add(number)

    def _best(self, names: Sequence[str], below: Array, above: Array, rng: Any) -> dict[str, Any]:
        """Of some draws from the model of the good trials, the one that the others' model expects least."""
        sampler, at = self._sampler, {name: i for i, name in enumerate(self._space)}
        words = {name: self._space[name] for name in names}
        good, others = (
            sampler._parzen_estimator_cls(
                {name: rows[:, at[name]] for name in names}, words, sampler._parzen_estimator_parameters
            )
            for rows in (below, above)
        )
        drawn = good.sample(rng, sampler._n_ei_candidates)
        found = sampler._compare(drawn, sampler._compute_acquisition_func(drawn, good, others))
        return {name: word.to_external_repr(found[name]) for name, word in words.items()}


@contextmanager
def fast_normal() -> Iterator[None]:
    """Give TPE the logarithm of the normal distribution from SciPy, and the error function without its loop.

    Optuna's own are in Python: of 1,000 draws on a space of 8 mixed axes they take a third. The draws are the
    same to 1e-6. Another version of Optuna than those in FAST_IN, or a function that gives other values, is
    left as it is.
    """
    if optuna.__version__ not in FAST_IN:
        yield
        return
    module: Any = importlib.import_module("optuna.samplers._tpe._truncnorm")
    normal, error = module._log_ndtr, module.erf
    module._log_ndtr, module.erf = log_ndtr if _agrees(normal) else normal, _erf_of(error)
    try:
        yield
    finally:
        module._log_ndtr, module.erf = normal, error


@cache
def _agrees(own: Any) -> bool:
    points = np.array([-300.0, -40.0, -20.0, -19.9, -6.0, -1.0, -1e-3, 0.0, 0.5, 3.0, 6.0, 6.1, 9.0])
    return bool(np.allclose(own(points), log_ndtr(points), rtol=1e-9, atol=1e-12))


@cache
def _erf_of(own: Any) -> Any:
    """Optuna's error function, whose loop over fewer than 2,000 points goes by C: the same to the bit."""

    def erf(x: Array) -> Array:
        if x.size >= 2000:
            return own(x)  # type: ignore[no-any-return]
        return np.array(list(map(math.erf, x.ravel().tolist()))).reshape(x.shape)

    return erf
