"""Addresses are shown without what would let anybody in."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.addresses import folder, is_server, kind, reason, redact, sqlite


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:pw@h:5/d", "postgresql://me:***@h:5/d"),
        ("postgresql+psycopg://me:p@w/1@h/d", "postgresql+psycopg://me:***@h/d"),
        ("postgresql://me:two words@h/d", "postgresql://me:***@h/d"),
        ("postgresql://me@corp:pw@h/d", "postgresql://me@corp:***@h/d"),
        ("postgresql://h/d?user=me&password=pw&x=1", "postgresql://h/d?user=me&password=***&x=1"),
        ("host=h password='two words' user=me", "host=h password=*** user=me"),
        ("http://:tok@h and http://a:b@c/", "http://:***@h and http://a:***@c/"),
        ("https://h:5000/x?access_token=t", "https://h:5000/x?access_token=***"),
        ("sqlite:////home/me/mlflow.db", "sqlite:////home/me/mlflow.db"),
        ("sqlite:////home/a:b@c/mlflow.db", "sqlite:////home/a:b@c/mlflow.db"),
        ("postgresql://me@h:5432/d", "postgresql://me@h:5432/d"),
        ('cannot connect to "postgresql://me:pw@h/d": no', 'cannot connect to "postgresql://me:***@h/d": no'),
        ("nothing to hide", "nothing to hide"),
        # a name alone is a token to a server of the web
        ("https://TOKEN@host/x", "https://***@host/x"),
        ("https://TOKEN:@host", "https://***:***@host"),
        ("https://ghp_1:x-oauth-basic@github.com/a", "https://***:***@github.com/a"),
        ("HTTPS://me:p%40w@h", "HTTPS://me:***@h"),
        ("git+https://tok@h/x and wss://tok@h", "git+https://***@h/x and wss://***@h"),
        ("postgresql://me%3Apw@h/d", "postgresql://***@h/d"),
        ("ssh://git@h/x, mail to a@b.com", "ssh://git@h/x, mail to a@b.com"),
        # queries and fragments, in any case and spelling
        *[
            (f"https://h/x?a=1&{name}=s3%2Bcret#b", f"https://h/x?a=1&{name}=***#b")
            for name in (
                *("sas", "sessionid", "PHPSESSID", "jsessionid", "cred", "webhook", "totp", "appkey", "pat"),
                *("client_assertion", "SAMLResponse", "code_verifier", "cookie", "csrf_token", "dbpass"),
                *("passcode", "passwort", "contraseña", "sign", "nonce"),
                "apikey",
                "api_key",
                "api-key",
                "API%5FKEY",
                "key",
                "KEY",
                "auth",
                "auth_token",
                "token",
                "access_token",
                "refresh-token",
                "private_token",
                "sig",
                "password",
                "passwd",
                "pwd",
                "pass",
                "secret",
                "client_secret",
                "X-Amz-Signature",
                "X-Amz-Credential",
                "X-Amz-Security-Token",
                "X-Goog-Signature",
                "AWSAccessKeyId",
                "jwt",
                "code",
                "sslpassword",
            )
        ],
        ("https://h/#access_token=abc&state=1", "https://h/#access_token=***&state=1"),
        ("https://h/?a=b&amp;token=x", "https://h/?a=b&amp;token=***"),
        ("http://h/?next=https%3A%2F%2Fa%3Ab%40c", "http://h/?next=***"),
        ("GET 'https://h?key=abc' failed", "GET 'https://h?key=***' failed"),
        ("https://h?subscription-key=abc&a=1", "https://h?subscription-key=***&a=1"),
        ("https://h/x?a=1&user_auth=abc", "https://h/x?a=1&user_auth=***"),
        ("https://h?ticket=abc", "https://h?ticket=***"),
        ("https://h?userKey=abc", "https://h?userKey=***"),
        # what drivers and clients dump
        ("{'password': 's3', 'host': 'h'}", "{'password': '***', 'host': 'h'}"),
        ('{"api_key":"s3", "x": 1}', '{"api_key":"***", "x": 1}'),
        ("host=h password='it\\'s two' user=me", "host=h password=*** user=me"),
        ("Authorization: Bearer abc.def", "Authorization: ***"),
        ("Cookie: session=abc", "Cookie: ***"),
        ("PRIVATE-TOKEN: abc", "PRIVATE-TOKEN: ***"),
        ("password = abc; host = h", "password = ***; host = h"),
        # without a scheme
        ("me:pw@h:5432/d", "me:***@h:5432/d"),
        ("//me:pw@h/d", "//me:***@h/d"),
        # and what is none
        ("at 12:30@noon: mail to a:b@c.com, state=1", "at 12:30@noon: mail to a:b@c.com, state=1"),
        ("[data] key=x, monkey=5, ?monkey=5", "[data] key=x, monkey=5, ?monkey=5"),
        ("password: is missing", "password: is missing"),
    ],
)
def test_passwords_are_not_shown(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize(
    "address", ["https://s3%2Bcret@h", "https://h/x?apikey=s3%2Bcret", "https://h#auth=s3%2Bcret"]
)
def test_tokens_that_a_client_quotes_in_other_words(address: str) -> None:
    assert redact("refused s3+cret, that is s3%2Bcret", address) == "refused ***, that is ***"


@pytest.mark.parametrize("password", ["s3cret", "p%40ss", "a@b:c/d", "two words", "***"])
def test_parts_of_an_address_that_a_driver_quotes(password: str) -> None:
    address = f"postgresql://me:{password}@h/d"
    said = redact(f'invalid port number: "{password}", FATAL for "me"', address)
    assert said == 'invalid port number: "***", FATAL for "me"'


@given(st.text(st.characters(exclude_characters="\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), min_size=1))
def test_any_password_on_one_line(password: str) -> None:
    if "://" not in f"{password}@":
        assert redact(f"postgresql://me:{password}@host/d") == "postgresql://me:***@host/d"


@given(st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1))
def test_the_address_of_a_file_of_any_name(name: str) -> None:
    path = Path("/home") / name / "x.db"
    address = sqlite(path)
    assert sa.make_url(address).database == str(path)
    assert address.format() == address  # as Optuna fills it in
    assert kind(address) == "sqlite"
    place = folder(path)  # as MLflow reads it
    assert url2pathname(urlsplit(place).path if place.startswith("file:") else place) == str(path)


@pytest.mark.parametrize(
    ("url", "what"),
    [("sqlite:///x.db", "sqlite"), ("postgresql+psycopg://h", "postgresql"), ("./mlruns", ""), ("http", "")],
)
def test_kinds(url: str, what: str) -> None:
    assert kind(url) == what
    assert not is_server(url)
    assert is_server("https://h")


def test_reasons_are_one_line() -> None:
    error = RuntimeError("cannot reach\nhint: try again")
    assert reason(error) == "cannot reach"
    assert reason(OSError()) == "OSError"
    error.orig = ValueError("no route to me:pw.")  # type: ignore[attr-defined]  # as SQLAlchemy wraps errors
    assert reason(error, "postgresql://me:pw@h/d") == "no route to me:***"
    assert len(reason(RuntimeError("x" * 1000))) == 300
