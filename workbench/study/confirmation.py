"""Opening the test set: once, after the choice is frozen, with the ledger's row written first.

The order of events is the point of this file. The delivered model lies on disk and its fingerprint is the
choice; the ledger commits the opening; only then are test rows loaded, scored with the model as it was
saved, and the score recorded. A process that dies in between leaves an opening without a score, and the
next call finishes the same look.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from workbench.core.errors import DataError
from workbench.core.files import read_arrays, replaced
from workbench.core.formatting import opened_before
from workbench.core.records import Opening, TestScore
from workbench.core.types import Array
from workbench.data import Dataset
from workbench.data.seal import Rows, SealedTest, unseal
from workbench.data.weights import uneven
from workbench.evaluation import saved_model, trees
from workbench.evaluation.by_target import by_target
from workbench.evaluation.evaluate import Evaluation, as_recorded, compare, evaluate, score_of
from workbench.storage import ledger
from workbench.storage.ledger import Ledger
from workbench.storage.ledger.looks import Recorded
from workbench.storage.ledger.verdicts import Verdict, champion

#: What the model said of the test rows, kept for the report; the score itself is in the ledger.
KEPT = "test.npz"


#: What is recorded of a baseline that was left out, beside the reason.
_NOTHING: dict[str, float | str | None] = dict.fromkeys(("value", "gain", "low", "high"))


class _Said(NamedTuple):
    """What a model says of the test rows."""

    outputs: Array  # [N, K]
    threshold: float
    about: str = ""  # how the model was found


class Confirmed(NamedTuple):
    """What the ledger holds, and what the opening showed, if it was kept in this home."""

    recorded: Recorded
    outputs: Array | None  # [N, K] on the test rows
    targets: Array | None
    withheld: str = (
        ""  # why the record is not the given model's; the record then stays that of its own choice
    )
    weight: Array | None = None  # [N] how much the test rows count; None: all alike


def confirm(
    book: Ledger,
    *,
    study: str,
    dataset: Dataset,
    sealed: SealedTest,
    folder: Path,
    metric: str,
    baselines: Mapping[str, Path],
    left_out: Mapping[str, str] | None = None,
    also: Sequence[str] = (),
    tell: Callable[[str], None],
    tries: Mapping[str, Any] | None = None,
    verdict_only: bool = False,
) -> Confirmed:
    """The test score of a study: taken now if nobody has, else the recorded one.

    folder  of the study; the delivered model is in its folder `model`
    baselines  models to compare with on the same rows, frozen before
    left_out  why others are none, by name
    also    metrics that are told beside it, each with an interval of its own
    tell    hears of a further look at rows that were opened before
    tries   what was tried to come to the choice: configurations, seed, metric
    verdict_only  a further look says whether the choice beats the recorded one, and no score

    Raises DataError if the test rows cannot be loaded or have changed since the seal was made, StoreError
    if the ledger cannot be written.
    """
    choice = saved_model.fingerprint(folder / "model")
    with ledger.opened(
        book,
        study=study,
        name=dataset.name,
        seal=sealed.fingerprint,
        rows=sealed.rows,
        choice=choice,
        tries=tries,
    ) as entry:
        if isinstance(entry, Recorded):
            return _told(entry, choice, folder)
        rows = unseal(sealed, dataset, entry)
        known = rows.known
        opening = ledger.meet(book, entry, known.marks, table=known.table, others=known.others)
        for note in (*_met(opening, sealed.rows), *rows.notes):
            tell(note)
        chosen = _asked(folder / "model", rows)
        outputs = chosen.outputs
        if verdict_only and opening.look > 1:
            verdict = _verdict(book, opening, folder, chosen, metric, rows, dataset.classes)
            unsaid = Evaluation(math.nan, math.nan, math.nan, len(outputs))
            return Confirmed(
                ledger.record(book, opening, _score(metric, unsaid, opening, verdict)), None, None
            )
        weight = uneven(rows.weight)
        scored, *others = (
            evaluate(
                one,
                outputs,
                rows.target,
                threshold=chosen.threshold,
                look=opening.look,
                classes=dataset.classes,
                groups=rows.group,
                weight=weight,
            )
            for one in (metric, *also)
        )
        with replaced(folder / KEPT, private=True) as file:
            arrays = {"outputs": outputs, "targets": rows.target, "choice": np.array(choice)}
            arrays |= {} if weight is None else {"weight": weight}
            np.savez(file, allow_pickle=False, **arrays)
        compared = {
            name: _compare(
                metric,
                chosen,
                _asked(place, rows),
                rows,
                opening.look,
                dataset.classes,
            )
            for name, place in baselines.items()
        }
        compared |= {name: {**_NOTHING, "note": why} for name, why in (left_out or {}).items()}
        score = _score(metric, scored, opening)
        told = {name: one.told for name, one in zip(also, others, strict=True)}
        extra: dict[str, Any] = {"baselines": compared}
        if told:
            extra["also"] = told
        if each := by_target(
            metric,
            outputs,
            rows.target,
            dataset.outputs,
            labels=dataset.task == "multilabel",
            threshold=chosen.threshold,
            look=opening.look,
            groups=rows.group,
            weight=weight,
        ):
            extra["targets"] = each
        recorded = ledger.record(book, opening, score, extra)
        return Confirmed(recorded, outputs, rows.target, weight=weight)


def _asked(place: Path, rows: Rows) -> _Said:
    """What the model in a folder says of the test rows."""
    if place.name == trees.NAME:
        boosted = trees.load(place)
        return _Said(boosted.raw_estimates(rows.x), 0.5, boosted.about)
    model = saved_model.load(place)
    return _Said(model.raw_estimates(rows.x), model.threshold)


def _compare(
    metric: str,
    chosen: _Said,
    other: _Said,
    rows: Rows,
    look: int,
    classes: Sequence[str],
) -> dict[str, float | str | None]:
    """The baseline's score on the test rows, and by how much the choice is better, with its interval."""
    gain = compare(
        metric,
        chosen.outputs,
        other.outputs,
        rows.target,
        thresholds=(chosen.threshold, other.threshold),
        look=look,
        classes=classes,
        groups=rows.group,
        weight=rows.weight,
    )
    value = score_of(metric, other.outputs, rows.target, other.threshold, uneven(rows.weight))
    figures = {"value": value, "gain": gain.difference, "low": gain.low, "high": gain.high}
    return as_recorded(figures, {"note": gain.note, "about": other.about})


