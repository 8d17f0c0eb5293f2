"""Read the configuration again after SIGHUP, and log why a wrong one is refused."""

import logging
from collections.abc import Sequence
from pathlib import Path

from clockwork.logs import set_up_logging
from config import ConfigurationError, Settings, load_settings

logger = logging.getLogger(__name__)


def require_clusters(settings: Settings) -> None:
    """Raise ConfigurationError if the configuration names no cluster."""
    if not settings.clusters:
        raise ConfigurationError("the configuration names no cluster: add a table [clusters.NAME]")


def read_again(path: Path) -> Settings | None:
    """Return the settings in *path*; log the reasons and return None if they are wrong."""
    try:
        return load_settings(path)
    except ConfigurationError as error:
        log_refusal(error)
        return None


def log_refusal(error: Exception) -> None:
    """Log why the new configuration is refused."""
    for line in str(error).splitlines():
        logger.error(
            "reload: the new configuration is wrong, and the old one stays in use: %s", line
        )


def take(settings: Settings, before: Settings, fixed: Sequence[str]) -> None:
    """Set the log up by *settings*, and warn of changed *fixed* keys.

    *fixed* are keys (``api.port``) that the command reads only at its start.
    """
    set_up_logging(settings.log)
    for key in fixed:
        if _value(settings, key) != _value(before, key):
            logger.warning("reload: %s has changed, which takes effect at the next restart", key)


def _value(settings: object, key: str) -> object:
    for name in key.split("."):
        settings = getattr(settings, name)
    return settings
