"""Addresses of databases, servers and pages: of which kind they are, and how to show them without secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlencode

HIDDEN = "***"
#: The view of an experiment that `workbench ui` opens; that of a study's trials is named by its id.
VIEW = "workbench"
#: A tag of one of MLflow's experiments that holds a view begins so.
SHARED = "mlflow.sharedViewState."
# Up to the last @ on the line, since a password may hold what should have been escaped: rather too much is
# hidden than too little. A second address on the line begins anew.
_PASSWORD = re.compile(r"(?<=://)([^/\s:]*):((?:(?!://).)*)@")
# A name without a password, or with one that is none, is a token to a server of the web. To a database it is
# the user's, unless it holds an escaped colon.
_TOKEN = re.compile(r"(?i)(?<!\w)([a-z][a-z\d+.-]*)://([^/\s:@?#]+)(:\*\*\*)?@")
_USERS = frozenset({"postgresql", "postgres", "mysql", "mariadb", "mssql", "oracle", "sqlite", "ssh", "sftp"})
#: What stands for a password where the name is the token: https://TOKEN:x-oauth-basic@github.com
_NO_PASSWORD = frozenset({"", "x-oauth-basic"})
# NAME=VALUE and NAME: VALUE, wherever they stand: in queries, fragments, conninfo strings, headers, JSON.
_VALUE = r"""'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|(?:(?:bearer|basic|token)\s+)?[^&\s;#'"<>]+"""
_PAIR = re.compile(
    rf"""(?ix) (?P<before> [?&;#] | %3f | %26 | (?<![\w%.-]) )
    (?P<name> (?P<quote>["']?) [\w.%\[\]-]+ (?P=quote) ) (?P<is> \s*=\s* | %3d | \s*:\s+ | (?<=["']):)
    (?P<value> {_VALUE} )"""
)
#: Names of secrets, in lower case and without -, _ and the like: these wherever they stand within a name …
_SECRETS = (
    "password", "passwd", "passphrase", "pwd", "token", "secret", "apikey", "accesskey", "privatekey",
    "authkey", "signature", "credential", "authorization", "sharedkey", "accountkey", "passcode",
    "passwort", "kennwort", "contrase", "senha", "motdepasse", "sessionid", "sessid", "cookie", "assertion",
    "samlre", "csrf", "xsrf", "verifier", "appkey", "webhook",
)  # fmt: skip
#: … and these as a whole name, in the query or fragment of an address.
_IN_QUERIES = frozenset(
    {
        "sig",
        "hmac",
        "pass",
        "pw",
        "pin",
        "jwt",
        "tok",
        "bearer",
        "code",
        "session",
        "sid",
        "ticket",
        "k",
        "otp",
        "totp",
        "sas",
        "sign",
        "cred",
        "creds",
        "pat",
        "nonce",
        "saml",
    }
)
#: … and there, alone or behind other words.
_LAST_WORD = re.compile(r"(?:^|[\W_])(?i:key|auth)$|[a-z](?:Key|Auth)$|(?i:pass)$")
#: Names of headers, or their ends.
_HEADERS = ("authorization", "apikey", "privatetoken", "cookie")
# What somebody wrote without a scheme: user:password@host:5432/name.
_BARE = re.compile(r"(?<![\w:/@.])((?://)?[\w.+%-]+):([^\s@/]+)@(?=[\w.\[-]+(?::\d|/))")
#: What a path may hold and an address would take for something else; Optuna fills in braces.
_ESCAPED = {ord(character): f"%{ord(character):02X}" for character in "%?#{}"}
#: Characters of an error that are shown.
_LONGEST = 300


def kind(url: str) -> str:
    """What answers there: sqlite, postgresql, http …, without the driver; "" if it is no address."""
    scheme, separator, _ = url.partition("://")
    return scheme.partition("+")[0] if separator else ""


