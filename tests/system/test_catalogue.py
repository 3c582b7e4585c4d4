"""The whole catalogue from study files.

Every setting is an axis; every family, loss, optimizer, schedule, initializer and activation trains in a
search.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import workbench as wb
from workbench.core import vocabulary
from workbench.core.types import Array, Choice, Range
from workbench.storage import outcomes
from workbench.study.config.schema import SETTINGS

#: Settings that are the same for all trials of a study: their rungs, and what they are judged by.
FIXED = {"epochs", "quantile"}
#: An axis of every number, where it may lie.
RANGES: dict[str, tuple[float, float]] = {
    "degree": (1, 2), "depth": (1, 3), "width": (2, 6), "init_scale": (0.01, 0.5), "blocks": (1, 2),
    "kernel": (2, 3), "channels": (2, 3), "residual_blocks": (0, 2), "ensemble": (1, 2), "members": (2, 3),
    "frequencies": (2, 4), "shift": (0, 2), "flip": (0.0, 1.0), "ema": (0.0, 0.99),
    "sigma": (0.05, 0.5), "taper": (0.5, 1.0), "learning_rate": (1e-3, 1e-2),
    "momentum": (0.0, 0.9), "beta2": (0.9, 0.99), "warmup": (0.0, 1.0), "clip": (0.5, 5.0), "l1": (0.0, 1e-3),
    "l2": (0.0, 1e-3), "weight_decay": (0.0, 1e-2), "dropout": (0.0, 0.4), "label_smoothing": (0.0, 0.1),
    "final": (0.0, 0.5), "power": (1.0, 2.0), "pct_start": (0.2, 0.4), "div_factor": (2.0, 25.0),
    "final_div_factor": (2.0, 1e3), "patience": (1, 3),
    "min_delta": (0.0, 1e-3), "batch_size": (8, 16), "threshold": (0.3, 0.7),
}  # fmt: skip
#: Lists of the schedule, and numbers without ranges: what they may be.
LISTS: dict[str, tuple[str | int | bool, ...]] = {
    "boundaries": ("1", "0.5 1.5"), "widths": ("6 4", "3 5 2"), "scales": ("0.5", "0.1"), "bins": (3, 8),
}  # fmt: skip
SEARCHED = sorted(set(SETTINGS) - FIXED)


def axis(key: str) -> Choice | Range:
    """All words, or a range of numbers; of the optimizers those that share a program."""
    kind = SETTINGS[key].kind
    if key in LISTS or kind.type is bool:
        return Choice(LISTS.get(key, (False, True)))
    if key == "optimizer":
        return Choice(tuple(vocabulary.OPTIMIZERS))
    if kind.word:
        return Choice((*kind.word.extra, *kind.word.known))
    low, high = RANGES[key]
    return Range(low, high, integer=kind.type is int)


def study(folder: Path, text: str, **axes: Any) -> wb.Study:
    (folder / "walk.toml").write_text(text)
    return wb.vary(wb.read_study(folder / "walk.toml"), **axes)


@pytest.mark.parametrize("key", SEARCHED)
def test_every_setting_may_be_an_axis(key: str, tmp_path: Path) -> None:
    """As a study file says it: the text of the variation is read again."""
    base = 'name = "walk"\n[data]\nsource = "wine"\n[model]\nfamily = "softmax"\n'
    beside = {"boundaries": "1"} if key == "scales" else {}
    searched = study(tmp_path, base, **{key: axis(key)}, **beside)
    (tmp_path / "again.toml").write_text(searched.text)
    assert dict(wb.read_study(tmp_path / "again.toml").axes) == {key: axis(key)}


def walked(folder: Path, data: str, trials: int, **axes: Any) -> dict[str, set[Any]]:
    """What the trials of a random search took of each axis; all of them trained."""
    text = (
        f'name = "walk"\n[data]\n{data}\n[model]\nwidth = 4\n[training]\nepochs = 2\n'
        f'[search]\ntrials = {trials}\nsampler = "random"\npruner = "none"\nseeds = 1\n'
    )
    it, locations = study(folder, text, **axes), wb.resolve(home=str(folder / "home"))
    result = wb.run(it, locations)
    outcome = outcomes.load(locations.study(it.id))
    assert outcome is not None
    assert result["trials"]["total"] == trials
    assert {trial.reason for trial in outcome.trials} <= {"finished", "early stopped"}
    assert np.isfinite(result["test"]["value"])
    return {key: {trial.params[key] for trial in outcome.trials} for key in axes}


@pytest.mark.slow
def test_optimizers_schedules_and_initializers_of_one_program(tmp_path: Path) -> None:
    names = {key: axis(key) for key in ("optimizer", "schedule", "activation")}
    names["initializer"] = Choice(tuple(name for name in vocabulary.INITIALIZERS if name != "zeros"))
    taken = walked(
        tmp_path, 'source = "wine"', 80, **names, clip=axis("clip"), l1=axis("l1"), momentum=axis("momentum")
    )
    assert taken["optimizer"] == set(vocabulary.OPTIMIZERS)
    assert taken["schedule"] == set(vocabulary.SCHEDULES)
    assert taken["activation"] == set(vocabulary.ACTIVATIONS)
    assert taken["initializer"] == set(vocabulary.INITIALIZERS) - {"zeros"}


def archive(folder: Path, x: Array, y: Array, **more: Array) -> str:
    np.savez(folder / "rows.npz", **{"x": x, "y": y} | more)  # type: ignore[arg-type]
    return 'source = "rows.npz"'


ROWS = 80
DRAW = np.random.default_rng(2)
CODES = np.arange(ROWS) % 2
SEQUENCES = DRAW.normal(size=(ROWS, 5, 2)).astype(np.float32) + CODES[:, None, None]
IMAGES = (DRAW.normal(size=(ROWS, 8, 8, 2)) + CODES[:, None, None, None]).astype(np.float32)
LENGTHS = {"lengths": DRAW.integers(2, 6, ROWS)}


@pytest.mark.slow
@pytest.mark.parametrize("task", ["classification", "binary", "regression"])
def test_families_and_losses_of_rows(task: str, tmp_path: Path) -> None:
    source = {"classification": "wine", "binary": "breast_cancer", "regression": "diabetes"}[task]
    tasks = {task, "classification"} if task == "binary" else {task}
    families = [n for n, f in vocabulary.FAMILIES.items() if 1 in f.ranks and tasks & set(f.tasks)]
    losses = ("auto", *(name for name, of in vocabulary.LOSSES.items() if of == (task,)))
    if task == "binary":
        families.remove("softmax")  # which has two logits, not the one that these losses take
    taken = walked(tmp_path, f'source = "{source}"', 24, family=Choice(tuple(families)), loss=Choice(losses))
    assert taken["family"] == set(families)
    assert taken["loss"] == set(losses)


@pytest.mark.slow
@pytest.mark.parametrize("output", ["last", "each"])
def test_families_of_sequences(output: str, tmp_path: Path) -> None:
    y = CODES if output == "last" else np.repeat(CODES[:, None], 5, axis=1)
    data, axes = archive(tmp_path, SEQUENCES, y, **LENGTHS), {k: axis(k) for k in ("width", "dropout")}
    families = {
        n for n, f in vocabulary.FAMILIES.items() if 2 in f.ranks and (output == "last" or n != "cnn")
    }
    taken = walked(
        tmp_path, data, 24, family=Choice(tuple(sorted(families))), output=Choice((output,)),
        bidirectional=axis("bidirectional"), global_pooling=axis("global_pooling"), **axes,
    )  # fmt: skip
    assert taken["family"] == families
    assert taken["bidirectional"] == {False, True}


@pytest.mark.slow
def test_settings_of_images(tmp_path: Path) -> None:
    shape = ("blocks", "kernel", "channels", "pooling", "padding", "global_pooling", "residual_blocks")
    keys = (*shape, "ensemble", *vocabulary.AUGMENTATIONS)
    taken = walked(
        tmp_path, archive(tmp_path, IMAGES, CODES), 8, family=Choice(("cnn",)), **{k: axis(k) for k in keys}
    )
    assert taken["pooling"] == set(vocabulary.POOLINGS)
    assert taken["padding"] == set(vocabulary.PADDINGS)
