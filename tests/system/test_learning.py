"""What the models of the catalogue can learn and what they cannot, from study files."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import workbench as wb
from tests.helpers.end_to_end import Place
from workbench.storage import outcomes

STUDIES = Path(__file__).parents[2] / "studies"
CURVED = """\
name = "{source}"

[data]
source = "{source}"

[model]
family = {{ choices = ["mlp", "logistic"] }}
depth  = 1
width  = 16

[optimizer]
learning_rate = 0.03

[training]
epochs = 40

[search]
trials  = 2
sampler = "grid"
pruner  = "none"
seeds   = 1
"""


@pytest.mark.parametrize("source", ["xor", "rings"])
def test_hidden_units_draw_curved_boundaries_and_a_linear_model_cannot(tmp_path: Path, source: str) -> None:
    (tmp_path / "curved.toml").write_text(CURVED.format(source=source))
    study, locations = wb.read_study(tmp_path / "curved.toml"), wb.resolve(home=str(tmp_path / "home"))
    result = wb.run(study, locations)
    outcome = outcomes.load(locations.study(study.id))
    assert outcome is not None
    scores = {trial.params["family"]: trial.value for trial in outcome.trials}
    assert result["best"]["params"]["family"] == "mlp"
    assert result["test"]["value"] > 0.97
    assert scores["logistic"] is not None
    assert scores["logistic"] < 0.65


@pytest.mark.slow
@pytest.mark.parametrize(("name", "floor"), [("softmax", 0.917), ("mlp", 0.975), ("cnn", 0.99)])
def test_mnist(data_folder: Path, tmp_path: Path, name: str, floor: float) -> None:
    (tmp_path / "mnist.npz").symlink_to(data_folder / "mnist.npz")
    ran = Place(Path(shutil.copy(STUDIES / f"mnist-{name}.toml", tmp_path)), tmp_path / "home").run()
    assert ran.status == 0, ran.err
    print(ran.result["test"], ran.result["seconds"])
    assert ran.result["test"]["rows"] == 10_000  # the official images, all of them
    assert ran.result["test"]["value"] >= floor


@pytest.mark.slow
def test_gates_remember_for_a_hundred_steps(tmp_path: Path) -> None:
    """Always answering 1 has a mean squared error of 1/6."""
    where = Place(Path(shutil.copy(STUDIES / "adding.toml", tmp_path)), tmp_path / "home")
    ran = where.run()
    assert ran.status == 0, ran.err
    errors = {trial.params["family"]: trial.value for trial in where.outcome.trials}
    print(errors, ran.result["test"], ran.result["seconds"])
    assert ran.result["best"]["params"]["family"] == "lstm"
    assert ran.result["test"]["value"] < 0.01
    assert errors["rnn"] is not None
    assert errors["rnn"] > 0.8 / 6
