"""Arguments as pydantic models: how their text is read, and what JSON Schema says of the text.

An endpoint's arguments are the fields of a subclass of `Arguments`::

    class OneJob(Arguments):
        job_id: JobId
        cluster_name: ClusterName = None

`Reads` in a field's annotation reads the text; what it raises is a ValueError whose message follows
the argument's name.  `read_arguments` makes a model of what a request gives.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cache
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from api.http.problems import bad_request

Schema = dict[str, Any]
"""A JSON Schema."""

MOST_VALUES = 100
"""Values of one argument that takes several."""
LONGEST_LIST = 1 << 17
"""Characters of a list of values. The keys of a user dict of 64 KiB have fewer, also escaped."""

_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3})?(Z|[+-][0-9]{2}:[0-9]{2})"
)
_DIGITS = re.compile(r"[0-9]{1,18}")
_LARGEST = 10**18 - 1
_VALUE = re.compile(r"(?:[^\\,]|\\[\\,])+", re.DOTALL)
_LIST = re.compile(rf"{_VALUE.pattern}(?:,{_VALUE.pattern})*", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True)
class Reads:
    """How the text of an argument is read, and the texts that there are."""

    schema: Schema
    """JSON Schema of the text."""
    read: Callable[[str], Any] = str
    """Reads the text, which is not empty. Raises ValueError, saying what is allowed."""
    in_json: Schema | None = None
    """JSON Schema of the value in a JSON body, where other values than the text are allowed."""
    in_form: Schema | None = None
    """JSON Schema of the field of a form; only for arguments whose value is JSON, which *read*
    is handed as it came: the text of a query or a form, or any JSON."""

    @property
    def is_json(self) -> bool:
        """Whether the value is JSON wherever it stands."""
        return self.in_form is not None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Read values in place of pydantic."""
        return core_schema.no_info_plain_validator_function(self._checked)

    def _checked(self, value: Any) -> Any:
        return self.read(value if self.is_json else _text(value))


