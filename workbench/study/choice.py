"""From the finished trials to a frozen choice: finalists compared over seeds, one saved and remembered.

A choice is made once for each set of finished trials. What the journal remembers of it is taken up again, so
a study that was stopped, or whose test set is opened later, delivers the very model that was chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from workbench.core.errors import StoreError
from workbench.core.records import (
    NO_SCORE,
    Calibration,
    Finalist,
    Selection,
    TrialRecord,
    configurations_of,
    decode,
    encode,
)
from workbench.core.types import Array
from workbench.core.vocabulary import METRICS
from workbench.evaluation.calibration import moved
from workbench.evaluation.conformal import Residuals, residuals
from workbench.evaluation.evaluate import trivial_loss
from workbench.evaluation.export import export
from workbench.evaluation.optimism import (
    Gain,
    Optimism,
    beats_default,
    optimism,
    optimism_of_pruned,
    own_error,
    unpaired,
)
from workbench.evaluation.saved_model import JUDGED, fingerprint, load, parameters, save
from workbench.nn.models import n_parameters, trimmed
from workbench.study.averaging import validated
from workbench.study.config import Study
from workbench.study.refitting import refitted
from workbench.study.workspace import Workspace
from workbench.tuning.finalists import Rule, carried, choice, gain, luck, shortlist_luck
from workbench.tuning.loop import Search
from workbench.tuning.selection import (
    Again,
    Delivered,
    Retrained,
    choose,
    contest,
    mean_blocks,
    retrain,
    retrained,
    shortlist,
    train_again,
    trainings,
)
from workbench.tuning.space import OWN


class _Chosen(NamedTuple):
    """A trial that was chosen, trained again, and what its score is worth."""

    trial: TrialRecord
    again: Retrained
    validation: float | None
    default: float | None
    luck: float
    gain: Gain | None
    finalists: tuple[Finalist, ...] = ()


def freeze(
    study: Study,
    here: Workspace,
    search: Search,
    folder: Path,
    note: Callable[[str], None],
    stays: Selection | None = None,
) -> Selection:
    """Choose by the study's rule, save the model in `folder`, and say what its validation score is worth.

    A model that is refitted has seen the validation rows: the one that they judged is kept beside it, and is
    delivered itself if the refitted one fits its rows worse. Either may be the average of several networks:
    see `averaging`.

    stays  the choice that was made before and whose model is wanted again

    Raises WorkbenchError if no trial is complete, or what is chosen diverges when it is trained again.
    """
    choose_by = _single if study.rule == "single" else _final
    chosen = choose_by(study, here, search, note) if stays is None else _same(study, here, search, stays)
    again, best = chosen.again, chosen.trial
    refit = refitted(study, here, again)
    if refit.note:
        note(refit.note)
    if refit.record is not None:
        keep(folder.parent / JUDGED, here, refit.judged, calibration=refit.calibration)
    about = {"study": study.id, "trial": best.number, "metric": here.metric, "validation": chosen.validation}
    example = here.dataset.examples(5)
    missed = _missed(here, refit.judged)
    keep(
        folder, here, refit.model, calibration=refit.calibration, residuals=missed, example=example,
        about=about,
    )  # fmt: skip
    export(load(folder), parameters(folder), folder / "program")
    if stays is not None:
        return replace(
            stays,
            seeds=again.seeds,
            refit=refit.record,
            refit_losses=refit.losses,
            average=refit.average,
            calibration=refit.calibration,
        )
    recipe, variant = refit.judged.program.recipe, refit.judged.program.variant
    return Selection(
        trial=best.number,
        params=best.params,
        settings=again.values,
        validation=math.nan if chosen.validation is None else chosen.validation,
        default=math.nan if chosen.default is None else chosen.default,
        optimism=chosen.luck,
        considered=sum(trial.state == "complete" for trial in search.trials.values()),
        seeds=again.seeds,
        parameters=n_parameters(recipe, again.values),
        inputs=refit.model.program.recipe.inputs,
        gain=None if chosen.gain is None else (chosen.gain.low, chosen.gain.high),
        trivial_loss=trivial_loss(
            recipe, here.preparations.fold(variant), here.dataset.weights(here.dataset.train)
        ),
        refit=refit.record,
        refit_losses=refit.losses,
        rule=study.rule,
        finalists=chosen.finalists,
        average=refit.average,
        calibration=refit.calibration,
    )


def remember(selection: Selection, n_trials: int, folder: Path) -> dict[str, Any]:
    """The choice among the first `n_trials`, whose model is in `folder`, as an event of the journal."""
    return {
        "kind": "choice",
        "trials": n_trials,
        "model": fingerprint(folder),
        "selection": encode(selection),
    }


def recall(
    events: Iterable[Mapping[str, Any]], folder: Path, n_trials: int, opened: Container[str]
) -> Selection | None:
    """The choice whose model is in `folder`: the last one among `n_trials`, or a tested one; else None.

    opened  fingerprints of the models that the test set was opened for
    """
    made = [event for event in events if event["kind"] == "choice"]
    try:
        there = fingerprint(folder)
    except StoreError:
        return None
    for event in reversed(made):
        lasts = event is made[-1] and event["trials"] == n_trials
        if event["model"] == there and (lasts or there in opened):
            return decode(Selection, event["selection"])
    return None


def tested(events: Iterable[Mapping[str, Any]], opened: Container[str]) -> Selection | None:
    """The choice that the test set was opened for, as far as this journal knows."""
    made = [event for event in events if event["kind"] == "choice" and event["model"] in opened]
    return decode(Selection, made[-1]["selection"]) if made else None


def _same(study: Study, here: Workspace, search: Search, stays: Selection) -> _Chosen:
    """A choice of earlier, trained again as it was then."""
    again = retrain(here.engine, here.plan, stays.params, seeds=study.search.seeds)
    return _Chosen(search.trials[stays.trial], again, stays.validation, stays.default, stays.optimism, None)


def _single(study: Study, here: Workspace, search: Search, note: Callable[[str], None]) -> _Chosen:
    """The best single score."""
    best = choose(search.trials.values(), METRICS[here.metric].direction)
    again = retrain(here.engine, here.plan, best.params, seeds=study.search.seeds)
    paired = not study.data.holdouts
    luck, gain = _worth(
        search.trials, search.blocks, best, maximize=_maximize(here), paired=paired, folds=study.data.folds
    )
    configurations = configurations_of(search.trials.values(), METRICS[here.metric].direction)
    default = next((trial.value for trial in configurations if trial.number == 0), None)
    return _Chosen(best, again, best.value, default, luck, gain)


def _final(study: Study, here: Workspace, search: Search, note: Callable[[str], None]) -> _Chosen:
    """The finalist that the rule keeps, by means over seeds."""
    direction = METRICS[here.metric].direction
    choose(search.trials.values(), direction)  # says what to try where nothing is complete
    trials = shortlist(search.trials.values(), direction)
    trained = compared(study, here, trials)
    whole = [k for k, agains in enumerate(trained) if not any(one.failed for one in agains)]
    for k in sorted(set(range(len(trials))) - set(whole)):
        note(f"trial {trials[k].number} diverged when it was trained again, and is no finalist")
    if not whole:
        note("no finalist is left, so the best single score decides")
        return _single(study, here, search, note)
    trials, trained = [trials[k] for k in whole], [trained[k] for k in whole]
    compete = contest(trials, trained, study.settings, maximize=_maximize(here), folds=study.data.folds)
    rule = cast("Rule", study.rule)
    kept = choice(compete, rule)
    worth = luck(compete, rule, kept, *_shortlisted(search, trials, trained, here, study))
    again = (
        retrained(here.plan.resolve(trials[kept].params), trained[kept])
        if compete.divisions[0] == OWN
        else retrain(here.engine, here.plan, trials[kept].params, seeds=study.search.seeds)
    )
    scores = compete.scores if _maximize(here) else -compete.scores
    finalists = tuple(
        Finalist(one.number, float(own.mean()), _spread(own), int(size))
        for one, own, size in zip(trials, scores, compete.parameters, strict=True)
    )
    default = None if compete.default is None else finalists[compete.default].mean
    better = gain(compete, kept, worth)
    return _Chosen(trials[kept], again, finalists[kept].mean, default, worth.estimate, better, finalists)


def _shortlisted(
    search: Search,
    trials: Sequence[TrialRecord],
    trained: Sequence[Sequence[Again]],
    here: Workspace,
    study: Study,
) -> tuple[Optimism, float]:
    """What made trials finalists: the luck in it, and the share of that luck that fresh seeds leave.

    Whoever reached the end of a search that prunes was ahead at every rung, which is luck as well: what the
    best single score owes to more than the choice among complete trials.
    """
    searched = search.blocks
    each, numbers = [searched[number] for number in sorted(searched)], [trial.number for trial in trials]
    if study.data.holdouts:  # of different rows: the most that it can be
        winner, maximize = sorted(searched).index(numbers[0]), _maximize(here)
        whole = _of_pruned(search.trials, each, maximize=maximize, paired=False)
        return unpaired(each, maximize=maximize, winner=winner, luck=whole)[0], 1.0
    added = numbers[-1] == 0 and len(numbers) < len(each)  # the default, which no luck has brought there
    maximize = _maximize(here)
    rows = shortlist_luck(np.stack(each), len(numbers) - added, maximize=maximize, seed=study.seed)
    if whole := _of_pruned(search.trials, each, maximize=maximize, paired=True):
        passing = max(0.0, whole.estimate - optimism(np.stack(each), maximize=maximize).estimate)
        rows = Optimism(rows.estimate + passing, math.hypot(rows.error, whole.error), whole.trials)
    once = np.stack([searched[number] for number in numbers])
    fresh = np.stack([mean_blocks(agains) for agains in trained])
    return rows, carried(once, fresh)


def _spread(scores: Array) -> float:
    return float(scores.std(ddof=1)) if scores.size > 1 else math.nan


def _maximize(here: Workspace) -> bool:
    return METRICS[here.metric].direction == "maximize"


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
    luck = _of_pruned(trials, each, maximize=maximize, paired=paired)
    if not paired:
        of_rows, better = unpaired(each, maximize=maximize, winner=winner, default=default, luck=luck)
        return of_rows.estimate, better
    scores = np.stack(each)
    luck = luck or optimism(scores, maximize=maximize, winner=winner)
    if default is None:
        return luck.estimate, None
    better = beats_default(scores, maximize=maximize, default=default, winner=winner, luck=luck, folds=folds)
    return luck.estimate, better


def _of_pruned(
    trials: Mapping[int, TrialRecord], each: Sequence[Array], *, maximize: bool, paired: bool
) -> Optimism | None:
    """The optimism of the best single score where trials were pruned; None where none was.

    each  scores of rows of the complete ones
    """
    if all(trial.reason != "pruned" for trial in trials.values()):
        return None
    ended = [trial.state == "complete" for trial in trials.values()]
    rungs = [{} if trial.reason in NO_SCORE else trial.rungs for trial in trials.values()]
    return optimism_of_pruned(rungs, ended, own_error(each, paired=paired), maximize=maximize)


def compared(study: Study, here: Workspace, trials: Sequence[TrialRecord]) -> list[list[Again]]:
    """Finalists, each trained from every seed of the study, [trial][training]."""
    return train_again(
        here.engine,
        here.plan,
        [one.params for one in trials],
        trainings=trainings(study.data, study.search.seeds),
        blocks=True,
    )


def _missed(here: Workspace, judged: Delivered) -> Residuals | None:
    """By how much the model that validation rows judged misses them; None for classes and for steps."""
    if here.dataset.task != "regression" or here.dataset.of_steps:
        return None
    return residuals(*validated(here, judged))


def keep(
    folder: Path,
    here: Workspace,
    model: Delivered,
    *,
    threshold: float | None = None,
    calibration: Calibration | None = None,
    **more: Any,
) -> Path:
    """Save a model, in its own shape, with the preparation of the rows it was trained on.

    threshold  None: the model's own
    more  as in `saved_model.save`
    """
    variant = model.program.variant
    fold = here.preparations.fold(variant)
    heat = 1.0 if calibration is None else calibration.temperature
    recipe, params = model.program.recipe, model.params
    if here.plan.rules >= 3:
        recipe, params = trimmed(recipe, model.hyper, params)
    return save(
        folder,
        recipe=recipe,
        hyper=model.hyper,
        params=params,
        preprocessor=here.preparations.preprocessor(variant),
        task=here.dataset.task,
        classes=here.dataset.classes,
        targets=here.dataset.outputs,
        threshold=moved(float(model.hyper.threshold) if threshold is None else threshold, heat),
        temperature=heat,
        shift=np.asarray(fold.shift),
        scale=np.asarray(fold.scale),
        transform=fold.transform,
        **more,
    )
