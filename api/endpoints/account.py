"""``whoami`` and ``tokens``: the account that makes a request, for itself, and its tokens."""

from dataclasses import asdict
from datetime import datetime
from http import HTTPStatus
from typing import Annotated, Literal

from pydantic import Field

from api.http.json_text import json_bytes, json_response
from api.http.problems import Problem, bad_request
from api.http.request import Header, Response
from api.schema.arguments import WORD, Arguments, NoArguments, Reads, integer
from api.schema.documents import JsonObject
from api.schema.endpoint import Context, Gets, endpoint
from ingest.accounts.tokens import LONGEST_DAYS
from ingest.accounts.users import LONGEST_NAME, MOST_TOKENS, AccountError, add_own_token, revoke

_NOT_KEPT: Header = ("Cache-Control", "no-store")


class TokenFacts(JsonObject):
    """What is known of a token; never the token itself."""

    name: str
    created: datetime
    last_used: datetime | None
    """Exact to five minutes; null for a token that was never used."""
    expires: datetime | None
    """When the token stops working; null: never."""


class Whoami(JsonObject):
    """An account, as it is shown to itself."""

    mila_email_username: str
    mila_cluster_username: str | None
    cc_account_username: str | None
    username: str | None
    role: str
    sees: Literal["all", "own", "accounts"]
    """Whose jobs the account sees: all users', only its own, or its own and those of the accounts
    of Slurm that it coordinates."""
    coordinates: list[str]
    """The accounts of Slurm that it coordinates."""
    token: TokenFacts | None
    """The token of this request; null for an account that a proxy has signed in."""


class NewToken(TokenFacts):
    """A new token, and what is known of it."""

    token: str
    """The token itself. No other response has it."""


class RevokedToken(JsonObject):
    """The token that was revoked."""

    revoked: str
    """Its name."""


def _name(text: str) -> str:
    if not text.isascii() or not text.isprintable() or " " in text or len(text) > LONGEST_NAME:
        raise ValueError(f"must be 1 to {LONGEST_NAME} printable ASCII characters without spaces")
    return text


_NAME = {**WORD, "maxLength": LONGEST_NAME, "pattern": "^[!-~]+$"}


class NewTokenArguments(Arguments):
    """A token that is to be made."""

    name: Annotated[
        str,
        Reads(_NAME, _name, in_json={**_NAME, "type": ["string", "integer"]}),
        Field(
            description="The name of the token. No other token of the account may have this name.",
            examples=["laptop"],
        ),
    ]
    expires_in: Annotated[
        int | None,
        integer(1, LONGEST_DAYS),
        Field(
            description="For how many days the token works. Without this argument, the token never"
            " expires.",
            examples=[90],
        ),
    ] = None


class TokenArguments(Arguments):
    """One token of the account."""

    name: Annotated[
        str,
        Reads(WORD, in_json={**WORD, "type": ["string", "integer"]}),
        Field(description="The token's name.", examples=["laptop"]),
    ]


@endpoint("GET", "whoami", arguments=NoArguments, content=Whoami, gets=Gets.same("the account"))
def whoami(context: Context, _arguments: NoArguments) -> Response:
    """The account of the request, and its token.

    `token` is null for an account that a proxy has signed in.
    """
    shown = {
        **context.user.names,
        "role": context.user.role,
        "sees": _sees(context),
        "coordinates": context.user.coordinates,
        "token": None if context.token is None else asdict(context.token),
    }
    return json_response(shown)


def _sees(context: Context) -> str:
    if not context.visible:
        return "all"
    return "accounts" if context.user.coordinates else "own"


@endpoint(
    "GET",
    "tokens/list",
    arguments=NoArguments,
    content=list[TokenFacts],
    gets=Gets.same("own tokens"),
)
def list_tokens(context: Context, _arguments: NoArguments) -> Response:
    """Your tokens.

    Expired tokens stay in the list until you revoke them.
    """
    return json_response([asdict(token) for token in context.user.tokens])


@endpoint(
    "POST",
    "tokens/create",
    arguments=NewTokenArguments,
    content=NewToken,
    body=True,
    every_role=True,
    problems={
        HTTPStatus.BAD_REQUEST: "An argument is missing, malformed or unknown, a token of yours has"
        f" this name, or you have {MOST_TOKENS} tokens.",
        HTTPStatus.FORBIDDEN: "A page of a browser sent HTTP Basic.",
    },
    gets=Gets.same("a new token"),
)
def create_token(context: Context, arguments: NewTokenArguments) -> Response:
    """Make another token for your account.

    Only this response contains the token: the database stores only its hash.
    """
    email = context.user.mila_email_username
    try:
        facts, token = add_own_token(
            *(context.store, email, context.token, arguments.name),
            *(context.now, arguments.expires_in),
        )
    except AccountError as error:
        raise bad_request(str(error)) from None
    return Response(json_bytes({**asdict(facts), "token": token}), (_NOT_KEPT,))


@endpoint(
    "POST",
    "tokens/revoke",
    arguments=TokenArguments,
    content=RevokedToken,
    body=True,
    every_role=True,
    problems={
        HTTPStatus.NOT_FOUND: "You have no such token.",
        HTTPStatus.FORBIDDEN: "A page of a browser sent HTTP Basic.",
    },
    gets=Gets.same("revoked"),
)
def revoke_token(context: Context, arguments: TokenArguments) -> Response:
    """Revoke one of your tokens, or the token of this request.

    The API refuses the next request with the token.
    """
    try:
        revoke(context.store, context.user.mila_email_username, arguments.name)
    except AccountError as error:
        raise Problem(HTTPStatus.NOT_FOUND, str(error)) from None
    return json_response({"revoked": arguments.name})
