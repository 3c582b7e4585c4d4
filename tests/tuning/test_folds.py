"""Folds, hold-outs in turn and refitting: what a study trains on beside the rows of its split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import workbench as wb
from tests.helpers.lanes import train
from workbench import data
from workbench.core.errors import StudyError
from workbench.core.locations import Locations
from workbench.core.records import Curves, Outcome
from workbench.core.types import DataSpec
from workbench.data import Dataset
from workbench.evaluation import saved_model
from workbench.storage import outcomes
from workbench.study import refitting, reproduce
from workbench.study.preparations import Preparations
from workbench.study.workspace import development, enter
from workbench.training.engine import Engine
from workbench.training.population import power_of_two
from workbench.tuning.fold_mean import Merged, decode, encode, merged
from workbench.tuning.jobs import LaneResult
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.selection import refit
from workbench.tuning.space import ALL_ROWS, OWN, Variant, of_trial

STUDY = """\
name = "divided"

[data]
source = "wine"

[model]
depth = 1
width = { low = 4, high = 8 }

[optimizer]
learning_rate = { low = 1e-3, high = 1e-1, log = true }

[regularization]
early_stopping = { patience = 2 }

[training]
epochs = 12

[search]
trials = 6
seeds  = 1
"""

#: Of 140 development rows.
HALVES = "folds = 2\nsplit = { train = 0.585, validation = 0.2, test = 0.215 }"

Run = tuple[wb.Study, Locations, Outcome, dict[str, Any]]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Run]:
    folder = tmp_path_factory.mktemp("divided")
    locations = wb.resolve(home=str(folder / "home"))
    known: dict[str, Run] = {}

    def run(data_line: str = "", refit: str = "false") -> Run:
        key = f"{data_line}, {refit}"
        if key not in known:
            text = STUDY.replace('"wine"', f'"wine"\n{data_line}') + f"\n[select]\nrefit = {refit}\n"
            file = folder / f"study-{len(known)}.toml"
            file.write_text(text)
            study = wb.read_study(file)
            result = wb.run(study, locations, search_only=refit == "false")
            outcome = outcomes.load(locations.study(study.id))
            assert outcome is not None
            known[key] = study, locations, outcome, result
        return known[key]

    return run


def alone(study: wb.Study, dataset: Dataset, division: int, number: int, outcome: Outcome) -> Curves:
    """Curves of a trial trained on one division and nothing else, in an engine of its own."""
    preparations = Preparations(dataset)
    engine = Engine(preparations.fold, capacity=12, seed=study.seed)
    params = outcome.trials[number].params
    rooms = (int(max(trial.params["width"] for trial in outcome.trials)),)
    plan = LanePlan(study.settings, preparations.problem, "accuracy", tuple(rooms))
    program, hyper = plan.lane(params, number, division)
    return train(engine, program.recipe, program.variant, [hyper], last=12)[0].curves


def test_populations_have_no_places_for_other_folds(tmp_path: Path) -> None:
    """Lanes of two folds train on different rows, so never in one population."""
    file = tmp_path / "study.toml"
    file.write_text(STUDY.replace('"wine"', f'"wine"\n{HALVES}').replace("seeds  = 1", "parallel = 3"))
    here = enter(wb.read_study(file), wb.resolve(home=str(tmp_path / "home")), print)
    try:
        params = {"width": 4, "learning_rate": 0.01}
        own = [here.plan.lane(params, 0, division)[0] for division in (1, 2)]
        assert own[0].recipe == own[1].recipe
        assert own[0].variant != own[1].variant
        assert here.engine.lanes == power_of_two(3 + here.lag)
    finally:
        here.journal.close()


def test_a_trial_is_the_mean_of_its_folds(ran: Callable[..., Run]) -> None:
    study, locations, outcome, _ = ran(HALVES)
    dataset, _ = development(study, locations.home / "nowhere")
    parts = data.cross_validation(dataset, 2, study.seed)
    assert len(parts[0].train) == len(parts[1].train), "no rows are added to either fold"
    for trial in outcome.trials:
        if trial.state != "complete":
            continue
        # The folds as datasets of their own, which know nothing of each other.
        each = [
            alone(study, replace(part, spec=DataSpec("wine")), OWN, trial.number, outcome) for part in parts
        ]
        both = min(len(one.train_loss) for one in each)
        mean = np.mean([one.validation_loss[:both] for one in each], axis=0)
        np.testing.assert_allclose(trial.curves.validation_loss[:both], mean, rtol=2e-5)
        best = [float(one.validation_score.max()) for one in each]
        assert trial.value == pytest.approx(np.mean(best), abs=1e-6)
        assert trial.epochs == max(len(one.train_loss) for one in each)


def test_rows_that_fill_up_a_fold_change_nothing() -> None:
    """With all rows in each step their order is no matter: a padded fold trains as it is."""
    dataset, _ = data.load(DataSpec("wine"))
    dataset = replace(dataset, spec=replace(dataset.spec, folds=5))
    preparations, study = Preparations(dataset), _whole_batch()
    sizes = {len(part.train) for part in data.divisions(dataset)}
    assert len(sizes) > 1, "the folds are unequal"
    plain = Variant("standardize", 1, "none")
    rooms = {preparations.fold(plain._replace(division=k)).train.x.shape for k in range(1, 6)}
    assert len(rooms) == 1, "but all are of one shape"
    for k, part in enumerate(data.divisions(dataset), 1):
        curves = []
        for prepared, division in (
            (preparations, k),
            (Preparations(replace(part, spec=DataSpec("wine"))), OWN),
        ):
            engine = Engine(prepared.fold, capacity=12, seed=0)
            plan = LanePlan(study.settings, prepared.problem, "accuracy", (8,))
            program, hyper = plan.lane({}, 3, division)
            curves.append(train(engine, program.recipe, program.variant, [hyper], last=12)[0].curves)
        for mine, theirs in zip(*curves, strict=True):
            np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-6)


def _whole_batch() -> wb.Study:
    study = wb.read_study(Path(__file__).parents[2] / "studies" / "wine-softmax.toml")
    fixed = dict.fromkeys(study.axes, 0.0)
    return wb.vary(study, **(fixed | {"family": "mlp", "depth": 1, "width": 8, "batch_size": "all",
                   "learning_rate": 0.02, "epochs": 12, "patience": 0, "optimizer": "adam"}))  # fmt: skip


def test_folds_share_a_program(ran: Callable[..., Run]) -> None:
    *_, result = ran("folds = 5")
    *_, plain = ran()
    # The choice is trained again on the split's own rows, which is a program more.
    assert result["programs"] <= plain["programs"] + 1


def test_blocks_of_all_folds_make_the_optimism(ran: Callable[..., Run]) -> None:
    study, locations, outcome, result = ran("folds = 5")
    dataset, _ = development(study, locations.home / "nowhere")
    assert outcome.selection is not None
    assert np.isfinite(result["optimism"])
    assert outcome.data["validated on"] == "5 folds of the development rows"
    own = [seed.validation for seed in outcome.selection.seeds]
    rows = len(dataset.validation)
    assert own[0] * rows == pytest.approx(round(own[0] * rows), abs=1e-3), (
        "seeds: the split's validation rows"
    )


def test_hold_outs_take_turns(ran: Callable[..., Run]) -> None:
    study, locations, outcome, result = ran("holdouts = 3")
    dataset, _ = development(study, locations.home / "nowhere")
    assert [of_trial(study.data, number) for number in range(4)] == [(1,), (2,), (3,), (1,)]
    for number in range(6):
        trial = outcome.trials[number]
        part = data.reshuffled(dataset, study.seed + number % 3)
        curves = alone(study, replace(part, spec=DataSpec("wine")), OWN, number, outcome)
        np.testing.assert_allclose(
            trial.curves.validation_loss, curves.validation_loss[: trial.epochs], rtol=2e-5
        )
    assert np.isfinite(result["optimism"])


@pytest.mark.parametrize("line", ["folds = 3", "holdouts = 3"])
def test_a_trial_is_reproduced(ran: Callable[..., Run], line: str) -> None:
    study, locations, outcome, _ = ran(line)
    for trial in outcome.trials[:3]:
        again = reproduce.reproduce(f"{study.path}#{trial.number}", locations, lambda note: None)
        assert again["agrees"], again
        assert again["recorded"] == pytest.approx(again["again"], abs=1e-6)


# ── refitting ───────────────────────────────────────────────────────────────────────────────────


def test_the_refitted_model_has_seen_every_development_row(ran: Callable[..., Run]) -> None:
    study, locations, outcome, result = ran(refit="true")
    folder = locations.study(study.id)
    dataset, _ = development(study, folder / "journal")
    everything = Preparations(dataset).preprocessor(Variant("standardize", 1, "none", division=ALL_ROWS))
    trained = Preparations(dataset).preprocessor(Variant("standardize", 1, "none"))
    delivered, judged = saved_model.load(folder / "model"), saved_model.load(folder / "judged")
    assert delivered.preprocessor.to_json() == everything.to_json()
    assert judged.preprocessor.to_json() == trained.to_json() != everything.to_json()
    assert outcome.selection is not None
    refit, first = outcome.selection.refit, outcome.selection.seeds[0]
    assert refit is not None
    assert len(refit.curves.train_loss) == refit.best_epoch == first.best_epoch
    assert np.isnan(refit.curves.validation_score).all(), "no rows were left to validate on"
    refit_of = result["refit"]
    assert (refit_of["rows"], refit_of["epochs"]) == (len(dataset.target), first.best_epoch)
    assert refit_of["delivered"]
    assert refit_of["loss"] <= refit_of["judged_loss"]


def test_the_judged_model_is_the_one_without_refitting(ran: Callable[..., Run]) -> None:
    plain_study, locations, plain, _ = ran()
    study, _, outcome, _ = ran(refit="true")
    assert plain.selection is not None
    assert outcome.selection is not None
    assert plain.selection.trial == outcome.selection.trial
    one, other = locations.study(plain_study.id) / "model", locations.study(study.id) / "judged"
    for name, array in saved_model.parameters(one).items():
        np.testing.assert_array_equal(array, saved_model.parameters(other)[name])
    assert outcome.selection.seeds[0].validation == plain.selection.seeds[0].validation


@pytest.mark.parametrize("source", ["wine", "diabetes"])
def test_a_refit_is_delivered_if_it_fits_its_rows(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that does not is made by taking its weights away; losses are taken from the saved models."""

    def spoilt(*args: Any) -> Any:
        model, record = refit(*args)
        return model._replace(params=jax.tree.map(np.zeros_like, model.params)), record

    (tmp_path / "study.toml").write_text(STUDY.replace("wine", source) + "\n[select]\nrefit = true\n")
    study, said = wb.read_study(tmp_path / "study.toml"), []
    rows: dict[bool, dict[str, Any]] = {}
    for spoil in (False, True):
        locations = wb.resolve(home=str(tmp_path / f"home-{spoil}"))
        with monkeypatch.context() as patched:
            if spoil:
                patched.setattr(refitting, "refit", spoilt)
            rows[spoil] = wb.search(study, locations)["refit"]
        folder = locations.study(study.id)
        dataset, _ = development(study, folder / "journal")
        model, judged = saved_model.load(folder / "model"), saved_model.load(folder / "judged")
        assert rows[spoil]["judged_loss"] == pytest.approx(_loss(judged, dataset), rel=1e-4)
        assert rows[spoil]["delivered"] is not spoil
        if not spoil:
            assert rows[spoil]["loss"] == pytest.approx(_loss(model, dataset), rel=1e-4)
            assert rows[spoil]["loss"] <= rows[spoil]["judged_loss"]
            continue
        for name, array in saved_model.parameters(folder / "judged").items():
            np.testing.assert_array_equal(array, saved_model.parameters(folder / "model")[name])
        (page,) = [path.read_text() for path in folder.rglob("report.md")]
        assert "so that one is delivered and tested" in page
        assert "made it fit them worse" in page
        outcome = outcomes.load(folder)
        assert outcome is not None
        assert outcome.selection is not None
        assert not outcome.selection.delivers_refit
        again = reproduce.reproduce(str(study.path), locations, said.append)
        assert again["agrees"], again


