"""The networks of all seeds: their average is delivered where validation rows find it no worse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest
from scipy.special import softmax
from sklearn.metrics import log_loss, root_mean_squared_error

import workbench as wb
from tests.helpers.problems import lane, mlp
from workbench.cli.main import main
from workbench.core.locations import Locations
from workbench.data import load
from workbench.evaluation import saved_model
from workbench.evaluation.predictor import Predictor
from workbench.nn.models import predict, start
from workbench.nn.models.ensemble import joined, member
from workbench.storage import ledger, outcomes
from workbench.study import averaging, workspace
from workbench.study.config import Study
from workbench.study.results import ledger_of
from workbench.tuning import lane_plan, selection
from workbench.tuning.selection import Again, retrained

pytestmark = pytest.mark.filterwarnings("ignore")  # of MLflow's own imports

STUDY = """\
name = "averaged"
[data]
source = "{source}"
[model]
family = "{family}"
depth = 1
width = 6
[optimizer]
learning_rate = {{ low = 1e-2, high = 1e-1, log = true }}
[training]
epochs = 3
[search]
trials = 4
pruner = "none"
seeds = 3
[select]
{select}
"""


class Ran(NamedTuple):
    study: Study
    locations: Locations
    folder: Path
    result: dict[str, Any]

    @property
    def model(self) -> Predictor:
        return saved_model.load(self.folder / "model")


def searched(
    folder: Path, source: str = "wine", select: str = "", family: str = "mlp", *, confirm: bool = False
) -> Ran:
    file, select = folder / "averaged.toml", select + '\nmetric = "log_loss"' * (source == "wine")
    file.write_text(STUDY.format(source=source, select=select, family=family))
    study, locations = wb.read_study(file), wb.resolve(home=str(folder / "home"))
    result = wb.run(study, locations) if confirm else wb.search(study, locations)
    return Ran(study, locations, locations.study(study.id), result)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Ran]:
    """Studies, each run once."""
    known: dict[Any, Ran] = {}

    def one(**keys: Any) -> Ran:
        name = tuple(sorted(keys.items()))
        if name not in known:
            known[name] = searched(tmp_path_factory.mktemp("study"), **keys)
        return known[name]

    return one


@pytest.fixture
def worse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validation rows that find every average worse."""
    monkeypatch.setattr(averaging, "validation_score", lambda here, model: 1e3)


@pytest.mark.parametrize(("source", "metric"), [("wine", log_loss), ("diabetes", root_mean_squared_error)])
def test_what_is_delivered_says_what_its_networks_say_on_average(
    ran: Callable[..., Ran], source: str, metric: Callable[..., float]
) -> None:
    it = ran(source=source)
    found, model = it.result["average"], it.model
    assert found["networks"] == 3
    assert found["delivered"], "convex losses are never worse on average (Jensen)"
    assert (found["validation"] < found["single"]) is True
    dataset, _ = load(it.study.data)
    rows, y = dataset.pick(dataset.validation), np.asarray(dataset.target)[dataset.validation]
    alone = [model.member(k) for k in range(3)]
    told = model.predict(rows)
    if source == "wine":
        each = [np.asarray(one.predict(rows).iloc[:, 1:]) for one in alone]
        said = np.mean(each, axis=0)
        np.testing.assert_allclose(told.iloc[:, 1:], said, rtol=1e-4, atol=1e-6)
    else:
        each = [one.predict(rows)["prediction"].to_numpy() for one in alone]
        said = np.mean(each, axis=0)
        np.testing.assert_allclose(told["prediction"], said, rtol=1e-5)
    assert found["validation"] == pytest.approx(metric(y, said), rel=1e-5)
    scores = [metric(y, one) for one in each]
    assert found["single"] == pytest.approx(np.mean(scores), rel=1e-5)
    assert it.result["best"]["validation"] == pytest.approx(np.mean(scores), rel=1e-5), "not the average's"
    outcome = outcomes.load(it.folder)
    assert outcome is not None
    assert outcome.selection is not None
    assert [seed.validation for seed in outcome.selection.seeds] == pytest.approx(scores, rel=1e-5)
    sizes = [leaf.size for leaf in jax.tree.leaves(it.model.params)]
    assert outcome.selection.parameters <= sum(sizes), "padding is not counted"
    assert outcome.selection.networks == 3
    page = Path(it.result["report"]).with_suffix(".md").read_text()
    assert "the average of their networks is the one delivered" in page
    assert "Average of 3 networks" in page


def _x(model: Predictor, rows: Any) -> np.ndarray:
    return np.asarray(model.preprocessor.transform(rows), np.float32)


def test_a_study_may_want_one_network(ran: Callable[..., Ran]) -> None:
    """It is the first seed's, to the bit. Who says so has another study; the default says nothing."""
    together, one = ran(), ran(select="average = false")
    assert one.result["average"] is None
    assert one.model.recipe.ensemble == 1
    first = together.model.member(0)
    jax.tree.map(np.testing.assert_array_equal, one.model.params, first.params)
    assert one.study.id != together.study.id
    assert wb.vary(together.study, average=True).id == together.study.id
    assert wb.vary(together.study, average=False).fingerprint == one.study.fingerprint
    assert "the first seed's model is the one delivered" in _page(one)


