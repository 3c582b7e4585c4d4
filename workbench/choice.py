"""From the best trial to a frozen choice: retrained over seeds, saved for delivery, remembered.

A choice is made once for each set of finished trials. What the journal remembers of it is taken up again, so
a study that was stopped, or whose test set is opened later, delivers the very model that was chosen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from workbench import words
from workbench.errors import StoreError
from workbench.evaluate import trivial_loss
from workbench.exported import export
from workbench.finals import keep, refitted, retrained
from workbench.loop import Search
from workbench.models import n_parameters
from workbench.optimism import Gain, beats_default, optimism, optimism_of_pruned, own_error, unpaired
from workbench.outcomes import decode_selection, encode_selection
from workbench.savedmodel import JUDGED, fingerprint, load, parameters
from workbench.study import Study
from workbench.types import Array, Selection, TrialRecord
from workbench.workspace import Workspace

__all__ = ["freeze", "recall", "remember"]


def freeze(best: TrialRecord, study: Study, here: Workspace, search: Search, folder: Path) -> Selection:
    """Retrain the best trial, save its model in `folder`, and say what its validation score is worth.

    A model that is refitted has seen the validation rows: the one that they judged is kept beside it.

    Raises WorkbenchError if it diverges when it is trained again.
    """
    again = retrained(study, here, best.params, seeds=study.search.seeds)
    model, refit = refitted(study, here, again)
    threshold = float(again.model.hyper.threshold)
    if refit is not None:
        keep(folder.parent / JUDGED, here, again.model, threshold=threshold)
    about = {"study": study.id, "trial": best.number, "metric": here.metric, "validation": best.value}
    keep(folder, here, model, threshold=threshold, example=here.dataset.examples(5), about=about)
    export(load(folder), parameters(folder), folder / "program")
    recipe, variant = again.model.program.recipe, again.model.program.variant
    maximize, paired = words.METRICS[here.metric].direction == "maximize", not study.data.holdouts
    luck, gain = _worth(
        search.trials, search.blocks, best, maximize=maximize, paired=paired, folds=study.data.folds
    )
    default = search.trials[0].value
    return Selection(
        trial=best.number,
        params=best.params,
        settings=again.values,
        validation=math.nan if best.value is None else best.value,
        default=math.nan if default is None else default,
        optimism=luck,
        considered=sum(trial.state == "complete" for trial in search.trials.values()),
        seeds=again.seeds,
        parameters=n_parameters(recipe, again.values),
        gain=None if gain is None else (gain.low, gain.high),
        trivial_loss=trivial_loss(recipe, here.preparations.fold(variant)),
        refit=refit,
    )


def remember(selection: Selection, n_trials: int, folder: Path) -> dict[str, Any]:
    """The choice among the first `n_trials`, whose model is in `folder`, as an event of the journal."""
    return {
        "kind": "choice",
        "trials": n_trials,
        "model": fingerprint(folder),
        "selection": encode_selection(selection),
    }


def recall(events: Iterable[Mapping[str, Any]], folder: Path, n_trials: int | None) -> Selection | None:
    """The choice that was made last, if its model is still in `folder`; else None.

    n_trials  how many trials it must have been made among; None: whichever
    """
    made = [event for event in events if event["kind"] == "choice"]
    if not made or n_trials not in (None, made[-1]["trials"]):
        return None
    try:
        whole = fingerprint(folder) == made[-1]["model"]
    except StoreError:
        return None
    return decode_selection(made[-1]["selection"]) if whole else None


def _worth(
    trials: Mapping[int, TrialRecord],
    blocks: Mapping[int, Array],
    best: TrialRecord,
    *,
    maximize: bool,
    paired: bool,
    folds: int,
) -> tuple[float, Gain | None]:
    """The optimism of the best score; its gain over the default configuration, if that one has a score.

    Pruned trials were compared as well, by the scores that they reported.
    """
    numbers = sorted(blocks)
    winner, default = numbers.index(best.number), 0 if 0 in blocks else None
    each = [blocks[number] for number in numbers]
    luck = None
    if any(trial.reason == "pruned" for trial in trials.values()):
        ended = [trial.state == "complete" for trial in trials.values()]
        rungs = [{} if trial.reason == "diverged" else trial.rungs for trial in trials.values()]
        luck = optimism_of_pruned(rungs, ended, own_error(each, paired=paired), maximize=maximize)
    if not paired:
        luck, gain = unpaired(each, maximize=maximize, winner=winner, default=default, luck=luck)
        return luck.estimate, gain
    scores = np.stack(each)
    luck = luck or optimism(scores, maximize=maximize, winner=winner)
    if default is None:
        return luck.estimate, None
    gain = beats_default(scores, maximize=maximize, default=default, winner=winner, luck=luck, folds=folds)
    return luck.estimate, gain
