"""The report's claims as sentences, each from the figures of an outcome and from nothing else."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from workbench.core.formatting import attempts, beaten, opened_before
from workbench.core.records import Average, Outcome, Selection, TestScore
from workbench.evaluation.declarations import gained, in_order, reached
from workbench.evaluation.facts import (
    best_trial,
    complete_trials,
    metric_name,
    metric_words,
    score_direction,
    tally,
    trial_score,
)
from workbench.evaluation.plots.style import number


def answer(outcome: Outcome) -> str:
    """The answer in one sentence: score, interval, rows, look."""
    metric = metric_words(outcome)
    if outcome.withheld:
        return f"There is no test figure for this model: {outcome.withheld}."
    if outcome.test is None:
        found = best_trial(outcome)
        if found is None:
            return "The test set is still sealed, and no trial has finished with a score."
        if (chosen := outcome.selection) is not None and chosen.finalists:
            return (
                f"The test set is still sealed; the chosen configuration's validation {metric}, "
                f"{_over(chosen)}, is {number(chosen.validation)}, which flatters, since the same rows made "
                "it a finalist."
            )
        return (
            f"The test set is still sealed; the best validation {metric} is {number(trial_score(found))}, "
            "which flatters, since it was picked for being the best."
        )
    test = outcome.test
    if test.verdict:
        return (
            f"On {test.rows:,} test rows, looked at for time number {test.look}, the choice is judged "
            f"without a score: {test.verdict}."
        )
    value = _rounded(test)[0]
    opened = "opened once" if test.look == 1 else f"looked at for time number {test.look}"
    metric = f"weighted {metric}" if "weighted by" in outcome.data else metric
    return f"On {test.rows:,} sealed test rows, {opened}, {metric} is {value} ({_stated(test)})."


def short_answer(outcome: Outcome) -> tuple[str, str]:
    """The figure to set in large type, and the words below it."""
    metric = metric_words(outcome)
    if outcome.test is None:
        if outcome.withheld:
            return "none", f"no test {metric} of this model"
        return "sealed", f"test {metric} not yet known"
    if outcome.test.verdict:
        return "no score", outcome.test.verdict
    value = _rounded(outcome.test)[0]
    return value, f"test {metric} · {_stated(outcome.test)}"


def rival(outcome: Outcome) -> str | None:
    """That gradient boosting is better, which stands above everything else that is told; None where not."""
    if outcome.test is None or outcome.test.verdict:
        return None
    figures = outcome.baselines.get("boosted", {})
    told = beaten(figures, outcome.test.value, number)
    return f"{told[0].upper()}{told[1:]}." if told else None


def warning(outcome: Outcome) -> str | None:
    """What must be said loudly of rows that had been opened before; None where none was."""
    test = outcome.test
    if test is None:
        return None
    told = [
        f"{sentence}." for sentence in opened_before(test.rows, test.rows_opened_before, test.rows_reused)
    ]
    if test.look > 1:
        often = "once before" if test.look == 2 else f"{test.look - 1} times before"
        partly = 0 < test.rows_opened_before < test.rows
        before = "some of them had been opened before" if partly else f"they had been opened {often}"
        widened = "" if test.verdict else "; its interval is widened for the number of looks"
        told.insert(
            0,
            f"This is look number {test.look} at these test rows: {before}. Whatever was learned then may "
            f"have shaped this study, so the score can flatter{widened}. Only fresh rows give an unspoiled "
            "answer.",
        )
    return " ".join(told) or None


def comparison(outcome: Outcome) -> list[tuple[str, str, str]]:
    """What was compared with what: name, figure, remark. What is known of test rows comes first."""
    metric, selection = metric_words(outcome), outcome.selection
    ended = f"; ended before the budget: {outcome.stopped}" if outcome.stopped else ""
    rows = [] if outcome.test is None else _tested(outcome, outcome.test, metric)
    rows += _also(outcome)
    rows.append(("Trials", f"{len(outcome.trials):,}", tally(outcome.trials) + ended))
    rows_of_trials = validation(outcome)
    mean = f", mean of {rows_of_trials}" if "folds" in rows_of_trials else ""
    found = best_trial(outcome)
    if selection is not None and selection.finalists:
        near = selection.rule == "beyond-noise" or (selection.rule == "keep-default" and selection.trial == 0)
        how = "within one standard error of the best" if near else "the best"
        where = f", on {rows_of_trials}" if rows_of_trials else ""
        among = f"{how} of {len(selection.finalists)} finalists"
        told = f"trial {selection.trial}, {_over(selection)}{where}, {among}"
        rows.append((f"Validation {metric}", number(selection.validation), told))
        rows.append(("Default configuration", number(selection.default), "trial 0, over the same seeds"))
        flatters = "how much a score that was chosen so is expected to flatter itself"
        rows.append(("Optimism", difference(selection.optimism), flatters))
    elif selection is not None:
        rows.append(
            (
                f"Best validation {metric}",
                number(selection.validation),
                f"trial {selection.trial}, the {'highest' if outcome.direction == 'maximize' else 'lowest'} "
                f"of {selection.considered:,} compared{mean}",
            )
        )
        where = f"validated on {rows_of_trials}" if rows_of_trials else "the same validation rows"
        rows.append(("Default configuration", number(selection.default), f"trial 0, {where}"))
        rows.append(
            (
                "Optimism",
                difference(selection.optimism),
                "how much the best of so many validation scores is expected to flatter itself",
            )
        )
    elif found is not None:
        rows.append((f"Best validation {metric}", number(trial_score(found)), f"trial {found.number}"))
    spread = seeds(outcome)
    if spread:
        rows.append(("Over seeds", spread, "the chosen configuration trained again, validation rows"))
    if selection is not None and selection.average is not None:
        rows.append(_averaged(selection.average))
    if selection is not None and (heat := selection.calibration) is not None:
        told = f"its log loss on validation rows goes from {number(heat.before)} to {number(heat.after)}"
        rows.append(("Calibrated by temperature", number(heat.temperature), told))
    if selection is not None and selection.refit is not None:
        together = sum(int(outcome.data.get(part, 0)) for part in ("train", "validation"))
        epochs = selection.refit.best_epoch
        remark = f"training and validation rows for {epochs} epochs: "
        if selection.delivers_refit:
            remark += "the model that is delivered and tested"
        else:
            again, judged = selection.refit_losses or (math.nan, math.nan)
            remark += (
                f"its mean loss on them is {number(again)}, that of the model the validation rows judged "
                f"{number(judged)}, so that one is delivered and tested"
            )
        rows.append(("Refitted on", f"{together:,} rows", remark))
    if outcome.test is None:
        sealed = ("sealed", "no test row has been read")
        rows.append((f"Test {metric}", *(("none", outcome.withheld) if outcome.withheld else sealed)))
    return rows


def _also(outcome: Outcome) -> list[tuple[str, str, str]]:
    """Further metrics: of the choice on the test rows, of its trial on the validation rows."""
    rows = []
    for name, told in outcome.also.items():
        value, low, high = (_number(told[part]) for part in ("value", "low", "high"))
        note, known = str(told.get("note", "")), low is not None and high is not None
        said = f"{'' if note else '95 % '}interval {number(low or 0.0)} to {number(high or 0.0)}"
        remark = "; ".join(filter(None, (said if known else "no interval", note, "nothing was chosen by it")))
        rows.append((f"Test {metric_name(name)}", "–" if value is None else number(value), remark))
    found = best_trial(outcome)
    if found is not None:
        where = f"trial {found.number} in the search"
        rows += [(f"Validation {metric_name(name)}", number(one), where) for name, one in found.also.items()]
    return rows


def _averaged(average: Average) -> tuple[str, str, str]:
    """What the average of the networks of all seeds scores, and what is delivered."""
    told = f"validation rows; one of its networks has {number(average.single)} on average, so "
    told += "it is delivered and tested" if average.delivered else "the first seed's is delivered and tested"
    return f"Average of {average.networks} networks", number(average.validation), told


def delivered(outcome: Outcome) -> str:
    """What became of the networks of the seeds, as the end of a sentence."""
    chosen = outcome.selection
    together = chosen is not None and chosen.average is not None and chosen.average.delivered
    own = "the average of their networks" if together else "the first seed's model"
    if chosen is not None and chosen.delivers_refit:
        which = "their networks were" if together else "the first seed's was"
        end = "their average is" if together else "is"
        return f"{which} then trained once more, on training and validation rows, and {end} the one delivered"
    told = f"{own} is the one delivered"
    if chosen is not None and chosen.refit is not None:
        which = "them" if together else "it"
        told += f", since training {which} once more, on training and validation rows, made {which} fit"
        told += " them worse"
    return told


def _tested(outcome: Outcome, test: TestScore, metric: str) -> list[tuple[str, str, str]]:
    """The rivals on the test rows, the choice, the floor, and what is known of these rows."""
    beside = {name: _beside(name, one, metric) for name, one in in_order(outcome.baselines).items()}
    where = f"{test.rows:,} rows, look {test.look}"
    rows = [row for name, row in beside.items() if name != "trivial"]
    rows.append(
        (f"Test {metric}", "–", f"{test.verdict}, {where}")
        if test.verdict
        else (f"Test {metric}", _rounded(test)[0], f"{_stated(test)}, {where}")
    )
    rows += [row for name, row in beside.items() if name == "trivial"]
    if test.remarks:
        rows.append(("Earlier looks", "–", test.remarks))
    if test.tried:
        rows.append(("Tried on these rows", attempts(test.tried), "as far as the ledger knows"))
    return rows


#: The baselines on the test rows, in words.
_BASELINES = {
    "default": "Default configuration, trained again",
    "linear": "Linear model",
    "boosted": "Gradient boosting",
    "trivial": "Class frequencies, or the mean",
}


def _beside(name: str, figures: Mapping[str, float | str | None], metric: str) -> tuple[str, str, str]:
    """A baseline on the test rows, and whether the choice is better by more than noise."""
    value, gained, low, high = (_number(figures[key]) for key in ("value", "gain", "low", "high"))
    note = figures.get("note", "")
    title = f"{_BASELINES.get(name, name)}, test {metric}"
    if value is None or gained is None:
        return title, "–", str(note or "has no score on these rows")
    said = f"the choice is {'better' if gained >= 0 else 'worse'} by {difference(abs(gained))}"
    if about := figures.get("about"):
        said = f"{about}; {said}"
    if low is None or high is None:
        return title, number(value), f"{said} (no interval: {note})" if note else said
    ends = f"interval {difference(low)} to {difference(high)}"
    if note:
        return title, number(value), f"{said} ({ends}: {note})"
    noise = "no more than noise may do" if low <= 0 <= high else "more than noise"
    return title, number(value), f"{said} (95 % {ends}): {noise}"


def _number(figure: float | str | None) -> float | None:
    return None if figure is None else float(figure)


def gain(outcome: Outcome, interval: tuple[float, float] | None) -> str | None:
    """Whether the search beat the default, and by more than noise where an interval says so."""
    if outcome.selection is None or not math.isfinite(outcome.selection.default):
        return None
    if len(outcome.selection.finalists) > 1 and outcome.selection.trial == 0:
        noise = "" if outcome.selection.rule == "best" else " beyond noise"
        return f"The default configuration is kept: no finalist beats it{noise}."
    sign = 1 if outcome.direction == "maximize" else -1
    better = sign * (outcome.selection.validation - outcome.selection.default)
    if better <= 0:
        return "The search found nothing better than the default configuration."
    said = (
        f"The chosen configuration is better than the default by {difference(better)} on the validation rows"
    )
    if interval is None:
        return f"{said}; the optimism above is part of that difference."
    low, high = interval
    verdict = "more than noise" if low > 0 else "no more than noise may do"
    left = f"without the optimism of choosing the gain is {difference((low + high) / 2)}"
    return f"{said}; {left} (95 % interval {difference(low)} to {difference(high)}): {verdict}."


def seeds(outcome: Outcome) -> str | None:
    """Mean and standard deviation of the validation score over seeds; None without seeds."""
    if outcome.selection is None or not outcome.selection.seeds:
        return None
    scores = [seed.validation for seed in outcome.selection.seeds]
    if len(scores) == 1:
        return f"{number(scores[0])} (one seed)"
    return (
        f"{number(statistics.fmean(scores))} ± {difference(statistics.stdev(scores))} ({len(scores)} seeds)"
    )


def finalists(outcome: Outcome) -> list[tuple[str, str, str]]:
    """What was chosen among: the trial, its mean over seeds with their spread, and its parameters."""
    chosen = outcome.selection
    if chosen is None:
        return []
    return [
        (
            f"trial {one.trial}"
            + (", the default" if one.trial == 0 else "")
            + (", chosen" if one.trial == chosen.trial else ""),
            number(one.mean) + ("" if math.isnan(one.spread) else f" ± {difference(one.spread)}"),
            f"{one.parameters:,}",
        )
        for one in chosen.finalists
    ]


def each_target(outcome: Outcome) -> list[tuple[str, str, str, str]]:
    """Of several targets: the name of each, its metric, its score, and what is known of that."""
    rows = []
    for name, figures in outcome.by_target.items():
        value, low, high = (_number(figures[key]) for key in ("value", "low", "high"))
        note = str(figures.get("note", ""))
        if low is None or high is None:
            said = f"no interval: {note}" if note else "no interval"
        else:
            ends = f"interval {number(low)} to {number(high)}"
            said = f"{ends}: {note}" if note else f"95 % {ends}"
        shown = "–" if value is None else number(value)
        rows.append((name, metric_name(str(figures["metric"])), shown, said))
    return rows


def declared(outcome: Outcome) -> str | None:
    """What the study said would count, when it said so, and whether it came out; None if it said nothing."""
    if not outcome.declared:
        return None
    *earlier, last = outcome.declared
    if last.opened:
        when = "declared after the test set was opened"
    else:
        when = f"declared after {last.trials} trials" if last.trials else "declared before the first trial"
    if earlier and earlier[0].smallest_gain is not None:
        when += f", before which it was {number(earlier[0].smallest_gain)}"
        if (earlier[0].question, earlier[0].rule) != (last.question, last.rule):
            when += " with another question or rule"
    if last.smallest_gain is None:
        return f"No smallest gain over the default configuration is asked for any more ({when})."
    said = (
        f"A gain over the default configuration of {number(last.smallest_gain)} in {metric_words(outcome)} "
        f"would count ({when})."
    )
    verdict = reached(outcome)
    if verdict is None:
        return said
    figures = outcome.baselines.get("default", {})
    value, low, high = gained(figures)
    note = figures.get("note", "")
    came = "" if value is None else f" {difference(value)}"
    if low is not None and high is not None:
        ends = f"interval {difference(low)} to {difference(high)}"
        came += f" ({ends}: {note})" if note else f" (95 % {ends})"
    elif note:
        came += f" (no interval: {note})"
    kept = (
        " nothing, since the default is kept" if outcome.selection and outcome.selection.trial == 0 else came
    )
    beyond = " beyond noise" if verdict == "reached" and not note else ""
    return f"{said} On the test rows the choice gains{kept}: {verdict}{beyond}."


def selection_rule(outcome: Outcome) -> str:
    """How the configuration was chosen."""
    chosen = outcome.selection
    if chosen is not None and chosen.finalists:
        what = {
            "best": "the best mean",
            "keep-default": "the best mean, or the default if it is within one standard error of it",
            "beyond-noise": "the simplest within one standard error of the best mean, the default before any "
            "other and fewer parameters before more",
        }[chosen.rule]
        return (
            f"{what}: validation {metric_words(outcome)} ({score_direction(outcome)}"
            f"{', on ' + validation(outcome) if validation(outcome) else ''}) of {len(chosen.finalists)} "
            f"finalists, {_over(chosen)}; they are the best of {len(complete_trials(outcome)):,} complete "
            "trials and the default, trained again"
        )
    return (
        f"best validation {metric_words(outcome)} ({score_direction(outcome)}"
        f"{', on ' + validation(outcome) if validation(outcome) else ''}) among "
        f"{len(complete_trials(outcome)):,} complete trials, among equals the lower validation loss; pruned "
        "and diverged ones cannot be chosen"
    )


def validation(outcome: Outcome) -> str:
    """On which rows trials were validated, if not on the split's own."""
    return str(outcome.data.get("validated on", ""))


