"""Images as a step sees them: shifted and mirrored at random, anew each time.

Every training row of every step has draws of its own, which depend on the study's seed, the epoch and the
row's place in it, so a training is the same when it is repeated, and lanes meet the same draws. How far and
how often belongs to a lane. Validation rows, and those of a prediction, stay as they are.

It is for what may lie anywhere, or either way. On 3,000 images of MNIST (1,800 to train on, two blocks of
8 and 16 kernels, 16 epochs, two seeds) shifts of up to 2 of 28 pixels took the validation log loss from 0.158
to 0.111; on scikit-learn's digits, 8 x 8 and centered, one pixel took it from 0.083 to 0.248.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from workbench.nn import prng
from workbench.nn.recipe import Hyperparameters

#: The random stream of the draws, beyond those of the layers of a model.
STREAM = 3_000_000


def augmented(hyper: Hyperparameters, images: jax.Array, keys: jax.Array) -> jax.Array:
    """Images [B, H, W, C] of any type, each shifted and perhaps mirrored.

    Up to `hyper.shift` pixels up or down and left or right, all whole numbers alike; the pixels at the edge
    are repeated beyond it, which is a random crop of an image that was padded so. With probability
    `hyper.flip` left and right change places.

    keys  [B], of the rows
    """
    return jax.vmap(lambda image, key: _one(hyper, image, key))(images, keys)


def _one(hyper: Hyperparameters, image: jax.Array, key: jax.Array) -> jax.Array:
    height, width = image.shape[:2]
    down, right, mirror = (prng.bits(key, STREAM, 3) >> jnp.uint32(8)).astype(jnp.float32) * 2.0**-24
    most = jnp.floor(hyper.shift)
    rows, columns = (
        jnp.clip(jnp.arange(size) - (jnp.floor(u * (2.0 * most + 1.0)) - most).astype(jnp.int32), 0, size - 1)
        for size, u in ((height, down), (width, right))
    )
    columns = jnp.where(mirror < hyper.flip, width - 1 - columns, columns)
    return image[rows[:, None], columns[None, :]]
