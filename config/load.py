"""The configuration file: found, read, checked, and every mistake in it named.

An error names the file, the key, what was found and what is expected; for a mistyped key it names
the key that was probably meant.
"""

import difflib
import os
import re
import stat
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError

from config.errors import OperatorError
from config.settings import Settings
from config.webhooks import WebhookSettings, WebhooksSettings

if sys.version_info >= (3, 11):
    import tomllib
else:  # pragma: no cover - the same library under its older name
    import tomli as tomllib

CONFIG_VARIABLE = "CLOCKWORK_CONFIG"
MONGO_URI_VARIABLE = "CLOCKWORK_MONGO_URI"
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"
"""Set by systemd for a unit with LoadCredential=."""
PLACES = (Path("clockwork.toml"), Path("/etc/clockwork/clockwork.toml"))

_WITH_PASSWORD = re.compile(
    r"[a-z+]+://(?:[^/?]*:[^/?]*@|[^?]*\?.*(?:password=|aws_session_token))",
    re.IGNORECASE | re.DOTALL,
)
"""A URI that names a password: of the user, of a key file, of a SOCKS proxy, or a token of AWS."""


class ConfigurationError(OperatorError):
    """The configuration can't be used. The message is for the operator, a line for each mistake."""


def find_settings_file(argument: str | None, environment: Mapping[str, str]) -> Path:
    """The configuration file: *argument* (``--config``), then ``$CLOCKWORK_CONFIG``, then PLACES.

    Raises `ConfigurationError` when the one that is asked for, or all of them, are missing.
    """
    if argument is not None:
        return _existing(Path(argument), "--config")
    if environment.get(CONFIG_VARIABLE):
        return _existing(Path(environment[CONFIG_VARIABLE]), f"${CONFIG_VARIABLE}")
    for place in PLACES:
        if place.is_file():
            return place
    looked = ", ".join(str(place) for place in PLACES)
    raise ConfigurationError(
        f"no configuration file: looked for {looked}; give one with --config or "
        f"${CONFIG_VARIABLE} (clockwork.example.toml is a start)"
    )


def _existing(path: Path, given_by: str) -> Path:
    if not path.is_file():
        raise ConfigurationError(f"{path}: no such file (given by {given_by})")
    return path


def load_settings(
    path: Path, environment: Mapping[str, str] = os.environ, *, secrets: bool = True
) -> Settings:
    """The settings in the TOML file *path*, secrets from *environment* or their files filled in.

    Relative paths in the file are taken from the file's folder; of a key or a secret, from
    ``$CREDENTIALS_DIRECTORY`` where it lies there.  Without *secrets* no other file is looked at.
    Raises `ConfigurationError`.
    """
    table = read_toml(path)
    _name_tables(table, path, "clusters")
    _name_tables(table.get("webhooks"), path, "targets", within="webhooks.")
    try:
        settings = Settings.model_validate(table)
    except ValidationError as error:
        lines = [f"{path}: {_explain(detail)}" for detail in error.errors()]
        raise ConfigurationError("\n".join(lines)) from None
    _check_webhooks(settings.webhooks, path)
    settings = _with_folder(settings, path.resolve().parent, environment)
    return _with_secrets(settings, path, environment) if secrets else settings


def read_toml(path: Path) -> dict[str, Any]:
    """Return what the TOML file *path* holds. Raises `ConfigurationError`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: can't be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: is not TOML: {error}") from error


def _name_tables(table: object, path: Path, key: str, within: str = "") -> None:
    """Give each table in the table *key* its name, which in the file is the table's own key."""
    named = table.get(key) if isinstance(table, dict) else None
    if not isinstance(named, dict):
        return
    for name, each in named.items():
        if not isinstance(each, dict):
            continue
        place = f"{within}{key}.{name}"
        if "name" in each:
            raise ConfigurationError(
                f"{path}: {place}.name: unknown key; the name is the table's, [{place}]"
            )
        each["name"] = name


def _with_folder(settings: Settings, folder: Path, environment: Mapping[str, str]) -> Settings:
    embedded = settings.embedded.model_copy(update={"path": folder / settings.embedded.path})
    update: dict[str, Any] = {"embedded": embedded}
    if settings.mongo.uri_file is not None:
        uri_file = _secret(settings.mongo.uri_file, folder, environment)
        update["mongo"] = settings.mongo.model_copy(update={"uri_file": uri_file})
    if settings.api.jwt is not None and settings.api.jwt.keys_file is not None:
        keys_file = folder / settings.api.jwt.keys_file
        jwt = settings.api.jwt.model_copy(update={"keys_file": keys_file})
        update["api"] = settings.api.model_copy(update={"jwt": jwt})
    if settings.retention.archive is not None:
        archive = folder / settings.retention.archive
        update["retention"] = settings.retention.model_copy(update={"archive": archive})
    targets = {
        name: webhook.model_copy(
            update={
                key: _secret(getattr(webhook, key), folder, environment)
                for key in ("url_file", "secret_file")
                if getattr(webhook, key) is not None
            }
        )
        for name, webhook in settings.webhooks.targets.items()
    }
    update["webhooks"] = settings.webhooks.model_copy(update={"targets": targets})
    clusters = {}
    for name, cluster in settings.clusters.items():
        # A default stays one: what the ssh configuration file says goes before it.
        paths: dict[str, Any] = {
            key: _secret(getattr(cluster.ssh, key), folder, environment)
            for key in ("key_file", "known_hosts", "config_file")
            if key in cluster.ssh.model_fields_set
        }
        clusters[name] = cluster.model_copy(update={"ssh": cluster.ssh.model_copy(update=paths)})
    return settings.model_copy(update={**update, "clusters": clusters})


