"""Baselines beside the test score: frozen before the opening, right on the same rows, made once."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import optimize
from sklearn.linear_model import LogisticRegression, Ridge

from tests.helpers.end_to_end import TINY, Place, Ran, place
from tests.helpers.problems import blobs, line
from workbench import data
from workbench.core.locations import resolve
from workbench.core.target_transform import fit_transform, to_data, transformed
from workbench.core.types import Fold
from workbench.data.division import divide
from workbench.evaluation import baselines, saved_model, trees
from workbench.evaluation.evaluate import score_of
from workbench.storage import journal, ledger
from workbench.study import confirmation, workflow
from workbench.study.config import read_study
from workbench.study.results import ledger_of


def tango(first: int, second: int, n: int) -> list[float]:
    """Tango's 95 % interval: where the score statistic, with the likeliest nuisance by search, is 1.96."""

    def statistic(difference: float) -> float:
        def minus_log(q: float) -> float:  # q: right for the second alone
            p = q + difference
            terms = ((first, p), (second, q), (n - first - second, 1 - p - q))
            return -sum(count * math.log(max(share, 1e-300)) for count, share in terms if count)

        inside = (max(0.0, -difference), (1 - difference) / 2)
        q = optimize.minimize_scalar(minus_log, bounds=inside, method="bounded", options={"xatol": 1e-13}).x
        return float((first - second - n * difference) / math.sqrt(n * (2 * q + difference - difference**2)))

    centre = (first - second) / n
    below = optimize.brentq(lambda d: statistic(d) - 1.959964, -0.999, centre - 1e-7)
    above = optimize.brentq(lambda d: statistic(d) + 1.959964, centre + 1e-7, 0.999)
    return [float(below), float(above)]


def said(params: dict[str, Any], x: np.ndarray) -> np.ndarray:
    out: np.ndarray = x @ params["weight"].T + params["bias"]
    return out


@pytest.mark.parametrize(("classes", "outputs"), [(3, 3), (2, 1), (2, 2)])
def test_the_linear_model_of_classes_is_scikit_learns(classes: int, outputs: int) -> None:
    fold = blobs(rows=300, classes=classes)
    ours = said(baselines.linear(fold, outputs, classes), fold.validation.x)
    theirs = LogisticRegression(max_iter=200).fit(fold.train.x.astype(float), fold.train.y)
    expected = theirs.predict_proba(fold.validation.x.astype(float))
    logits = np.concatenate([np.zeros_like(ours), ours], axis=1) if outputs == 1 else ours
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(shares / shares.sum(axis=1, keepdims=True), expected, atol=1e-5)


def test_a_class_without_training_rows_is_never_said() -> None:
    fold = blobs(rows=300, classes=3)
    few = Fold(fold.train._replace(y=np.where(fold.train.y == 1, 2, fold.train.y)), *fold[1:])
    assert set(said(baselines.linear(few, 3, 3), fold.validation.x).argmax(axis=1)) == {0, 2}


def test_the_linear_model_of_numbers_and_the_mean() -> None:
    fold = line(rows=200)
    y = (fold.train.y.astype(float) - fold.shift) / fold.scale
    expected = Ridge().fit(fold.train.x.astype(float), y).predict(fold.validation.x.astype(float))
    ours = said(baselines.linear(fold, 1, 0), fold.validation.x)
    np.testing.assert_allclose(ours[:, 0], expected.ravel(), atol=1e-5)
    np.testing.assert_allclose(said(baselines.trivial(fold, 1, 0), fold.validation.x), 0.0, atol=1e-6)


def test_the_mean_is_that_of_the_data_also_under_a_transform() -> None:
    y = np.random.default_rng(0).lognormal(size=(200, 1)).astype(np.float32)
    plain = line(rows=300)
    for kind in ("none", "log", "quantile"):
        transform = fit_transform(kind, y)
        straight = transformed(y, transform)
        fold = plain._replace(
            train=plain.train._replace(y=y), shift=straight.mean(axis=0), scale=straight.std(axis=0),
            transform=transform,
        )  # fmt: skip
        mean = to_data(said(baselines.trivial(fold, 1, 0), fold.validation.x), fold)
        np.testing.assert_allclose(mean, y.mean(), rtol=0.02)
        assert abs(mean[0, 0] - y.mean()) < abs(np.median(y) - y.mean()) / 10


def test_frequencies_are_the_best_that_a_constant_can_say() -> None:
    fold = blobs(rows=200, classes=3)
    logits = said(baselines.trivial(fold, 3, 3), fold.validation.x)
    shares = np.exp(logits[0])
    np.testing.assert_allclose(shares, np.bincount(fold.train.y) / len(fold.train.y), rtol=1e-5)


