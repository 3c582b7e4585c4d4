"""The diagnosis: its rule on curves with known answers, and on models with each fault by construction."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import PolynomialFeatures

from workbench.core.records import Curves, SeedRecord
from workbench.evaluation.diagnosis import Growth, Rival, diagnose


def seed(train: float, validation: float, *, best: int = 2, epochs: int = 3, number: int = 0) -> SeedRecord:
    """Curves that are right at the best epoch and nonsense elsewhere."""
    curves = Curves(*(np.full(epochs, 99.0 * max(1.0, train), np.float32) for _ in range(3)))
    curves.train_loss[best - 1] = train
    curves.validation_loss[best - 1] = validation
    return SeedRecord(number, 0.9, best, curves)


@pytest.mark.parametrize(
    ("train", "validation", "bias", "variance"),
    [
        (0.10, 0.15, False, False),
        (0.80, 0.85, True, False),
        (0.10, 0.60, False, True),
        (0.60, 0.95, True, True),
        (0.49, 0.585, False, False),
        (0.51, 0.615, True, True),
        (0.20, 0.10, False, False),  # validation may be the easier part
    ],
)
@pytest.mark.parametrize("unit", [1.0, 1e4])
def test_the_rule_in_any_unit(
    train: float, validation: float, bias: bool, variance: bool, unit: float
) -> None:
    found = diagnose([seed(train * unit, validation * unit)], unit)
    assert (found.high_bias, found.high_variance) == (bias, variance)
    assert found.train == pytest.approx(train * unit)
    said = " ".join(finding.sentence for finding in found.findings)
    assert ("High bias" in said, "High variance" in said) == (bias, variance)
    assert all(finding.advice for finding in found.findings)


def test_advice_of_the_articles() -> None:
    bias, variance = diagnose([seed(0.8, 0.85)], 1.0), diagnose([seed(0.1, 0.6)], 1.0)
    assert "More rows may not" in bias.findings[0].advice
    assert "bigger model" in bias.findings[0].advice.lower()
    assert "More rows may help" in variance.findings[0].advice


def run(train: list[float], validation: list[float]) -> SeedRecord:
    """Whole curves, whose best epoch is that of the least validation loss."""
    losses = [np.array(curve, np.float32) for curve in (train, validation)]
    return SeedRecord(0, 0.9, int(np.argmin(validation)) + 1, Curves(*losses, losses[1]))


FALLING = [2.0 * 0.9**k for k in range(40)]  # 0.6 of what a trivial predictor leaves is left after 11 epochs
RISING = [1.0, 0.9, 0.8, 0.75, 0.7, *(0.7 + 0.01 * k for k in range(35))]


def test_a_curve_that_rises_is_overfitting_and_no_bias() -> None:
    found = diagnose([run(FALLING, RISING)] * 3, 1.0)
    assert found.train > 0.5  # at the epoch that is kept
    assert (found.overfits, found.high_bias) == (True, False)
    said = found.findings[0]
    assert said.sentence.startswith("Overfitting from epoch 5 on: the validation loss rises from 0.7 to 1.02")
    assert "training longer will not help" in said.advice
    assert "More rows may" in said.advice


@pytest.mark.parametrize(
    ("train", "validation"),
    [
        (FALLING, [0.9 * 0.99**k for k in range(40)]),  # both fall
        (RISING, RISING),  # both rise: training went astray
        (FALLING, [*RISING[:5], *[0.7001] * 35]),  # flat after the best epoch
        ([0.9] * 40, [0.9, *[0.91 + 0.001 * (-1) ** k for k in range(39)]]),  # noise about a plateau
    ],
)
def test_other_curves_are_not(train: list[float], validation: list[float]) -> None:
    assert not diagnose([run(train, validation)] * 3, 1.0).overfits


def test_it_takes_most_of_the_seeds() -> None:
    one, other = run(FALLING, RISING), run(FALLING, [0.9 * 0.99**k for k in range(40)])
    assert diagnose([one, one, other], 1.0).overfits
    assert not diagnose([one, other, other], 1.0).overfits


def test_rivals_tell_bias_from_noise() -> None:
    worse, better = Rival("the linear model", 0.7, 0.1, 0.05, 0.15), Rival("boosting", 0.9, -0.1, -0.2, -0.01)
    stiff = [seed(0.8, 0.85)]
    assert diagnose(stiff, 1.0, rivals=[worse]).findings[0].sentence.startswith("High bias, or noise")
    found = diagnose(stiff, 1.0, rivals=[worse, better])
    assert found.findings[0].sentence.startswith("High bias: ")
    assert "Boosting is better" in found.findings[-1].sentence
    assert "-0.2 to -0.01" in found.findings[-1].sentence
    near = better._replace(high=0.01)
    assert len(diagnose([seed(0.1, 0.15)], 1.0, rivals=[near]).findings) == 1  # no more than noise may do


@pytest.mark.parametrize(("maximize", "sign"), [(True, 1.0), (False, -1.0)])
def test_growing_rows_tell_whether_more_may_help(maximize: bool, sign: float) -> None:
    def said(now: float) -> str:
        ends = [(value, value - 0.01, value + 0.01) for value in (0.5, 0.5 + sign * now)]
        return diagnose([seed(0.1, 0.15)], 1.0, growth=Growth(200, *ends, maximize)).findings[-1].advice

    assert said(0.03) == "More rows may well help."
    assert said(0.015) == said(-0.03) == "More rows may not help."


def test_a_hope_moves_the_line_of_bias() -> None:
    assert diagnose([seed(0.2, 0.2)], 1.0, hoped=0.0).high_bias is False
    assert diagnose([seed(0.8, 0.8)], 1.0, hoped=0.75).high_bias is False
    assert diagnose([seed(0.9, 0.9)], 1.0, hoped=0.75).high_bias is True


def test_a_gap_within_the_noise_of_seeds_is_no_variance() -> None:
    noisy = [seed(0.1, 0.1 + gap, number=number) for number, gap in enumerate((-0.5, 0.3, 0.8))]
    steady = [seed(0.1, 0.3, number=number) for number in range(3)]
    assert diagnose(noisy, 1.0).high_variance is False
    assert diagnose(steady, 1.0).high_variance is True


def test_training_that_ended_early_is_said() -> None:
    found = diagnose([seed(0.8, 0.85, best=3), seed(0.8, 0.85, best=3)], 1.0)
    assert "best epoch is the last" in found.findings[1].sentence
    assert len(diagnose([seed(0.8, 0.85)], 1.0).findings) == 1


def test_a_diverged_configuration() -> None:
    found = diagnose([seed(float("nan"), float("inf"))], 1.0)
    assert found.high_bias
    assert "not finite" in found.findings[0].sentence


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([], 1.0, None), "at least one"),
        (([seed(1, 1)], 0.0, None), "above zero"),
        (([seed(1, 1)], 1.0, 2.0), "below"),
    ],
)
def test_bad_arguments(arguments: tuple[list[SeedRecord], float, float | None], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        diagnose(arguments[0], arguments[1], hoped=arguments[2])


@pytest.mark.parametrize(
    ("degree", "rows", "bias", "variance"),
    [(1, 400, True, False), (5, 100, False, False), (19, 24, False, True)],
)
def test_polynomials_of_a_sine(degree: int, rows: int, bias: bool, variance: bool) -> None:
    """The textbook case: a line is too stiff for a sine, a polynomial with as many terms as rows too free."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (2000, 1))
    y = np.sin(6 * x[:, 0]) + 0.2 * rng.normal(size=2000)
    features = PolynomialFeatures(degree).fit_transform(x)
    errors = (LinearRegression().fit(features[:rows], y[:rows]).predict(features) - y) ** 2
    found = diagnose([seed(float(errors[:rows].mean()), float(errors[rows:].mean()))], float(y.var()))
    assert (found.high_bias, found.high_variance) == (bias, variance)
