"""What a step does to images, against PyTorch's padding and slices of NumPy; and to training rows alone."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.helpers.problems import fold, lane
from workbench.nn import prng
from workbench.nn.recipe import Recipe
from workbench.training import trainer
from workbench.training.augmentation import augmented

torch = pytest.importorskip("torch")

ROWS = 4000
KEYS = prng.key_of(jax.random.key(3), jnp.arange(ROWS))
IMAGE = np.random.default_rng(0).integers(0, 256, (6, 5, 2)).astype(np.uint8)


def drawn(shift: float, flip: float, image: np.ndarray = IMAGE) -> np.ndarray:
    """What becomes of an image by each of the keys."""
    return np.asarray(augmented(lane(shift=shift, flip=flip), jnp.asarray(np.stack([image] * ROWS)), KEYS))


def test_every_image_is_a_crop_of_the_padded_one_and_all_crops_are_alike_likely() -> None:
    most = 2
    channels_first = torch.from_numpy(IMAGE.astype(np.float32)).permute(2, 0, 1)[None]
    around = (
        torch.nn.functional.pad(channels_first, (most,) * 4, mode="replicate")[0].permute(1, 2, 0).numpy()
    )
    crops = {
        (i, j, mirrored): around[i : i + 6, j : j + 5][:, :: -1 if mirrored else 1].astype(np.uint8).tobytes()
        for i in range(2 * most + 1) for j in range(2 * most + 1) for mirrored in (False, True)
    }  # fmt: skip
    assert len(set(crops.values())) == 50
    found = [image.tobytes() for image in drawn(most, 0.25)]
    assert set(found) == set(crops.values())
    for (_, _, mirrored), crop in crops.items():
        expected = ROWS * (0.25 if mirrored else 0.75) / 25
        assert abs(found.count(crop) - expected) < 5 * np.sqrt(expected)  # deviations of a count


def test_nothing_is_done_unless_asked_for() -> None:
    np.testing.assert_array_equal(drawn(0, 0.0), np.stack([IMAGE] * ROWS))
    np.testing.assert_array_equal(drawn(0, 1.0), np.stack([IMAGE[:, ::-1]] * ROWS))
    single = np.float32([[[1.5]]])
    np.testing.assert_array_equal(drawn(64, 0.5, single), np.stack([single] * ROWS))


def test_training_rows_alone_are_moved() -> None:
    """A lane that moves no image trains as in a program that cannot; one that does sees other rows."""
    draw = np.random.default_rng(1)
    x, y = draw.normal(size=(40, 6, 6, 1)).astype(np.float32), (np.arange(40) % 2).astype(np.int32)
    data = jax.tree.map(jnp.asarray, fold(x[:30], y[:30], x[30:], y[30:]))
    plain = Recipe("softmax", (6, 6, 1), 2, "cross_entropy", "accuracy", batch=10)
    moving = replace(plain, options=(("augments", True),))
    order = jnp.arange(30).reshape(3, 10)
    keys = prng.key_of(jax.random.key(0), order)

    def epoch(recipe: Recipe, shift: float, rate: float = 0.01) -> tuple[trainer.Lane, trainer.Epoch]:
        hyper = lane(depth=0, width=0, shift=shift, learning_rate=rate, batch_size=10)
        before = trainer.start(recipe, hyper, jax.random.key(0))
        return jax.jit(partial(trainer.epoch, recipe))(hyper, before, data, order, jnp.int32(0), keys)  # type: ignore[no-any-return]

    alike, moved = epoch(plain, 0), epoch(moving, 0)
    jax.tree.map(np.testing.assert_array_equal, alike, moved)
    assert not np.allclose(epoch(moving, 2)[0].params["weight"], moved[0].params["weight"])
    unmoved = [epoch(moving, shift, rate=0.0)[1].validation_loss for shift in (0, 3)]
    assert unmoved[0] == unmoved[1]  # the validation rows lie where they lay
