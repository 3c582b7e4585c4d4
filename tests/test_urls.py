"""Addresses are shown without what would let anybody in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.urls import is_server, kind, reason, redact


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
    ],
)
def test_passwords_are_not_shown(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown


@pytest.mark.parametrize("password", ["s3cret", "p%40ss", "a@b:c/d", "two words", "***"])
def test_parts_of_an_address_that_a_driver_quotes(password: str) -> None:
    address = f"postgresql://me:{password}@h/d"
    said = redact(f'invalid port number: "{password}", FATAL for "me"', address)
    assert said == 'invalid port number: "***", FATAL for "me"'


@given(st.text(st.characters(exclude_characters="\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), min_size=1))
def test_any_password_on_one_line(password: str) -> None:
    if "://" not in f"{password}@":
        assert redact(f"postgresql://me:{password}@host/d") == "postgresql://me:***@host/d"


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
