"""What the models compute, held against scikit-learn, PyTorch with copied weights, NumPy and hand work."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression, Perceptron

from tests.helpers.families import case, loss_and_gradients, predicted, scattered, start
from tests.helpers.problems import fold, lane
from workbench.nn.recipe import Recipe
from workbench.training import trainer

torch = pytest.importorskip("torch")

DRAW = np.random.default_rng(8)
X = DRAW.normal(size=(60, 4)).astype(np.float32)
SCORE = X @ np.array([1.0, -2.0, 0.5, 0.0], np.float32) + 0.3 + DRAW.normal(size=60).astype(np.float32)
BINARY, THREE = (SCORE > 0).astype(np.int32), np.digitize(SCORE, [-1.0, 1.0]).astype(np.int32)


def gradients(*arguments, l2=0.0):
    return loss_and_gradients(*arguments, l2)[1]


# ── scikit-learn ──


@pytest.mark.parametrize("family", ["linear", "logistic", "softmax"])
def test_the_optimum_of_a_convex_model_is_scikit_learns(family):
    if family == "linear":
        recipe, y, l2 = Recipe("linear", (4,), 1, "mse", "rmse"), SCORE[:, None], 0.0
        solved = LinearRegression().fit(X, y)
    elif family == "logistic":
        recipe, y, l2 = Recipe("logistic", (4,), 1, "binary_cross_entropy", "accuracy"), BINARY, 0.5 / len(X)
        solved = LogisticRegression(C=2.0, tol=1e-10).fit(X.astype(float), y)
    else:
        recipe, y, l2 = Recipe("softmax", (4,), 3, "cross_entropy", "accuracy"), THREE, 0.5 / len(X)
        solved = LogisticRegression(C=2.0, tol=1e-10, max_iter=1000).fit(X.astype(float), y)
    params = {
        "weight": np.asarray(solved.coef_, np.float32),
        "bias": np.asarray(solved.intercept_, np.float32),
    }
    outputs = predicted(recipe, lane(), params, X)
    decided = solved.predict(X) if family == "linear" else solved.decision_function(X)
    np.testing.assert_allclose(outputs, decided.reshape(outputs.shape), rtol=1e-4, atol=1e-5)
    for leaf in jax.tree.leaves(gradients(recipe, lane(), params, X, y, l2=l2)):
        np.testing.assert_allclose(leaf, np.zeros(leaf.shape), atol=1e-5)


def test_the_perceptron_rule_is_scikit_learns():
    """One example per step, w += η (y - ŷ) x: stochastic gradient descent on the perceptron criterion."""
    rows = np.roll(np.arange(60), -int(np.flatnonzero(BINARY)[0]))  # ties at zero weights: begin with a one
    x, y, eta = X[rows], BINARY[rows], 0.25
    solved = Perceptron(eta0=eta, shuffle=False, max_iter=3, tol=None).fit(x, y)
    recipe = Recipe("perceptron", (4,), 1, "perceptron", "accuracy")
    params = start(recipe, lane())
    weight, bias = np.zeros(4), 0.0
    for row, code in [*zip(x, y, strict=True)] * 3:
        slope = gradients(recipe, lane(), params, row[None], code[None])
        params = jax.tree.map(lambda p, g: p - eta * g, params, slope)
        wrong = code - float(row @ weight + bias > 0)
        weight, bias = weight + eta * wrong * row, bias + eta * wrong
    np.testing.assert_allclose(params["weight"][0], weight, rtol=1e-4)
    np.testing.assert_allclose(params["weight"], solved.coef_, rtol=1e-4)
    np.testing.assert_allclose(params["bias"], solved.intercept_, rtol=1e-4)


def test_one_step_of_a_small_net_by_hand():
    """scikit-learn's own case (test_mlp.py, test_fit): 3 inputs, 2 sigmoid units, rate and alpha 0.1.

    Forward:  z = 0.6 (0.1, 0.2) + 0.8 (0.3, 0.1) + 0.7 (0.5, 0) + 0.1 = (0.75, 0.30)
              a = (0.679179, 0.574443),  out = 0.1 a_1 + 0.2 a_2 + 1 = 1.182806,  ŷ = 0.765454
    Backward: the target is 0, so δ = 0.765454; δ_i = δ v_i a_i (1 - a_i) = (0.016679, 0.037425)
    Each weight w moves by -0.1 (δ a + 0.1 w), each bias by -0.1 δ.
    """
    recipe = Recipe(
        "mlp", (3,), 1, "binary_cross_entropy", "log_loss", 1, 2, ("sigmoid",), optimizers=("sgd",), batch=1
    )
    first, last = np.array([[0.1, 0.3, 0.5], [0.2, 0.1, 0.0]]), np.array([[0.1, 0.2]])
    x, a, error = np.array([0.6, 0.8, 0.7]), np.array([0.679179, 0.574443]), 0.765454
    below = error * last[0] * a * (1.0 - a)
    np.testing.assert_allclose(below, [0.016679, 0.037425], atol=1e-6)

    given = {
        "hidden_00": {"weight": first.astype(np.float32), "bias": np.full(2, 0.1, np.float32)},
        "out": {"weight": last.astype(np.float32), "bias": np.ones(1, np.float32)},
    }
    hyper = lane(depth=1, width=2, learning_rate=0.1, l2=0.1, batch_size=1, epochs=1)
    data = jax.tree.map(jnp.asarray, fold(*(np.float32([x]), np.zeros(1, np.int32)) * 2))
    before = trainer.start(recipe, hyper, jax.random.key(0))._replace(params=given)
    after, seen = jax.jit(partial(trainer.epoch, recipe))(
        hyper, before, data, np.zeros((1, 1), np.int32), jnp.int32(0), None
    )
    np.testing.assert_allclose(seen.train_loss, -np.log(1.0 - error), rtol=1e-5)
    hidden, out = after.params["hidden_00"], after.params["out"]
    np.testing.assert_allclose(hidden["weight"], first - 0.1 * (np.outer(below, x) + 0.1 * first), rtol=1e-5)
    np.testing.assert_allclose(hidden["bias"], 0.1 - 0.1 * below, rtol=1e-5)
    np.testing.assert_allclose(out["weight"], last - 0.1 * (error * a[None] + 0.1 * last), rtol=1e-5)
    np.testing.assert_allclose(out["bias"], [1.0 - 0.1 * error], rtol=1e-5)
    np.testing.assert_allclose(hidden["weight"][0], [0.098, 0.2956664, 0.4939998], atol=5e-4)
    np.testing.assert_allclose(out["weight"], [[0.04706, 0.154089]], atol=5e-4)
    probability = 1.0 / (1.0 + np.exp(-predicted(recipe, hyper, after.params, np.float32([x]))))
    np.testing.assert_allclose(probability, [[0.739]], atol=1e-3)


# ── PyTorch ──


def assert_equal_to_torch(it, forward):
    """Outputs and gradients of the mean cross entropy; `forward` computes with our parameters as tensors."""
    params = scattered(start(it.recipe, it.hyper))
    tensors = jax.tree.map(lambda leaf: torch.tensor(leaf, requires_grad=True), params)
    theirs = forward(tensors, torch.from_numpy(it.x))
    ours = predicted(it.recipe, it.hyper, params, it.x)
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4, atol=1e-5)
    rows, codes = theirs.reshape(-1, theirs.shape[-1]), torch.from_numpy(it.y).reshape(-1).long()
    torch.nn.functional.cross_entropy(rows, codes).backward()
    slopes = gradients(it.recipe, it.hyper, params, it.x, it.y)
    jax.tree.map(
        lambda mine, tensor: np.testing.assert_allclose(mine, tensor.grad.numpy(), rtol=1e-3, atol=1e-6),
        slopes,
        tensors,
    )


@pytest.mark.parametrize("width", [5, 4])
def test_normalized_layers_are_torchs(width):
    """In a program with room for more units than the lane has, too."""
    it = case("mlp", norm="layer", width=width)
    layer_norm, linear = torch.nn.functional.layer_norm, torch.nn.functional.linear
    params = scattered(start(it.recipe, it.hyper))

    def forward(p, h):
        for name in ("hidden_00", "hidden_01"):
            z = linear(h, p[name]["weight"], p[name]["bias"])
            h = torch.tanh(layer_norm(z, (width,), p[name]["scale_norm"], p[name]["bias_norm"], 1e-5))
        return linear(h, p["out"]["weight"], p["out"]["bias"])

    assert_equal_to_torch(it, forward)
    room = replace(it.recipe, width=9)
    wide = jax.tree.map(
        lambda leaf, shape: np.pad(leaf, [(0, r - n) for n, r in zip(leaf.shape, shape.shape, strict=True)]),
        params,
        jax.eval_shape(lambda: start(room, it.hyper)),
    )
    np.testing.assert_allclose(
        predicted(room, it.hyper, wide, it.x),
        predicted(it.recipe, it.hyper, params, it.x),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize(
    ("activation", "changes"), [("tanh", {"widths": "3 5 4"}), ("tanh-gelu-sigmoid", {})]
)
def test_multilayer_perceptron_is_torchs(activation, changes):
    linear, names = torch.nn.functional.linear, ["hidden_00", "hidden_01", "hidden_02"]
    each = [torch.tanh, torch.nn.functional.gelu, torch.sigmoid] if "-" in activation else [torch.tanh] * 3
    g = dict(zip(names, each, strict=True))

    def forward(p, h):
        for name in names:
            h = g[name](linear(h, p[name]["weight"], p[name]["bias"]))
        return linear(h, p["out"]["weight"], p["out"]["bias"])

    assert_equal_to_torch(case("mlp", depth=3, activation=activation, **changes), forward)


@pytest.mark.parametrize(
    ("pooling", "padding", "kernel", "blocks"),
    [("max", "same", 3, 2), ("mean", "valid", 2, 2), ("none", "valid", 3, 2), ("max", "same", 4, 1)],
)
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_convolutional_network_is_torchs(pooling, padding, kernel, blocks):
    functional = torch.nn.functional
    it = case("cnn", pooling=pooling, padding=padding, kernel=kernel, blocks=blocks, activation="gelu")
    pool = {"max": functional.max_pool2d, "mean": functional.avg_pool2d, "none": lambda h, size: h}[pooling]

    def forward(p, x):
        h = x.permute(0, 3, 1, 2)
        for block in range(blocks):
            layer = p[f"conv_{block:02d}"]
            kernels = layer["weight"].permute(0, 3, 1, 2)
            h = pool(functional.gelu(functional.conv2d(h, kernels, layer["bias"], padding=padding)), 2)
        h = h.permute(0, 2, 3, 1).flatten(1)
        h = functional.gelu(functional.linear(h, p["dense"]["weight"], p["dense"]["bias"]))
        return functional.linear(h, p["out"]["weight"], p["out"]["bias"])

    assert_equal_to_torch(it, forward)


def test_residual_blocks_of_images_are_torchs():
    functional, g = torch.nn.functional, torch.tanh
    it = case("cnn", residual_blocks=2, global_pooling="mean")

    def convolved(h, layer, ending=""):
        return functional.conv2d(
            h, layer[f"weight{ending}"].permute(0, 3, 1, 2), layer[f"bias{ending}"], padding="same"
        )

    def forward(p, x):
        h = x.permute(0, 3, 1, 2)
        for block in range(2):
            h = functional.max_pool2d(g(convolved(h, p[f"conv_{block:02d}"])), 2)
            for i in range(2):
                layer = p[f"conv_{block:02d}_residual_{i:02d}"]
                h = h + convolved(g(convolved(h, layer)), layer, "_back")
        h = g(functional.linear(h.mean(dim=(2, 3)), p["dense"]["weight"], p["dense"]["bias"]))
        return functional.linear(h, p["out"]["weight"], p["out"]["bias"])

    assert_equal_to_torch(it, forward)


@pytest.mark.parametrize(
    ("pooling", "padding", "residual_blocks", "masked"),
    [
        ("max", "same", 1, True),
        ("mean", "valid", 0, True),
        ("max", "valid", 1, False),
        ("none", "same", 0, True),
    ],
)
def test_convolution_along_time_is_torchs(pooling, padding, residual_blocks, masked):
    """Of each sequence without its padding, which is what one of unequal length means."""
    functional = torch.nn.functional
    it = case(
        "cnn", inputs=(9, 3 + masked), pooling=pooling, padding=padding, masked=masked, blocks=2,
        residual_blocks=residual_blocks, global_pooling="max" if pooling == "max" else "mean",
    )  # fmt: skip
    it.x[0, :, -1] = 1.0
    counts = it.x[..., -1].sum(axis=1).astype(int) if masked else [9] * len(it.x)
    it = it._replace(x=it.x[np.asarray(counts) >= 7], y=it.y[np.asarray(counts) >= 7])
    pools = {
        "max": lambda h: functional.max_pool1d(h, 2, ceil_mode=True),
        "mean": lambda h: functional.avg_pool1d(h, 2, ceil_mode=True),
        "none": lambda h: h,
    }

    def convolved(h, layer, ending="", padding="same"):
        return functional.conv1d(
            h, layer[f"weight{ending}"].permute(0, 2, 1), layer[f"bias{ending}"], padding=padding
        )

    def one(p, x):
        h = x.T[None]
        for block in range(2):
            h = pools[pooling](torch.tanh(convolved(h, p[f"conv_{block:02d}"], padding=padding)))
            for i in range(residual_blocks):
                layer = p[f"conv_{block:02d}_residual_{i:02d}"]
                h = h + convolved(torch.tanh(convolved(h, layer)), layer, "_back")
        return h[0].amax(dim=1) if pooling == "max" else h[0].mean(dim=1)

    def forward(p, x):
        there = [int(row[:, -1].sum()) if masked else len(row) for row in x]
        h = torch.stack([one(p, row[:n, :3]) for row, n in zip(x, there, strict=True)])
        h = torch.tanh(functional.linear(h, p["dense"]["weight"], p["dense"]["bias"]))
        return functional.linear(h, p["out"]["weight"], p["out"]["bias"])

    assert_equal_to_torch(it, forward)


@pytest.mark.parametrize(
    ("family", "bidirectional", "output", "masked"),
    [
        *(
            (f, False, *rest)
            for f in ("rnn", "lstm")
            for rest in (("last", False), ("each", False), ("last", True))
        ),
        *(("gru", *rest) for rest in ((False, "each", False), (False, "last", True))),
        *((f, True, *rest) for f in ("lstm", "gru") for rest in (("each", False), ("last", True))),
    ],
)
def test_recurrent_networks_are_torchs(family, bidirectional, output, masked):
    it = case(family, output=output, masked=masked, bidirectional=bidirectional)
    lengths = torch.from_numpy(it.x[..., -1].sum(axis=1)).long() if masked else torch.full((len(it.x),), 6)
    assert not masked or len({*lengths.tolist()}) > 2
    features, width = it.x.shape[-1] - masked, it.recipe.width
    kind = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[family]
    module = kind(features, width, batch_first=True, bidirectional=bidirectional)

    def forward(p, x):
        weights = {}
        for ending, name in [("", "cell"), ("_reverse", "cell_back")][: 1 + bidirectional]:
            cell = p[name]
            weights |= {
                f"weight_ih_l0{ending}": cell["weight_input"].reshape(-1, features),
                f"weight_hh_l0{ending}": cell["weight_recurrent"].reshape(-1, width),
                f"bias_ih_l0{ending}": cell["bias"].reshape(-1),
                f"bias_hh_l0{ending}": torch.zeros(cell["bias"].numel()),
            }
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            x[..., :features], lengths, batch_first=True, enforce_sorted=False
        )
        states, last = torch.func.functional_call(module, weights, (packed,))
        last = torch.cat(list(last[0] if family == "lstm" else last), dim=-1)
        h = torch.nn.utils.rnn.pad_packed_sequence(states, batch_first=True)[0] if output == "each" else last
        out = p["out"]
        both = torch.cat([out["weight"], out["weight_back"]], dim=1) if bidirectional else out["weight"]
        return torch.nn.functional.linear(h, both, out["bias"])

    assert_equal_to_torch(it, forward)


# ── NumPy ──


@pytest.mark.parametrize("family", ["residual", "highway"])
def test_nets_with_shortcuts_are_numpys(family):
    """Outputs, and the gradient along a direction, by central differences of the equations in float64."""
    it = case(family, "regression", depth=3)
    params = scattered(start(it.recipe, it.hyper))

    def forward(p):
        h = it.x @ p["embed"]["weight"].T + p["embed"]["bias"]
        for layer in ("hidden_00", "hidden_01", "hidden_02"):
            g = np.tanh(h @ p[layer]["weight"].T + p[layer]["bias"])
            if family == "residual":
                h = h + g @ p[layer]["weight_back"].T
            else:
                t = 1.0 / (1.0 + np.exp(-(h @ p[layer]["weight_gate"].T + p[layer]["bias_gate"])))
                h = t * g + (1.0 - t) * h
        return h @ p["out"]["weight"].T + p["out"]["bias"]

    np.testing.assert_allclose(
        predicted(it.recipe, it.hyper, params, it.x), forward(params), rtol=1e-4, atol=1e-5
    )
    slopes, step = gradients(it.recipe, it.hyper, params, it.x, it.y), 1e-6
    wide = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    for seed in range(3):
        draw = np.random.default_rng(seed)
        way = jax.tree.map(lambda leaf, draw=draw: draw.normal(size=leaf.shape), wide)
        ends = [jax.tree.map(lambda leaf, w, s=s: leaf + s * w, wide, way) for s in (step, -step)]
        up, down = (np.mean((forward(p) - it.y) ** 2) for p in ends)
        along = sum(
            np.sum(np.asarray(g) * w) for g, w in zip(*map(jax.tree.leaves, (slopes, way)), strict=True)
        )
        np.testing.assert_allclose(along, (up - down) / (2 * step), rtol=1e-3, atol=1e-4)


def test_blocks_start_close_to_the_identity():
    """The deviation of h grows by a constant over any number of blocks; highway gates mostly carry."""
    for depth in (1, 20):
        it = case("residual", depth=depth, width=64, activation="relu")
        params = start(it.recipe, it.hyper)
        h = before = np.random.default_rng(0).normal(size=(64, 200))
        for name in sorted(params)[1:-1]:
            h = h + np.asarray(params[name]["weight_back"]) @ np.maximum(
                np.asarray(params[name]["weight"]) @ h, 0
            )
        assert h.std() / before.std() < 2.0
    it = case("highway")
    gates = start(it.recipe, it.hyper)["hidden_00"]["bias_gate"]
    np.testing.assert_array_equal(gates, np.full(5, -2.0))


def test_the_cell_starts_by_remembering():
    it = case("lstm")
    bias = start(it.recipe, it.hyper)["cell"]["bias"]
    np.testing.assert_array_equal(bias, [[0.0] * 5, [1.0] * 5, [0.0] * 5, [0.0] * 5])
