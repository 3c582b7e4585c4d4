"""`reproduce`: train again what a record says was trained, and say whether the figures agree.

A target is one of

    studies/x.toml        the model that the study delivers, and every seed of its choice
    studies/x.toml#36     trial 36 of the study
    the run id of a study or of a trial, as MLflow shows it

Only the record is used: the study's own copy of its file, what was decided when it began (its rooms), the
parameters and seeds of the trial. The data are loaded from where they were; if their fingerprint or a version
differs from the record, that is said, and the work goes on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from workbench import data
from workbench.core.errors import InputError, StudyError
from workbench.core.locations import Locations
from workbench.core.provenance import environment
from workbench.core.records import Curves, Outcome, TrialRecord
from workbench.data import Dataset, SealedTest
from workbench.storage import journal, outcomes
from workbench.storage.tracking import child_id, parent_id
from workbench.study.config import Study, read_study
from workbench.study.identity import identified
from workbench.study.preparations import Preparations, open_engine, resume
from workbench.study.workspace import as_begun
from workbench.training.devices import configure
from workbench.training.engine import Engine, Job
from workbench.tuning.fold_mean import mean_curves
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.selection import refit, retrain
from workbench.tuning.space import of_trial

#: Relative difference up to which two figures agree. On the machine of the record the difference is zero;
#: another processor or version of jax rounds differently, which grows with every epoch.
TOLERANCE = 1e-4
_RUN_ID = re.compile(r"[0-9a-f]{32}")


class Recorded(NamedTuple):
    """What a target names."""

    study: Study
    trial: int | None  # None: the choice


def reproduce(target: str, locations: Locations, note: Callable[[str], None]) -> dict[str, Any]:
    """Train the target again and compare.

    Raises InputError if it names nothing that is recorded, or its data are gone.
    """
    study, number = resolve(target, locations)
    folder = locations.study(study.id)
    outcome = outcomes.recorded(folder, study.id)
    if outcome is None:
        raise StudyError(f"{target}: the study is not finished; run workbench run {study.path} first")
    record = None if number is None else _record(outcome, number, target)
    begun = _begun(folder)
    dataset, _ = data.load(
        as_begun(study.data, begun), SealedTest(**begun["seal"]) if study.data.test else None
    )
    warnings = _differences(outcome, dataset, begun)
    for warning in warnings:
        note(warning)
    configure(locations.home / "cache" / "jax")
    note(f"training {'the choice' if record is None else f'trial {number}'} of {study.id} again")
    if record is None:
        pairs = _choice(study, outcome, dataset, begun)
    else:
        pairs = _trial(study, record, dataset, begun)
    largest = dict.fromkeys(Curves._fields, 0.0)
    for recorded, again in pairs:
        for name in largest:
            largest[name] = max(largest[name], _apart(getattr(recorded, name), getattr(again, name)))
    return {
        "target": target,
        "study": study.id,
        "trial": number,
        "metric": outcome.metric,
        "recorded": _last(pairs[0][0]),
        "again": _last(pairs[0][1]),
        "largest": largest,
        "tolerance": TOLERANCE,
        "agrees": max(largest.values()) <= TOLERANCE,
        "warnings": warnings,
    }


def resolve(target: str, locations: Locations) -> Recorded:
    """What a target names. Raises InputError if it names nothing that is recorded under this home."""
    if _RUN_ID.fullmatch(target):
        return _of_run(target, locations)
    file, _, number = target.partition("#")
    if number and not number.isdecimal():
        raise InputError(f"{target}: {number!r} is no number of a trial; write {file}#0, for example")
    found = identified(read_study(file), locations)
    if not (locations.study(found.study.id) / "study.toml").exists():
        raise found.lacks(
            f"nothing is recorded of this study under {locations.home}; run workbench run {file} first, or "
            "name its --home"
        )
    return Recorded(found.study, int(number) if number else None)


def _of_run(run: str, locations: Locations) -> Recorded:
    """The study or trial whose run in MLflow has this id."""
    for folder in sorted((locations.home / "studies").glob("*")):
        if run == parent_id(folder.name):
            return Recorded(_own(folder), None)
        outcome = outcomes.load(folder)
        for trial in outcome.trials if outcome is not None else ():
            if run == child_id(folder.name, trial.number):
                return Recorded(_own(folder), trial.number)
    raise InputError(
        f"{run}: is the run of no study under {locations.home}; give a run id as MLflow shows it, or "
        "name its --home"
    )


def _own(folder: Path) -> Study:
    """The study's own copy of its file, with the data where they were."""
    begun = _begun(folder)
    study, where = read_study(folder / "study.toml"), Path(begun["file"])
    return replace(study, path=where, data=replace(study.data, folder=where.parent), kept_as=folder.name)


