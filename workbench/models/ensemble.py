"""Ensembles: one design from several initializations, which train as lanes; their predictions are averaged.

Source: *Perceptron to MLP*; Lakshminarayanan et al., arXiv:1612.01474.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from workbench.types import Task

__all__ = ["average"]


def average(outputs: jax.Array, task: Task) -> jax.Array:
    """The outputs of S members [S, N, K] as those of one model [N, K].

    regression      the mean
    classification  the logits of the mean of the probabilities: their logarithms, or, where two classes have
                    a single logit, log p - log(1 - p)
    """
    if task == "regression":
        return outputs.mean(axis=0)
    if outputs.shape[-1] > 1:
        return _log_mean(jax.nn.log_softmax(outputs, axis=-1))
    return _log_mean(jax.nn.log_sigmoid(outputs)) - _log_mean(jax.nn.log_sigmoid(-outputs))


def _log_mean(log_p: jax.Array) -> jax.Array:
    """The logarithm of 1/S Σ p, from log p [S, ...]."""
    return jax.nn.logsumexp(log_p, axis=0) - jnp.log(jnp.asarray(log_p.shape[0], log_p.dtype))
