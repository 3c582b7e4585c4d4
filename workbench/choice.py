"""From the best trial to a frozen choice.

Retrained over seeds, compared with chance and default, saved for delivery.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from workbench import words
from workbench.data import Dataset
from workbench.engine import Engine, widths
from workbench.losses import LOSSES, batch_loss
from workbench.models import n_parameters
from workbench.optimism import Gain, beats_default, optimism
from workbench.savedmodel import save
from workbench.search import Search
from workbench.select import Retrained, retrain
from workbench.space import Problem, Variant
from workbench.study import Study
from workbench.types import Array, Fold, Selection, TrialRecord

__all__ = ["Choice", "freeze"]


class Choice(NamedTuple):
    """The selection, and what the delivered model says on the validation rows."""

    selection: Selection
    outputs: Array  # [N, K]
    targets: Array


def freeze(
    best: TrialRecord,
    *,
    study: Study,
    search: Search,
    engine: Engine,
    dataset: Dataset,
    prepared: Callable[[Variant], tuple[Fold, Any]],
    problems: Callable[[Variant], Problem],
    metric: str,
    folder: Path,
) -> Choice:
    """Retrain the best trial, save its model in `folder`, and say what its validation score is worth.

    Raises WorkbenchError if it diverges when it is trained again.
    """
    again = retrain(
        engine, study.settings, problems, metric, best.params, width=widths(engine)[-1],
        seeds=study.search.seeds
    )
    recipe, variant = again.program.recipe, again.program.variant
    fold, preprocessor = prepared(variant)
    complete = [trial for trial in search.trials.values() if trial.state == "complete"]
    luck, gain = _worth(search.blocks, best, maximize=words.METRICS[metric].direction == "maximize")
    default = search.trials[0].value
    selection = Selection(
        trial=best.number,
        params=best.params,
        settings=again.values,
        validation=math.nan if best.value is None else best.value,
        default=math.nan if default is None else default,
        optimism=luck,
        considered=len(complete),
        seeds=again.seeds,
        parameters=n_parameters(recipe, again.values),
        gain=None if gain is None else (gain.low, gain.high),
        trivial_loss=_trivial_loss(again, fold),
    )
    save(
        folder,
        recipe=recipe,
        hyper=again.hyper,
        params=again.params,
        preprocessor=preprocessor,
        task=dataset.task,
        classes=dataset.classes,
        shift=np.asarray(fold.shift),
        scale=np.asarray(fold.scale),
        example=dataset.examples(5),
        about={"study": study.id, "trial": best.number, "metric": metric, "validation": best.value},
    )
    outputs = engine.outputs(recipe, variant, again.hyper, again.params, fold.validation.x)
    return Choice(selection, outputs, np.asarray(fold.validation.y))


def _worth(blocks: Mapping[int, Array], best: TrialRecord, *, maximize: bool) -> tuple[float, Gain | None]:
    """The optimism of the best score; its gain over the default configuration, if that one has a score."""
    numbers = sorted(blocks)
    scores = np.stack([blocks[number] for number in numbers])
    winner = numbers.index(best.number)
    luck = optimism(scores, maximize=maximize, winner=winner)
    if 0 not in blocks:
        return luck.estimate, None
    return luck.estimate, beats_default(scores, maximize=maximize, default=numbers.index(0), winner=winner)


def _trivial_loss(again: Retrained, fold: Fold) -> float:
    """The validation loss of who knows only the class frequencies, or the mean, of the training rows."""
    recipe, rows = again.program.recipe, fold.validation
    if words.METRICS[recipe.metric].task == "regression":
        out = np.zeros(recipe.outputs, np.float32)
        y = (np.asarray(rows.y) - fold.shift) / fold.scale
    else:
        codes = np.asarray(fold.train.y).ravel()
        counts = np.bincount(codes, minlength=max(2, recipe.outputs)).astype(np.float32)
        logs = np.log(np.maximum(counts, 0.5) / counts.sum())
        out = logs if recipe.outputs > 1 else logs[1:] - logs[:1]
        y = np.asarray(rows.y)
    outputs = np.broadcast_to(out.astype(np.float32), (len(y), recipe.outputs))
    loss = batch_loss(LOSSES[recipe.loss], jnp.asarray(outputs), jnp.asarray(y), jnp.asarray(rows.weight))
    return float(loss)
