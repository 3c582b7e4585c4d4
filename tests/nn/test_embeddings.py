"""Embeddings of numbers against PyTorch with copied weights, and what they are drawn from."""

from __future__ import annotations

from dataclasses import replace

import jax
import numpy as np
import pytest
import scipy.stats

from tests.helpers.families import case, loss_and_gradients, predicted, scattered, start
from workbench.nn.models import embeddings

KINDS = ("periodic", "pbld")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("numbers", [5, 12])
def test_outputs_and_gradients_are_torchs(kind, numbers):
    torch = pytest.importorskip("torch")
    it = case("mlp", embedding=kind, frequencies=3, numbers=numbers)
    params = scattered(start(it.recipe, it.hyper))
    tensors = jax.tree.map(lambda leaf: torch.tensor(leaf, requires_grad=True), params)
    x, linear, layer = torch.from_numpy(it.x), torch.nn.functional.linear, tensors["embedding"]
    seen = []
    for i in range(numbers):
        angle = 2 * torch.pi * layer["scale"][i] * x[:, i : i + 1]
        if kind == "pbld":
            seen.append(
                linear(torch.cos(angle + layer["bias_phase"][i]), layer["weight"][i], layer["bias"][i])
            )
            seen.append(x[:, i : i + 1])
        else:
            waves = torch.cat([torch.cos(angle), torch.sin(angle)], 1)
            seen.append(torch.relu(linear(waves, layer["weight"], layer["bias"])))
    h = torch.cat([*seen, x[:, numbers:]], 1)
    for name in ("hidden_00", "hidden_01"):
        h = torch.tanh(linear(h, tensors[name]["weight"], tensors[name]["bias"]))
    said = linear(h, tensors["out"]["weight"], tensors["out"]["bias"])
    ours = predicted(it.recipe, it.hyper, params, it.x)
    np.testing.assert_allclose(ours, said.detach(), rtol=1e-4, atol=1e-5)
    torch.nn.functional.cross_entropy(said, torch.from_numpy(it.y).long()).backward()
    slopes = loss_and_gradients(it.recipe, it.hyper, params, it.x, it.y)[1]
    for mine, tensor in zip(*map(jax.tree.leaves, (slopes, tensors)), strict=True):
        np.testing.assert_allclose(mine, tensor.grad, rtol=1e-3, atol=1e-6)


def test_the_authors_package_says_the_same_of_the_same_numbers():
    torch, theirs = pytest.importorskip("torch"), pytest.importorskip("rtdl_num_embeddings")
    it = case("mlp", embedding="periodic", frequencies=7, numbers=12)
    layer = scattered(start(it.recipe, it.hyper))["embedding"]
    module = theirs.PeriodicEmbeddings(
        12, 24, n_frequencies=7, frequency_init_scale=0.1, activation=True, lite=True
    )
    copied = {"periodic.weight": "scale", "linear.weight": "weight", "linear.bias": "bias"}
    found = dict(module.named_parameters())
    assert set(found) == set(copied)
    for name, leaf in copied.items():
        found[name].data = torch.tensor(layer[leaf])
    ours = jax.vmap(lambda row: embeddings.apply(it.recipe, {"embedding": layer}, row))(it.x)
    wanted = module(torch.from_numpy(it.x)).flatten(1).detach()
    np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_frequencies_spread_by_sigma_and_lanes_share_a_program(kind):
    it = case("mlp", embedding=kind, frequencies=200, numbers=12)
    for sigma in (0.01, 2.0):
        layer = start(it.recipe, it.hyper._replace(sigma=np.float32(sigma)))["embedding"]
        assert scipy.stats.kstest(np.ravel(layer["scale"]), scipy.stats.norm(0, sigma).cdf).pvalue > 1e-3
        if kind == "pbld":
            drawn = scipy.stats.uniform(-np.pi, 2 * np.pi)
            assert scipy.stats.kstest(np.ravel(layer["bias_phase"]), drawn.cdf).pvalue > 1e-3
        bound = 1 / np.sqrt(layer["weight"].shape[-1])
        drawn = scipy.stats.uniform(-bound, 2 * bound)
        assert scipy.stats.kstest(np.ravel(layer["weight"]), drawn.cdf).pvalue > 1e-3
    program = start._cache_size()
    start(it.recipe, it.hyper._replace(sigma=np.float32(0.5)))
    assert start._cache_size() == program


def test_without_numbers_nothing_is_embedded():
    it = case("mlp", embedding="pbld", frequencies=3, numbers=0)
    plain = replace(it.recipe, options=())
    jax.tree.map(np.testing.assert_array_equal, start(it.recipe, it.hyper), start(plain, it.hyper))
