"""The settings of webhooks: which URLs are called, about what, and which hosts may be called."""

import base64
import binascii
import ipaddress
import re
from collections.abc import Collection
from typing import Annotated, Literal, get_args
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from config.values import FilePath

JobFilterName = Literal[
    "account",
    "array_job_id",
    "cluster_name",
    "gpu",
    "job_id",
    "job_state",
    "name",
    "node",
    "partition",
    "qos",
    "reason",
    "user",
]
NodeFilterName = Literal["cluster_name", "feature", "gpu", "name", "partition"]
JobEvent = Literal["started", "ended"]
NodeEvent = Literal["down", "drained", "in_service"]

SECRET_PREFIX = "whsec_"  # noqa: S105 # nosec
SECRET_BYTES = range(24, 65)

_OF_KIND = {
    "jobs": (get_args(JobEvent), get_args(JobFilterName)),
    "nodes": (get_args(NodeEvent), get_args(NodeFilterName)),
}
_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?|[0-9a-f:]+")


class WebhookSettings(BaseModel):
    """One webhook: a URL, and what it is told."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
    """The key of its table in the file."""
    url: SecretStr | None = None
    """Where the calls go: https, or http for this machine and with *allow_http*."""
    url_file: FilePath | None = None
    """The file that holds the URL: who knows the URL of a Slack channel can write to it."""
    secret: SecretStr | None = None
    """The key of the signatures: ``whsec_`` and base64 of 24 to 64 bytes; None: not signed."""
    secret_file: FilePath | None = None
    kind: Literal["jobs", "nodes"]
    events: Annotated[tuple[JobEvent | NodeEvent, ...], Field(min_length=1, strict=False)]
    """What is told."""
    filter: dict[JobFilterName | NodeFilterName, str] = Field(default_factory=dict)
    """Which jobs or nodes, as the filters of ``jobs/list`` and ``nodes/list``."""
    format: Literal["json", "slack"] = "json"
    """``slack``: one text for people, as Slack, Mattermost and others read it."""
    allow_http: bool = False
    """Whether the URL may be http for another machine."""

    @model_validator(mode="after")
    def _fits(self) -> "WebhookSettings":
        events, filters = _OF_KIND[self.kind]
        for what, given, known in (
            ("events", self.events, events),
            ("filter", self.filter, filters),
        ):
            for each in given:
                if each not in known:
                    raise ValueError(
                        f"{what} of {self.kind}: {', '.join(known)}; {each!r} is none of them"
                    )
        for key in ("url", "secret"):
            if getattr(self, key) is not None and getattr(self, f"{key}_file") is not None:
                raise ValueError(f"{key} or {key}_file, not both")
        if self.url is None and self.url_file is None:
            raise ValueError("url or url_file: where the calls go")
        return self

    @property
    def address(self) -> SplitResult:
        """The parts of the URL, once it is known."""
        return urlsplit(self.url.get_secret_value() if self.url else "")

    @property
    def host(self) -> str:
        """The host of the URL, in lower case."""
        return (self.address.hostname or "").lower()

    @property
    def key(self) -> bytes | None:
        """The key of the signatures; None: calls are not signed. Raises ValueError."""
        return None if self.secret is None else _key(self.secret.get_secret_value())

    def check(self, allowed_hosts: Collection[str]) -> None:
        """Raise ValueError if the secret or the URL can't be used, as far as they are known."""
        _ = self.key
        if self.url is None:
            return
        try:
            parts, port = self.address, self.address.port
        except ValueError as error:
            raise ValueError(f"url: {error}") from None
        if parts.scheme not in {"http", "https"} or not self.host or port == 0:
            raise ValueError("url: expected https://HOST/PATH")
        if parts.username is not None or parts.fragment or not _is_plain(parts.geturl()):
            raise ValueError("url: expected plain ASCII without a user, a password, a # or spaces")
        if self.host not in allowed_hosts:
            raise ValueError(
                f"url: the host {self.host} is not in webhooks.allowed_hosts: add it there if"
                " Clockwork may call it"
            )
        if parts.scheme == "http" and not (self.allow_http or is_this_machine(self.host)):
            raise ValueError(
                "url: is http, which others can read: use https, or say allow_http = true"
            )


class WebhooksSettings(BaseModel):
    """The webhooks, and the hosts that they may call."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    allowed_hosts: tuple[str, ...] = Field(default=(), strict=False)
    """Hosts of URLs, as names or addresses; no other host is called."""
    targets: dict[str, WebhookSettings] = Field(default_factory=dict)

    @field_validator("allowed_hosts")
    @classmethod
    def _hosts(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            if not _HOST.fullmatch(value):
                raise ValueError(
                    "host names or addresses in lower case, such as hooks.slack.com, without a"
                    " scheme, a port or *"
                )
        return values


def is_this_machine(host: str) -> bool:
    """Return whether a URL's *host* names this machine: ``localhost`` or a loopback address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_plain(url: str) -> bool:
    return url.isascii() and url.isprintable() and " " not in url


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or len(key) not in SECRET_BYTES:
        raise ValueError(
            f"secret: expected {SECRET_PREFIX} and the base64 of 24 to 64 random bytes, as"
            f" `echo {SECRET_PREFIX}$(openssl rand -base64 32)` makes it"
        )
    return key
