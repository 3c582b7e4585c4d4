"""Pictures of the delivered model: which ones are drawn, and that their artists hold what they are given."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.collections import EllipseCollection, LineCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from tests.helpers.delivered import EPOCHS, Delivered, deliver, images, table
from workbench import data
from workbench.core.types import DataSpec
from workbench.evaluation import plots
from workbench.evaluation.analysis import probes
from workbench.evaluation.plots.filters import first_layer_filters, longest, tinted
from workbench.evaluation.plots.fits import decision_boundary, fitted_curve
from workbench.evaluation.plots.functions import activation_functions
from workbench.evaluation.plots.landscape import bends_down, cost_bowl, loss_surface
from workbench.evaluation.plots.model import image_shape, is_small, pictures
from workbench.evaluation.plots.network import network_diagram
from workbench.evaluation.plots.sizes import size_curve
from workbench.evaluation.plots.style import INK
from workbench.evaluation.report.captions import caption

DRAW = np.random.default_rng(0)


def words(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.findobj(Text))


def lines(figure: Figure) -> dict[str, np.ndarray]:
    return {str(line.get_label()): line.get_xydata() for axes in figure.axes for line in axes.lines}  # type: ignore[misc]


def mlp(depth: int, width: int, *activations: str) -> dict[str, object]:
    return {"family": "mlp", "depth": depth, "width": width, "activations": activations or ("tanh",)}


def drawn(made: Delivered) -> dict[str, Figure]:
    figures = pictures(made.outcome, made.predictor, made.dataset, made.fold)
    for name, figure in figures.items():
        assert plots.png(figure).startswith(b"\x89PNG")
        text, alt = caption(name, made.outcome, {})
        assert text.endswith(".")
        assert len(alt) > 30
    return figures


# ── which pictures are drawn ──


def test_two_features_get_a_boundary_and_a_small_net_its_diagram(tmp_path: Path) -> None:
    turn, inner = DRAW.uniform(0, 2 * np.pi, 120), np.arange(120) % 2 == 0
    radius = np.where(inner, 1, 2.2)
    columns = {"$width_cm": radius * np.cos(turn), "height": 50 * radius * np.sin(turn)}
    dataset = table(tmp_path, columns, np.where(inner, "inner", "outer"))
    made = deliver(dataset, mlp(2, 6))
    figures = drawn(made)
    assert list(figures) == ["decision_boundary", "network", "loss_surface"]
    dots = np.concatenate([xy for label, xy in lines(figures["decision_boundary"]).items() if "," in label])
    rows = made.dataset.rows
    assert sorted(map(tuple, dots)) == sorted(map(tuple, rows.to_numpy()))  # type: ignore[union-attr]
    assert len(dots) == 120 - made.dataset.test_rows
    assert "$width_cm" in words(figures["decision_boundary"])
    assert "greatest loss" in words(figures["network"])


def test_one_feature_gets_a_curve_and_the_linear_model_its_bowl(tmp_path: Path) -> None:
    x = DRAW.uniform(100, 900, 100)
    dataset = table(tmp_path, {"distance": x}, 0.125 * x + 17.5 + DRAW.normal(size=100))
    made = deliver(dataset, {"family": "linear", "optimizers": ("sgd",)}, learning_rate=0.02)
    figures = drawn(made)
    assert list(figures) == ["fitted_curve", "cost_bowl", "network"]
    along, guess = lines(figures["fitted_curve"])["model"].T
    shift, scale = made.fold.shift[0], made.fold.scale[0]
    slope, bias = made.predictor.params["weight"][0, 0], made.predictor.params["bias"][0]
    train = made.dataset.rows["distance"].to_numpy()[made.dataset.train]  # type: ignore[call-overload]
    expected = (slope * (along - train.mean()) / train.std() + bias) * scale + shift
    np.testing.assert_allclose(guess, expected, rtol=1e-4)
    path = probes.descent(
        made.predictor.recipe, made.predictor.hyper, made.fold, epochs=range(EPOCHS + 1), seed=1_000_000
    )
    np.testing.assert_array_equal(lines(figures["cost_bowl"])["path"], path)
    rows, targets = np.asarray(made.fold.train.x)[:, 0], (made.fold.train.y[:, 0] - shift) / scale
    np.testing.assert_allclose(path[-1], np.polyfit(rows, targets, 1), atol=0.05)
    assert f"epoch {EPOCHS}, kept" in words(figures["cost_bowl"])


def test_two_classes_over_one_feature_get_the_s_curve(tmp_path: Path) -> None:
    x = DRAW.uniform(0, 100, 90)
    dataset = table(tmp_path, {"age": x}, np.where(x + DRAW.normal(0, 10, 90) > 50, "buys", "leaves"))
    made = deliver(dataset, {"family": "logistic", "optimizers": ("sgd",)}, learning_rate=0.5)
    made.predictor.params["weight"][:] = -3.0
    made.predictor.params["bias"][:] = 0.2
    figures = drawn(made)
    assert list(figures) == ["fitted_curve", "cost_bowl", "network"]
    curve = lines(figures["fitted_curve"])["model"][:, 1]
    assert np.all(np.diff(curve) < 0)
    assert 0 < curve[-1] < 0.1 < 0.9 < curve[0] < 1
    assert "probability of leaves" in words(figures["fitted_curve"])


def test_digits_get_filters_a_surface_and_the_activations_that_were_searched() -> None:
    made = deliver(data.load(DataSpec("digits"))[0], mlp(1, 16, "relu", "tanh"), activation=1)
    assert image_shape(made.dataset, made.predictor.recipe) == (8, 8, 1)
    assert not is_small(made.predictor)
    figures = drawn(made)
    assert list(figures) == ["filters", "mistaken_images", "loss_surface", "activations"]
    assert "weights of 16 units; grey: pixels that never change" in words(figures["filters"])
    assert "tanh, chosen" in words(figures["activations"])
    assert "over 512 training rows" in words(figures["loss_surface"])


def test_images_get_kernels_and_a_table_of_36_numbers_gets_none(tmp_path: Path) -> None:
    y = np.arange(60) % 3
    pixels = DRAW.normal(size=(60, 6, 6, 3)) + y[:, np.newaxis, np.newaxis, np.newaxis]
    options = {"blocks": 1, "kernel": 3, "channels": 4, "pooling": "max", "padding": "same"}
    recipe = {
        "family": "cnn",
        "width": 5,
        "activations": ("relu",),
        "options": tuple(sorted(options.items())),
    }
    figures = drawn(deliver(images(tmp_path, pixels.astype(np.float32), y), recipe, width=5))
    assert list(figures) == ["filters", "mistaken_images", "loss_surface"]
    assert "weights of 4 kernels" in words(figures["filters"])
    columns = {f"gene{j}": pixels[:, j // 6, j % 6, 0] for j in range(36)}
    made = deliver(table(tmp_path, columns, y.astype(str)), {"family": "softmax"})
    assert image_shape(made.dataset, made.predictor.recipe) is None
    assert drawn(made) == {}
    named = {name.replace("gene", "Pixel"): column for name, column in columns.items()}
    figures = drawn(deliver(table(tmp_path, named, np.array([f"no. {k}" for k in y])), {"family": "softmax"}))
    assert list(figures) == ["filters", "mistaken_images"]
    assert "no. 2" in words(figures["filters"])


def test_nothing_is_drawn_before_a_choice(tmp_path: Path) -> None:
    x = DRAW.uniform(0, 1, 60)
    made = deliver(table(tmp_path, {"x": x}, 2 * x), {"family": "linear"})
    outcome = replace(made.outcome, selection=None)
    assert pictures(outcome, made.predictor, made.dataset, made.fold) == {}


# ── what they hold ──


def test_the_bowl_is_the_loss_and_the_path_is_the_path() -> None:
    x, y = np.array([100.0, 500.0]) / 500, np.array([30.0, 80.0]) / 80
    path = np.array([[0.0, 0.0], [0.5, 0.2], [0.7, 0.15], [0.78, 0.22]])
    figure = cost_bowl(x, y, path, best=2)
    np.testing.assert_array_equal(lines(figure)["path"], path)
    axes = figure.axes[0]
    assert all(axes.get_xlim()[0] < w < axes.get_xlim()[1] for w in path[:, 0])
    assert all(axes.get_ylim()[0] < b < axes.get_ylim()[1] for b in path[:, 1])
    assert "epoch 2, kept" in words(figure)
    w, b = (np.linspace(*limits, 81) for limits in (axes.get_xlim(), axes.get_ylim()))
    losses = [((w * a + b[:, np.newaxis] - t) ** 2) for a, t in zip(x, y, strict=True)]
    mean = np.mean(losses, axis=0)
    assert f"dark: loss\n{mean.min():.3g}".replace("e-0", "e−") in words(figure)
    assert f"light: loss\n{mean.max():.3g}" in words(figure)
    cost_bowl(x, y, np.zeros((2, 2)))
    plots.png(cost_bowl(x, y, np.array([[0, 0], [np.nan, np.nan]]), best=0))


def test_a_surface_says_where_it_bends_down() -> None:
    steps = np.linspace(-1, 1, 21)
    a, b = np.meshgrid(steps, steps)
    bowl, saddle = a**2 + 3 * b**2 + a * b, a**2 - b**2
    assert bends_down(bowl) == 0.0
    assert bends_down(saddle) == 1.0
    assert bends_down(a * b) == 1.0  # along a diagonal alone
    assert bends_down(np.ones((5, 5))) == 0.0
    figure = loss_surface(steps, saddle, bowl, names=("net", "plain"), rows=77)
    assert "over 77 training rows" in words(figure)
    assert ["100% of the points" in words(figure), "at 0% of the points" in words(figure)] == [True, True]
    assert len(loss_surface(steps, saddle).axes) == 1


def test_the_boundary_lies_where_the_prediction_changes() -> None:
    x = DRAW.uniform(-1, 1, (60, 2))
    codes, validation = (x[:, 0] > 0.25).astype(int), np.arange(60) % 4 == 0

    def predict(points: np.ndarray) -> np.ndarray:
        chance = 1 / (1 + np.exp(-8 * (points[:, 0] - 0.25)))
        return np.stack([1 - chance, chance], axis=1)

    figure = decision_boundary(predict, x, codes, validation, classes=("no", "yes"))
    border = np.concatenate(
        [
            path.vertices
            for c in figure.axes[0].collections
            if c.get_edgecolor().size
            for path in c.get_paths()
        ]
    )
    np.testing.assert_allclose(border[:, 0], 0.25, atol=1e-3)
    shades = figure.axes[0].images[0].get_array()
    assert shades is not None
    assert shades[60, 0, 2] > shades[60, 0, 0]  # the first class is blue
    assert shades[60, -1, 0] > shades[60, -1, 2]
    held = lines(figure)
    for k, name in enumerate(("no", "yes")):
        for word, rows in (("training", ~validation), ("validation", validation)):
            np.testing.assert_array_equal(held[f"{name}, {word}"], x[(codes == k) & rows])


def test_many_rows_are_thinned() -> None:
    x = np.arange(9000.0)
    figure = fitted_curve(lambda along: along, x, x, np.arange(9000) % 2 == 0)
    held = lines(figure)
    assert len(held["training"]) + len(held["validation"]) == 1500
    np.testing.assert_allclose(held["model"][:, 0], held["model"][:, 1])


def test_filters_are_the_longest_and_colored_by_sign() -> None:
    weights = DRAW.normal(size=(100, 4, 5, 1))
    weights[:, 0, 0] = np.nan
    weights[::2] *= 0.01
    chosen = longest(weights, 48)
    assert all(chosen % 2 == 1)
    assert chosen.tolist() == sorted(chosen)
    tiles, scale = tinted(weights[chosen])
    assert scale == np.nanmax(np.abs(weights[chosen]))
    plain = weights[chosen][..., 0]
    strong = np.abs(np.nan_to_num(plain)) > 0.3 * scale
    assert (tiles[strong & (plain > 0)][:, 0] > tiles[strong & (plain > 0)][:, 2]).all()
    assert (tiles[strong & (plain < 0)][:, 0] < tiles[strong & (plain < 0)][:, 2]).all()
    assert np.ptp(tiles[:, 0, 0], axis=-1).max() < 0.05  # grey
    figure = first_layer_filters(weights)
    shown = [image.get_array() for image in figure.axes[0].images]
    assert len(shown) == 48
    np.testing.assert_allclose(shown[7], tiles[7])
    assert "100 units; the 48 longest are shown; grey" in words(figure)
    colors = tinted(DRAW.normal(size=(2, 3, 3, 3)))[0]
    assert colors.shape == (2, 3, 3, 3)
    assert 0 <= colors.min() <= colors.max() <= 1
    plots.png(first_layer_filters(np.zeros((1, 3, 3, 1))))


def test_every_neuron_has_its_number_and_every_weight_its_line() -> None:
    sizes = (3, 4, 2)
    weights = [DRAW.normal(size=(out, into)) for into, out in itertools.pairwise(sizes)]
    activities = [np.array([1.5, -0.25, 0.0]), np.array([0.5, 12.0, -0.001, 2000.0]), np.array([0.3, -0.7])]
    errors = [np.array([0.1, -0.2, 0.0, 0.4]), np.array([0.6, -0.6])]
    figure = network_diagram(
        activities, weights, errors, inputs=("a", "b", "c"), outputs=("no", "yes"), note="row"
    )
    forward, backward = figure.axes
    texts = [text.get_text() for text in forward.texts]
    assert texts[:9] == ["1.5", "−0.25", "0", "0.50", "12", "−1e−3", "2e3", "0.30", "−0.70"]
    assert texts[9:] == ["a", "b", "c"]
    assert [text.get_text() for text in backward.texts] == [
        "0.10", "−0.20", "0", "0.40", "0.60", "−0.60", "no", "yes",
    ]  # fmt: skip
    for axes, values in (
        (forward, [w * a for w, a in zip(weights, activities, strict=False)]),
        (backward, [np.outer(d, a) for d, a in zip(errors, activities, strict=False)]),
    ):
        drawn_lines = [c for c in axes.collections if isinstance(c, LineCollection)]
        for found, matrix in zip(drawn_lines, values, strict=True):
            widths = np.asarray(found.get_linewidths())
            expected = 0.25 + 2.95 * np.abs(matrix) / np.abs(matrix).max()
            np.testing.assert_allclose(widths, np.sort(expected.ravel()), rtol=1e-6)
        circles = [c for c in axes.collections if isinstance(c, EllipseCollection)]
        assert [len(c.get_offsets()) for c in circles] == list(sizes)


def test_functions_are_drawn_as_given_with_gaps_at_jumps() -> None:
    z = np.linspace(-2, 2, 41)
    given = {"step": ((z > 0).astype(float), 0 * z), "linear": (z, np.ones_like(z))}
    figure = activation_functions(z, given, chosen=("step",))
    held = next(line.get_ydata() for line in figure.axes[0].lines if line.get_label() == "g")
    assert np.isnan(held).sum() == 1
    np.testing.assert_array_equal(held[~np.isnan(held)], given["step"][0][~np.isnan(held)])
    assert "step, chosen" in words(figure)


@pytest.mark.parametrize("sizes", [[10, 20, 40, 80, 160, 320, 640], [100, 200, 300]])
def test_the_curve_over_sizes_has_scores_and_bands(sizes: list[int]) -> None:
    score = 1 - 1 / np.sqrt(sizes)
    scores = np.stack([score, score - 0.05, score + 0.05], axis=1)
    figure = size_curve(
        np.array(sizes), scores + 0.1, scores, metric="accuracy", direction="higher is better"
    )
    held = lines(figure)
    np.testing.assert_allclose(held["train"], np.stack([sizes, score + 0.1], axis=1))
    np.testing.assert_allclose(held["validation"], np.stack([sizes, score], axis=1))
    band = figure.axes[0].collections[1].get_paths()[0].vertices
    assert math.isclose(band[:, 1].min(), score.min() - 0.05)
    assert f"{sizes[-1]:,}" in [label.get_text() for label in figure.axes[0].get_xticklabels()]
    plots.png(figure)
    assert INK in {text.get_color() for text in figure.findobj(Text)}
