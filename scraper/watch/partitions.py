"""Ask for the partitions and the reservations of one cluster, every few minutes.

What fails here costs no round: it is logged, and asked for again at the next interval.  A login
host whose forced command is older refuses both commands; the log says so once.
"""

from datetime import datetime, timezone

from config import ClusterSettings
from ingest.reading.framing import NoAnswer
from ingest.reading.simple_records import read_simple_records
from ingest.slurm.convert import DocumentError, SlurmDict
from ingest.slurm.kinds import PARTITIONS, RESERVATIONS, Kind
from ingest.sync.whole_lists import store_whole_list
from scraper.commands.slurm_commands import show_command, time_format_line
from scraper.ssh.connection import Connection
from scraper.ssh.errors import CommandFailed, NotAnswered, ScrapeError
from scraper.watch.beside_rounds import BesideRounds

NOT_ALLOWED = (
    "the login host does not allow `scontrol show partition` and `show reservation`, so partitions "
    "and reservations stay unknown. Replace clockwork-forced-command on the login host by the one "
    "of this release"
)


def ask_all(connection: Connection, cluster: ClusterSettings, kind: Kind) -> list[SlurmDict]:
    """Return the ``slurm`` dicts of all partitions or reservations. Raises `ScrapeError`."""
    command = show_command(cluster.scontrol, kind.table.kind)
    output = connection.run(command, time_format_line("")).whole()
    try:
        return read_simple_records(output, kind.table, cluster)
    except (NoAnswer, DocumentError) as error:
        raise NotAnswered(cluster.name, f"{command!r}: {error}") from error


class PartitionRounds(BesideRounds):
    """Keeps the partitions and the reservations of one cluster."""

    def after_round(self, connection: Connection) -> None:
        """Ask for both if they are due. Raises what the write raises, and pymongo's errors."""
        if not self._is_due(self._cluster.partitions_interval):
            return
        try:
            for kind in (PARTITIONS, RESERVATIONS):
                records = ask_all(connection, self._cluster, kind)
                now = datetime.now(timezone.utc)
                store_whole_list(self._store, self._cluster, kind, records, self._bulk_write, now)
        except ScrapeError as error:
            refused = isinstance(error, CommandFailed) and error.is_refusal
            self._log.warn(
                NOT_ALLOWED
                if refused
                else f"partitions and reservations were not read: {error.message}"
            )
        else:
            self._log.forget()