def _secret(path: Path, folder: Path, environment: Mapping[str, str]) -> Path:
    """Where the file *path* is: among the credentials that systemd hands over, else in *folder*."""
    handed_over = environment.get(CREDENTIALS_VARIABLE)
    if handed_over and os.access(Path(handed_over) / path, os.R_OK):
        return Path(handed_over) / path
    return folder / path


def _with_secrets(settings: Settings, path: Path, environment: Mapping[str, str]) -> Settings:
    mongo = settings.mongo
    uri = mongo.uri
    if mongo.uri is not None and mongo.uri_file is not None:
        raise ConfigurationError(f"{path}: mongo: give uri or uri_file, not both")
    if mongo.uri is not None:
        _check_mode(path, mongo.uri)
    if mongo.uri_file is not None:
        uri = _read_secret(f"{path}: mongo.uri_file", mongo.uri_file)
        _check_mode(mongo.uri_file, uri)
    if environment.get(MONGO_URI_VARIABLE):
        uri = SecretStr(environment[MONGO_URI_VARIABLE])
    if uri is not None and not uri.get_secret_value().startswith(("mongodb://", "mongodb+srv://")):
        raise ConfigurationError(
            f"{path}: mongo.uri (or {MONGO_URI_VARIABLE}): expected mongodb://… or mongodb+srv://…"
        )
    return settings.model_copy(update={"mongo": mongo.model_copy(update={"uri": uri})})


def _check_webhooks(webhooks: WebhooksSettings, path: Path) -> None:
    for name, webhook in webhooks.targets.items():
        if webhook.secret is not None:
            _check_not_open(path, f"the secret of the webhook {name}")
        _check_webhook(webhook, webhooks.allowed_hosts, f"{path}: ")


def read_webhook_secrets(webhook: WebhookSettings, allowed_hosts: Sequence[str]) -> WebhookSettings:
    """Return *webhook* with its URL and its secret, also where files have these.

    Only who calls the webhook needs to read the files.  Raises `ConfigurationError`.
    """
    update = {}
    for key in ("url", "secret"):
        file: Path | None = getattr(webhook, f"{key}_file")
        if file is not None:
            place = f"webhooks.targets.{webhook.name}.{key}_file"
            update[key] = _read_secret(place, file)
            _check_not_open(file, f"the {key} of the webhook {webhook.name}")
    whole = webhook.model_copy(update=update)
    _check_webhook(whole, allowed_hosts)
    return whole


def _check_webhook(
    webhook: WebhookSettings, allowed_hosts: Sequence[str], before: str = ""
) -> None:
    try:
        webhook.check(allowed_hosts)
    except ValueError as error:
        place = f"webhooks.targets.{webhook.name}"
        raise ConfigurationError(f"{before}{place}.{error}") from None


def _read_secret(key: str, file: Path) -> SecretStr:
    """Return what *file* holds, which *key* of the configuration names."""
    try:
        return SecretStr(file.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{key}: {file} can't be read: {error}") from error


def _check_mode(path: Path, uri: SecretStr) -> None:
    """Raise ConfigurationError if every user can read *path*, which holds *uri* with a password."""
    if _WITH_PASSWORD.match(uri.get_secret_value()):
        _check_not_open(path, "the password of Mongo")


def _check_not_open(path: Path, secret: str) -> None:
    """Raise ConfigurationError if every user can read *path*, which holds *secret*.

    A group may read it: /etc/clockwork is root's, and the service's group reads it.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o007:
        raise ConfigurationError(
            f"{path}: holds {secret} and is open to everyone (mode {mode:04o}): "
            f"chmod {mode & 0o640:o} {path}, and change it if others could have read it"
        )


# --- errors in words -------------------------------------------------------------------------


def _explain(detail: Any) -> str:
    place = [str(part) for part in detail["loc"] if part != "[key]"]
    key = ".".join(place)
    found = detail["input"]
    if detail["type"] == "extra_forbidden":
        known = _known_keys(place[:-1])
        close = difflib.get_close_matches(place[-1], known, n=1, cutoff=0.6)
        meant = f"; did you mean {close[0]}?" if close else f"; known here: {', '.join(known)}"
        return f"{key}: unknown key{meant}"
    if detail["type"] == "missing":
        return f"{key}: is missing"
    return f"{key}: found {_shown(found, key)}, expected {_expected(detail)}"


def _expected(detail: Any) -> str:
    message: str = detail["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    return message


def _shown(found: object, key: str) -> str:
    """What was found, in TOML's words; a secret stays one."""
    if any(each in key for each in ("uri", "url", "secret")):
        return "something else"
    if isinstance(found, bool):
        return str(found).lower()
    if isinstance(found, dict):
        return "a table"
    return repr(found)


def _known_keys(place: list[str]) -> list[str]:
    """The keys of the table at *place* (``["clusters", "mila", "ssh"]``)."""
    model: Any = Settings
    for part in place:
        if isinstance(model, type) and issubclass(model, BaseModel):
            model = model.model_fields[part].annotation
            if get_origin(model) is UnionType:  # such as JwtSettings | None
                model = get_args(model)[0]
        else:  # dict[str, ClusterSettings]: any name, then the cluster's keys
            model = get_args(model)[1]
    return sorted(key for key in model.model_fields if key != "name")