def recorded(book: Ledger, *, study: str, folder: Path) -> Confirmed | None:
    """What is on record, opening nothing; None where nothing is. Raises StoreError."""
    entry = ledger.scored(book, study)
    return None if entry is None else _told(entry, saved_model.fingerprint(folder / "model"), folder)


def _told(entry: Recorded, choice: str, folder: Path) -> Confirmed:
    """The record, with what the model said if it was kept; for the very choice that it was made with."""
    if entry.opening.choice != choice:
        return Confirmed(entry, None, None, _withheld(entry, choice, folder))
    outputs, targets, weight = _kept(folder / KEPT, choice)
    return Confirmed(entry, outputs, targets, weight=weight)


def _withheld(entry: Recorded, choice: str, folder: Path) -> str:
    """Why a model has no test figure though its study has one, and what to do."""
    kept = _aside(folder, entry.opening.choice)
    other = f"is kept in {kept}" if kept.exists() else "has to be brought back from a copy of its folder"
    return (
        f"the test set was opened on {entry.time[:10]} for another model ({entry.opening.choice[:12]}), "
        f"which keeps the score and {other}; this one ({choice[:12]}) has none, unless the study gets a new "
        "name and new rows"
    )


def set_aside(folder: Path, opened: Iterable[str]) -> None:
    """Before another model takes its place in a study's folder, keep one that the test set was opened for."""
    for choice in opened:
        if saved_model.holds(folder / "model", choice) and not _aside(folder, choice).exists():
            (folder / "model").rename(_aside(folder, choice))


def _aside(folder: Path, choice: str) -> Path:
    return folder / f"tested-{choice[:12]}"


def _kept(path: Path, choice: str) -> tuple[Array | None, Array | None, Array | None]:
    arrays = read_arrays(path, "outputs", "targets") if path.exists() else None
    if arrays is None or str(arrays.get("choice", choice)) != choice:
        return None, None, None
    return arrays["outputs"], arrays["targets"], arrays.get("weight")


def _score(metric: str, scored: Evaluation, opening: Opening, verdict: str = "") -> TestScore:
    return TestScore(
        metric,
        scored.value,
        scored.low,
        scored.high,
        scored.rows,
        opening.look,
        rows_opened_before=opening.rows_opened_before,
        rows_reused=opening.rows_reused,
        tried=dict(opening.tried),
        remarks=opening.remarks,
        verdict=verdict,
        note=scored.note,
    )


def _verdict(
    book: Ledger,
    opening: Opening,
    folder: Path,
    chosen: _Said,
    metric: str,
    rows: Rows,
    classes: Sequence[str],
) -> Verdict:
    """Whether the choice beats the best recorded one on these rows, by more than noise."""
    best = champion(ledger.same_rows(book, opening), metric)
    if best is None:
        return "no recorded choice was scored on just these rows: nothing to compare with"
    model = folder.parent / best.opening.study / "model"
    if not model.is_dir() or saved_model.fingerprint(model) != best.opening.choice:
        return f"the model that {best.opening.study} was scored with is not here: nothing to compare with"
    try:
        gain = _compare(metric, chosen, _asked(model, rows), rows, opening.look, classes)
    except DataError:
        return f"the model of {best.opening.study} cannot read these rows: nothing to compare with"
    low = gain["low"]
    better = isinstance(low, float) and low > 0
    return f"{'better' if better else 'not better'} than the choice of {best.opening.study} beyond noise"


def _met(opening: Opening, rows: int) -> list[str]:
    """What is told of earlier looks before the score."""
    told = opened_before(rows, opening.rows_opened_before, opening.rows_reused)
    if opening.look > 1:
        told.insert(0, f"look {opening.look} at these test rows, so the interval is widened")
    return [*told, opening.remarks] if opening.remarks else told
