"""Run one command on a login host: stream its standard output, then say how it ended."""

import math
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress

import paramiko

from scraper.ssh.deadline import Deadline
from scraper.ssh.errors import (
    REFUSED,
    CommandFailed,
    CommandTimedOut,
    ConnectionLost,
    TooMuchOutput,
    printable,
)
from scraper.ssh.transport import Transport

READ_BYTES = 2 << 20
"""The size of a chunk of output, at most: a full SSH window."""

WHOLE_BYTES = 256 << 20
"""The longest output that ``CommandRun.whole`` keeps in memory."""

_POLL_SECONDS = 0.05
_SHOWN_STDERR = 1000

_EXIT_HINTS = {
    REFUSED: "The login host does not allow the command: see clockwork-forced-command on it",
    127: "The program was not found there: set scontrol to its full path",
}
_PRIVATE_DATA_HINT = (
    "slurm.conf probably has PrivateData. Give the login user the level Operator (sacctmgr modify "
    "user NAME set adminlevel=operator), or take jobs and nodes out of PrivateData"
)


class HeadAndTail:
    """Keeps the first and the last bytes of a stream; the bytes between are only counted."""

    KEPT = 8 << 10
    """How many bytes are kept of the beginning, and as many of the end."""

    def __init__(self) -> None:
        self._head = b""
        self._tail = b""
        self._left_out = 0

    def add(self, chunk: bytes) -> None:
        """Take the next bytes of the stream."""
        room = self.KEPT - len(self._head)
        self._head += chunk[:room]
        tail = self._tail + chunk[room:]
        self._tail = tail[-self.KEPT :]
        self._left_out += len(tail) - len(self._tail)

    def text(self) -> str:
        """Return what was kept, each line printable, with a note of how much was left out."""
        gap = f"\n[{self._left_out} bytes left out]\n".encode() if self._left_out else b""
        text = (self._head + gap + self._tail).decode("utf-8", "backslashreplace")
        return "\n".join(printable(line) for line in text.split("\n"))


