"""Ask a cluster for all records of a kind, and about the jobs that an output leaves in doubt."""

import logging
from collections.abc import Mapping

from ingest.programs.squeue_check import ListUnreadable, read_list
from ingest.reading.records import Answer, NotAsked
from ingest.slurm.kinds import Kind
from scraper.commands.slurm_commands import (
    first_release_show_command,
    list_command,
    new_seal,
    show_command,
    show_job_command,
    time_format_line,
)
from scraper.ssh.command import CommandRun
from scraper.ssh.connection import Connection
from scraper.ssh.errors import CommandFailed, NotAnswered, TooMuchOutput

logger = logging.getLogger(__name__)


def run_show(
    connection: Connection, scontrol: str, kind: Kind, seal: str, *, seal_on_stdin: bool
) -> CommandRun:
    """Return the run that shows all records of *kind*; an empty *seal* leaves the times without.

    *seal_on_stdin* is False for a login host that allows only the first release's commands.
    """
    what = kind.table.kind
    if seal_on_stdin:
        return connection.run(show_command(scontrol, what), time_format_line(seal))
    return connection.run(first_release_show_command(scontrol, what, seal))


def ask_for_list(connection: Connection, cluster_name: str, scontrol: str) -> dict[str, str]:
    """Return the owners' uids by job id, as squeue lists them. Raises `ScrapeError`."""
    command = list_command(scontrol)
    try:
        return read_list(connection.run(command).whole())
    except ListUnreadable as error:
        raise NotAnswered(cluster_name, f"{command!r}: {error}") from error


class ClusterInquiry:
    """An `ingest.reading.records.Inquiry` over one connection, for one round."""

    def __init__(
        self, connection: Connection, cluster_name: str, scontrol: str, *, seal_on_stdin: bool
    ) -> None:
        self.connection = connection
        self._cluster_name = cluster_name
        self._scontrol = scontrol
        self._seal_on_stdin = seal_on_stdin
        self.listed: dict[str, str] = {}
        """The jobs that squeue listed in this round: they are there, whatever else is known."""

    def owners(self) -> Mapping[str, str] | None:
        """Return the uid of every job by id; None if squeue can't be asked."""
        try:
            self.listed = ask_for_list(self.connection, self._cluster_name, self._scontrol)
        except (CommandFailed, NotAnswered) as error:
            logger.warning(
                "squeue: jobs in doubt stay unread: %s",
                error.message,
                extra={"cluster": self._cluster_name},
            )
            return None
        return self.listed

    def show(self, job_id: str) -> Answer | None:
        """Ask scontrol for one job; None if the job is gone. Raises `NotAsked`."""
        if not self._seal_on_stdin:
            raise NotAsked(
                "the job is in doubt and can't be asked for alone: replace "
                "clockwork-forced-command on the login host by the one of this release"
            )
        seal = new_seal()
        command = show_job_command(self._scontrol, job_id)
        try:
            return Answer([self.connection.run(command, time_format_line(seal)).whole()], seal)
        except (CommandFailed, TooMuchOutput) as error:
            if isinstance(error, CommandFailed) and error.is_unknown_job:
                return None
            raise NotAsked(f"the job is in doubt and can't be asked for alone: {error}") from error