def test_a_study_compares_its_choice_with_frozen_baselines(finished: tuple[Place, Ran]) -> None:
    where, ran = finished
    said_of = ran.result["baselines"]
    assert list(said_of) == ["default", "linear", "boosted", "trivial"]
    frozen = where.events("baselines")
    assert len(frozen) == 1
    assert frozen[0]["model"] == saved_model.fingerprint(where.folder / "model")
    with np.load(where.folder / "test.npz") as kept:
        outputs, targets = kept["outputs"], kept["targets"]
    dataset, _ = data.load(read_study(where.file).data)
    everything = data.sources.read(dataset.spec)
    test = divide(everything, dataset.spec).test
    assert len(test) == len(targets)
    chosen = score_of("accuracy", outputs, targets)
    assert ran.result["test"]["value"] == pytest.approx(chosen)
    for name, figures in said_of.items():
        kept = where.folder / "baselines" / name
        assert frozen[0]["baselines"][name] == saved_model.fingerprint(kept)
        rows = everything.rows.take(test).to_pandas()
        if name == "boosted":
            codes = trees.load(kept).raw_estimates(rows).argmax(axis=1)
            assert figures["about"] == trees.load(kept).about
        else:
            predicted = saved_model.load(kept).predict(rows)["prediction"]
            codes = np.array([dataset.classes.index(label) for label in predicted])
        right = np.mean(codes == targets)
        assert figures["value"] == pytest.approx(right)
        assert figures["gain"] == pytest.approx(chosen - right, abs=1e-6)
        mine = outputs.argmax(axis=1) == targets
        ends = tango(
            int((mine & (codes != targets)).sum()), int((~mine & (codes == targets)).sum()), len(mine)
        )
        np.testing.assert_allclose((figures["low"], figures["high"]), ends, atol=1e-6)
        assert figures["low"] <= figures["gain"] <= figures["high"]
    majority = np.bincount(targets).max() / len(targets)
    assert said_of["trivial"]["value"] == pytest.approx(majority, abs=0.1)


def test_the_record_keeps_them_and_a_second_call_makes_none(finished: tuple[Place, Ran]) -> None:
    where, ran = finished
    again = where.run()
    assert again.result["baselines"] == ran.result["baselines"]
    assert len(where.events("baselines")) == 1
    book = ledger_of(resolve(home=str(where.home)))
    recorded = ledger.scored(book, ran.result["study"])
    assert recorded is not None
    assert json.loads(json.dumps(recorded.extra))["baselines"] == ran.result["baselines"]
    (look,) = [look for look in ledger.openings(book) if look.opening.study == ran.result["study"]]
    assert look.opening.choice == saved_model.fingerprint(where.folder / "model")


def test_what_was_frozen_is_asked_after_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between freezing and opening: the next call trains no baseline and opens with those of before."""
    where = place(tmp_path, TINY)
    study, locations = read_study(where.file), resolve(home=str(where.home))

    def dies(*args: object, **more: object) -> None:
        raise RuntimeError("the light goes out")

    with monkeypatch.context() as broken:
        broken.setattr(confirmation, "confirm", dies)
        with pytest.raises(RuntimeError, match="goes out"):
            workflow.run(study, locations)
    folder = locations.study(study.id)
    file = folder / "baselines" / "boosted" / "parameters.npz"
    before = file.stat().st_mtime_ns
    result = workflow.run(study, locations)
    assert file.stat().st_mtime_ns == before
    events = [event for event in journal.read(folder / "journal") if event["kind"] == "baselines"]
    assert len(events) == 1
    assert events[0]["baselines"]["boosted"] == saved_model.fingerprint(file.parent)
    assert result["baselines"]["boosted"]["value"] > 0.8


@pytest.mark.slow
def test_a_rival_that_was_changed_before_the_opening_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not frozen, as it stands there, is trained anew before test rows are seen."""
    where = place(tmp_path, TINY)
    study, locations = read_study(where.file), resolve(home=str(where.home))
    with monkeypatch.context() as broken:
        broken.setattr(confirmation, "confirm", lambda *args, **more: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            workflow.run(study, locations)
    folder = locations.study(study.id)
    described = folder / "baselines" / "boosted" / "model.json"
    whole = described.read_bytes()
    described.write_bytes(whole + b" ")
    workflow.run(study, locations)
    assert described.read_bytes() == whole
    assert len([event for event in journal.read(folder / "journal") if event["kind"] == "baselines"]) == 2


@pytest.mark.slow
def test_steps_with_targets_have_no_rival_and_say_so(tmp_path: Path) -> None:
    text = TINY.replace('"wine"', '"copy-3"').replace('"softmax"', '"rnn"\nwidth = 4\noutput = "each"')
    ran = place(tmp_path, text).run()
    assert ran.status == 0, ran.err
    boosted = ran.result["baselines"]["boosted"]
    assert (boosted["value"], boosted["gain"]) == (None, None)
    assert "every step of a sequence" in boosted["note"]
    (report,) = tmp_path.glob("home/studies/*/report.md")
    assert "every step of a sequence" in report.read_text(encoding="utf-8")
