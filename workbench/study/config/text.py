"""A study as the text of a study file: what a varied study is recorded as."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from workbench.core.formatting import toml
from workbench.core.types import Choice, DataSpec, Range
from workbench.study.config.kinds import Numbers
from workbench.study.config.schema import RULE, SETTINGS, where

if TYPE_CHECKING:
    from workbench.study.config.study import Study


#: Of the data: what no key says, what comes first, and what comes last.
_APART = ("folder", "seed", "split_rule", "source", "split")


def dump(study: Study) -> str:
    """TOML that reads back as the same study. Settings at their defaults are left out."""
    plain = DataSpec(source="")
    data: dict[str, Any] = {"source": study.data.source}
    for key in (field.name for field in fields(DataSpec) if field.name not in _APART):
        value = getattr(study.data, key)
        if value != getattr(plain, key):
            data[key] = value
    data["split"] = study.data.split._asdict()
    tables: dict[str, dict[str, Any]] = {"data": data}
    for key, value in study.settings.items():
        if value != where(key).default:
            *path, last = where(key).path
            table = tables
            for step in path:
                table = table.setdefault(step, {})
            table[last] = written(key, value)
    stopping = tables.get("regularization", {}).get("early_stopping")
    if stopping is not None:
        stopping.setdefault("patience", study.settings["patience"])
    search = study.search
    tables["search"] = {key: getattr(search, key) for key in ("trials", "sampler", "pruner", "seeds")}
    if search.parallel is not None:
        tables["search"]["parallel"] = search.parallel
    if search.stop != "none":
        tables["search"]["stop"] = search.stop
    if study.metric is not None:
        tables.setdefault("select", {})["metric"] = study.metric
    more = {"refit": (study.refit, False), "rule": (study.rule, RULE)}
    more["smallest_gain"] = (study.smallest_gain, None)
    for key, (value, plain_value) in more.items():
        if value != plain_value:
            tables.setdefault("select", {})[key] = value
    lines = [f"name = {toml(study.name)}", f"question = {toml(study.question)}", f"seed = {study.seed}"]
    for section, table in tables.items():
        lines += ["", f"[{section}]", *(f"{key} = {toml(value)}" for key, value in table.items())]
    return "\n".join(lines) + "\n"


def written(key: str, value: Any) -> Any:
    """A flat setting's value as a study file holds it: axes and lists as such, the whole batch as "all"."""
    kind = SETTINGS[key].kind if key in SETTINGS else None
    words = getattr(kind, "words", {})
    names = {number: word for word, number in words.items()}
    if isinstance(value, Range):
        parts = {"low": value.low, "high": value.high}
        return (
            parts
            | ({"log": True} if value.log else {})
            | ({} if value.step is None else {"step": value.step})
        )
    if isinstance(value, Choice):
        return {"choices": [written(key, item) for item in value.choices]}
    if isinstance(value, Mapping):
        return {str(part): written(key, item) if part == "choices" else item for part, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [written(key, item) for item in value]
    if isinstance(kind, Numbers) and isinstance(value, str):
        return [float(number) for number in value.split()]
    return names[value] if type(value) is int and value in names else value
