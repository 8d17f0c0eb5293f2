"""Write lists of documents as CSV (RFC 4180) in chunks: a line of names, then a line a document.

A spreadsheet would run a text such as ``=HYPERLINK(...)`` as a formula, and users choose the names
of their jobs.  So a text that begins with ``=``, ``+``, ``-``, ``@``, a tab or an end of line gets
a ``'`` before it, and all texts stand in quotes: what OWASP recommends against CSV injection.  A
spreadsheet that separates cells by semicolons or tabs cuts a text there, quotes or not, so such a
sign gets a ``'`` there, too.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from api.http.json_text import json_bytes
from ingest.database.store import Document

CSV = "text/csv; charset=utf-8"

Column = tuple[str, str | None]
"""A part of a document and a key in it; None stands for the whole part."""

_FORMULA = re.compile(r"(?:\A|(?<=[;\t\r\n]))(?=[=+@-])|\A(?=[\t\r\n])")
"""Where a spreadsheet could begin to read a formula."""


def csv_lines(
    batches: Iterable[Sequence[Document]],
    shown: Callable[[Document], Document],
    columns: Sequence[Column],
) -> Iterator[bytes]:
    """Return the documents of all *batches* as CSV with these *columns*, in chunks of bytes.

    The first batch is read at once, as in `api.lists.json_stream.json_list`.  A key that a document
    lacks and null are empty, dates are ISO 8601, and an object or a list is its JSON.
    """
    lines = (_lines([_row(shown(each), columns) for each in batch]) for batch in batches)
    names = [part if key is None else f"{part}.{key}" for part, key in columns]
    return _followed(_lines([[_safe(each) for each in names]]) + next(lines, b""), lines)


def _followed(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


def _lines(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_NONNUMERIC).writerows(rows)
    return text.getvalue().encode()


def _row(document: Document, columns: Sequence[Column]) -> list[Any]:
    return [_cell(document, *each) for each in columns]


def _cell(document: Document, part: str, key: str | None) -> Any:
    value = document.get(part)
    if key is not None:
        value = None if value is None else value.get(key)
    if value is None or type(value) in (int, float):
        return value
    if isinstance(value, str):
        return _safe(value)
    written = json_bytes(value).decode()
    return written.strip('"') if isinstance(value, datetime) else _safe(written)


def _safe(text: str) -> str:
    return _FORMULA.sub("'", text)
