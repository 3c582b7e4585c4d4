"""A study: the validated file, frozen, and what it is known by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from workbench.core.conditions import axes
from workbench.core.errors import DataError
from workbench.core.formatting import toml
from workbench.core.types import Axis, DataSpec, SearchSpec, Settings
from workbench.study.config.schema import RULE, DataTable, where
from workbench.study.contents import contents

#: How long a search goes on; a study may be given more of it and stay the same.
_BUDGET = ("trials", "stop", "timeout")


@dataclass(frozen=True, repr=False)
class Study:
    """What a study file says, defaults filled in.

    Args:
        name: Of the study; its records begin with it.
        question: What it is to answer, in words.
        seed: Of training and search.
        data: Where the rows come from and how they are divided.
        settings: Every searchable key under its flat name, fixed or an axis; those of the
            file first, in its order.
        search: Its budget, and who suggests and prunes.
        metric: None: accuracy for classes, rmse for numbers.
        path: Of the file.
        text: Of the file, or of what it was varied to.
        refit: Whether the choice is trained once more, on training and validation rows.
        rule: By which the choice is made.
        average: Whether the average of the networks of all seeds may be delivered.
        calibrate: Whether the probabilities of the choice are calibrated on validation rows.
        also: Metrics that are recorded beside the one that decides.
        smallest_gain: Over the default configuration, that would count; in units of the metric.
        kept_as: The id of its records, where `identity` has looked it up.
    """

    name: str
    question: str
    seed: int
    data: DataSpec
    settings: Settings
    search: SearchSpec
    metric: str | None
    path: Path
    text: str
    refit: bool = False
    average: bool = True
    calibrate: bool = False
    rule: str = RULE
    smallest_gain: float | None = None
    also: tuple[str, ...] = ()
    kept_as: str = ""

    def __repr__(self) -> str:
        axes = ", ".join(self.axes) or "no axes"
        return f"Study({self.name!r}, {self.data.source!r}, {self.search.trials} trials over {axes})"

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the text's meaning: not of the question, comments, order of keys or budget.

        What stands at its default leaves no trace, so a study keeps its fingerprint when new keys come up.
        Nor does what no key of `[data]` says: where the data are, and what is decided when a study begins.
        """
        plain, search = asdict(DataSpec(source="")), asdict(self.search)
        meaning: dict[str, Any] = {
            "name": self.name,
            "seed": self.seed,
            "metric": self.metric,
            "data": {
                key: value
                for key, value in asdict(self.data).items()
                if key in DataTable.model_fields and value != plain[key]
            },
            "settings": {
                key: toml(value) for key, value in self.settings.items() if value != where(key).default
            },
            "search": {k: v for k, v in search.items() if k not in _BUDGET and v is not None},
        }
        meaning |= {"refit": True} if self.refit else {}
        meaning |= {} if self.average else {"average": False}
        meaning |= {"calibrate": True} if self.calibrate else {}
        meaning |= {"rule": self.rule} if self.rule != RULE else {}
        meaning |= {"also": self.also} if self.also else {}
        return _digest(meaning)

    @property
    def declaration(self) -> str:
        """SHA-256 of what the study says beforehand of its answer: question, rule and smallest gain."""
        return _digest({key: getattr(self, key) for key in ("question", "rule", "smallest_gain")})

    @property
    def id(self) -> str:
        """The name and eight digits that stand for text and data; safe as the name of a folder.

        While a file of its data cannot be read, a study has the id of its text, and nothing runs under that.
        """
        try:
            return self.kept_as or self.id_with(contents(self.data).digests)
        except DataError:
            return self.id_with({})

    def id_with(self, digests: Mapping[str, str]) -> str:
        """The id with files of this content; without files, the text says what the data are."""
        parts = (self.fingerprint, *digests.values())
        whole = hashlib.sha256("".join(parts).encode()).hexdigest() if digests else self.fingerprint
        return f"{self.name}-{whole[:8]}"

    @property
    def axes(self) -> dict[str, Axis]:
        """The settings that are searched, in the order of the file; none that never takes part."""
        return axes(self.settings)


def _digest(meaning: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(meaning, sort_keys=True).encode()).hexdigest()