def sqlite(file: Path) -> str:
    """The address of a database in a file, whatever the file is called."""
    path = file.absolute().as_posix()
    escaped = path.translate(_ESCAPED)
    # MLflow makes the folder that follows `sqlite:///` without decoding it; with a driver it makes none.
    return f"sqlite:///{path}" if escaped == path else f"sqlite+pysqlite:///{escaped}"


def folder(path: Path) -> str:
    """A folder as MLflow takes one: it decodes whatever it is given, plain paths as well."""
    plain = str(path.absolute())
    return plain if plain.translate(_ESCAPED) == plain and os.sep == "/" else Path(plain).as_uri()


def is_server(url: str) -> bool:
    """Whether this is the address of an MLflow server, and not of a database."""
    return kind(url) in {"http", "https"}


def page(experiment: str = "", view: str | None = None) -> str:
    """A page of MLflow's UI below the server's address, in its mode for training; of itself it has another.

    Args:
        experiment: its id; by default the page lists all of them.
        view: `VIEW`, or a study's id; by default the runs are shown as MLflow shows them.
    """
    query = {"viewStateShareKey": view} if view else {}
    path = f"/{experiment}/runs" if experiment else ""
    return f"#/experiments{path}?{urlencode({**query, 'workflowType': 'machine_learning'})}"


def redact(text: str, *addresses: str) -> str:
    """An address, or any text that quotes some, with passwords and tokens replaced by ***.

    The passwords of `addresses` are replaced wherever they stand, also where only a part of one is quoted as
    an address: drivers do that to what they cannot parse.
    """
    text = _BARE.sub(_without_password, _PASSWORD.sub(_without_password, text))
    text = _PAIR.sub(_without_value, _TOKEN.sub(_without_token, text))
    for secret in sorted({one for address in addresses for one in _secrets(address)}, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", HIDDEN, text)
    return text


def reason(error: BaseException, *addresses: str) -> str:
    """What a driver says in its first line, without the SQL and without passwords; else the error's name."""
    lines = str(getattr(error, "orig", None) or error).strip().splitlines()
    return redact(lines[0].rstrip(". "), *addresses)[:_LONGEST] if lines else type(error).__name__


def _without_password(found: re.Match[str]) -> str:
    user = HIDDEN if found[2].lower() in _NO_PASSWORD and found[1] else found[1]
    return f"{user}:{HIDDEN}@"


def _without_token(found: re.Match[str]) -> str:
    return f"{found[1]}://{HIDDEN}@" if _is_token(found) else found[0]


def _is_token(found: re.Match[str]) -> bool:
    if found[3]:  # its password is hidden already
        return False
    return found[1].lower().partition("+")[0] not in _USERS or "%3a" in found[2].lower()


def _without_value(found: re.Match[str]) -> str:
    value = found["value"]
    if not _is_secret(found) and redact(unquote(value)) == unquote(value):
        return found[0]
    quote = value[0] if value[0] in "\"'" and found["is"].strip() != "=" else ""
    return f"{found['before']}{found['name']}{found['is']}{quote}{HIDDEN}{quote}"


def _is_secret(found: re.Match[str]) -> bool:
    plain = unquote(found["name"])
    name = re.sub(r"[\W_]", "", plain).lower()
    if name in _IN_QUERIES or (_LAST_WORD.search(plain) and found["before"]):
        return bool(found["before"]) and found["is"].strip() in {"=", "%3D", "%3d"}
    if "=" not in found["is"] and found["is"].lower() != "%3d" and not found["quote"]:
        return name.endswith(_HEADERS)  # a header; prose has colons as well
    return any(word in name for word in _SECRETS)


def _secrets(address: str) -> Iterator[str]:
    found = [match[2] for pattern in (_PASSWORD, _BARE) for match in pattern.finditer(address)]
    found += [match[1] for match in _PASSWORD.finditer(address) if match[2].lower() in _NO_PASSWORD]
    found += [match[2] for match in _TOKEN.finditer(address) if _is_token(match)]
    found += [match["value"].strip("'\"") for match in _PAIR.finditer(address) if _is_secret(match)]
    for secret in filter(None, found):
        yield secret
        yield unquote(secret)
