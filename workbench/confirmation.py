"""Opening the test set: once, after the choice is frozen, with the ledger's row written first.

The order of events is the point of this file. The delivered model lies on disk and its fingerprint is the
choice; the ledger commits the opening; only then are test rows loaded, scored with the model as it was
saved, and the score recorded. A process that dies in between leaves an opening without a score, and the
next call finishes the same look.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workbench import ledger, savedmodel
from workbench.data import Dataset
from workbench.data.seal import Rows, SealedTest, row_marks, unseal
from workbench.evaluate import Evaluation, compare, evaluate, score_of
from workbench.files import replaced
from workbench.ledger import Ledger, Recorded
from workbench.predictor import Predictor
from workbench.types import Array, Opening, TestScore

__all__ = ["Confirmed", "confirm"]


#: What the model said of the test rows, kept for the report; the score itself is in the ledger.
KEPT = "test.npz"


class Confirmed(NamedTuple):
    """What the ledger holds, and what the opening showed, if it was kept in this home."""

    recorded: Recorded
    outputs: Array | None  # [N, K] on the test rows
    targets: Array | None


def confirm(
    book: Ledger,
    *,
    study: str,
    dataset: Dataset,
    sealed: SealedTest,
    folder: Path,
    metric: str,
    baselines: Mapping[str, Path],
    tell: Callable[[str], None],
) -> Confirmed:
    """The test score of a study: taken now if nobody has, else the recorded one.

    folder  of the study; the delivered model is in its folder `model`
    baselines  models to compare with on the same rows, frozen before
    tell    hears of a further look at rows that were opened before

    Raises DataError if the test rows cannot be loaded or have changed since the seal was made, StoreError
    if the ledger cannot be written.
    """
    choice = savedmodel.fingerprint(folder / "model")
    with ledger.opened(
        book, study=study, name=dataset.name, seal=sealed.fingerprint, rows=sealed.rows, choice=choice
    ) as entry:
        if isinstance(entry, Recorded):
            return Confirmed(entry, *_kept(folder / KEPT))
        rows = unseal(sealed, dataset, entry)
        opening = ledger.meet(book, entry, row_marks(rows))
        if opening.look > 1:
            tell(
                f"look {opening.look} at these test rows: an earlier study opened them, "
                "so the interval is widened"
            )
        for note in rows.notes:
            tell(note)
        predictor = savedmodel.load(folder / "model")
        x = np.asarray(predictor.preprocessor.transform(rows.x), np.float32)
        outputs = predictor.estimates(x)
        scored = evaluate(
            metric,
            outputs,
            rows.target,
            threshold=predictor.threshold,
            look=opening.look,
            classes=dataset.classes,
            groups=rows.group,
        )
        with replaced(folder / KEPT) as file:
            np.savez(file, outputs=outputs, targets=rows.target)
        compared = {
            name: _compare(
                metric,
                (outputs, predictor.threshold),
                savedmodel.load(place),
                rows,
                opening.look,
                dataset.classes,
            )
            for name, place in baselines.items()
        }
        score = _score(metric, scored, opening)
        recorded = ledger.record(book, opening, score, {"baselines": compared})
        return Confirmed(recorded, outputs, rows.target)


def _compare(
    metric: str,
    chosen: tuple[Array, float],
    model: Predictor,
    rows: Rows,
    look: int,
    classes: Sequence[str],
) -> dict[str, float | str | None]:
    """The baseline's score on the test rows, and by how much the choice is better, with its interval.

    chosen  outputs and threshold of the choice
    """
    outputs = model.estimates(np.asarray(model.preprocessor.transform(rows.x), np.float32))
    thresholds = (chosen[1], model.threshold)
    gain = compare(
        metric,
        chosen[0],
        outputs,
        rows.target,
        thresholds=thresholds,
        look=look,
        classes=classes,
        groups=rows.group,
    )
    value = score_of(metric, outputs, rows.target, model.threshold)
    figures = {"value": value, "gain": gain.difference, "low": gain.low, "high": gain.high}
    found: dict[str, float | str | None] = {
        name: figure if math.isfinite(figure) else None for name, figure in figures.items()
    }
    return found | ({"note": gain.note} if gain.note else {})


def _kept(path: Path) -> tuple[Array | None, Array | None]:
    if not path.exists():
        return None, None
    with np.load(path, allow_pickle=False) as archive:
        return archive["outputs"], archive["targets"]


def _score(metric: str, scored: Evaluation, opening: Opening) -> TestScore:
    ends = scored.low, scored.high
    return TestScore(metric, scored.value, *ends, scored.rows, opening.look, note=scored.note)
