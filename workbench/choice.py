"""From the finished trials to a frozen choice: finalists compared over seeds, one saved and remembered.

A choice is made once for each set of finished trials. What the journal remembers of it is taken up again, so
a study that was stopped, or whose test set is opened later, delivers the very model that was chosen.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from workbench import space
from workbench.divisions import OWN
from workbench.errors import StoreError
from workbench.evaluate import trivial_loss
from workbench.exported import export
from workbench.finalists import Rule, carried, choice, field, gain, luck, shortlist_luck
from workbench.finals import compared, keep, refitted, retrained
from workbench.loop import Search
from workbench.models import n_parameters
from workbench.optimism import Gain, Optimism, beats_default, optimism, unpaired
from workbench.outcomes import decode_selection, encode_selection
from workbench.ranking import counted_loss
from workbench.savedmodel import JUDGED, fingerprint, load, parameters
from workbench.select import Again, Delivered, Retrained, choose, shortlist
from workbench.select import retrained as retrained_of
from workbench.study import Study
from workbench.types import Array, Finalist, Selection, TrialRecord
from workbench.words import METRICS
from workbench.workspace import Workspace

__all__ = ["freeze", "recall", "remember"]


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
    study: Study, here: Workspace, search: Search, folder: Path, note: Callable[[str], None]
) -> Selection:
    """Choose by the study's rule, save the model in `folder`, and say what its validation score is worth.

    A model that is refitted has seen the validation rows: the one that they judged is kept beside it.

    Raises WorkbenchError if no trial is complete, or what is chosen diverges when it is trained again.
    """
    chosen = (_single if study.rule == "single" else _final)(study, here, search, note)
    again, best = chosen.again, chosen.trial
    model, refit = refitted(study, here, again)
    threshold = float(again.model.hyper.threshold)
    if refit is not None:
        keep(folder.parent / JUDGED, here, again.model, threshold=threshold)
    about = {"study": study.id, "trial": best.number, "metric": here.metric, "validation": chosen.validation}
    keep(folder, here, model, threshold=threshold, example=here.dataset.examples(5), about=about)
    export(load(folder), parameters(folder), folder / "program")
    recipe, variant = again.model.program.recipe, again.model.program.variant
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
        gain=None if chosen.gain is None else (chosen.gain.low, chosen.gain.high),
        trivial_loss=trivial_loss(recipe, here.preparations.fold(variant)),
        refit=refit,
        rule=study.rule,
        finalists=chosen.finalists,
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


def _single(study: Study, here: Workspace, search: Search, note: Callable[[str], None]) -> _Chosen:
    """The best single score."""
    best = choose(search.trials.values(), METRICS[here.metric].direction)
    again = retrained(study, here, best.params, seeds=study.search.seeds)
    luck, gain = _worth(search.blocks, best, maximize=_maximize(here), paired=not study.data.holdouts)
    return _Chosen(best, again, best.value, search.trials[0].value, luck, gain)


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
    scores = np.array([[one.record.validation for one in agains] for agains in trained])
    sizes = [
        _parameters(agains[0].model, study, trial) for agains, trial in zip(trained, trials, strict=True)
    ]
    divisions = [again.model.program.variant.division for again in trained[0]]
    numbers = [trial.number for trial in trials]
    rule: Rule = "best" if study.rule == "best" else "beyond-noise"
    blocks = [np.stack([_block(agains[k]) for agains in trained]) for k in range(len(divisions))]
    compete = field(
        scores,
        np.array([np.mean([counted_loss(one.record) for one in agains]) for agains in trained]),
        np.array(sizes),
        blocks,
        divisions,
        default=numbers.index(0) if 0 in numbers else None,
        maximize=_maximize(here),
    )
    kept = choice(compete, rule)
    worth = luck(compete, rule, kept, *_shortlisted(search.blocks, numbers, blocks, divisions, here, study))
    default = None if compete.default is None else float(scores[compete.default].mean())
    again = (
        retrained_of(space.resolve(study.settings, trials[kept].params), trained[kept])
        if divisions[0] == OWN
        else retrained(study, here, trials[kept].params, seeds=study.search.seeds)
    )
    return _Chosen(
        trials[kept], again, float(scores[kept].mean()), default, worth.estimate, gain(compete, kept, worth),
        tuple(
            Finalist(number, float(own.mean()), float(own.std(ddof=1)) if own.size > 1 else math.nan, size)
            for number, own, size in zip(numbers, scores, sizes, strict=True)
        ),
    )  # fmt: skip


def _shortlisted(
    searched: Mapping[int, Array], numbers: Sequence[int], blocks: Sequence[Array], divisions: Sequence[int],
    here: Workspace, study: Study,
) -> tuple[Optimism, float]:  # fmt: skip
    """What made trials finalists: the luck in it, and the share of that luck that fresh seeds leave."""
    count = len(numbers) - (0 in numbers and len(numbers) > 1)
    each = [searched[number] for number in sorted(searched)]
    if study.data.holdouts:  # of different rows: the most that it can be
        winner = sorted(searched).index(numbers[0])
        return unpaired(each, maximize=_maximize(here), winner=winner)[0], 1.0
    again = [
        np.mean([part for part, at in zip(blocks, divisions, strict=True) if at == one], axis=0)
        for one in dict.fromkeys(divisions)
    ]
    once = np.stack([searched[number] for number in numbers])
    luck_of_rows = shortlist_luck(np.stack(each), count, maximize=_maximize(here), seed=study.seed)
    return luck_of_rows, carried(once, np.concatenate(again, axis=1))


def _block(again: Again) -> Array:
    assert again.block is not None
    return again.block


def _parameters(model: Delivered, study: Study, trial: TrialRecord) -> int:
    return n_parameters(model.program.recipe, space.resolve(study.settings, trial.params))


def _maximize(here: Workspace) -> bool:
    return METRICS[here.metric].direction == "maximize"


def _worth(
    blocks: Mapping[int, Array], best: TrialRecord, *, maximize: bool, paired: bool
) -> tuple[float, Gain | None]:
    """The optimism of the best score; its gain over the default configuration, if that one has a score."""
    numbers = sorted(blocks)
    winner, default = numbers.index(best.number), 0 if 0 in blocks else None
    each = [blocks[number] for number in numbers]
    if not paired:
        luck_of_rows, better = unpaired(each, maximize=maximize, winner=winner, default=default)
        return luck_of_rows.estimate, better
    scores = np.stack(each)
    estimate = optimism(scores, maximize=maximize, winner=winner).estimate
    if default is None:
        return estimate, None
    return estimate, beats_default(scores, maximize=maximize, default=default, winner=winner)
