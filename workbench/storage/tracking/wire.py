"""Messages between the process that trains and the process that logs: one JSON object a line.

Trials travel as `records` writes them, so NaN and infinity arrive as they left. Nothing is pickled.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from workbench.storage.tracking.rows import Parent


def pack(message: Mapping[str, Any]) -> bytes:
    """One line."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def unpack(line: bytes) -> dict[str, Any]:
    """The message of one line."""
    message: dict[str, Any] = json.loads(line)
    return message


def encode_parent(parent: Parent) -> dict[str, Any]:
    """A parent as plain data."""
    plain = {f.name: getattr(parent, f.name) for f in dataclasses.fields(parent)}
    return {**plain, "params": dict(parent.params), "tags": dict(parent.tags)}


def decode_parent(plain: Mapping[str, Any]) -> Parent:
    """The inverse of `encode_parent`."""
    return Parent(**plain)