def _loss(model: saved_model.Predictor, dataset: Dataset) -> float:
    """Mean over all development rows: of -log p, or of squared errors in their deviations."""
    out = model.estimates(model.preprocessor.transform(dataset.rows)).astype(np.float64)
    target = np.asarray(dataset.target, np.float64)
    if dataset.task == "regression":
        return float(np.mean((out - target) ** 2) / target.std() ** 2)
    logs = out - np.log(np.exp(out).sum(axis=1, keepdims=True))
    return float(-logs[np.arange(len(out)), dataset.target].mean())


def test_the_refitted_choice_is_reproduced(ran: Callable[..., Run]) -> None:
    study, locations, *_ = ran(refit="true")
    again = reproduce.reproduce(str(study.path), locations, lambda note: None)
    assert again["agrees"], again


def test_baselines_are_refitted_as_well(ran: Callable[..., Run]) -> None:
    study, locations, outcome, _ = ran(refit="true")
    folder = locations.study(study.id)
    dataset, _ = development(study, folder / "journal")
    trivial = saved_model.load(folder / "baselines" / "trivial")
    frequencies = np.bincount(dataset.target) / len(dataset.target)
    out = trivial.estimates(np.zeros((1, 13), np.float32))[0]
    np.testing.assert_allclose(np.exp(out) / np.exp(out).sum(), frequencies, rtol=1e-5)
    assert set(outcome.baselines) >= {"linear", "trivial"}