def _over(selection: Selection) -> str:
    """Over which trainings a finalist's score is the mean."""
    count = len(selection.seeds)
    return f"mean over {count} fresh seeds" if count > 1 else "from a fresh seed"


def percent(share: float) -> str:
    """0.95 as 95 %."""
    return f"{100 * share:.3g} %"


def difference(value: float) -> str:
    """Two significant digits: a difference is not known better than that."""
    return number(float(f"{value:.2g}"))


def _stated(test: TestScore) -> str:
    """The interval, called by its confidence if nothing must be said beside it; or why there is none."""
    _, low, high = _rounded(test)
    if not (math.isfinite(test.low) and math.isfinite(test.high)):
        return f"no interval: {test.note}" if test.note else "no interval"
    ends = f"interval {low} to {high}"
    return f"{ends}: {test.note}" if test.note else f"{percent(test.confidence)} {ends}"


def _rounded(test: TestScore) -> Sequence[str]:
    """Score and interval with as many decimals as give the interval's width two digits."""
    width = test.high - test.low
    if not (math.isfinite(width) and 1e-6 < width < 1e6):
        return [number(value) for value in (test.value, test.low, test.high)]
    decimals = max(0, 1 - math.floor(math.log10(width)))
    return [f"{value:,.{decimals}f}".replace("-", "−") for value in (test.value, test.low, test.high)]
