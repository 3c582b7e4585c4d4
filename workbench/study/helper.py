"""What a worker does for whoever leads a study: train lanes, on rows and under terms that come with them.

It knows the leader by what it is sent and nothing else: no study file, no data file, no journal, no test row.
All of it is bytes, and none of them are code: `terms` are JSON, rows and lanes are arrays. Killing it at any
moment loses nothing.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from workbench.core import plugins
from workbench.core.errors import InputError
from workbench.core.provenance import versions
from workbench.core.target_transform import Transform
from workbench.core.types import Examples, Fold, Pixels, Value
from workbench.nn.recipe import Hyperparameters
from workbench.study.config.checks import also_of
from workbench.study.config.reading import study_of
from workbench.training.devices import arithmetic
from workbench.training.engine import Engine
from workbench.tuning import jobs
from workbench.tuning.lane_plan import LanePlan
from workbench.tuning.space import Problem, Program, Variant

#: Studies whose programs and rows a worker keeps, the latest ones.
KEPT = 4


class Terms(NamedTuple):
    """What decides how the lanes of a study come out, beside their parameters and the rows."""

    text: str  # of the study
    path: str  # the name of its file
    metric: str
    rooms: Sequence[int]
    rules: int
    lanes: int
    versions: Mapping[str, str]
    arithmetic: str  # what computes
    plugins: Sequence[str]  # digests of the files

    def packed(self) -> bytes:
        """As bytes."""
        return json.dumps(self._asdict()).encode()


def pack_rows(variant: Variant, fold: Fold, problem: Problem) -> bytes:
    """The prepared rows of a variant, training and validation, as bytes."""
    head = [variant, problem, fold.transform.kind, fold.pixels is not None]
    arrays = [
        *fold.train,
        *fold.validation,
        fold.shift,
        fold.scale,
        fold.transform.knots,
        *(fold.pixels or ()),
    ]
    return jobs.pack_arrays(head, arrays)


def unpack_rows(content: bytes) -> tuple[Variant, Callable[[], tuple[Fold, Problem]]]:
    """The inverse of `pack_rows`: whose rows they are, and what makes arrays of them."""
    (variant, problem, kind, pixels), arrays = jobs.unpack_arrays(content)

    def made() -> tuple[Fold, Problem]:
        train, validation = (Examples(*(next(arrays) for _ in Examples._fields)) for _ in range(2))
        shift, scale, knots = (next(arrays) for _ in range(3))
        fold = Fold(
            train, validation, shift, scale, Transform(kind, knots), Pixels(*arrays) if pixels else None
        )
        task, inputs, *rest = problem
        return fold, Problem(task, tuple(inputs), *rest)

    return Variant(*variant), made


def trained(terms: bytes, content: bytes, rows: Sequence[bytes]) -> bytes:
    """Train packed parts; what they bring, packed.

    Args:
        terms: `Terms`, packed.
        content: As `jobs.pack` gives it.
        rows: As `pack_rows` gives them, of each variant that the parts need.

    Raises:
        InputError: where lanes would come out otherwise than the leader's.
    """
    trainer = _trainer(terms)
    trainer.learn(rows)
    return trainer.train(content)


class _Trainer:
    """Trains parts under a leader's terms."""

    def __init__(self, terms: Terms) -> None:
        here = {**versions(), "processor": arithmetic()}
        for what, wanted in {**terms.versions, "processor": terms.arithmetic}.items():
            if here[what] != wanted:
                raise InputError(
                    f"it has {what} {here[what]}, and the study is run with {wanted}: results could differ; "
                    "let it have the same"
                )
        if not set(terms.plugins) <= set(plugins.loaded.values()):
            raise InputError(
                "it lacks a --plugin file of the study, or has another one; start it with the same"
            )
        study = study_of(terms.text, Path(terms.path))
        self._rows: dict[Variant, tuple[Fold, Problem]] = {}
        self._lock = threading.Lock()
        self._plan = LanePlan(
            study.settings, lambda variant: self._rows[variant][1], terms.metric, tuple(terms.rooms),
            rules=terms.rules, also=also_of(study, terms.metric), stop_at=study.search.stop_at,
        )  # fmt: skip
        self._engine = Engine(
            lambda variant: self._rows[variant][0],
            capacity=self._plan.epochs, seed=study.seed, lanes=terms.lanes, also=self._plan.also,
        )  # fmt: skip

    def learn(self, rows: Sequence[bytes]) -> None:
        """Take up the rows of variants that are new."""
        for content in rows:
            variant, made = unpack_rows(content)
            with self._lock:
                if variant not in self._rows:
                    self._rows[variant] = made()

    def train(self, content: bytes) -> bytes:
        """What packed parts have brought, packed."""
        parts = jobs.unpack(content, self._setting, self._template)
        futures = [future for part in parts for future in jobs.submit(self._engine, part)]
        return jobs.pack_results([future.result() for future in futures])

    def _setting(
        self, number: int, params: Mapping[str, Value], division: int
    ) -> tuple[Program, Hyperparameters]:
        return self._plan.lane(params, number, division)

    def _template(self, program: Program, hyper: Hyperparameters) -> Any:
        return self._engine.template(program.recipe, hyper)


_lock = threading.Lock()
_trainers: OrderedDict[bytes, _Trainer] = OrderedDict()


def _trainer(terms: bytes) -> _Trainer:
    """The trainer for these terms, made if need be, while others wait."""
    with _lock:
        if terms not in _trainers:
            _trainers[terms] = _Trainer(Terms(**json.loads(terms)))
            while len(_trainers) > KEPT:
                _trainers.popitem(last=False)
        _trainers.move_to_end(terms)
        return _trainers[terms]