class CommandRun(Iterator[bytes]):
    """A command that starts when its output is first asked for.

    Iteration gives chunks of standard output, bytes of any length up to 2 MiB. It ends normally
    only when the command has closed its output and reported exit status 0: only then is the output
    whole. Otherwise it raises CommandFailed, CommandTimedOut or ConnectionLost. The time limit runs
    from the start to the exit status, without the caller's own work between two chunks: a slow
    database must not fail the command. Opening the session has a shorter limit, so that a kept
    connection that is dead is noticed early.

    *stdin* is sent whole and then closed before any output is read. It should fit into the host's
    window (2 MiB with OpenSSH). A command that ends without reading *stdin* ends as usual.
    """

    def __init__(
        self,
        cluster: str,
        host: str,
        transport: Transport,
        command: str,
        stdin: bytes,
        seconds: float,
        opening_seconds: float,
        abort: Callable[[], None],
    ) -> None:
        self.command = command
        """The command line, for messages; *stdin* may hold a secret and is in no message."""
        self.exit_status: int | None = None
        """Known after the iteration; None when the host reported none."""
        self.exit_signal: str | None = None
        """The signal that ended the command, without ``SIG``."""
        self.stdout_bytes = 0
        """Bytes of standard output given so far."""
        self._cluster = cluster
        self._host = host
        self._transport = transport
        self._stdin = stdin
        self._seconds = seconds
        self._opening_seconds = opening_seconds
        self._abort = abort
        self._stderr = HeadAndTail()
        self._stream = self._run()

    def __next__(self) -> bytes:
        return next(self._stream)

    def whole(self) -> bytes:
        """Return the rest of standard output at once, for a command that prints little.

        Raises TooMuchOutput behind ``WHOLE_BYTES``, and what the iteration raises. The connection
        stays usable after TooMuchOutput.
        """
        chunks = []
        for chunk in self:
            chunks.append(chunk)
            if self.stdout_bytes > WHOLE_BYTES:
                self.close()
                raise TooMuchOutput(
                    self._cluster,
                    f"{self._host}: `{self.command}` printed more than {WHOLE_BYTES} bytes, so its "
                    "output was not read. Run the command by hand there",
                )
        return b"".join(chunks)

    def close(self) -> None:
        """End the command if it still runs. ``Connection.run`` and ``close`` do it too."""
        self._stream.close()

    @property
    def stderr(self) -> str:
        """The first and last 8 KiB of standard error so far, safe to print."""
        return self._stderr.text()

    def _run(self) -> Generator[bytes, None, None]:
        channel: paramiko.Channel | None = None

        def give_up() -> None:
            self._abort()
            if channel:  # paramiko can wait for these even when the connection is gone already.
                channel.event.set()
                channel.status_event.set()

        self._transport.exit_signal = None
        with Deadline(self._seconds, give_up) as deadline:
            cause: Exception | None = None
            try:
                with Deadline(self._opening_seconds, give_up) as opening:
                    channel = self._transport.open_session(timeout=math.inf)
                channel.exec_command(self.command)  # nosec B601
                self._send_stdin(channel)
                channel.settimeout(_POLL_SECONDS)
                yield from self._output(channel, deadline)
                channel.recv_exit_status()
            except (paramiko.SSHException, EOFError, OSError) as error:
                cause = error
                if channel is None and opening.passed:
                    cause = TimeoutError(
                        f"no session was opened within {self._opening_seconds:g} s"
                    )
            finally:
                if channel:
                    with suppress(paramiko.SSHException, EOFError, OSError):
                        channel.close()  # which tells the host, if it is still there
            self._conclude(channel, cause, timed_out=deadline.passed)

    def _send_stdin(self, channel: paramiko.Channel) -> None:
        """Send standard input and its end; a host that has closed the channel already gets none."""
        with suppress(OSError):
            channel.sendall(self._stdin)
            channel.shutdown_write()

    def _output(self, channel: paramiko.Channel, deadline: Deadline) -> Iterator[bytes]:
        """Yield standard output up to its end, and drain standard error meanwhile."""
        while True:
            try:
                chunk = channel.recv(READ_BYTES)
            except TimeoutError:
                chunk = None
            if channel.recv_stderr_ready():
                self._stderr.add(channel.recv_stderr(READ_BYTES))
            if chunk:
                self.stdout_bytes += len(chunk)
                with deadline.paused():
                    yield chunk
            elif chunk is not None:
                break
        channel.settimeout(None)  # The end has come for standard error too.
        while rest := channel.recv_stderr(READ_BYTES):
            self._stderr.add(rest)

    def _conclude(
        self, channel: paramiko.Channel | None, cause: Exception | None, timed_out: bool
    ) -> None:
        """Note how the command ended; raise unless it ended with exit status 0."""
        self.exit_signal = self._transport.exit_signal
        if channel and channel.exit_status != -1:  # paramiko's mark for a status that never came
            self.exit_status = channel.exit_status
        ended = self.exit_status is not None or self.exit_signal is not None
        # The end of the output has to be announced too: a status can overtake output that is lost.
        if ended and cause is None and channel and channel.eof_received:
            if self.exit_status != 0 or self.exit_signal:
                raise self._failed()
            return
        what = f"{self._host}: `{self.command}`"
        got = f"{self.stdout_bytes} bytes of output came"
        if timed_out:
            raise CommandTimedOut(
                self._cluster,
                f"{what} did not end within {self._seconds:g} s ({got}){self._said()}. Is "
                "slurmctld slow? Run the command by hand there, or raise command_timeout",
            ) from cause
        reason = f" ({cause})" if cause and str(cause) else ""
        raise ConnectionLost(
            self._cluster,
            f"{what}: the connection or its channel ended before the command's exit status{reason};"
            f" {got}, which may not be all{self._said()}. If this repeats, look at the host's sshd "
            "and the network",
            output_bytes=self.stdout_bytes,
        ) from cause

    def _failed(self) -> CommandFailed:
        ending = (
            f"ended with exit status {self.exit_status}"
            if self.exit_status is not None
            else f"was killed by signal {self.exit_signal}"
        )
        hint = _EXIT_HINTS.get(self.exit_status or 0, "Run the command by hand there")
        if "Access/permission denied" in self.stderr:
            hint = _PRIVATE_DATA_HINT
        return CommandFailed(
            self._cluster,
            f"{self._host}: `{self.command}` {ending}{self._said()}. {hint}",
            exit_status=self.exit_status,
            exit_signal=self.exit_signal,
            stderr=self.stderr,
        )

    def _said(self) -> str:
        """Return the end of standard error for a message, on one line."""
        text = " | ".join(self.stderr.strip().split("\n"))
        return f", saying: {text[-_SHOWN_STDERR:]}" if text else ""
