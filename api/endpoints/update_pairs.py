"""What a user may write into the ``user`` dict of a job: which keys, how deep, how much."""

from typing import Any

import bson

from api.http.json_text import MOST_LEVELS, read_json
from api.http.problems import bad_request

MOST_BYTES = 64 << 10
"""The size of a job's whole user dict, as BSON."""
LONGEST_KEY = 1024
"""In bytes of UTF-8."""

Pairs = dict[str, Any]


def checked_pairs(value: Any) -> Pairs:
    """The pairs of *value*: a JSON object, or the text of one; None is a missing argument.

    Keys are checked at every depth.  Raises Problem 400, naming the key and what is wrong.
    """
    if value is None:
        raise bad_request("update_pairs is missing: give an object with the keys to write")
    if isinstance(value, str):
        try:
            value = read_json(value, "update_pairs")
        except ValueError as error:
            raise bad_request(str(error)) from error
    if not isinstance(value, dict):
        raise bad_request("update_pairs must be a JSON object, or a string that encodes one")
    _check_keys(value, MOST_LEVELS)
    if len(bson.encode(value)) > MOST_BYTES:
        raise too_large("update_pairs")
    return value


def too_large(what: str) -> Exception:
    """The refusal of more than a user dict may hold."""
    return bad_request(f"{what} would have more than {MOST_BYTES} bytes of BSON, the limit")


def _check_keys(value: Any, levels: int) -> None:
    if not isinstance(value, dict | list):
        return
    if not levels:
        raise bad_request(f"update_pairs is nested deeper than {MOST_LEVELS} levels")
    if isinstance(value, dict):
        for key in value:
            _check_key(key)
    for member in value.values() if isinstance(value, dict) else value:
        _check_keys(member, levels - 1)


def _check_key(key: str) -> None:
    if not key or key.startswith("$") or "." in key or "\0" in key or key == "__proto__":
        raise bad_request(
            f"the key {key[:64]!r} of update_pairs is refused: a key is not empty, does not start"
            " with '$', holds no '.' and no NUL, and is not __proto__"
        )
    if len(key.encode()) > LONGEST_KEY:
        raise bad_request(
            f"the key {key[:64]!r}... of update_pairs is longer than {LONGEST_KEY} bytes"
        )