def test_an_average_that_validates_worse_is_not_delivered(
    ran: Callable[..., Ran], worse: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    it = searched(tmp_path)
    assert it.result["average"]["delivered"] is False
    jax.tree.map(np.testing.assert_array_equal, it.model.params, ran(select="average = false").model.params)
    assert "so the first seed's is delivered and tested" in _page(it)
    assert main(["show", str(tmp_path / "averaged.toml"), "--home", str(tmp_path / "home")]) == 0
    assert "the first seed's network: the average of 3 is worse" in capsys.readouterr().out


def test_affine_models_are_not_averaged(ran: Callable[..., Ran]) -> None:
    it = ran(family="softmax")
    assert it.result["average"] is None
    assert it.model.recipe.ensemble == 1


def test_the_choice_that_is_opened_for_is_the_average_and_so_is_its_rival(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    it = searched(tmp_path, confirm=True)
    (look,) = ledger.openings(ledger_of(it.locations))
    assert look.opening.choice == saved_model.fingerprint(it.folder / "model")
    dataset, _ = load(it.study.data)
    with np.load(it.folder / "test.npz") as archive:
        kept = dict(archive)
    shares = softmax(kept["outputs"].astype(np.float64), axis=-1)
    assert it.result["test"]["value"] == pytest.approx(log_loss(kept["targets"], shares), rel=1e-5)
    if (it.folder / "baselines" / "default").exists():
        assert saved_model.load(it.folder / "baselines" / "default").recipe.ensemble == 3
    else:
        assert it.result["best"]["trial"] == 0
    program = jax.export.deserialize(bytearray((it.folder / "model/program/model.stablehlo").read_bytes()))
    rows = dataset.pick(dataset.validation)
    out = np.asarray(program.call(saved_model.parameters(it.folder / "model"), _x(it.model, rows)))
    np.testing.assert_allclose(out, it.model.predict(rows).iloc[:, 1:], rtol=1e-4, atol=1e-6)
    with np.load(it.folder / "model" / "parameters.npz") as archive:
        arrays = dict(archive)
    name = next(name for name in arrays if "weight" in name)
    arrays[name][-1] *= 1.01  # the last network
    np.savez(it.folder / "model" / "parameters.npz", **arrays)
    (it.folder / "result.json").unlink()
    capsys.readouterr()
    assert main(["show", str(it.study.path), "--home", str(it.locations.home), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["test"] is None


def test_each_network_is_refitted(tmp_path: Path) -> None:
    it = searched(tmp_path, source="diabetes", select="refit = true")
    judged, model = saved_model.load(it.folder / "judged"), it.model
    assert judged.recipe.ensemble == 3
    assert judged.preprocessor.to_json() != saved_model.load(it.folder / "model").preprocessor.to_json()
    outcome = outcomes.load(it.folder)
    assert outcome is not None
    assert outcome.selection is not None
    assert model.recipe.ensemble == 3
    for one, other in zip(
        saved_model.parameters(it.folder / "judged").values(),
        saved_model.parameters(it.folder / "model").values(),
        strict=True,
    ):
        assert all((one[k] != other[k]).any() for k in range(3))
    assert "their average is the one delivered" in _page(it)


def test_a_study_that_began_under_earlier_rules_delivers_one_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lane_plan.RULES >= 3
    begin = workspace._begin

    def as_before(*arguments: Any) -> Any:
        return {**begin(*arguments), "rules": 2}

    monkeypatch.setattr(workspace, "_begin", as_before)
    it = searched(tmp_path)
    assert it.result["average"] is None
    assert it.model.recipe.ensemble == 1


def test_networks_that_diverge_are_left_out() -> None:
    def again(seed: int, score: float) -> Again:
        record = selection.SeedRecord(seed, score, 1, selection.Curves(*(np.ones(1, np.float32),) * 3))
        return Again(record, selection.Delivered(None, None, {"weight": np.full(2, seed)}), None)  # type: ignore[arg-type]

    found = retrained({}, [again(5, 0.5), again(6, np.nan), again(7, 0.7)])
    assert [int(network.params["weight"][0]) for network in found.networks] == [5, 7]
    assert len(found.seeds) == 3


@pytest.mark.parametrize("members", [1, 2])
def test_joined_models_are_members_of_one(members: int) -> None:
    recipe = mlp(options=(("ensemble", members),) if members > 1 else ())
    begin, asked = (jax.jit(function, static_argnums=0) for function in (start, predict))
    each = [begin(recipe, lane(), key=jax.random.key(k)) for k in range(3)]
    whole, params = joined(recipe, each)
    assert whole.ensemble == 3 * members
    x = np.linspace(-1.0, 1.0, int(np.prod(recipe.inputs)), dtype=np.float32).reshape(recipe.inputs)
    shares = [softmax(np.asarray(asked(recipe, lane(), one, x), np.float64)) for one in each]
    together = softmax(np.asarray(asked(whole, lane(), params, x), np.float64))
    np.testing.assert_allclose(together, np.mean(shares, axis=0), rtol=1e-4)
    jax.tree.map(
        np.testing.assert_array_equal,
        member(whole, params, members),
        member(recipe, each[1], 0),
    )


def _page(it: Ran) -> str:
    return Path(it.result["report"]).with_suffix(".md").read_text()
