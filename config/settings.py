"""The shape of the configuration: every key, its type, its unit, its default.

The models are frozen: a setting cannot change under a running service. ``clockwork.example.toml``
shows every key with its default and a word on what it is for.
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from config.values import (
    FilePath,
    HeaderName,
    Port,
    Seconds,
    Text,
    covers_all,
    plain_network,
    url_of,
)
from config.webhooks import WebhooksSettings

UsernameField = Literal["mila_cluster_username", "cc_account_username", "username"]
"""Names that a user can have on clusters. ``username`` is for sites with one name for each user."""
NameField = Literal["mila_email_username", UsernameField]
JobsVisible = Literal["all", "own"]

# Refused below, not bound.
ALL_INTERFACES = ("0.0.0.0", "::", "")  # noqa: S104 # nosec

CLUSTER_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
"""The pattern of a cluster's name."""

_LIMIT = re.compile(r"[1-9][0-9]{0,8}/(second|minute|hour|day)")
_ORIGIN = re.compile(r"(https?)://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:([1-9][0-9]{0,4}))?")
_DEFAULT_PORTS = (("http", ":80"), ("https", ":443"))
_HIGHEST_PORT = 65535
_THIS_HOST = ("127.0.0.1", "::1", "localhost")
_AUTHORIZATION = "Authorization"
_PROGRAM = re.compile(r"(?!-)[A-Za-z0-9_./-]*[A-Za-z0-9_.-]")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class MongoSettings(_Frozen):
    """Which Mongo holds the documents. Without a URI the embedded database is used."""

    uri: SecretStr | None = None
    uri_file: FilePath | None = None
    database: Annotated[str, Field(min_length=1, max_length=38, pattern=r"^[A-Za-z0-9_-]+$")] = (
        "clockwork"
    )


class EmbeddedSettings(_Frozen):
    """The embedded Mongo-compatible database, started when there is no Mongo URI."""

    path: FilePath = Path("clockwork-data")
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """0 takes a free port."""


class JwtSettings(_Frozen):
    """Which JWTs (RFC 7519) sign people in: those of one issuer for one audience."""

    issuer: Text
    """The claim ``iss``, exactly."""
    audience: Text
    """What the claim ``aud`` must be or contain."""
    keys_url: str | None = None
    """Where the issuer shows its keys as a JWK Set."""
    keys_file: FilePath | None = None
    """A JWK Set, or public keys in PEM."""
    header: HeaderName = _AUTHORIZATION
    """The header field that has the JWT, alone or behind the word Bearer."""
    claim: Text = "email"
    """The claim that has the user's name."""
    name_field: NameField = "mila_email_username"
    """Which of an account's names that is."""

    @field_validator("header")
    @classmethod
    def _header(cls, value: str) -> str:
        return _AUTHORIZATION if value.lower() == _AUTHORIZATION.lower() else value

    @field_validator("keys_url")
    @classmethod
    def _url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = url_of(value)
        is_here = url is not None and url.scheme == "http" and url.hostname in _THIS_HOST
        if url is None or not (url.scheme == "https" or is_here) or url.username is not None:
            raise ValueError(
                "the address of a JWK Set, such as https://login.example.org/keys: in ASCII,"
                " without spaces and a password, and with a port up to 65535 if it has one"
            )
        return value

    @model_validator(mode="after")
    def _one_place(self) -> "JwtSettings":
        if (self.keys_url is None) == (self.keys_file is None):
            raise ValueError("keys_url or keys_file, one of the two")
        return self


