"""Batch ensembles against PyTorch and the authors' package, and what their members have in common."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from tests.helpers.families import case, loss_and_gradients, predicted, scattered, start
from tests.helpers.problems import blobs, lane, line
from workbench.nn.models import n_products, predict
from workbench.nn.recipe import Recipe
from workbench.training import scoring, trainer

FAMILIES = ("tabm", "tabm_mini")
#: What is a member's own, by family: in the first layer, and in the later ones.
OWN = {"tabm": ({"scale_in", "scale_out", "bias"},) * 2, "tabm_mini": ({"scale_in"}, set())}


def of_members(recipe: Recipe, members: int) -> Recipe:
    return replace(recipe, options=(("members", members),))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_outputs_and_gradients_are_torchs(family, task):
    """Member after member with copied weights; the loss is the mean of the members' losses."""
    torch = pytest.importorskip("torch")
    it = case(family, task, depth=3)
    params = scattered(start(it.recipe, it.hyper))
    tensors = jax.tree.map(lambda leaf: torch.tensor(leaf, requires_grad=True), params)
    x, y, said = torch.from_numpy(it.x), torch.from_numpy(it.y), []
    for m in range(3):
        h = x
        for name in ("hidden_00", "hidden_01", "hidden_02"):
            own = {leaf: v[m] if leaf != "weight" and v.ndim == 2 else v for leaf, v in tensors[name].items()}
            z = torch.nn.functional.linear(h * own.get("scale_in", 1.0), own["weight"])
            h = torch.tanh(z * own.get("scale_out", 1.0) + own["bias"])
        said.append(torch.nn.functional.linear(h, tensors["out"]["weight"][m], tensors["out"]["bias"][m]))
    ours = predicted(it.recipe, it.hyper, params, it.x)
    np.testing.assert_allclose(ours, torch.stack(said, 1).detach(), rtol=1e-4, atol=1e-5)

    loss = torch.nn.functional.cross_entropy if task == "classification" else torch.nn.functional.mse_loss
    wanted = sum(loss(one, y.long() if task == "classification" else y) for one in said) / 3
    wanted.backward()
    value, slopes = loss_and_gradients(it.recipe, it.hyper, params, it.x, it.y)
    np.testing.assert_allclose(value, wanted.item(), rtol=1e-5)
    for mine, tensor in zip(*map(jax.tree.leaves, (slopes, tensors)), strict=True):
        np.testing.assert_allclose(mine, tensor.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_authors_package_says_the_same_of_the_same_numbers(family):
    torch, tabm = pytest.importorskip("torch"), pytest.importorskip("tabm")
    it = case(family, depth=2, activation="relu")
    theirs = tabm.TabM(
        n_num_features=12, d_out=3, k=3, n_blocks=2, d_block=5, dropout=0.0,
        arch_type=family.replace("_", "-"), start_scaling_init="random-signs",
    )  # fmt: skip
    params, found = scattered(start(it.recipe, it.hyper)), dict(theirs.named_parameters())
    adapters = {"scale_in": "r", "scale_out": "s"}
    for name in ("hidden_00", "hidden_01"):
        for leaf, value in params[name].items():
            if family == "tabm_mini" and leaf == "scale_in":
                place = "backbone.affine.weight"
            else:
                place = f"backbone.blocks.{int(name[-1])}.0.{adapters.get(leaf, leaf)}"
            found.pop(place).data = torch.tensor(value)
    found.pop("output.weight").data = torch.tensor(params["out"]["weight"]).transpose(1, 2)
    found.pop("output.bias").data = torch.tensor(params["out"]["bias"])
    assert not found
    np.testing.assert_allclose(
        predicted(it.recipe, it.hyper, params, it.x),
        theirs(torch.from_numpy(it.x)).detach(),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_one_member_without_adapters_is_the_perceptron(family):
    it = case(family, depth=3)
    recipe, plain = of_members(it.recipe, 1), replace(it.recipe, family="mlp", options=())
    weights = scattered(start(plain, it.hyper))
    params = start(recipe, it.hyper)
    for name, layer in params.items():
        for leaf in layer:
            if leaf in weights[name]:
                layer[leaf] = weights[name][leaf].reshape(layer[leaf].shape)
            else:
                layer[leaf] = np.ones_like(layer[leaf])
    ours, theirs = (predicted(r, it.hyper, p, it.x) for r, p in ((recipe, params), (plain, weights)))
    np.testing.assert_allclose(ours[:, 0], theirs, rtol=1e-5, atol=1e-6)
    told = predict(recipe, it.hyper, params, it.x[0])
    np.testing.assert_allclose(told, log_softmax(theirs[0]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_members_begin_alike_but_for_signs_and_output_layers(family):
    it = case(family, inputs=(40,))
    few, many = (start(of_members(it.recipe, n), it.hyper) for n in (2, 5))
    for name, layer in few.items():
        own = {"weight", "bias"} if name == "out" else OWN[family][name != "hidden_00"]
        for leaf, value in layer.items():
            np.testing.assert_array_equal(value, many[name][leaf][:2] if leaf in own else many[name][leaf])
            if leaf.startswith("scale"):
                signs = name == "hidden_00" and leaf == "scale_in"
                assert {*np.ravel(value)} == ({-1.0, 1.0} if signs else {1.0})
    assert 0.3 < (many["hidden_00"]["scale_in"] > 0).mean() < 0.7
    assert not np.allclose(few["out"]["weight"][0], few["out"]["weight"][1])
    assert n_products(of_members(it.recipe, 5), it.settings | {"members": 5}) == 5 * sum(
        leaf.size for leaf in jax.tree.leaves(many)
    )


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_members_losses_are_trained_and_their_average_is_judged(task):
    """An epoch at a rate of zero: nothing moves, and both losses and the score follow from the outputs."""
    classes = task == "classification"
    data = blobs() if classes else line(features=5)
    outputs, loss, metric = (3, "cross_entropy", "log_loss") if classes else (1, "mse", "rmse")
    recipe = Recipe("tabm", (5,), outputs, loss, metric, 2, 8, ("relu",), batch=20, options=(("members", 4),))
    hyper = lane(learning_rate=0.0, dropout=0.0, batch_size=20)
    begun = jax.jit(trainer.start, static_argnums=0)(recipe, hyper, jax.random.key(0))
    begun = begun._replace(params=scattered(begun.params))
    order = jnp.arange(len(data.train.y)).reshape(-1, 20)
    fold = jax.tree.map(jnp.asarray, data)
    _, seen = jax.jit(partial(trainer.epoch, recipe))(hyper, begun, fold, order, jnp.int32(0), None)

    def said(rows):
        return np.asarray(predicted(recipe, hyper, begun.params, rows.x), np.float64)

    def errors(out, rows):
        if classes:
            return -np.take_along_axis(log_softmax(out, axis=-1), rows.y[:, None, None], axis=-1)
        return np.square(out - ((rows.y - data.shift) / data.scale)[:, None])

    np.testing.assert_allclose(seen.train_loss, errors(said(data.train), data.train).mean(), rtol=1e-4)
    each = said(data.validation)
    mean = np.log(softmax(each, axis=-1).mean(axis=1)) if classes else each.mean(axis=1)
    judged = errors(mean[:, None], data.validation).mean()
    np.testing.assert_allclose(seen.validation_loss, judged, rtol=1e-4)
    score = judged if classes else np.sqrt(judged) * data.scale[0]
    np.testing.assert_allclose(seen.validation_score, score, rtol=1e-4)
    assert errors(each, data.validation).mean() > 1.01 * judged
    asked = jax.jit(scoring.outputs, static_argnums=0)
    delivered = asked(recipe, hyper, begun.params, fold.validation.x)
    shown = log_softmax(delivered, axis=-1) if classes else delivered
    np.testing.assert_allclose(shown, mean, rtol=1e-3, atol=1e-4)


def test_members_drop_units_of_their_own():
    """Members that are alike differ by what they drop alone, and one is what it is among fewer."""
    it = case("tabm")
    recipe, hyper = replace(it.recipe, dropout=True), it.hyper._replace(dropout=np.float32(0.5))
    params = start(recipe, hyper)
    alike = jax.tree.map(
        lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape) if leaf.shape[0] == 3 else leaf, params
    )
    first = jax.tree.map(lambda leaf: leaf[:2] if leaf.shape[0] == 3 else leaf, alike)
    three, two = (
        jax.jit(scoring.batch_outputs, static_argnums=0)(
            of_members(recipe, n), hyper, p, it.x[:1], jax.random.split(jax.random.key(0), 1)
        )
        for n, p in ((3, alike), (2, first))
    )
    assert len({*np.asarray(three)[0, :, 0].tolist()}) == 3
    np.testing.assert_allclose(three[:, :2], two, rtol=1e-5, atol=1e-6)
