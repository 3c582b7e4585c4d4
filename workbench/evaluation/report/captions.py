"""For every picture the caption a reader sees and the text that stands in for it when it is not seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from workbench.core.records import Outcome
from workbench.evaluation.facts import axis_words, best_trial, metric_words, tally, threshold, trial_score
from workbench.evaluation.plots.front import front
from workbench.evaluation.plots.style import number
from workbench.evaluation.predictor import decisions

#: Pictures that take the page's whole width.
WIDE_FIGURES = frozenset(
    {"loss_surface", "network", "parallel_coordinates", "ranking", "residuals", "slices"}
)


class Caption(NamedTuple):
    """`text` says how to read the picture, `alt` what is in it."""

    text: str
    alt: str


def caption(name: str, outcome: Outcome, importances: Mapping[str, float]) -> Caption:
    """The caption of a picture; one that is not known here (a user's own) is called by its name."""
    if name == "importances":
        return _importances(importances)
    write = _CAPTIONS.get(name)
    words = axis_words(name).capitalize()
    return write(outcome) if write else Caption(f"{words}.", words)


def _learning_curves(outcome: Outcome) -> Caption:
    seeds = outcome.selection.seeds if outcome.selection else ()
    found = best_trial(outcome)
    epoch = seeds[0].best_epoch if seeds else (found.best_epoch if found else 0)
    return Caption(
        "Training and validation loss. The weights kept are those of the marked epoch; a validation line "
        "that rises while the training line falls is overfitting.",
        f"Line chart of training and validation loss against epoch for {max(len(seeds), 1)} run(s); "
        f"the best epoch is {epoch}.",
    )


def _search_history(outcome: Outcome) -> Caption:
    found = best_trial(outcome)
    best = f" The best complete trial is {found.number} with {number(trial_score(found))}." if found else ""
    return Caption(
        "Each trial's validation score in the order of the search. Where the line of the best so far stays "
        "flat, more trials hardly help.",
        f"Scatter plot of validation {metric_words(outcome)} against trial number, "
        f"{tally(outcome.trials)}.{best}",
    )


def _trial_curves(outcome: Outcome) -> Caption:
    return Caption(
        "All trials while they trained. Lines that end at a dotted epoch were stopped by the pruner.",
        f"Line chart of validation {metric_words(outcome)} against epoch for {len(outcome.trials)} trials.",
    )


def _parallel_coordinates(outcome: Outcome) -> Caption:
    names = ", ".join(map(axis_words, outcome.axes))
    depends = any(axis.when for axis in outcome.axes.values())
    past = " A line goes straight past a setting that takes no part in its trial." if depends else ""
    return Caption(
        "Every complete trial is one line. Where the dark lines meet on an axis, the good values lie." + past,
        f"Parallel coordinates over {names}, ending in validation {metric_words(outcome)}.",
    )


def _score_by_size(outcome: Outcome) -> Caption:
    best = front(outcome)
    sizes = [outcome.sizes[trial.number] for trial in best]
    return Caption(
        "Every complete trial against the parameters of its model. The line joins those that no smaller one "
        "equals; where it is flat, size buys nothing.",
        f"Scatter plot of validation {metric_words(outcome)} against parameters; the front has {len(best)} "
        f"trials, from {sizes[0]:,} parameters with {number(trial_score(best[0]))} to {sizes[-1]:,} with "
        f"{number(trial_score(best[-1]))}.",
    )


def _size_curve(outcome: Outcome) -> Caption:
    return Caption(
        "The chosen configuration, trained on growing parts of the training rows. A gap that closes with "
        "more rows is high variance, and more of them will help; two lines that meet at a poor score are "
        "high bias, and they will not.",
        f"Line chart of training and validation {metric_words(outcome)} against the number of training rows.",
    )


def _slices(outcome: Outcome) -> Caption:
    return Caption(
        "The same scores against one setting at a time. The best dots crowding at an end of an axis say that "
        "the range should be wider there.",
        f"{len(outcome.axes)} small scatter plots of validation {metric_words(outcome)} against "
        + ", ".join(map(axis_words, outcome.axes))
        + ".",
    )


def _confusion_matrix(outcome: Outcome) -> Caption:
    said = decisions(outcome.outputs, threshold(outcome))
    right = int((said == np.asarray(outcome.targets).reshape(-1)).sum())
    return Caption(
        f"Rows are true classes, columns what the delivered model says; {outcome.outputs_on} rows."
        + _unweighed(outcome),
        f"Confusion matrix of {len(outcome.classes)} classes: {right:,} of {len(outcome.outputs):,} right.",
    )


def _label_counts(outcome: Outcome) -> Caption:
    return Caption(
        "Of each label, how many rows have it and are told so, have it and are not, have it not and are told "
        f"so, and neither; the most mistaken labels first. {outcome.outputs_on.capitalize()} rows."
        + _unweighed(outcome),
        f"Table of true and false positives and negatives of {len(outcome.names)} labels, "
        f"{len(outcome.outputs):,} rows.",
    )


def _mistaken_images(outcome: Outcome) -> Caption:
    return Caption(
        "What the image is and, after the arrow, what the delivered model says. Validation images only.",
        "Small validation images that the model takes for another class, with both names.",
    )


def _ranking(outcome: Outcome) -> Caption:
    name = outcome.classes[1]
    return Caption(
        "Left the ROC curve: up is good, and the area below it is the ROC AUC. Right precision against "
        f"recall, which tells more where {name} is rare. {outcome.outputs_on.capitalize()} rows."
        + _unweighed(outcome),
        f"ROC curve and precision-recall curve of {name}, {len(outcome.outputs):,} rows.",
    )


def _calibration(outcome: Outcome) -> Caption:
    return Caption(
        "On the grey line the model is as often right as it claims; above it, it is too modest, below, too "
        f"sure. {outcome.outputs_on.capitalize()} rows." + _unweighed(outcome),
        f"Reliability diagram of {len(outcome.outputs):,} rows with the number of rows in each bin.",
    )


def _residuals(outcome: Outcome) -> Caption:
    return Caption(
        f"Left, predictions against the truth; right, their errors. {outcome.outputs_on.capitalize()} rows."
        + _unweighed(outcome),
        "Scatter plot of predicted against actual values and a histogram of errors, "
        f"{len(outcome.outputs):,} rows.",
    )


def _unweighed(outcome: Outcome) -> str:
    """That a picture counts rows, where scores weigh them."""
    return "" if outcome.weights is None else " Every row counts once here; scores weigh them."


def _decision_boundary(outcome: Outcome) -> Caption:
    return Caption(
        "What the delivered model predicts over the two features, and how surely. No test row is drawn.",
        f"Map of the predicted class of {len(outcome.classes)} over two features, with its rows.",
    )


def _fitted_curve(outcome: Outcome) -> Caption:
    return Caption(
        "What the delivered model predicts along its one feature. No test row is drawn.",
        f"Line of predicted {outcome.data.get('target', 'target')} over a scatter plot of the rows.",
    )


def _cost_bowl(outcome: Outcome) -> Caption:
    return Caption(
        "The loss over weight and bias, on the scale that was trained on, and the way that gradient descent "
        "took. A penalty on the weights, where there is one, is not part of the ground but pulls the way.",
        "Contours of the training loss over weight and bias with the path of training from start to end.",
    )


def _network(outcome: Outcome) -> Caption:
    return Caption(
        "The numbers are those that the net computes with: features after scaling, outputs before they are "
        "turned into probabilities or units. Vermilion is positive, blue negative, each relative to the "
        "largest number of its layer. A weight's gradient is the error of the neuron it leads to times the "
        "activity it carries: only active neurons get the blame." + _whose(outcome),
        "Diagram of the net with the activity of every neuron on one row, and beside it their errors.",
    )


def _filters(outcome: Outcome) -> Caption:
    return Caption(
        "The weights between the image and the first layer, laid out as the image is. A unit answers most to "
        "an image that is bright where its weights are vermilion and dark where they are blue."
        + _whose(outcome),
        "Small pictures of the weights that the first layer gives to the pixels.",
    )


def _loss_surface(outcome: Outcome) -> Caption:
    family = str(outcome.selection.settings.get("family", "model")) if outcome.selection else "model"
    return Caption(
        "Left, the delivered model in the middle of a random plane through its weights; right, the same for "
        "a model without hidden layers, whose loss is convex. Directions are normalized by filter (Li et al. "
        "2018). Where a surface bends down it is not convex; one that does not may do so beyond this plane."
        + _whose(outcome),
        f"Contours of the training loss around the {family} and around a model without hidden layers.",
    )


def _whose(outcome: Outcome) -> str:
    """Which weights are shown, if the model is an ensemble."""
    members = outcome.selection.networks if outcome.selection else 1
    return "" if members == 1 else f" Shown is the first of the {members} members."


def _activations(outcome: Outcome) -> Caption:
    axis = outcome.axes.get("activation")
    names = ", ".join(axis_words(str(name)) for name in getattr(axis, "choices", ()))
    return Caption(
        "The activations that were searched, the chosen one in bold. Where the derivative is near zero, no "
        "error passes back and nothing is learned.",
        f"Line charts of activation functions with their derivatives: {names}.",
    )


def _importances(importances: Mapping[str, float]) -> Caption:
    ranked = sorted(importances.items(), key=lambda item: -item[1])
    return Caption(
        "How much each setting sets the best trials apart from the others, pruned ones among them, within "
        "the ranges searched.",
        "Bar chart: " + ", ".join(f"{axis_words(name)} {share:.0%}" for name, share in ranked) + ".",
    )


_CAPTIONS: dict[str, Callable[[Outcome], Caption]] = {
    "activations": _activations,
    "calibration": _calibration,
    "confusion_matrix": _confusion_matrix,
    "cost_bowl": _cost_bowl,
    "decision_boundary": _decision_boundary,
    "filters": _filters,
    "fitted_curve": _fitted_curve,
    "label_counts": _label_counts,
    "learning_curves": _learning_curves,
    "loss_surface": _loss_surface,
    "mistaken_images": _mistaken_images,
    "network": _network,
    "parallel_coordinates": _parallel_coordinates,
    "ranking": _ranking,
    "residuals": _residuals,
    "score_by_size": _score_by_size,
    "search_history": _search_history,
    "size_curve": _size_curve,
    "slices": _slices,
    "trial_curves": _trial_curves,
}