@dataclass(frozen=True)
class Keyed(Reads):
    """Reads an argument that stands for many: any name that begins with *before* is one, such as
    ``user.epoch``.  The argument's value is a dict by what follows *before*."""

    before: str = ""
    shown: str = ""
    """The name in the description."""
    read_key: Callable[[str], str] = str
    """Reads what follows *before*. Raises ValueError, saying what is allowed."""

    def values(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values among the arguments of a request. Raises Problem 400."""
        found = {}
        for name in (each for each in given if each.startswith(self.before)):
            try:
                key = self.read_key(name.removeprefix(self.before))
                found[key] = self.read(_text(given[name]))
            except ValueError as error:
                raise bad_request(f"{name[:64]} {error}") from None
        return found

    def _checked(self, value: Any) -> Any:
        return value  # of `values`


@dataclass(frozen=True)
class AlsoNamed:
    """Another name of an argument. The two names may not have two values."""

    name: str
    description: str
    older: bool = False
    """Whether the name is that of earlier releases and of existing clients."""
    alone: bool = False
    """Whether the two names may not even have the same value."""


class Arguments(BaseModel):
    """The arguments of an endpoint; those that are not given are None."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    excluding: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Pairs of arguments that do not go together."""


@dataclass(frozen=True)
class Name:
    """A name under which an argument may be given."""

    argument: str
    """The argument's own name."""
    field: FieldInfo
    reads: Reads
    also: AlsoNamed | None
    """What makes this another name of the argument; None for its own name."""


class Names(dict[str, Name]):
    """Names of arguments; a name that begins as a keyed argument's does is in it too."""

    beginnings: tuple[str, ...] = ()
    """How the names of the keyed arguments begin."""

    def __contains__(self, name: object) -> bool:
        """Return whether there is an argument of this name."""
        return super().__contains__(name) or str(name).startswith(self.beginnings)


@cache
def names_of(model: type[Arguments]) -> Names:
    """Return all names of a model's arguments; other names follow the argument's own."""
    names = Names()
    for argument, field in model.model_fields.items():
        [reads] = (each for each in field.metadata if isinstance(each, Reads))
        name = reads.shown if isinstance(reads, Keyed) else argument
        names[name] = Name(argument, field, reads, None)
        for also in (each for each in field.metadata if isinstance(each, AlsoNamed)):
            names[also.name] = Name(argument, field, reads, also)
        if isinstance(reads, Keyed):
            names.beginnings += (reads.before,)
    return names


Model = TypeVar("Model", bound=Arguments)


def read_arguments(model: type[Model], given: Mapping[str, Any]) -> Model:
    """Return the arguments that a request gives; null stands for an argument that is not given.

    Raises Problem 400 with the name of the argument, what is wrong and what is allowed.
    """
    values: dict[str, Any] = {}
    for name, known in names_of(model).items():
        value, own = given.get(name), known.argument
        if isinstance(known.reads, Keyed):
            value = known.reads.values(given) or None
        if value is None:
            continue
        if known.also and own in values and (known.also.alone or values[own] != value):
            raise bad_request(f"{own} and {name} are one argument: give one of them")
        values[own] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise bad_request(_detail(error)) from None


def _detail(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    name = " ".join(str(each) for each in first["loc"])
    if first["type"] == "missing":
        return f"{name} is missing: this address needs it"
    what = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
    return f"{name} {what}".strip()


def _text(value: Any) -> str:
    # A JSON client may well send a job's id as the number that it is.  In JSON, 1.0 is 1.
    if type(value) is int or (type(value) is float and value.is_integer()):
        return str(int(value))
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004 - pydantic takes ValueError
    if not value:
        raise ValueError("is empty: give it a value or leave it out")
    return value


# --- kinds of values ------------------------------------------------------------------------------

WORD: Schema = {"type": "string", "minLength": 1}
ONE = Reads(WORD)
"""One text."""


def integer(least: int, most: int, words: str = "") -> Reads:
    """An integer from *least* to *most*; *words* say so in an error."""

    def read(text: str) -> int:
        if not _DIGITS.fullmatch(text) or not least <= int(text) <= most:
            raise ValueError(words or f"must be an integer from {least} to {most}")
        return int(text)

    return Reads({"type": "integer", "minimum": least, "maximum": most}, read)


def choice(*choices: str) -> Reads:
    """One of these texts."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be {' or '.join(choices)}")
        return text

    return Reads({"enum": list(choices)}, read)


def several(item: Reads | None = None, most: int = MOST_VALUES) -> Reads:
    """A list of values, each once, of a text with commas between the values.

    A comma within a value is written ``\\,`` and a backslash ``\\\\``.
    """
    item = item or Reads({"type": "string", "pattern": r"^([^\\,]|\\[\\,])+$"})

    def read(text: str) -> list[Any]:
        if len(text) > LONGEST_LIST:
            raise ValueError(f"has {len(text)} characters; at most {LONGEST_LIST} are read")
        count = 1 + _ESCAPED.sub("", text).count(",")
        if count > most:
            raise ValueError(f"has {count} values; at most {most} are read")
        if not _LIST.fullmatch(text):
            raise ValueError(
                "must be a value, or several with a comma between each two; write a comma"
                " within a value as \\, and a backslash as \\\\"
            )
        values = [_ESCAPED.sub(r"\1", value) for value in _VALUE.findall(text)]
        return [item.read(value) for value in dict.fromkeys(values)]

    return Reads({"type": "array", "items": item.schema, "minItems": 1, "maxItems": most}, read)


def _moment(text: str) -> datetime:
    """Read a moment, as a date in UTC."""
    try:
        moment = _MOMENT.fullmatch(text)[0]  # type: ignore[index]
        return datetime.fromisoformat(moment.replace("Z", "+00:00")).astimezone(timezone.utc)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            "must be a time with its offset, such as 2026-11-24T12:00:00Z or"
            " 2026-11-24T07:00:00-05:00; write %2B for a + in an address"
        ) from None


FLAG = Reads({"type": "boolean"}, choice("false", "true").read)
"""The text ``true`` or ``false``."""
SECONDS = integer(0, _LARGEST, "must be a number of seconds: an integer of 0 or more")
MOMENT = Reads({"type": "string", "format": "date-time"}, _moment)
"""A time with its offset."""
TEXTS = several()
NUMBERS = several(integer(0, _LARGEST, "must hold numbers of up to 18 digits"))
CAPITALS = several(Reads(TEXTS.schema["items"], str.upper))
"""Several words, which are compared in capitals."""
SMALL_LETTERS = several(Reads(TEXTS.schema["items"], str.lower))
"""Several words, which are compared in small letters."""

CLUSTER_WORDS = "A cluster's name in the configuration, such as `mila`."
ClusterName = Annotated[
    str | None,
    Reads(WORD, in_json={**WORD, "type": ["string", "null"]}),
    Field(description=CLUSTER_WORDS, examples=["mila"]),
]
JobId = Annotated[
    str,
    Reads(WORD, in_json={**WORD, "type": ["string", "integer"]}),
    Field(
        description="The job's id as Slurm has it. `cluster_name` may be left out where only one"
        " cluster has it.",
        examples=["233874"],
    ),
]


class NoArguments(Arguments):
    """None at all."""


class JobArguments(Arguments):
    """One job."""

    job_id: JobId
    cluster_name: ClusterName = None
