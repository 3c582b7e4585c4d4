"""How much each axis mattered for the best scores: PED-ANOVA (Watanabe et al. 2023, arXiv:2304.10255).

Optuna's default evaluator: the distribution of an axis among the best tenth of the complete trials is
compared with its distribution among all of them. Shares sum to one. They describe the trials that were
made, not the space.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Literal

from workbench.core.records import TrialRecord
from workbench.core.types import Axis

#: Complete trials without which importances are noise.
MINIMUM = 8


def importances(
    axes: Mapping[str, Axis], records: Sequence[TrialRecord], direction: Literal["maximize", "minimize"]
) -> dict[str, float]:
    """Axis -> share, the most important first; {} where `why_not` has a reason."""
    if not axes or why_not(records) is not None:
        return {}
    import optuna

    from workbench.tuning.space import distributions

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    words = distributions(axes)
    study = optuna.create_study(direction=direction)
    for number, value in _scores(records).items():
        params = {name: records[number].params[name] for name in words}
        study.add_trial(optuna.trial.create_trial(params=params, distributions=words, value=value))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scores that tie at the top
        shares = optuna.importance.get_param_importances(study)
    order = list(axes)
    return {
        name: shares[name] for name in sorted(shares, key=lambda name: (-shares[name], order.index(name)))
    }


def why_not(records: Sequence[TrialRecord]) -> str | None:
    """Why importances cannot be given, as a sentence; None when they can."""
    scores = _scores(records)
    if len(scores) < MINIMUM:
        return f"{len(scores)} complete trials are too few to say which axes matter; {MINIMUM} are needed"
    if len(set(scores.values())) == 1:
        return "all complete trials have the same score, so no axis made a difference"
    return None


def _scores(records: Sequence[TrialRecord]) -> dict[int, float]:
    """The finite scores of complete trials by their place in `records`."""
    return {
        place: float(record.value)
        for place, record in enumerate(records)
        if record.state == "complete" and record.value is not None and math.isfinite(record.value)
    }
