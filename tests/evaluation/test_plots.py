"""Every picture draws what was recorded: the artists' data are compared with the outcome."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.special
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix as oracle_confusion
from sklearn.metrics import precision_recall_curve, roc_curve

from tests.helpers import outcomes
from workbench.core.records import Outcome
from workbench.core.types import Choice, Range
from workbench.evaluation import plots
from workbench.evaluation.facts import axis_positions, best_trial, tally
from workbench.evaluation.plots.mistaken import mistaken_images
from workbench.evaluation.plots.ranking import ranking
from workbench.evaluation.plots.scores import confusion_counts, reliability
from workbench.evaluation.plots.style import extent, number, shorten
from workbench.evaluation.predictor import probabilities

CLASSES = outcomes.classification()
HOUSES = outcomes.regression()


def words(figure: Figure) -> str:
    texts = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        texts += [text.get_text() for text in axes.texts] + [axes.get_title(loc="left"), axes.get_xlabel()]
    return "\n".join(texts)


def lines(figure: Figure, label: str) -> list[np.ndarray]:
    return [line.get_xydata() for axes in figure.axes for line in axes.lines if line.get_label() == label]


def only(outcome: Outcome, count: int) -> Outcome:
    """The first trials of an outcome, before anything was chosen."""
    return replace(outcome, trials=outcome.trials[:count], selection=None, test=None)


@pytest.mark.parametrize(
    "outcome",
    [
        CLASSES,
        HOUSES,
        outcomes.classification(60, confirmed=False, classes=2),
        outcomes.classification(80, classes=20),
        outcomes.classification(1, confirmed=False),
        outcomes.regression(30, outputs=6),
        only(CLASSES, 40),
        replace(CLASSES, axes={"width": CLASSES.axes["width"]}),
        replace(CLASSES, axes={}),
        replace(only(CLASSES, 1), trials=()),
    ],
    ids=[
        "classes",
        "houses",
        "searched",
        "20-classes",
        "1-trial",
        "6-outputs",
        "unchosen",
        "1-axis",
        "0-axes",
        "empty",
    ],
)
def test_every_figure_is_drawn_and_saved(outcome: Outcome, tmp_path: Path) -> None:
    figures = plots.all_figures(outcome, outcomes.IMPORTANCES if outcome.trials else None)
    paths = plots.save(figures, tmp_path / "new")
    assert set(paths) == set(figures)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths.values())
    assert all(path.stat().st_size < 400_000 for path in paths.values())
    assert ("residuals" in figures) == (outcome.task == "regression")
    assert ("slices" in figures) == (len(outcome.trials) > 1 and bool(outcome.axes))
    assert ("parallel_coordinates" in figures) == (len(outcome.trials) > 1 and len(outcome.axes) > 1)


def test_learning_curves_hold_the_recorded_losses() -> None:
    assert CLASSES.selection is not None
    drawn = [line.get_ydata() for line in plots.learning_curves(CLASSES).axes[0].lines]
    for seed in CLASSES.selection.seeds:
        for curve in seed.curves[:2]:
            assert any(len(y) == len(curve) and np.array_equal(y, curve.astype(float)) for y in drawn)
    first = CLASSES.selection.seeds[0]
    marked = drawn[-1]
    assert marked[0] == first.curves.validation_loss[first.best_epoch - 1]
    assert f"best epoch {first.best_epoch}" in words(plots.learning_curves(CLASSES))


def test_learning_curves_of_a_diverged_model_stop_at_the_last_number() -> None:
    assert CLASSES.selection is not None
    seed = CLASSES.selection.seeds[0]
    broken = seed.curves.validation_loss.copy()
    broken[5:8], broken[8:] = np.inf, np.nan
    curves = seed.curves._replace(validation_loss=broken)
    outcome = replace(CLASSES, selection=replace(CLASSES.selection, seeds=(replace(seed, curves=curves),)))
    figure = plots.learning_curves(outcome)
    y = next(line.get_ydata() for line in figure.axes[0].lines if np.isnan(line.get_ydata()).any())
    assert np.isfinite(y[:5]).all()
    assert np.isnan(y[5:]).all()
    plots.png(figure)
    nothing = seed.curves._replace(train_loss=broken * np.nan, validation_loss=broken * np.nan)
    outcome = replace(CLASSES, selection=replace(CLASSES.selection, seeds=(replace(seed, curves=nothing),)))
    plots.png(plots.learning_curves(outcome))


def test_search_history_shows_every_trial_once() -> None:
    figure = plots.search_history(CLASSES)
    complete, pruned, beyond, silent = (
        np.concatenate(lines(figure, label)) for label in ("complete", "pruned", "beyond", "no score")
    )
    numbers = np.concatenate([complete, pruned, beyond, silent])[:, 0]
    assert sorted(numbers) == [trial.number for trial in CLASSES.trials]
    values = {trial.number: trial.value for trial in CLASSES.trials}
    assert all(y == values[int(x)] for x, y in [*complete, *pruned])
    assert {int(x) for x, _ in silent} == {t.number for t in CLASSES.trials if t.reason == "diverged"}
    limits = figure.axes[0].get_ylim()
    assert all(not limits[0] <= float(values[int(x)] or 0) <= limits[1] for x, _ in beyond)


@pytest.mark.parametrize("outcome", [CLASSES, HOUSES])
def test_search_history_shows_best_default_and_test(outcome: Outcome) -> None:
    figure = plots.search_history(outcome)
    assert outcome.selection is not None
    assert outcome.test is not None
    (best,) = lines(figure, "best so far")
    finished = [t for t in outcome.trials if t.state == "complete" and t.value is not None]
    better = max if outcome.direction == "maximize" else min
    for x, y in best[:-1]:
        assert y == better(float(t.value or 0) for t in finished if t.number <= x)
    assert lines(figure, "default")[0][0, 1] == outcome.selection.default
    (bars,) = figure.axes[0].containers
    data, caps, _ = bars.lines
    assert data.get_ydata()[0] == outcome.test.value
    assert sorted(cap.get_ydata()[0] for cap in caps) == pytest.approx([outcome.test.low, outcome.test.high])
    assert not plots.search_history(replace(outcome, test=None)).axes[0].containers


def test_trial_curves_draw_all_scores_and_highlight_the_chosen() -> None:
    figure = plots.trial_curves(HOUSES)
    winner = best_trial(HOUSES)
    assert winner is not None
    thin = [
        segment
        for collection in figure.axes[0].collections
        if isinstance(collection, LineCollection)
        for segment in collection.get_segments()
    ]
    assert len(thin) == len(HOUSES.trials) - 1
    highlighted = figure.axes[0].lines[-1].get_ydata()
    np.testing.assert_array_equal(highlighted, winner.curves.validation_score.astype(float))
    assert [line.get_xdata()[0] for line in figure.axes[0].lines[:-1]] == list(outcomes.RUNGS)


def test_parallel_coordinates_pass_through_the_settings() -> None:
    figure = plots.parallel_coordinates(CLASSES)
    grey, colored = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    complete = [t for t in CLASSES.trials if t.state == "complete"]
    assert len(grey.get_segments()) == sum(t.state == "pruned" for t in CLASSES.trials)
    ranked = sorted(complete, key=lambda t: float(t.value or 0))
    for trial, segment in zip(ranked, colored.get_segments(), strict=True):
        rate = float(trial.params["learning_rate"])
        assert segment[0, 1] == pytest.approx((np.log10(rate) + 4) / 3)
        assert segment[3, 1] == ("relu", "tanh", "sigmoid").index(str(trial.params["activation"])) / 2
        assert segment[6, 1] == pytest.approx(2 * float(trial.params["dropout"]))
    shades = colored.get_array()
    assert (np.diff(shades) >= 0).all()  # the best is drawn last
    (chosen,) = lines(figure, "chosen")
    np.testing.assert_allclose(chosen, colored.get_segments()[-1])


def test_slices_have_one_panel_an_axis() -> None:
    figure = plots.slices(CLASSES)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [n.replace("_", " ") for n in CLASSES.axes]
    rate = figure.axes[0]
    assert rate.get_xscale() == "log"
    complete = [t for t in CLASSES.trials if t.state == "complete"]
    np.testing.assert_allclose(rate.lines[1].get_xdata(), [t.params["learning_rate"] for t in complete])
    np.testing.assert_allclose(rate.lines[1].get_ydata(), [t.value for t in complete])
    winner = best_trial(CLASSES)
    assert winner is not None
    assert rate.lines[2].get_xydata().tolist() == [[winner.params["learning_rate"], winner.value]]


@pytest.mark.parametrize("outcome", [CLASSES, HOUSES], ids=["greater", "smaller"])
def test_the_front_is_what_no_smaller_model_equals(outcome: Outcome) -> None:
    draw = np.random.default_rng(0)
    sizes = {
        trial.number: int(draw.integers(50, 90)) for trial in outcome.trials if trial.state == "complete"
    }
    sized = replace(outcome, sizes=sizes)
    sign = 1.0 if outcome.direction == "maximize" else -1.0
    scored = [
        (sizes[t.number], sign * t.value)
        for t in outcome.trials
        if t.state == "complete" and t.value is not None and np.isfinite(t.value)
    ]
    undominated = {
        (size, score)
        for size, score in scored
        if not any((a <= size and b >= score) and (a, b) != (size, score) for a, b in scored)
    }
    found = plots.front(sized)
    assert {(sizes[t.number], sign * float(t.value or 0)) for t in found} == undominated
    assert [sizes[t.number] for t in found] == sorted(sizes[t.number] for t in found)
    figure = plots.score_by_size(sized)
    (dots,) = lines(figure, "complete")
    assert len(dots) == len(scored)
    (best,) = lines(figure, "best of its size")
    assert best[:, 0].tolist() == [sizes[t.number] for t in found]
    assert "score_by_size" in plots.all_figures(sized)
    assert "score_by_size" not in plots.all_figures(outcome)


def test_importances_are_ranked_bars() -> None:
    figure = plots.importance_bars(CLASSES, outcomes.IMPORTANCES)
    widths = [bar.get_width() for bar in figure.axes[0].patches]
    assert widths == sorted(outcomes.IMPORTANCES.values())
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()][-1] == "learning rate"


@pytest.mark.parametrize("classes", [2, 3, 10, 20])
def test_confusion_matrix_agrees_with_scikit_learn(classes: int) -> None:
    outcome = outcomes.classification(3, classes=classes)
    outputs = np.asarray(outcome.outputs)
    predicted = (outputs[:, 0] > 0).astype(int) if classes == 2 else outputs.argmax(axis=1)
    expected = oracle_confusion(outcome.targets, predicted, labels=range(classes))
    np.testing.assert_array_equal(confusion_counts(outcome), expected)
    axes = plots.confusion_matrix(outcome).axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), expected / expected.sum(axis=1, keepdims=True))
    assert sorted(int(text.get_text()) for text in axes.texts) == sorted(expected[expected > 0])
    assert f"{np.trace(expected)} of 360 test rows right" in words(plots.confusion_matrix(outcome))


def test_residuals_are_predictions_minus_actual_values() -> None:
    scatter, histogram = plots.residuals(HOUSES).axes
    dots = scatter.lines[-1].get_xydata()
    np.testing.assert_array_equal(dots[:, 0], HOUSES.targets[:, 0].astype(float))
    np.testing.assert_array_equal(dots[:, 1], HOUSES.outputs[:, 0].astype(float))
    errors = HOUSES.outputs[:, 0].astype(float) - HOUSES.targets[:, 0]
    counts = [bar.get_height() for bar in histogram.patches]
    np.testing.assert_array_equal(counts, np.histogram(errors, len(counts))[0])


def test_calibration_counts_every_row_and_knows_a_calibrated_model() -> None:
    rng = np.random.default_rng(0)
    chances = rng.uniform(0, 1, 200_000)
    stated, found, counts, error = reliability(chances, rng.uniform(0, 1, chances.size) < chances)
    assert counts.sum() == chances.size
    np.testing.assert_allclose(found, stated, atol=0.02)
    assert error < 0.01
    *_, error = reliability(np.full(100, 0.9), np.arange(100) < 60)
    assert error == pytest.approx(0.3)
    below = plots.calibration(CLASSES).axes[1]
    assert sum(bar.get_height() for bar in below.patches) == len(CLASSES.outputs)


@pytest.mark.parametrize("logits", [1, 2, 4])
def test_calibration_agrees_with_scikit_learn(logits: int) -> None:
    rng = np.random.default_rng(logits)
    chances = probabilities(rng.normal(scale=1.5, size=(500, logits)))
    targets = rng.integers(max(logits, 2), size=500)
    sure = chances[:, 1] if logits < 3 else chances.max(axis=1)
    hit = targets == (1 if logits < 3 else chances.argmax(axis=1))
    found, stated = calibration_curve(hit, sure, n_bins=10)
    ours = reliability(sure, hit)
    np.testing.assert_allclose(ours[0], stated)
    np.testing.assert_allclose(ours[1], found)


def test_probabilities_agree_with_scipy() -> None:
    outputs = np.random.default_rng(0).normal(scale=5.0, size=(50, 3))
    np.testing.assert_allclose(probabilities(outputs), scipy.special.softmax(outputs, axis=1))
    np.testing.assert_allclose(probabilities(outputs[:, :1])[:, 1], scipy.special.expit(outputs[:, 0]))


def test_probabilities_of_extreme_logits_are_finite() -> None:
    chances = probabilities(np.array([[1e4], [-1e4], [0.0]], dtype=np.float32))
    np.testing.assert_allclose(chances, [[0, 1], [1, 0], [0.5, 0.5]])
    assert np.isfinite(probabilities(np.array([[1e30, -1e30, 0.0]], dtype=np.float32))).all()


def test_outputs_that_are_no_numbers_are_not_drawn() -> None:
    outputs = CLASSES.outputs.copy()
    outputs[0, 0] = np.nan
    figures = plots.all_figures(replace(CLASSES, outputs=outputs), {})
    assert "confusion_matrix" not in figures
    assert "importances" not in figures


def test_users_words_are_no_mathematics() -> None:
    names = ("$a", "b$_c", "名前", "x" * 60, "\\frac", "{", "", "é", "<b>", "9")
    figure = plots.confusion_matrix(replace(CLASSES, classes=names))
    plots.png(figure)
    assert "$a" in [label.get_text() for label in figure.axes[0].get_yticklabels()]


def test_positions_on_axes() -> None:
    assert axis_positions(Range(1, 100, log=True), [1, 10, 100, None])[:3] == pytest.approx([0, 0.5, 1])
    assert axis_positions(Range(5, 5), [5]).tolist() == [0.5]
    assert axis_positions(Choice((True, 1, "1.0")), [True, 1, "other"])[:2].tolist() == [0.0, 0.5]
    assert np.isnan(axis_positions(Choice(("a",)), ["b"])).all()


def test_limits_cut_only_the_bad_tail() -> None:
    scores = np.array([0.90, 0.95, 0.97, 0.98, 0.99, 0.1, np.nan, -np.inf])
    low, high = extent(scores, "maximize")
    assert 0.8 < low < 0.95
    assert 0.99 < high < 1.0
    assert extent(scores, "maximize", keep=[0.1])[0] < 0.1
    low, high = extent(-scores, "minimize")
    assert low < -0.99
    assert -0.95 < high < -0.8
    assert extent(np.array([np.nan]), "maximize") == (0.0, 1.0)
    assert extent(np.array([0.5]), "maximize")[0] < 0.5 < extent(np.array([0.5]), "maximize")[1]


def test_numbers_and_words_are_short() -> None:
    shown = {0.97812: "0.9781", 68420.4: "68,420", 1e-5: "1e−5", 12345678.0: "1.23e7", -3: "−3", 2.0: "2"}
    assert {value: number(value) for value in shown} == shown
    assert [number(v) for v in (True, "relu", float("nan"), float("-inf"))] == ["True", "relu", "NaN", "−∞"]
    assert shorten("learning rate", 8) == "learnin…"
    assert tally(CLASSES.trials).startswith("200 trials: ")


def test_same_outcome_same_bytes_and_no_trace_in_global_state() -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    assert plots.png(plots.slices(CLASSES)) == plots.png(plots.slices(CLASSES))
    assert dict(matplotlib.rcParams) == before
    code = "import sys, workbench.evaluation.plots; print('matplotlib.pyplot' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


@pytest.mark.parametrize("digits", [8, 1])  # chances that tie
def test_ranking_is_scikit_learns(digits: int) -> None:
    outcome = outcomes.classification(60, classes=2)
    outcome = replace(outcome, outputs=(outcome.outputs / 4).round(digits))
    chances = probabilities(outcome.outputs)[:, 1]
    figure = ranking(outcome)
    false, true, _ = roc_curve(outcome.targets, chances, drop_intermediate=False)
    (drawn,) = lines(figure, "ROC")
    np.testing.assert_allclose(drawn, np.stack([false, true], axis=1), atol=1e-12)
    precision, recall, _ = precision_recall_curve(outcome.targets, chances)
    (drawn,) = lines(figure, "precision")
    np.testing.assert_allclose(drawn, np.stack([recall, precision], axis=1)[-2::-1], atol=1e-12)
    marked = [axes.lines[-1].get_xydata()[0] for axes in figure.axes]
    said = chances > 0.5
    hit, wrong = (said[outcome.targets == code].mean() for code in (1, 0))
    np.testing.assert_allclose(marked, [(wrong, hit), (hit, (outcome.targets[said] == 1).mean())])


def test_ranking_is_of_two_classes_that_are_there() -> None:
    outcome = outcomes.classification(60, classes=2)
    assert "ranking" in plots.all_figures(outcome)
    assert "ranking" not in plots.all_figures(CLASSES)
    assert "ranking" not in plots.all_figures(replace(outcome, targets=np.zeros_like(outcome.targets)))


@pytest.mark.parametrize(("count", "channels"), [(1, 1), (7, 3), (40, 2)])
def test_mistaken_images_are_shown_with_both_names(count: int, channels: int) -> None:
    images = np.random.default_rng(0).normal(size=(count, 5, 4, channels))
    images[0] = 2.0  # all alike
    figure = mistaken_images(images, ["cat"] * count, ["dog"] * count, of=(count, 100))
    shown = min(count, 18)
    assert len(figure.axes[0].images) == shown
    assert words(figure).count("cat → dog") == shown
    assert f"{count} of 100 validation images" in words(figure)
    assert ("most surprising" in words(figure)) == (count > 18)
