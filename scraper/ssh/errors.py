"""The errors between the scraper and a cluster, with messages for the operator."""

from typing import ClassVar

REFUSED = 126
"""The exit status with which clockwork-forced-command refuses a command."""


def printable(text: str) -> str:
    """Return *text* with every character that a terminal would act on written as an escape.

    Line breaks, terminal escapes and marks that reverse the writing direction become ``\\n``,
    ``\\x1b``, ``\\u202e``; letters of every script stay. A host's text must not be able to control
    the reader's terminal.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class ScrapeError(Exception):
    """A cluster could not be reached or did not answer. ``message`` says why and what to do."""

    answered: ClassVar[bool] = True
    """Whether the login host let the scraper in and ran commands within their limits."""

    def __init__(self, cluster: str, message: str) -> None:
        self.cluster = cluster
        self.message = printable(message)
        super().__init__(f"{cluster}: {self.message}")


class Unreachable(ScrapeError):
    """No SSH connection was made: wrong route, name or port, or a time limit."""

    answered = False


class HostKeyRefused(ScrapeError):
    """The host showed a key that known_hosts lacks or contradicts."""

    answered = False


class KeyUnusable(ScrapeError):
    """There is no usable private key to log in with."""

    answered = False


class AuthenticationRefused(ScrapeError):
    """The host did not accept any of the keys."""

    answered = False


class ConnectionLost(ScrapeError):
    """The connection ended before the command's exit status: the output may be cut."""

    def __init__(self, cluster: str, message: str, *, output_bytes: int = 0) -> None:
        super().__init__(cluster, message)
        self.output_bytes = output_bytes
        """How many bytes of the output had come."""


class CommandTimedOut(ScrapeError):
    """The command did not end within its limit; the connection was closed."""

    answered = False


class RoundTooLong(ScrapeError):
    """The whole round, from the connection to the last write, did not end within its limit."""

    answered = False


class RoundAbandoned(ScrapeError):
    """The scraper stops and does not wait for the end of the round."""


class CommandFailed(ScrapeError):
    """The command ended with another exit status than 0, or by a signal."""

    def __init__(
        self,
        cluster: str,
        message: str,
        *,
        exit_status: int | None,
        exit_signal: str | None = None,
        stderr: str = "",
    ) -> None:
        super().__init__(cluster, message)
        self.exit_status = exit_status
        """None when a signal ended the command."""
        self.exit_signal = exit_signal
        """The signal without ``SIG``: ``KILL``."""
        self.stderr = stderr
        """The first and last 8 KiB of standard error, each line printable."""

    @property
    def is_refusal(self) -> bool:
        """Whether the login host does not allow the command."""
        return self.exit_status == REFUSED

    @property
    def is_unknown_job(self) -> bool:
        """Whether scontrol said that Slurm knows no job with the id that it was asked for."""
        return self.exit_status == 1 and "Invalid job id specified" in self.stderr


class NotAnswered(ScrapeError):
    """The command ended with exit status 0, but printed no output of Slurm's."""


class TooMuchOutput(NotAnswered):
    """The command printed more than is kept in memory, and was ended."""


class TooManyRecords(ScrapeError):
    """scontrol printed more records than any cluster has."""


class JobsMissing(ScrapeError):
    """The output lacks jobs that have not ended: they are hidden, or are another cluster's."""
