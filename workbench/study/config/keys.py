"""Every key of a study file as `workbench keys` tells it, drawn from the schema."""

from __future__ import annotations

from typing import Any

from workbench.core import plugins
from workbench.core.formatting import toml
from workbench.study.config.schema import KEYS, Key
from workbench.study.config.text import written


def keys() -> list[dict[str, Any]]:
    """One object a key, in the order of the file.

    Returns:
        section and key as they are written (the section of `name` is empty); `holds` in words; the axes that
        it may be, of range and choices; whether it is required where its table is written; its default as a
        file would say it, None if there is none; and its meaning.
    """
    plugins.load_installed()
    return [_told(key) for key in KEYS.values()]


def _told(key: Key) -> dict[str, Any]:
    section, name = (key.path[0], ".".join(key.path[1:])) if len(key.path) > 1 else ("", key.path[0])
    default = written(name, key.default) if key.kind.axis else key.default
    return {
        "section": section,
        "key": name,
        "holds": key.kind.expected,
        "axis": [axis for axis, may in (("range", key.kind.range), ("choices", key.kind.axis)) if may],
        "required": key.required,
        "default": None if default is None else toml(default),
        "meaning": key.meaning,
    }
