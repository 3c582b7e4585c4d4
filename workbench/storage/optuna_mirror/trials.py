"""A finished trial in Optuna's words, and Optuna's public interface to add it to a study.

This is the way for databases and versions of Optuna that `rows` does not know. Optuna numbers a
trial that is added by counting those before it, so trials are added in the order of their numbers, and one
that has a gap before it waits until the gap is filled, by this process or by another one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from workbench.core.errors import StoreError
from workbench.core.records import TrialRecord

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial, TrialState


Direction = Literal["maximize", "minimize"]


class Writer(NamedTuple):
    """An open study."""

    write: Callable[[Sequence[TrialRecord]], set[int]]  # some or all of these; the numbers that are there now
    close: Callable[[], None]


def open_study(
    url: str,
    name: str,
    direction: Direction,
    distributions: Mapping[str, BaseDistribution],
    user_attrs: Mapping[str, Any],
) -> Writer:
    """The study in any storage of Optuna's, made if need be. Raises what Optuna raises, and StoreError."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = optuna.storages.get_storage(url)
    study = optuna.create_study(storage=storage, study_name=name, direction=direction, load_if_exists=True)
    check_direction(name, [one.name for one in study.directions], direction)
    for key, value in user_attrs.items():
        study.set_user_attr(key, value)

    def write(trials: Sequence[TrialRecord]) -> set[int]:
        there = len(study.get_trials(deepcopy=False))
        for trial in sorted(trials, key=lambda trial: trial.number):
            if trial.number == there:
                study.add_trial(frozen(trial, distributions))
                there += 1
        return {trial.number for trial in trials if trial.number < there}

    return Writer(write, storage.remove_session)


def check_direction(study: str, found: Sequence[str], wanted: Direction) -> None:
    """Raise StoreError unless the study searches in this direction and no other."""
    words = [direction.lower() for direction in found]
    if words != [wanted]:
        raise StoreError(
            f"the Optuna study {study} is there with direction {', '.join(words)}, expected {wanted}; "
            "give this study another name, or delete the old one with `optuna delete-study`"
        )


def frozen(record: TrialRecord, distributions: Mapping[str, BaseDistribution]) -> FrozenTrial:
    """The trial as Optuna shows it."""
    from optuna.trial import FrozenTrial

    # Optuna shows naive local time.
    began, ended = (moment.astimezone().replace(tzinfo=None) for moment in moments(record))
    return FrozenTrial(
        number=record.number,
        trial_id=-1,  # given by the storage
        state=state(record),
        value=score(record),
        params=dict(record.params),
        distributions={name: distributions[name] for name in record.params},
        user_attrs=attributes(record),
        system_attrs={},
        intermediate_values={step: float(value) for step, value in record.rungs.items()},
        datetime_start=began,
        datetime_complete=ended,
    )


def moments(record: TrialRecord) -> tuple[datetime, datetime]:
    """When a trial began and ended; one that does not say ended now."""
    ended = datetime.fromtimestamp(record.finished, UTC) if record.finished else datetime.now(UTC)
    return ended - timedelta(seconds=record.seconds), ended


def state(record: TrialRecord) -> TrialState:
    """Optuna's word for how a trial ended. Without a score a trial cannot be complete there."""
    from optuna.trial import TrialState

    if record.state == "failed":
        return TrialState.FAIL
    return (
        TrialState.COMPLETE if record.state == "complete" and score(record) is not None else TrialState.PRUNED
    )


def score(record: TrialRecord) -> float | None:
    """The score that Optuna may be given: never NaN, and none for a failed trial."""
    if record.state == "failed" or record.value is None or math.isnan(record.value):
        return None
    return float(record.value)


def attributes(record: TrialRecord) -> dict[str, Any]:
    """The user attributes of a trial: JSON values."""
    return {
        "reason": record.reason,
        "recipe": record.recipe,
        "seed": record.seed,
        "epochs": record.epochs,
        "best_epoch": record.best_epoch,
        "seconds": round(record.seconds, 6),
    }
