"""The settings of the service: read once from one TOML file, checked, frozen.

``load_settings`` is the way in; everyone else is handed the part of `Settings` that they need.
"""

from config.errors import OperatorError
from config.load import ConfigurationError, find_settings_file, load_settings, read_webhook_secrets
from config.settings import (
    ApiSettings,
    ClusterSettings,
    EmbeddedSettings,
    LogSettings,
    MongoSettings,
    RetentionSettings,
    ScraperSettings,
    Settings,
    SshSettings,
)
from config.webhooks import WebhookSettings, WebhooksSettings

__all__ = [
    "ApiSettings",
    "ClusterSettings",
    "ConfigurationError",
    "EmbeddedSettings",
    "LogSettings",
    "MongoSettings",
    "OperatorError",
    "RetentionSettings",
    "ScraperSettings",
    "Settings",
    "SshSettings",
    "WebhookSettings",
    "WebhooksSettings",
    "find_settings_file",
    "load_settings",
    "read_webhook_secrets",
]