# ── one report from several lanes ───────────────────────────────────────────────────────────────


def brought(status: Any, score: float | None, epochs: int, lane: Any, block: Any = None) -> LaneResult:
    curve = np.full(epochs, score or 0.0, np.float32)
    return LaneResult(status, score, epochs, 0.1, Curves(curve, curve, curve), lane, block)


def test_a_trial_goes_on_while_one_of_its_folds_does() -> None:
    found = merged([brought("stopped", 0.5, 2, "a", np.ones(3)), brought("running", 0.7, 4, "b")])
    assert found.status == "running"
    assert found.score == pytest.approx(0.6)
    assert found.best_epoch == 3
    assert found.lanes == ("a", "b")
    assert found.block is None, "it has not ended"
    np.testing.assert_allclose(found.curves.train_loss, [0.6, 0.6, 0.7, 0.7], rtol=1e-6)


def test_a_trial_ends_with_its_last_fold() -> None:
    found = merged(
        [brought("stopped", 0.5, 2, "a", np.ones(3)), brought("stopped", 0.7, 0, "b", np.zeros(3))]
    )
    assert found.status == "stopped"
    np.testing.assert_array_equal(found.block, [1, 1, 1, 0, 0, 0])


def test_further_scores_are_the_mean_over_folds() -> None:
    folds = [brought("stopped", 0.5, 2, "a")._replace(also=np.float32(each)) for each in ([0.2, 3], [0.4, 5])]
    np.testing.assert_allclose(merged(folds).also, [0.3, 4])
    assert merged(folds[:1]).also is folds[0].also


