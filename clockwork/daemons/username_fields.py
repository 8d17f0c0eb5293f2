"""Give jobs the username field of their cluster's settings, while the scraper runs."""

import logging
import threading
from collections.abc import Iterable

from pymongo.errors import PyMongoError

from config import ClusterSettings
from ingest.accounts.username_field import adopt_username_field
from ingest.database.store import Store

logger = logging.getLogger(__name__)


def start_adoption(store: Store, clusters: Iterable[ClusterSettings]) -> None:
    """Run `adopt_username_field` for *clusters* in a thread that ends with the process.

    An error goes to the log.
    """
    threading.Thread(target=_adopt, args=(store, clusters), name="owners", daemon=True).start()


def _adopt(store: Store, clusters: Iterable[ClusterSettings]) -> None:
    try:
        for cluster in clusters:
            adopt_username_field(store, cluster.name, cluster.username_field)
    except PyMongoError as error:
        logger.error(  # noqa: TRY400 - no defect of ours
            "username fields could not be compared; the next start does it: %s", error
        )
