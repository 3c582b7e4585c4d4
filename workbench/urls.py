"""Addresses of databases and servers: of which kind they are, and how to show them without passwords."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

__all__ = ["is_server", "kind", "reason", "redact"]

# Up to the last @ on the line, since a password may hold what should have been escaped: rather too much is
# hidden than too little. A second address on the line begins anew.
_PASSWORD = re.compile(r"(?<=://)([^/\s:]*):((?:(?!://).)*)@")
_SECRET = re.compile(r"(?i)([\w-]*(?:password|passwd|pwd|token|secret|api_key))=('[^']*'|[^&\s;]+)")
#: Characters of an error that are shown.
_LONGEST = 300


def kind(url: str) -> str:
    """What answers there: sqlite, postgresql, http …, without the driver; "" if it is no address."""
    scheme, separator, _ = url.partition("://")
    return scheme.partition("+")[0] if separator else ""


def is_server(url: str) -> bool:
    """Whether this is the address of an MLflow server, and not of a database."""
    return kind(url) in {"http", "https"}


def redact(text: str, *addresses: str) -> str:
    """An address, or any text that quotes some, with passwords and tokens replaced by ***.

    The passwords of `addresses` are replaced wherever they stand, also where only a part of one is quoted as
    an address: drivers do that to what they cannot parse.
    """
    text = _SECRET.sub(r"\1=***", _PASSWORD.sub(r"\1:***@", text))
    for password in (password for address in addresses for password in _passwords(address)):
        text = re.sub(rf"(?<!\w){re.escape(password)}(?!\w)", "***", text)
    return text


def reason(error: BaseException, *addresses: str) -> str:
    """What a driver says in its first line, without the SQL and without passwords; else the error's name."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return redact(lines[0].rstrip(". "), *addresses)[:_LONGEST] if lines else type(error).__name__


def _passwords(address: str) -> Iterator[str]:
    found = [match[2] for match in _PASSWORD.finditer(address)]
    found += [match[2].strip("'") for match in _SECRET.finditer(address)]
    for password in filter(None, found):
        yield password
        yield unquote(password)
