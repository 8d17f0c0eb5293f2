"""What a running command does with SIGHUP's configuration: take it, or say why not."""

import logging
from collections.abc import Sequence
from pathlib import Path

from clockwork.logs import set_up_logging
from config import ConfigurationError, Settings, load_settings

logger = logging.getLogger(__name__)


def require_clusters(settings: Settings) -> None:
    """Raise ConfigurationError if there is nothing to scrape."""
    if not settings.clusters:
        raise ConfigurationError("the configuration names no cluster: add a table [clusters.NAME]")


def read_again(path: Path) -> Settings | None:
    """The settings that *path* has now; None, with the reasons in the log, when they are wrong."""
    try:
        return load_settings(path)
    except ConfigurationError as error:
        log_refusal(error)
        return None


def log_refusal(error: Exception) -> None:
    """Say why the configuration is not taken."""
    for line in str(error).splitlines():
        logger.error("not reloaded, all stays as it was: %s", line)


def take(settings: Settings, before: Settings, fixed: Sequence[str]) -> None:
    """Log as *settings* say from now on, and warn of changes in *fixed* keys.

    Those are keys (``api.port``) that the command reads at its start alone.
    """
    set_up_logging(settings.log)
    for key in fixed:
        if _value(settings, key) != _value(before, key):
            logger.warning("%s has changed: that takes effect at the next start", key)


def _value(settings: object, key: str) -> object:
    for name in key.split("."):
        settings = getattr(settings, name)
    return settings
