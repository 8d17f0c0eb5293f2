"""``whoami``: the account that makes a request, for itself."""

from datetime import datetime
from typing import Literal

from api.http.json_text import json_response
from api.http.request import Response
from api.schema.arguments import NoArguments
from api.schema.documents import JsonObject
from api.schema.endpoint import Context, Gets, endpoint


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
    role: str
    sees: Literal["all", "own"]
    """Whose jobs the account sees: all users', or only its own."""
    token: TokenFacts
    """The token of this request."""


@endpoint("GET", "whoami", arguments=NoArguments, content=Whoami, gets=Gets.same("the account"))
def whoami(context: Context, _arguments: NoArguments) -> Response:
    """The account that makes the request, and its token."""
    token = context.token
    shown = {
        **context.user.names,
        "role": context.user.role,
        "sees": "own" if context.visible else "all",
        "token": {
            "name": token.name,
            "created": token.created,
            "last_used": token.last_used,
            "expires": None,
        },
    }
    return json_response(shown)
