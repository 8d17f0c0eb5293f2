"""JSON as a client sends it, read strictly: what it means must not depend on who reads it.

Refused beside what is no JSON: a key twice in one object, NaN and infinities, integers that don't
fit 64 bits, halves of surrogate pairs, which no UTF-8 can hold, and deep nesting.
"""

import json
import math
from typing import Any, NoReturn

MOST_LEVELS = 32
"""How deep objects and lists may be nested: ``{"a": [1]}`` has two levels."""

_INTEGERS = range(-(2**63), 2**63)
_DIGITS = len(str(2**63))


def read_json(text: str, what: str, most_levels: int = MOST_LEVELS) -> Any:
    """The value of the JSON *text*. Raises ValueError, naming *what* it is and what is wrong."""
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_no_number,
        )
        _check_value(value, most_levels)
    except RecursionError as error:
        raise ValueError(f"{what} is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ValueError(f"{what} is not JSON: {error}") from error
    except UnicodeEncodeError as error:
        raise ValueError(f"{what} holds half of a surrogate pair, which is no character") from error
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from error
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key, member in pairs:
        if key in value:
            raise ValueError(f"the key {key[:64]!r} is there twice in one object")
        value[key] = member
    return value


def _check_value(value: Any, levels: int) -> None:
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, dict | list):
        if not levels:
            raise ValueError(f"it is nested deeper than {MOST_LEVELS} levels")
        for member in value:
            _check_value(member, levels - 1)
        if isinstance(value, dict):
            for member in value.values():
                _check_value(member, levels - 1)


def _integer(digits: str) -> int:
    # The length first: to read an integer of very many digits takes long.
    if len(digits.lstrip("-")) > _DIGITS or int(digits) not in _INTEGERS:
        raise ValueError(f"the integer {digits[:24]} does not fit 64 bits")
    return int(digits)


def _number(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {text[:24]} is too large")
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")
