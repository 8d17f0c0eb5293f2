"""Arguments as pydantic models: how their text is read, and what JSON Schema says of the text.

An endpoint's arguments are the fields of a subclass of `Arguments`::

    class OneJob(Arguments):
        job_id: JobId
        cluster_name: ClusterName = None

`Reads` in a field's annotation reads the text; what it raises is a ValueError whose message follows
the argument's name.  `read_arguments` makes a model of what a request gives.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, core_schema

from api.http.problems import bad_request

Schema = dict[str, Any]
"""A JSON Schema."""

MOST_VALUES = 100
"""Values of one argument that takes several."""

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

    model_config = ConfigDict(extra="forbid", frozen=True)

    excluding: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Pairs of arguments that do not go together."""

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names of the arguments, other names included."""
        return tuple(name for name, _, _ in each_name(cls))


def each_name(model: type[Arguments]) -> Iterator[tuple[str, FieldInfo, AlsoNamed | None]]:
    """The names of the arguments, each with its field, and with what makes it another name."""
    for name, field in model.model_fields.items():
        yield name, field, None
        for also in also_named(field):
            yield also.name, field, also


def also_named(field: FieldInfo) -> list[AlsoNamed]:
    """The other names of an argument."""
    return [each for each in field.metadata if isinstance(each, AlsoNamed)]


def reads(field: FieldInfo) -> Reads:
    """How an argument is read."""
    [found] = (each for each in field.metadata if isinstance(each, Reads))
    return found


Model = TypeVar("Model", bound=Arguments)


def read_arguments(model: type[Model], given: Mapping[str, Any]) -> Model:
    """Return the arguments that a request gives; null stands for an argument that is not given.

    Raises Problem 400 with the name of the argument, what is wrong and what is allowed.
    """
    values = {name: value for name, value in given.items() if value is not None}
    for name, field in model.model_fields.items():
        for also in also_named(field):
            if also.name in values:
                value = values.pop(also.name)
                if name in values and (also.alone or values[name] != value):
                    raise bad_request(f"{name} and {also.name} are one argument: give one of them")
                values[name] = value
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
    if type(value) is int:  # a JSON client may well send a job's id as the number that it is
        return str(value)
    if not isinstance(value, str):
        raise ValueError("must be a string")  # noqa: TRY004 - pydantic takes ValueError
    if not value:
        raise ValueError("is empty: give it a value or leave it out")
    return value


# --- kinds of values ------------------------------------------------------------------------------

WORD: Schema = {"type": "string", "minLength": 1}


def integer(least: int, most: int) -> Reads:
    """An integer from *least* to *most*."""

    def read(text: str) -> int:
        if not _DIGITS.fullmatch(text) or not least <= int(text) <= most:
            raise ValueError(f"must be an integer from {least} to {most}")
        return int(text)

    return Reads({"type": "integer", "minimum": least, "maximum": most}, read)


def _seconds(text: str) -> int:
    if not _DIGITS.fullmatch(text):
        raise ValueError("must be a number of seconds: an integer of 0 or more")
    return int(text)


SECONDS = Reads({"type": "integer", "minimum": 0, "maximum": _LARGEST}, _seconds)
"""A number of seconds."""


def choice(*choices: str) -> Reads:
    """One of these texts."""

    def read(text: str) -> str:
        if text not in choices:
            raise ValueError(f"must be {' or '.join(choices)}")
        return text

    return Reads({"enum": list(choices)}, read)


def _flag(text: str) -> bool:
    if text not in ("false", "true"):
        raise ValueError("must be false or true")
    return text == "true"


FLAG = Reads({"type": "boolean"}, _flag)


@dataclass(frozen=True)
class Value:
    """One value of an argument that takes several: how it is read, and its JSON Schema."""

    read: Callable[[str], Any] = str
    schema: Schema | None = None

    def several(self, most: int = MOST_VALUES) -> Reads:
        """Several such values with commas between them, each once, in a list."""
        item = self.schema or {"type": "string", "pattern": r"^([^\\,]|\\[\\,])+$"}
        schema = {"type": "array", "items": item, "minItems": 1, "maxItems": most}
        return Reads(schema, lambda text: [self.read(each) for each in _split(text)])

    def one(self) -> Reads:
        """One such value."""
        return Reads(self.schema or WORD, self.read)


def _split(text: str) -> Sequence[str]:
    """Split at commas; a comma within a value is written ``\\,`` and a backslash ``\\\\``."""
    if not _LIST.fullmatch(text):
        raise ValueError(
            "must be a value, or several with a comma between each two; write a comma"
            " within a value as \\, and a backslash as \\\\"
        )
    values = [_ESCAPED.sub(r"\1", value) for value in _VALUE.findall(text)]
    if len(values) > MOST_VALUES:
        raise ValueError(f"has {len(values)} values; at most {MOST_VALUES} are read")
    return list(dict.fromkeys(values))


def _number(text: str) -> int:
    if not _DIGITS.fullmatch(text):
        raise ValueError(f"must hold numbers of up to 18 digits, and {text[:64]!r} is none")
    return int(text)


ANY = Value()
"""Any text."""
NUMBER = Value(_number, {"type": "integer", "minimum": 0, "maximum": _LARGEST})
"""An integer of 0 or more."""
CAPITALS = Value(str.upper)
"""A word, which is compared in capitals."""

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