def _begun(folder: Path) -> Mapping[str, Any]:
    """What was decided when the study began."""
    return next(event for event in journal.read(folder / "journal") if event["kind"] == "study")


def _record(outcome: Outcome, number: int, target: str) -> TrialRecord:
    for trial in outcome.trials:
        if trial.number == number:
            return trial
    raise InputError(f"{target}: the study has the trials 0 to {len(outcome.trials) - 1}; name one of them")


def _trial(
    study: Study, record: TrialRecord, dataset: Dataset, begun: Mapping[str, Any]
) -> list[tuple[Curves, Curves]]:
    """The curves of a trial, as recorded and again."""
    plan, engine = _opened(study, dataset, begun)
    last = record.epochs if record.reason == "pruned" else plan.epochs
    jobs = []
    for division in of_trial(study.data, record.number):
        program, hyper = plan.lane(record.params, record.number, division)
        jobs.append(Job(program.recipe, program.variant, hyper, 0, last))
    return [(record.curves, mean_curves([again.curves for again in engine.run_many(jobs)]))]


def _choice(
    study: Study, outcome: Outcome, dataset: Dataset, begun: Mapping[str, Any]
) -> list[tuple[Curves, Curves]]:
    """The curves of every seed of the choice, the delivered model's first."""
    if outcome.selection is None:
        raise StudyError(f"{study.path}: the study has chosen no model; run workbench run {study.path} first")
    plan, engine = _opened(study, dataset, begun)
    chosen = outcome.selection
    again = retrain(engine, plan, chosen.params, seeds=len(chosen.seeds))
    pairs = list(zip(chosen.seeds, again.seeds, strict=True))
    if chosen.refit is not None:
        _, refitted = refit(engine, plan, again.first)
        pairs.append((chosen.refit, refitted))
    return [(recorded.curves, seed.curves) for recorded, seed in pairs]


def _opened(study: Study, dataset: Dataset, begun: Mapping[str, Any]) -> tuple[LanePlan, Engine]:
    """What trains as the study did."""
    preparations = Preparations(dataset)
    plan = resume(study, preparations, begun)
    return plan, open_engine(plan, preparations, seed=study.seed)


def _differences(outcome: Outcome, dataset: Dataset, begun: Mapping[str, Any]) -> list[str]:
    """What is not as it was when the record was made."""
    found = []
    if dataset.fingerprint != begun["data"]:
        found.append("the rows of the data are not those of the record")
    now = environment(outcome.environment.get("hardware", "").partition("trained on ")[2])
    for name, was in outcome.environment.items():
        if name in now and now[name] != was:
            found.append(f"{name} is {now[name]} and was {was}")
    return found


def _apart(recorded: Sequence[float] | np.ndarray, again: Sequence[float] | np.ndarray) -> float:
    """The largest difference of two curves, relative where figures exceed one; infinite if lengths differ."""
    one, other = np.asarray(recorded, np.float64), np.asarray(again, np.float64)
    if one.shape != other.shape or (np.isnan(one) != np.isnan(other)).any():
        return float("inf")
    known = np.isfinite(one) & np.isfinite(other)
    if (one[~known & ~np.isnan(one)] != other[~known & ~np.isnan(other)]).any():
        return float("inf")
    apart = np.abs(one[known] - other[known]) / np.maximum(1.0, np.abs(one[known]))
    return float(apart.max(initial=0.0))


def _last(curves: Curves) -> float | None:
    scores = np.asarray(curves.validation_score)
    return float(scores[-1]) if len(scores) else None
