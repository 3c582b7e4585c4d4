"""What a worker does with the bytes that it is sent: the same as the leader would, or nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from tests.helpers.end_to_end import SMALL
from workbench import data
from workbench.core.errors import InputError
from workbench.core.provenance import versions
from workbench.study import helper
from workbench.study.config import Study, metric_of, vary
from workbench.study.config.reading import study_of
from workbench.study.helper import Terms, pack_rows, trained, unpack_rows
from workbench.study.preparations import Preparations
from workbench.study.workspace import first_plan
from workbench.training.costs import COSTS
from workbench.training.devices import arithmetic
from workbench.training.engine import Engine
from workbench.tuning import jobs
from workbench.tuning.jobs import Member, Part
from workbench.tuning.space import default

WINE = study_of(SMALL, Path("small.toml"))
REGRESSION = """\
name = "lines"
seed = 3
[data]
source = "rows.npz"
folds  = 2
scale  = { choices = ["quantile", "minmax"] }
target_transform = "quantile"
[model]
family = "linear"
[training]
epochs = 6
[search]
trials = 2
"""
IMAGES = """\
name = "images"
[data]
source = "images.npz"
[model]
family   = "cnn"
blocks   = 1
channels = 2
width    = 4
[training]
epochs = 2
[search]
trials = 1
"""


def wine(folder: Path) -> Study:
    return WINE


def lines(folder: Path) -> Study:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(120, 3)).astype(np.float32)
    np.savez(folder / "rows.npz", x=x, y=np.exp(x.sum(axis=1)))
    return study_of(REGRESSION, folder / "lines.toml")


def images(folder: Path) -> Study:
    draw = np.random.default_rng(0)
    np.savez(
        folder / "images.npz",
        x=draw.integers(0, 256, (90, 6, 6, 1)).astype(np.uint8), y=draw.integers(0, 3, 90),
    )  # fmt: skip
    return study_of(IMAGES, folder / "images.toml")


class Leader:
    """What a leader has of a study."""

    def __init__(self, study: Study) -> None:
        self.study = study
        dataset, self.sealed = data.load(study.data)
        self.preparations = Preparations(dataset)
        self.plan = first_plan(study, self.preparations, COSTS["cpu"])
        self.engine = Engine(self.preparations.compact, capacity=self.plan.epochs, seed=study.seed)
        self.terms = Terms(
            text=study.text, path=str(study.path), metric=metric_of(study, dataset.task),
            rooms=self.plan.widths, rules=self.plan.rules, lanes=1, versions=versions(),
            arithmetic=arithmetic(), plugins=[],
        )  # fmt: skip

    def part(self, **changes: Any) -> Part:
        params = {**default(self.study.axes), **changes}
        divisions = range(1, self.study.data.folds + 1) or (0,)
        lanes = [self.plan.lane(params, 7, division) for division in divisions]
        return Part(tuple(Member(7, params, *lane, None) for lane in lanes), 0, self.plan.epochs, final=True)

    def rows(self, part: Part) -> list[bytes]:
        variants = [member.program.variant for member in part.members]
        return [
            pack_rows(one, self.preparations.compact(one), self.preparations.problem(one)) for one in variants
        ]


@pytest.mark.parametrize("made", [wine, lines, images])
def test_a_worker_trains_what_the_leader_would(made: Callable[[Path], Study], tmp_path: Path) -> None:
    leader = Leader(made(tmp_path))
    part = leader.part()
    mine = [future.result() for future in jobs.submit(leader.engine, part)]
    for path in tmp_path.iterdir():
        path.unlink()  # a worker has no file of the study's
    packed = trained(leader.terms.packed(), jobs.pack([part]), leader.rows(part))
    template = lambda program, hyper: leader.engine.template(program.recipe, hyper)  # noqa: E731
    theirs = jobs.unpack_results(packed, part.members, template)
    for a, b in zip(mine, theirs, strict=True):
        assert (a.status, a.score, a.best_epoch) == (b.status, b.score, b.best_epoch)
        for one, other in zip(
            jax.tree.leaves((a.curves, a.block)), jax.tree.leaves((b.curves, b.block)), strict=True
        ):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("made", [wine, lines, images])
def test_rows_to_bytes_and_back(made: Callable[[Path], Study], tmp_path: Path) -> None:
    leader = Leader(made(tmp_path))
    part = leader.part()
    for packed, member in zip(leader.rows(part), part.members, strict=True):
        whose, arrays = unpack_rows(packed)
        fold, problem = arrays()
        kept = leader.preparations.compact(member.program.variant)
        assert whose == member.program.variant
        assert problem == leader.preparations.problem(whose)
        assert fold.transform.kind == kept.transform.kind
        leaves = [
            [*f.train, *f.validation, f.shift, f.scale, f.transform.knots, *(f.pixels or ())]
            for f in (fold, kept)
        ]
        for one, other in zip(*leaves, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)
        rows = len(fold.train.x) + len(fold.validation.x)
        assert rows <= 2 + sum(
            len(at) for at in (leader.preparations.dataset.train, leader.preparations.dataset.validation)
        )
        assert leader.sealed.rows > 2, "and the sealed ones are not among them"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"versions": {**versions(), "jax": "0.0.1"}}, r"it has jax [\d.]+, and the study is run with 0.0.1"),
        (
            {"arithmetic": "abacus"},
            r"it has processor .*, and the study is run with abacus: results could differ",
        ),
        ({"plugins": ["0" * 64]}, "it lacks a --plugin file of the study, or has another one"),
        ({"text": SMALL.replace('"mlp"', '"sines"')}, '"sines"'),
    ],
)
def test_what_would_come_out_otherwise_is_refused(
    change: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    leader = Leader(WINE)
    part = leader.part()
    with pytest.raises(InputError, match=sentence):
        trained(leader.terms._replace(**change).packed(), jobs.pack([part]), leader.rows(part))


def test_a_worker_serves_several_studies_and_keeps_the_last() -> None:
    helper._trainers.clear()
    for seed in range(helper.KEPT + 2):
        leader = Leader(vary(WINE, seed=seed, epochs=2, width=4, depth=1))
        part = leader.part()
        assert trained(leader.terms.packed(), jobs.pack([part]), leader.rows(part))
    assert len(helper._trainers) == helper.KEPT
