"""The fixtures of the experiments' short forms."""

from tests.api.conftest import anyone, client, filled
from tests.scraper.conftest import client_keys, home, host_keys

__all__ = ["anyone", "client", "client_keys", "filled", "home", "host_keys"]
