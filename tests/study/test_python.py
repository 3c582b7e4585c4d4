"""The package as a library: the same job from Python, with a model and a loss of the user's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import workbench as wb
from tests.helpers.end_to_end import TINY
from workbench import data
from workbench.core import vocabulary
from workbench.core.errors import DataError, InputError, StudyError
from workbench.nn import losses, models
from workbench.study import session


@pytest.fixture
def tiny(tmp_path: Path) -> wb.Study:
    (tmp_path / "tiny.toml").write_text(TINY)
    return wb.read_study(tmp_path / "tiny.toml")


@pytest.fixture
def registries() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    tables: tuple[dict[str, Any], ...] = (
        models.MODELS,
        vocabulary.FAMILIES,
        losses.LOSSES,
        vocabulary.LOSSES,
    )
    before = [dict(table) for table in tables]
    yield
    for table, content in zip(tables, before, strict=True):
        table.clear()
        table.update(content)


def test_search_confirm_and_run(tiny: wb.Study, tmp_path: Path) -> None:
    locations = wb.resolve(str(tmp_path / "home"))
    with pytest.raises(StudyError, match="search of this study is not finished"):
        wb.confirm(tiny, locations)
    searched = wb.search(tiny, locations)
    assert (searched["status"], searched["test"]) == ("searched", None)
    confirmed = wb.confirm(tiny, locations)
    assert confirmed["status"] == "confirmed"
    assert confirmed["test"]["look"] == 1
    assert wb.run(tiny, locations) == confirmed
    assert wb.search(tiny, locations) == confirmed

    model = wb.load_model(locations.study(tiny.id) / "model")
    dataset, _ = data.load(tiny.data)
    told = model.predict(dataset.examples(7))
    assert len(told) == 7
    assert set(told["prediction"]) <= set(dataset.classes)
    np.testing.assert_allclose(told.iloc[:, 1:].sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.slow
def test_what_refuses_to_begin_leaves_nothing_open(tiny: wb.Study, tmp_path: Path) -> None:
    """Who catches the error has no file and no lock of the study left in his process."""
    journal, refusal = tmp_path / "home" / "studies" / tiny.id / "journal", DataError("rows: are refused")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(session, "search_of", Mock(side_effect=refusal))
        with pytest.raises(wb.WorkbenchError) as refused:
            wb.search(tiny, wb.resolve(home=tmp_path / "home", environ={}))
    assert isinstance(refused.value, wb.InputError)
    assert journal.exists()
    assert journal not in [Path(fd).resolve() for fd in Path("/proc/self/fd").iterdir()]


def test_a_model_and_a_loss_of_ones_own(tmp_path: Path, registries: None) -> None:
    def init(recipe: Any, hyper: Any, *, key: jax.Array) -> Any:
        return {
            "weight": 0.1 * jax.random.normal(key, (recipe.outputs, *recipe.inputs)),
            "bias": jnp.zeros(recipe.outputs),
        }

    def apply(
        recipe: Any, hyper: Any, params: Any, x: jax.Array, *, key: jax.Array | None = None
    ) -> jax.Array:
        return params["weight"] @ jnp.tanh(x) + params["bias"]

    wb.register_model("squashed", wb.Model(init, apply))
    wb.register_loss(
        "absolute", lambda outputs, y, smoothing: jnp.abs(outputs - y).mean(), tasks=("regression",)
    )

    with pytest.raises(InputError, match="known already"):
        wb.register_model("squashed", wb.Model(init, apply))
    file = tmp_path / "own.toml"
    file.write_text(
        'name = "own"\n[data]\nsource = "diabetes"\n[model]\nfamily = { choices = ["linear", "squashed"] }\n'
        '[training]\nloss = { choices = ["absolute", "mse"] }\nepochs = 4\n[search]\ntrials = 6\nseeds = 1\n'
        'sampler = "random"\n[select]\nmetric = "mae"\n'
    )
    study, locations = wb.read_study(file), wb.resolve(str(tmp_path / "home"))
    result = wb.run(study, locations)
    assert result["trials"] == {"total": 6, "complete": 6, "pruned": 0, "failed": 0}
    assert result["programs"] >= 3
    assert result["test"]["metric"] == "mae"
    tried = {(trial["params"]["family"], trial["params"]["loss"]) for trial in wb_show(study, locations)}
    assert {family for family, _ in tried} == {"linear", "squashed"}
    assert {loss for _, loss in tried} == {"absolute", "mse"}
    chosen = wb.load_model(locations.study(study.id) / "model")
    assert chosen.recipe.family == result["best"]["params"]["family"]


@pytest.mark.slow
def test_varied_studies_are_other_studies_at_the_same_rows(tiny: wb.Study, tmp_path: Path) -> None:
    locations = wb.resolve(str(tmp_path / "home"))
    varied = wb.vary(tiny, learning_rate=0.01, trials=1, epochs=2)
    assert varied.id != tiny.id
    wb.run(tiny, locations)
    result = wb.run(varied, locations)
    assert result["trials"]["total"] == 1
    assert result["best"]["params"] == {}
    assert result["test"]["look"] == 2
    with pytest.raises(StudyError, match="did you mean learning_rate"):
        wb.vary(tiny, learning_rte=1.0)


def wb_show(study: wb.Study, locations: Any) -> list[dict[str, Any]]:
    from workbench.study import workflow

    top: list[dict[str, Any]] = workflow.show(study, locations)["top"]
    return top