def test_one_fold_that_diverges_is_as_good_as_all() -> None:
    found = merged([brought("running", 0.5, 2, "a"), brought("diverged", None, 1, None)])
    assert found.status == "diverged"
    assert found.score is None
    assert found.lanes is None
    assert decode(encode(found))[:3] == found[:3]


def test_a_single_lane_passes_as_it_is() -> None:
    one = brought("running", 0.5, 2, "a")
    assert merged([one]) == Merged("running", 0.5, 2, 0.1, one.curves, ("a",), None)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("folds = 1", "[data] folds = 1 must be a whole number from 2 to 100"),
        ("folds = { low = 2, high = 5 }", "cannot be searched"),
        ("folds = 3\nholdouts = 3", "[data] folds and holdouts exclude each other; drop one"),
        ('holdouts = 3\ntime = "day"', "shuffles rows that [data] time"),
    ],
)
def test_sentences(tmp_path: Path, line: str, says: str) -> None:
    file = tmp_path / "study.toml"
    file.write_text(STUDY.replace('"wine"', f'"wine"\n{line}'))
    with pytest.raises(StudyError) as error:
        wb.read_study(file)
    assert says in str(error.value)


def test_refit_is_yes_or_no(tmp_path: Path) -> None:
    file = tmp_path / "study.toml"
    file.write_text(STUDY + '\n[select]\nrefit = "yes"\n')
    with pytest.raises(StudyError, match=r"\[select\] refit = \"yes\" must be true or false"):
        wb.read_study(file)


def test_what_a_study_does_not_ask_for_leaves_its_name_alone(tmp_path: Path) -> None:
    (tmp_path / "study.toml").write_text(STUDY)
    study = wb.read_study(tmp_path / "study.toml")
    assert wb.vary(study, refit=True).id != study.id
    assert wb.vary(study, stop="noise").id == study.id, "a rule for the budget, like the number of trials"
    assert wb.vary(wb.vary(study, refit=True), refit=False).id == study.id