class TrustedHeaderSettings(_Frozen):
    """Which header field of which proxies says who has signed in there."""

    name: HeaderName
    proxies: Annotated[tuple[str, ...], Field(min_length=1, strict=False)]
    """The addresses or networks that the proxies' connections come from."""
    name_field: NameField = "mila_email_username"
    """Which of an account's names the header field has."""

    @field_validator("name")
    @classmethod
    def _header(cls, value: str) -> str:
        if value.lower() == _AUTHORIZATION.lower():
            raise ValueError("a header field of its own, such as X-Forwarded-Email")
        return value

    @field_validator("proxies")
    @classmethod
    def _networks(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        try:
            networks = [plain_network(value) for value in values]
        except ValueError as error:
            raise ValueError(
                'addresses or networks, such as ["127.0.0.1", "10.1.2.0/24"]'
            ) from error
        if covers_all(networks):
            raise ValueError(
                "the proxies' own addresses: from everywhere, everyone could be anyone"
            )
        return tuple(map(str, networks))


class ApiSettings(_Frozen):
    """Where the REST API listens."""

    host: str = "127.0.0.1"
    port: Port = 8080
    threads: Annotated[int, Field(ge=1, le=256)] = 8
    """Requests answered at the same time by one process."""
    metrics: Literal["token", "open"] = "token"
    """Who may read /metrics: whose token lets them see all jobs, or everyone."""
    jobs_visible: JobsVisible = "all"
    """Which jobs users see; admins and services see all."""
    rate_limit: str | None = None
    """Requests of one account, such as ``600/minute``; None disables the limit.

    Each process counts its own requests."""
    failed_rate_limit: str | None = None
    """Requests without a known token from one address, counted in the same way."""
    trusted_proxy: str | None = None
    """The address of the proxy in front, whose X-Forwarded-For is believed; else nobody's is."""
    cors_origins: tuple[str, ...] = Field(default=(), strict=False)
    """Origins whose pages may use the API from a browser."""
    jwt: JwtSettings | None = None
    """The JWTs that sign people in; None: no JWT does."""
    trusted_header: TrustedHeaderSettings | None = None
    """The header field of a proxy that signs people in; None: no header field does."""

    @model_validator(mode="after")
    def _one_way_to_sign_in(self) -> "ApiSettings":
        if self.jwt is not None and self.trusted_header is not None:
            raise ValueError("jwt or trusted_header, not both")
        return self

    @field_validator("rate_limit", "failed_rate_limit")
    @classmethod
    def _limit(cls, value: str | None) -> str | None:
        if value is not None and not _LIMIT.fullmatch(value):
            raise ValueError('requests per second, minute, hour or day, such as "600/minute"')
        return value

    @field_validator("trusted_proxy")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        try:
            if value is None:
                return None
            address = ipaddress.ip_address(value)
        except ValueError as error:
            raise ValueError('the IP address of one proxy, such as "127.0.0.1"') from error
        return str(getattr(address, "ipv4_mapped", None) or address)

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        for value in values:
            match = _ORIGIN.fullmatch(value)
            if (
                not match
                or match.group(1, 3) in _DEFAULT_PORTS
                or int(match[4] or 1) > _HIGHEST_PORT
            ):
                raise ValueError(
                    "origins as a browser sends them, each in full: https://dash.example.org or"
                    " http://localhost:3000, in lower case, without a path, without the port that"
                    " is the scheme's own or above 65535, and no *"
                )
        return values


class ScraperSettings(_Frozen):
    """What holds for every cluster that is scraped."""

    max_record_bytes: Annotated[int, Field(ge=64 << 10, le=64 << 20)] = 4 << 20
    """A job's record longer than this is in doubt, and asked for alone. Slurm takes 2 MiB."""
    lease: Annotated[float, Field(ge=5, le=3600)] = 30.0
    """Seconds after which another daemon takes over the clusters of one that gives no sign."""
    volatile_interval: Seconds = 900.0
    """How often a record is written of which only run time, priority, load and the like changed."""
    metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    """Where the scraper serves /metrics itself, on 127.0.0.1; 0 is nowhere."""


class RetentionSettings(_Frozen):
    """How long finished jobs stay in the database, and where they go then."""

    after_days: Annotated[int, Field(ge=0, le=36_500)] = 0
    """Age at which a finished job that is gone from its cluster leaves; 0 keeps all for ever."""
    archive: FilePath | None = None
    """The folder of the archive files that such jobs move to."""
    delete: bool = False
    """Delete them without an archive."""
    keep_annotated: bool = True
    """Jobs whose owner wrote into their user dict stay."""
    at: Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")] = "03:15"
    """When the scraper does it, every day; in UTC."""

    @model_validator(mode="after")
    def _archive_or_delete(self) -> "RetentionSettings":
        if self.archive is not None and self.delete:
            raise ValueError("archive (a folder) or delete = true, not both")
        if self.after_days and self.archive is None and not self.delete:
            raise ValueError("archive (a folder) or delete = true beside after_days")
        return self


class LogSettings(_Frozen):
    """How the service logs, to standard error."""

    format: Literal["auto", "human", "json"] = "auto"
    """``auto`` is human on a terminal and JSON elsewhere."""
    level: Literal["debug", "info", "notice", "warning", "error"] = "info"
    """``notice`` is info without a line for each request and each good round."""


class SshSettings(_Frozen):
    """How one cluster is reached. All times in seconds."""

    host: Text
    """A host name, an address, or a Host alias of the ssh configuration file."""
    port: Port | None = None
    user: Text | None = None
    key_file: FilePath | None = None
    """A private key (ed25519, ecdsa or RSA). Without it: the ssh configuration, then the agent."""
    known_hosts: FilePath = Path("~/.ssh/known_hosts")
    config_file: FilePath = Path("~/.ssh/config")
    connect_timeout: Seconds = 10.0
    banner_timeout: Seconds = 15.0
    auth_timeout: Seconds = 15.0
    command_timeout: Seconds = 120.0
    """From the start of a command to its exit status."""


class ClusterSettings(_Frozen):
    """One Slurm cluster."""

    name: Annotated[str, Field(pattern=f"^{CLUSTER_NAME}$")]
    """The key of its table in the file; the ``cluster_name`` of its documents."""
    timezone: str
    """IANA name of the zone that the cluster's clocks show."""
    username_field: UsernameField
    """Which of a user's names Slurm gives on this cluster."""
    ssh: SshSettings
    scontrol: str = "scontrol"
    """The program's name or full path on the cluster's host."""
    second_list: bool = False
    """Hold jobs' ids and owners against squeue's, which prints no text that a user wrote."""
    sacct: bool = False
    """Ask sacct for the jobs that no scrape showed, and for ends that no scrape showed."""
    sdiag: bool = False
    """Ask sdiag once a minute how slurmctld does, and ask less often while it is overloaded."""
    usage: bool = False
    """Ask sacct what jobs used that ended; only with *sacct*."""
    round_timeout: Seconds = 600.0
    """For one whole round: connection, command, and all its writes."""
    jobs_interval: Seconds = 60.0
    nodes_interval: Seconds = 300.0
    partitions_interval: Seconds = 300.0
    """How often partitions and reservations are read, behind a round that is due anyway."""

    @field_validator("scontrol")
    @classmethod
    def _program(cls, value: str) -> str:
        if not _PROGRAM.fullmatch(value):
            raise ValueError(
                "the name or the full path of scontrol, such as /opt/slurm/bin/scontrol: letters,"
                " digits and _ . / -, without - at its beginning and / at its end"
            )
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, OSError, ValueError) as error:
            raise ValueError("an IANA time zone, such as America/Montreal") from error
        return value

    @model_validator(mode="after")
    def _usage_needs_sacct(self) -> "ClusterSettings":
        if self.usage and not self.sacct:
            raise ValueError("usage = true needs sacct = true")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The cluster's time zone."""
        return ZoneInfo(self.timezone)


class Settings(_Frozen):
    """The whole configuration."""

    mongo: MongoSettings = MongoSettings()
    embedded: EmbeddedSettings = EmbeddedSettings()
    api: ApiSettings = ApiSettings()
    scraper: ScraperSettings = ScraperSettings()
    retention: RetentionSettings = RetentionSettings()
    log: LogSettings = LogSettings()
    webhooks: WebhooksSettings = WebhooksSettings()
    clusters: dict[str, ClusterSettings] = Field(default_factory=dict)
