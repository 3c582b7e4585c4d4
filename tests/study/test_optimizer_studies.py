"""Optimizers of optax and schedules in study files: what is read, what is refused, and studies that run."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

import workbench as wb
from tests.helpers.end_to_end import place
from tests.helpers.lanes import train
from tests.helpers.problems import blobs, lane, mlp
from workbench.core import vocabulary
from workbench.core.errors import StudyError
from workbench.core.types import Choice, Range
from workbench.nn.recipe import Hyperparameters, Recipe
from workbench.study.config import notes
from workbench.study.config.schema import SETTINGS
from workbench.training.checkpoints import flat, shaped
from workbench.training.engine import Engine
from workbench.tuning import space
from workbench.tuning.space import Problem

PROBLEM = Problem("classification", (13,), 3, 1, 107)


def study(folder: Path, optimizer: str, rest: str = "") -> wb.Study:
    (folder / "one.toml").write_text(
        f'name = "one"\n[data]\nsource = "wine"\n[training]\nepochs = 10\n{rest}\n[optimizer]\n{optimizer}\n'
    )
    return wb.read_study(folder / "one.toml")


def test_the_settings_of_every_study_are_known_by_name() -> None:
    assert set(SETTINGS) == vocabulary.SETTINGS


@pytest.mark.parametrize(
    ("optimizer", "settings"),
    [
        ('name = "lion"\nb1 = 0.8', {"b1": 0.8}),
        ('name = "lion"\nb1 = { low = 0.8, high = 0.95 }', {"b1": Range(0.8, 0.95)}),
        ('name = "lion"\nweight_decay = 1', {"optimizer_weight_decay": 1.0}),
        ('name = "adafactor"\nmomentum = 0.9', {"optimizer_momentum": 0.9}),
        ('name = "radam"\nthreshold = 4', {"optimizer_threshold": 4.0}),
        (
            'name = "adabelief"\nnesterov = { choices = [false, true] }',
            {"nesterov": Choice((False, True))},
        ),
        ('name = "muon"\nns_steps = { low = 2, high = 5 }', {"ns_steps": Range(2, 5, integer=True)}),
        ('name = "adam"\neps = 1e-4', {"eps": 1e-4}),
        ('name = { choices = ["lion", "adam"] }\nb1 = 0.8', {"b1": 0.8}),
        ('name = "adam"\nmomentum = 0.5', {}),
    ],
)
def test_arguments_are_settings_of_their_own(
    tmp_path: Path, optimizer: str, settings: dict[str, Any]
) -> None:
    read = study(tmp_path, optimizer)
    assert {key: read.settings[key] for key in read.settings if key not in SETTINGS} == settings
    assert read.settings["weight_decay"] == 0.0
    assert read.settings["threshold"] == 0.5
    assert set(read.axes) == {
        key for key, value in read.settings.items() if isinstance(value, Range | Choice)
    }
    again = wb.vary(read, learning_rate=0.02)
    (tmp_path / "again.toml").write_text(again.text)
    assert dict(wb.read_study(tmp_path / "again.toml").settings) == dict(again.settings)
    table = tomllib.loads(again.text)["optimizer"]
    assert table.keys() >= {vocabulary.argument_of(key) for key in settings}


def test_arguments_are_varied_by_their_names(tmp_path: Path) -> None:
    lion = wb.vary(study(tmp_path, 'name = "adam"'), optimizer="lion", b1={"low": 0.8, "high": 0.9})
    assert lion.settings["b1"] == Range(0.8, 0.9)
    assert wb.vary(lion, b1=0.9).id != lion.id
    assert wb.vary(lion, b1=None, optimizer="adam").id == study(tmp_path, 'name = "adam"').id
    factored = wb.vary(lion, b1=None, optimizer="adafactor", momentum=0.3)
    assert (factored.settings["momentum"], factored.settings["optimizer_momentum"]) == (0.9, 0.3)
    with pytest.raises(StudyError, match=r"b1 = .*no argument of optimizer .adafactor.*drop it"):
        wb.vary(lion, optimizer="adafactor")
    with pytest.raises(StudyError, match="b_1 is no setting that can be varied; did you mean b1"):
        wb.vary(lion, b_1=0.9)
    decayed = wb.vary(lion, optimizer_weight_decay=0.5)
    assert decayed.settings["weight_decay"] == 0.0
    assert decayed.settings["optimizer_weight_decay"] == 0.5


@pytest.mark.parametrize(
    ("optimizer", "says"),
    [
        ('name = "lionn"\nb1 = 0.9', ('name = "lionn" is not known', 'did you mean "lion"')),
        ('name = "lion"\nb3 = 0.9', ("[optimizer] b3 is not a key", "did you mean b2?")),
        ('name = { choices = ["lion", "adan"] }\nb4 = 0.9', ("[optimizer] b4", "did you mean b")),
        ('name = "adam"\nb1 = 0.9', ("[optimizer] b1 is not a key", "did you mean momentum?")),
        ('name = "adam"\nepps = 1e-3', ("[optimizer] epps is not a key", "did you mean eps?")),
        ('name = "adam"\nweight_decay = 0.1', ("[regularization] weight_decay is its place",)),
        ('name = "sign_sgd"\nzzz = 0.9', ("[optimizer] zzz is not a key", "takes name, learning_rate")),
        ('name = "lion"\nb1 = "x"', ('[optimizer] b1 = "x"', "must be a number")),
        ('name = "lion"\nb1 = [0.8, 0.9]', ("plain list", "choices")),
        ('name = "adabelief"\nnesterov = 1', ("nesterov = 1", "true or false")),
        ('name = "muon"\nns_steps = 2.5', ("ns_steps = 2.5", "whole number")),
        ('name = "lion"\nmask = true', ("[optimizer] mask is not a key",)),
        ('name = "lbfgs"', ('name = "lbfgs" asks every update for value and grad', "choose another")),
        ('name = { choices = ["adam", "momo"] }', ('reaches "momo", which asks every update for value',)),
        ('name = "schedule_free_sgd"', ("other parameters than it trains",)),
        ('name = "dpsgd"', ("needs l2_norm_clip and noise_multiplier and seed", "key of [optimizer]")),
        (
            'name = "galore"\nrank = { low = 2, high = 8 }\nscale = 1.0\nupdate_proj_gap = 0.5',
            ("update_proj_gap = 0.5", "whole number"),
        ),
        ('schedule = "cosin"', ('schedule = "cosin"', 'did you mean "cosine"')),
        ('schedule = "cosine-cosin"', ('did you mean "cosine"',)),
        ("boundaries = 5", ("boundaries = 5", "a list of numbers", "[10, 20]")),
        ("boundaries = [5, 0]", ("has 0, which must be a number above 0",)),
        ('schedule = "piecewise"\nboundaries = [5, 2]', ("boundaries = [5, 2]", "must ascend")),
        ('schedule = "piecewise"\nboundaries = [5, 12]', ("end before [training] epochs = 10",)),
        ('schedule = "piecewise"\nboundaries = [1]\nwarmup = 2', ("begin after the warm-up of 2",)),
        ('schedule = "piecewise"\nboundaries = [5]\nscales = [0.1, 0.1]', ("scales = [0.1, 0.1]", "as many")),
        (
            'schedule = "cosine-constant-cosine"\nboundaries = [5]',
            ("name the 2 epochs", '"cosine-constant-cosine"'),
        ),
        ('schedule = "polynomial"\npower = 0', ("power = 0", "above 0")),
    ],
)
def test_what_cannot_be_is_one_sentence(tmp_path: Path, optimizer: str, says: tuple[str, ...]) -> None:
    with pytest.raises(StudyError) as error:
        study(tmp_path, optimizer)
    assert str(tmp_path / "one.toml") in str(error.value)
    for part in says:
        assert part in str(error.value)


def test_notes_say_what_is_not_read_and_what_an_optimizer_adds(tmp_path: Path) -> None:
    axis = "[model]\nwidth = { low = 4, high = 8 }\n[regularization]\nweight_decay = 0.1"
    said = "\n".join(notes(study(tmp_path, 'name = "lion"\nbeta2 = 0.9\npower = 2.0', axis)))
    assert '[optimizer] beta2 is not read by optimizer "lion"' in said
    assert '[optimizer] power is not read by schedule "constant"' in said
    assert 'optimizer "lion" decays by 0.001 itself' in said
    assert "padding" not in said
    assert 'optimizer "adafactor" does not bear padding' in "\n".join(
        notes(study(tmp_path, 'name = "adafactor"', axis))
    )


def recipes(it: wb.Study, *params: dict[str, Any]) -> list[Recipe]:
    values = [space.resolve(it.settings, {**space.default(it.axes), **one}) for one in params]
    return [space.program(it.settings, one, PROBLEM, "accuracy", (8, 16)).recipe for one in values]


def test_lanes_share_a_program_unless_an_argument_or_padding_forbids_it(tmp_path: Path) -> None:
    shape = "[model]\ndepth = { low = 1, high = 2 }\nwidth = { low = 4, high = 16 }"
    lion = study(tmp_path, 'name = "lion"\nb1 = { low = 0.8, high = 0.95 }', shape)
    one, other = recipes(lion, {"depth": 1, "width": 5, "b1": 0.81}, {"depth": 2, "width": 8, "b1": 0.9})
    assert one == other
    assert (one.traced, one.arguments, one.exact) == (("b1",), (), False)
    static = study(tmp_path, 'name = "adabelief"\nnesterov = { choices = [true, false] }\nb1 = 0.8', shape)
    forms = recipes(static, {"nesterov": True}, {"nesterov": False})
    assert [form.arguments for form in forms] == [(("nesterov", True),), (("nesterov", False),)]
    factored = study(tmp_path, 'name = "adafactor"', shape)
    sizes = recipes(factored, {"depth": 1, "width": 5}, {"depth": 2, "width": 7})
    assert [(size.depth, size.width, size.exact) for size in sizes] == [(1, 5, True), (2, 7, True)]
    mixed = study(
        tmp_path, 'name = { choices = ["adam", "lion", "momentum"] }\nmomentum = 0.5\nb1 = 0.7', shape
    )
    assert [
        one.optimizers
        for one in recipes(mixed, *({"optimizer": name} for name in ("adam", "momentum", "lion")))
    ] == [("adam", "momentum"), ("adam", "momentum"), ("lion",)]
    own = study(tmp_path, 'name = { choices = ["adam", "momentum"] }\neps = 1e-4', shape)
    adam, momentum = recipes(own, {"optimizer": "adam"}, {"optimizer": "momentum"})
    assert (adam.optimizers, adam.traced) == (("adam",), ("eps",))
    assert (momentum.optimizers, momentum.traced) == (("momentum",), ())


def test_one_key_is_read_by_all_optimizers_that_have_it(tmp_path: Path) -> None:
    both = study(tmp_path, 'name = { choices = ["momentum", "sm3"] }\nmomentum = { low = 0.1, high = 0.3 }')
    assert set(both.axes) == {"optimizer", "optimizer_momentum"}
    for name in ("momentum", "sm3"):
        values = space.resolve(both.settings, {"optimizer": name, "optimizer_momentum": 0.2})
        recipe = space.program(both.settings, values, PROBLEM, "accuracy", (64,)).recipe
        hyper = space.hyperparameters(recipe, values, PROBLEM, 0)
        assert hyper.momentum == np.float32(0.2)
        assert hyper.arguments == ((np.float32(0.2),) if name == "sm3" else ())


def trained(recipe: Recipe, hyper: Hyperparameters) -> Any:
    engine = Engine(lambda variant: blobs(), capacity=6, seed=0)
    (lane,) = train(engine, recipe, "raw", [hyper], last=6)
    return lane


@pytest.mark.parametrize(
    "name",
    [
        "lion",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("lamb", "prodigy", "sm3", "novograd")),
    ],
)
def test_padding_changes_nothing_to_a_lane(name: str) -> None:
    room = mlp(optimizers=(name,), schedules=("one_cycle",), depth=3, width=8, dropout=False)
    hyper = lane(depth=2, width=5, dropout=0.0, seed=3, weight_decay=0.1, learning_rate=0.003)
    own = dataclasses.replace(room, depth=2, width=5)
    padded, alone = trained(room, hyper), trained(own, hyper)
    np.testing.assert_allclose(padded.curves.train_loss, alone.curves.train_loss, rtol=1e-4)
    for layer, leaves in padded.lane.params.items():
        for key, leaf in leaves.items():
            inside = tuple(slice(0, n) for n in np.shape(alone.lane.params.get(layer, {}).get(key, ())))
            beyond = np.array(leaf)
            if layer in alone.lane.params:
                beyond[inside] = 0.0
            assert not beyond.any(), (layer, key)


def test_a_lane_of_its_own_size_trains_in_it_alone() -> None:
    recipe = mlp(
        optimizers=("adafactor",), schedules=("cosine",), depth=2, width=5, dropout=False, exact=True
    )
    hyper = lane(depth=2, width=5, dropout=0.0, learning_rate=0.05)
    losses = trained(recipe, hyper).curves.train_loss
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ["lion", "adafactor", pytest.param("noisy_sgd", marks=pytest.mark.slow)])
def test_memory_goes_on_from_a_checkpoint(name: str) -> None:
    recipe = mlp(optimizers=(name,), schedules=("cosine",), depth=1, exact=name != "lion", dropout=False)
    hyper = lane(depth=1, width=8, dropout=0.0, seed=2)
    engine = Engine(lambda variant: blobs(), capacity=6, seed=0)
    whole, half = (train(engine, recipe, "raw", [hyper], last=n)[0] for n in (6, 3))
    kept = shaped(engine.template(recipe, hyper), flat(half.lane))
    assert kept is not None
    (on,) = train(engine, recipe, "raw", [hyper], [kept], first=3, last=6)
    jax.tree.map(np.testing.assert_array_equal, on.lane, whole.lane)


B1, THRESHOLD = "b1 = { low = 0.8, high = 0.95 }", "clipping_threshold = { low = 0.5, high = 2.0 }"
STUDY = """\
name = "{name}"
[data]
source = "wine"
[model]
depth = 1
width = {{ choices = [{widths}] }}
[optimizer]
name = "{name}"
learning_rate = {{ low = 1e-3, high = 1e-1, log = true }}
{argument}
schedule = "constant-cosine"
[training]
epochs = 3
[search]
trials = {trials}
seeds = 1
"""


def test_lion_and_adafactor_are_searched_together(tmp_path: Path) -> None:
    text = STUDY.format(name="both", argument=f"{B1}\n{THRESHOLD}", trials=6, widths="6")
    where = place(tmp_path, text.replace('"both"\nlearning', '{ choices = ["lion", "adafactor"] }\nlearning'))
    ran = where.run()
    assert ran.status == 0, ran.err
    assert ran.result["trials"]["complete"] == 6
    assert ran.result["programs"] == 2
    assert {trial.params["optimizer"] for trial in where.outcome.trials} == {"lion", "adafactor"}
    assert np.isfinite(ran.result["test"]["value"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "argument", "programs"),
    [
        ("lion", B1, 1),
        ("adafactor", THRESHOLD, 2),
    ],
)
def test_studies_of_optax_run_and_search(name: str, argument: str, programs: int, tmp_path: Path) -> None:
    where = place(tmp_path, STUDY.format(name=name, argument=argument, trials=4, widths="4, 6"))
    ran = where.run()
    assert ran.status == 0, ran.err
    result, key = ran.result, argument.split()[0]
    assert result["trials"] == {"total": 4, "complete": 4, "pruned": 0, "failed": 0}
    assert result["status"] == "confirmed"
    assert 1 <= result["programs"] <= programs
    assert set(result["best"]["params"]) == {"width", "learning_rate", key}
    assert len({trial.params[key] for trial in where.outcome.trials}) == 4
    assert np.isfinite(result["test"]["value"])


def test_a_users_own_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "FACTORIES", {})
    wb.register_optimizer(
        "mine",
        lambda learning_rate, **kw: optax.chain(
            optax.scale_by_adam(**kw), optax.scale_by_learning_rate(learning_rate)
        ),
    )
    shape = "[model]\nwidth = 4\ndepth = 1"
    mine = wb.train(study(tmp_path, 'name = "mine"\nb1 = 0.7', shape), seeds=1)
    adam = wb.train(study(tmp_path, 'name = "adam"\nmomentum = 0.7', shape), seeds=1)
    np.testing.assert_allclose(mine.train_loss, adam.train_loss, rtol=1e-3)
    with pytest.raises(StudyError, match="unexpected keyword argument 'bb1'"):
        study(tmp_path, 'name = "mine"\nbb1 = 0.5')
