"""How much each axis mattered for the best scores: PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255).

Optuna's default evaluator: the distribution of an axis among the best tenth of the trials is compared with
its distribution among all of them. Pruned and diverged trials are among all: where scores decide who goes on,
the complete ones are a chosen few, and an axis that had the others stopped would seem not to matter. Shares
sum to one. They describe the trials that were made, not the space. An axis with a condition is compared
within the trials in which it took part, and counts by how many of the best and of all these are (conditional
PED-ANOVA, arXiv:2601.20800, which the evaluator is).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Literal

from workbench.core.records import TrialRecord
from workbench.core.types import Axis

Direction = Literal["maximize", "minimize"]
#: Trials without which importances are noise.
MINIMUM = 8


def importances(
    axes: Mapping[str, Axis], records: Sequence[TrialRecord], direction: Direction
) -> dict[str, float]:
    """Axis -> share, the most important first; {} where `why_not` has a reason."""
    if not axes or why_not(records, direction) is not None:
        return {}
    import optuna
    from optuna.trial import FrozenTrial, TrialState

    from workbench.tuning.samplers import Memory
    from workbench.tuning.space import distributions

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    words = distributions(axes)
    trials = []
    for place, rank in ranks(records, direction).items():
        params = {name: value for name, value in records[place].params.items() if name in words}
        trials.append(
            FrozenTrial(
                number=place, trial_id=place, state=TrialState.COMPLETE, value=rank,
                params=params, distributions={name: words[name] for name in params},
                datetime_start=None, datetime_complete=None,
                user_attrs={}, system_attrs={}, intermediate_values={},
            )
        )  # fmt: skip
    study = optuna.create_study(storage=Memory(trials), direction="maximize")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scores that tie at the top
        shares = optuna.importance.get_param_importances(study)
    order = list(axes)
    return {
        name: shares[name] for name in sorted(shares, key=lambda name: (-shares[name], order.index(name)))
    }


def why_not(records: Sequence[TrialRecord], direction: Direction) -> str | None:
    """Why importances cannot be given, as a sentence; None when they can."""
    ranked = ranks(records, direction)
    if len(ranked) < MINIMUM:
        return f"{len(ranked)} trials are too few to say which axes matter; {MINIMUM} are needed"
    if len(set(ranked.values())) == 1:
        return "all trials have the same score, so no axis made a difference"
    return None


def ranks(records: Sequence[TrialRecord], direction: Direction) -> dict[int, int]:
    """Place in `records` -> rank of the trial, the best one highest, equals alike.

    Complete trials by their scores stand above pruned ones, these by how far they came and then by what they
    reported there, and above those that diverged. Trials that failed otherwise say nothing of the axes.
    """
    sign = 1.0 if direction == "maximize" else -1.0
    keys: dict[int, tuple[int, float]] = {}
    for place, record in enumerate(records):
        if record.state == "complete" and record.value is not None and math.isfinite(record.value):
            keys[place] = (_COMPLETE, sign * record.value)
        elif record.reason == "diverged":
            keys[place] = (0, 0.0)
        elif record.state == "pruned" and record.rungs:
            epochs = max(record.rungs)
            keys[place] = (epochs, sign * record.rungs[epochs])
    order = {key: rank for rank, key in enumerate(sorted(set(keys.values())))}
    return {place: order[key] for place, key in keys.items()}


#: More than the epochs that any pruned trial came to.
_COMPLETE = 2**62
