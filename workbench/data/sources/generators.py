"""Data drawn from a formula, for questions whose answer is known. NumPy alone.

Every function gives (x, y): inputs [N, F] or [N, T, F], and int class codes [N] or numbers [N]. Sizes and
noise of the sets that a study can name are the defaults here. Equal arguments give equal numbers under every
version of NumPy: what is drawn comes from splitmix64, as in `splits`, and is rounded, so that the last digit
of a sine, which may differ between processors, is not kept. The best score that is possible stands with each
set; where classes overlap it was computed from the formula on 200,000 rows.

Sources: tickets, purchases, polynomial: *Regression to neural networks*. Adding problem: Hochreiter and
Schmidhuber 1997, in the form of Le, Jaitly and Hinton 2015 (arXiv:1504.00941). Copy task: Hochreiter and
Schmidhuber 1997, in the form of Arjovsky, Shah and Bengio 2016 (arXiv:1511.06464).
"""

from __future__ import annotations

import numpy as np

from workbench.core.types import Array
from workbench.data.splits import scramble

Drawn = tuple[Array, Array]

#: Decimals that are kept of drawn numbers.
DECIMALS = 6
#: Bag of words: classes; words that every class uses, and words that belong to one class each.
CLASSES, COMMON, RARE = 4, 50, 400
#: Copy task: symbols to remember and how many of them come in a row. A blank and a cue come on top.
SYMBOLS, REMEMBERED = 8, 10


def tickets() -> Drawn:
    """Two journeys: 100 km for 30 €, 500 km for 80 €. The line through them is 0.125 x + 17.5."""
    return np.array([[100.0], [500.0]]), np.array([30.0, 80.0])


def purchases() -> Drawn:
    """Five visitors: a number about each, and whether something was bought."""
    return np.array([[30.0], [40.0], [55.0], [70.0], [130.0]]), np.array([1, 1, 0, 1, 0])


def xor(rows: int = 1000, noise: float = 0.15, seed: int = 0) -> Drawn:
    """Exclusive or: the corners of a square, 1 where one coordinate is 1 and the other is 0. [N, 2].

    noise  standard deviation around the corners; 0.15 lets an accuracy of 0.999 be reached
    """
    draw = _Draw(seed)
    corner = np.arange(rows)[:, np.newaxis] // np.array([1, 2]) % 2
    x = corner + noise * draw.normal(rows, 2)
    return x.round(DECIMALS), corner.sum(axis=1) % 2


def rings(rows: int = 1000, noise: float = 0.15, seed: int = 0) -> Drawn:
    """Two circles around the origin, of radius 1 and 2. [N, 2].

    noise  standard deviation of the radius; 0.15 lets an accuracy of 0.999 be reached
    """
    draw = _Draw(seed)
    y = np.arange(rows) % 2
    radius = 1.0 + y + noise * draw.normal(rows)
    return _polar(radius, 2.0 * np.pi * draw.uniform(rows)), y


def spirals(rows: int = 1000, noise: float = 0.1, turns: float = 1.5, seed: int = 0) -> Drawn:
    """Two arms that wind around each other, out to radius 3. [N, 2].

    noise  standard deviation of each coordinate; at 0.1 the arms do not touch, accuracy 1 can be reached
    """
    draw = _Draw(seed)
    y = np.arange(rows) % 2
    along = np.sqrt(draw.uniform(rows))  # as many rows on each stretch of the arm
    points = _polar(0.3 + 2.7 * along, 2.0 * np.pi * turns * along + np.pi * y)
    return (points + noise * draw.normal(rows, 2)).round(DECIMALS), y


def sine(rows: int = 500, noise: float = 0.1, seed: int = 0) -> Drawn:
    """One period, y = sin x on [0, 2 pi]; the least root mean squared error is `noise`. [N, 1]."""
    draw = _Draw(seed)
    x = 2.0 * np.pi * draw.uniform(rows, 1)
    return x.round(DECIMALS), (np.sin(x[:, 0]) + noise * draw.normal(rows)).round(DECIMALS)


