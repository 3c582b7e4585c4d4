"""The encoding of a text file: what the study says, a mark at its beginning, UTF-8, or a guess that is told.

A file that is mostly UTF-8 is refused where it is not: a guess would have one byte change how all others are
read.
"""

from __future__ import annotations

import codecs

from workbench.core.errors import DataError
from workbench.core.formatting import toml

#: Byte order marks; the longer ones first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: Encodings without a mark that are tried where a file is not UTF-8; the last one takes every byte.
_GUESSES = ("cp1252", "latin-1")


def marked(start: bytes, suffix: str = "") -> str | None:
    """The encoding that the first bytes of a file show, if it is not UTF-8."""
    for mark, encoding in _MARKS:
        if start.startswith(mark):
            return None if encoding == "utf-8-sig" else encoding
    even, odd = start[0:200:2], start[1:200:2]
    if len(odd) > 2 and odd.count(0) > 0.8 * len(odd) and not even.count(0):
        return "utf-16-le"
    if len(even) > 2 and even.count(0) > 0.8 * len(even) and not odd.count(0):
        return "utf-16-be"
    return None


def recoded(content: bytes, encoding: str, name: str) -> bytes:
    """The text of a file in UTF-8. Raises DataError."""
    try:
        text = content.decode(encoding)
    except LookupError:
        raise DataError(
            f"{name}: [data] encoding = {toml(encoding)} is no encoding of text; write such as "
            '"cp1252", "latin-1" or "utf-16"'
        ) from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{name}: is not {encoding} text (byte 0x{content[error.start]:02x} in line {line}); write "
            "another [data] encoding"
        ) from None
    except (UnicodeError, ValueError) as error:
        raise DataError(f"{name}: is not {encoding} text ({error}); write another [data] encoding") from None
    except TypeError:  # a codec of bytes, such as base64
        raise DataError(f"{name}: [data] encoding = {toml(encoding)} is no encoding of text") from None
    return text.removeprefix("\ufeff").encode("utf-8", "surrogatepass")


def guessed(content: bytes, name: str) -> tuple[bytes, str]:
    """The text of a file that is not UTF-8, in UTF-8, and the encoding it was taken for. Raises DataError."""
    text = content.decode("utf-8", "surrogateescape")
    strange = sum("\udc80" <= letter <= "\udcff" for letter in text)
    if sum(letter > "\x7f" for letter in text) - strange >= strange or b"\x00" in content:
        raise not_utf8(content, name)
    for encoding in _GUESSES:
        try:
            return content.decode(encoding).encode(), encoding
        except UnicodeDecodeError:
            continue
    raise not_utf8(content, name)


def not_utf8(content: bytes, name: str) -> DataError:
    """The sentence for bytes that are no text."""
    place = ""
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        place = f" (byte 0x{content[error.start]:02x} in line {line})"
    return DataError(f"{name}: is not UTF-8 text{place}; save it as UTF-8, or write its [data] encoding")