def polynomial(rows: int = 500, noise: float = 0.5, seed: int = 0) -> Drawn:
    """A cubic, y = 2 - x - x² + x³ / 2 on [-2, 3]; the least root mean squared error is `noise`. [N, 1]."""
    draw = _Draw(seed)
    x = 5.0 * draw.uniform(rows, 1) - 2.0
    y = np.polynomial.polynomial.polyval(x[:, 0], [2.0, -1.0, -1.0, 0.5]) + noise * draw.normal(rows)
    return x.round(DECIMALS), y.round(DECIMALS)


def bag_of_words(rows: int = 2000, seed: int = 0) -> Drawn:
    """Which of 450 words stand in a text, zeros and ones [N, 450], and which of 4 classes the text is of.

    The j-th of 50 common words stands in 0.8 / j of the texts, whatever their class. The other 400 belong to
    one class each: such a word stands in 3 % of its class's texts and in 0.6 % of the others. An accuracy of
    0.81 can be reached.
    """
    draw = _Draw(seed)
    y = np.arange(rows) % CLASSES
    common = np.tile(0.8 / np.arange(1, COMMON + 1), (CLASSES, 1))
    own = np.arange(RARE) % CLASSES == np.arange(CLASSES)[:, np.newaxis]
    chance = np.concatenate([common, np.where(own, 0.03, 0.006)], axis=1)
    return (draw.uniform(rows, COMMON + RARE) < chance[y]).astype(np.uint8), y


def adding(steps: int, rows: int = 20_000, seed: int = 0) -> Drawn:
    """The adding problem: numbers in [0, 1), two of them marked; the target is the sum of these two.

    x [N, T, 2] float32: the number and the mark of each step; one mark falls into each half of the sequence.
    Always answering 1 has a mean squared error of 1/6. Raises ValueError for less than two steps.
    """
    if steps < 2:
        raise ValueError(f"the adding problem marks two steps and cannot have {steps}")
    draw = _Draw(seed)
    half = steps // 2
    x = np.zeros((rows, steps, 2), np.float32)
    x[:, :, 0] = draw.uniform(rows, steps)
    first, second = draw.below(half, rows), half + draw.below(steps - half, rows)
    each = np.arange(rows)
    x[each, first, 1] = x[each, second, 1] = 1.0
    return x, x[each, first, 0].astype(np.float64) + x[each, second, 0]


def copy(delay: int, rows: int = 10_000, seed: int = 0) -> Drawn:
    """The copy task: ten symbols are shown, and asked for again after a delay.

    x [N, T, 10] float32, one-hot, T = 10 + delay + 10: the symbols (features 0 to 7), `delay` blanks (feature
    8), the cue (feature 9) and blanks again. y [N, T]: -1, no target, until the cue comes; from there on the
    symbols in their order. Knowing nothing reaches an accuracy of 1/8. Raises ValueError for a delay below 0.
    """
    if delay < 0:
        raise ValueError(f"the copy task cannot have a delay of {delay} steps")
    symbols = _Draw(seed).below(SYMBOLS, rows, REMEMBERED)
    codes = np.full((rows, REMEMBERED + delay + REMEMBERED), SYMBOLS)
    codes[:, :REMEMBERED] = symbols
    codes[:, REMEMBERED + delay] = SYMBOLS + 1
    y = np.full(codes.shape, -1)
    y[:, -REMEMBERED:] = symbols
    return np.eye(SYMBOLS + 2, dtype=np.float32)[codes], y


class _Draw:
    """Numbers from one seed; each call goes on where the last one ended."""

    def __init__(self, seed: int) -> None:
        self._seed, self._calls = seed, 0

    def uniform(self, *shape: int) -> Array:
        """float64 in [0, 1), in steps of 2^-24, which single precision keeps."""
        stream = int(scramble(self._calls + 1, self._seed)[-1])
        self._calls += 1
        top = scramble(int(np.prod(shape)), stream) >> np.uint64(40)
        found: Array = top.reshape(shape) * 2.0**-24
        return found

    def below(self, n: int, *shape: int) -> Array:
        """Whole numbers 0 to n - 1."""
        return (self.uniform(*shape) * n).astype(np.int64)

    def normal(self, *shape: int) -> Array:
        """Normal deviates (Box and Muller 1958)."""
        radius = np.sqrt(-2.0 * np.log1p(-self.uniform(*shape)))
        found: Array = radius * np.cos(2.0 * np.pi * self.uniform(*shape))
        return found


def _polar(radius: Array, angle: Array) -> Array:
    points: Array = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).round(DECIMALS)
    return points
