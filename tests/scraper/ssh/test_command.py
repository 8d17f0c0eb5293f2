# ruff: noqa: ARG002 - paramiko calls the methods with arguments of its own
"""Commands: their output as a stream, and every way in which they can end."""

import threading
from typing import Any

import paramiko
import pytest

from clockwork.demo.ssh_server import Answer, Session, SimulatedLoginHost
from ingest.reading.records import NotAsked
from scraper.commands.inquiry import ClusterInquiry
from scraper.ssh.command import READ_BYTES, HeadAndTail
from scraper.ssh.connection import Connection, connect
from scraper.ssh.deadline import Deadline
from scraper.ssh.errors import CommandFailed, CommandTimedOut, ConnectionLost, TooMuchOutput
from tests.scraper import misfortunes
from tests.scraper.home import Home, assert_client_left_nothing
from tests.scraper.misfortunes import Response, ScriptedHost, StubbornSession
from tests.system.daemons import wait_until

MEGABYTE = bytes(range(256)) * 4096


def scripted(home: Home, response: Response) -> ScriptedHost:
    return home.start(ScriptedHost(response, home.host_keys["ed25519"], home.authorized))


def answering(home: Home, answer: Answer) -> SimulatedLoginHost:
    return home.answering(lambda _: answer)


def test_output_comes_whole_and_byte_for_byte(home: Home) -> None:
    host = answering(home, Answer([b"JobId=1\xff\xfe\n", b"", b"\x1b[31m\r\n"], b"a warning\n"))
    with connect("mila", home.settings(host.port)) as connection:
        run = connection.run("scontrol")
        assert run.exit_status is None
        assert b"".join(run) == b"JobId=1\xff\xfe\n\x1b[31m\r\n"
        assert run.exit_status == 0
        assert run.exit_signal is None
        assert run.stderr == "a warning\n"
        assert run.stdout_bytes == 17
        assert list(run) == []


def test_a_login_message_before_the_output_is_part_of_it(home: Home) -> None:
    """It is on standard output, so the reader of records has to deal with it."""
    host = answering(home, Answer([b"Welcome to login1\n", b"JobId=1\n"]))
    with connect("mila", home.settings(host.port)) as connection:
        assert b"".join(connection.run("scontrol")) == b"Welcome to login1\nJobId=1\n"


def test_fifty_megabytes_stream_through(home: Home) -> None:
    host = answering(home, Answer([MEGABYTE] * 50))
    received, longest = 0, 0
    with connect("mila", home.settings(host.port)) as connection:
        for chunk in connection.run("scontrol"):
            assert chunk == (MEGABYTE * 4)[received % 256 :][: len(chunk)]
            received += len(chunk)
            longest = max(longest, len(chunk))
    assert received == 50 << 20
    assert longest <= 2 << 20


CIPHERS = ["aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr"]


class ChoosingHost(SimulatedLoginHost):
    """A host that encrypts in one way alone."""

    def __init__(self, home: Home, answer: Answer, cipher: str) -> None:
        super().__init__(lambda _: answer, home.host_keys["ed25519"], home.authorized)
        self._cipher = cipher

    def session(self, transport: paramiko.Transport) -> Session:
        transport.get_security_options().ciphers = (self._cipher,)
        return super().session(transport)


def ciphers(connection: Connection) -> set[str]:
    """Those in use, there and back."""
    transport: Any = connection._transports[-1]  # its types leave these out
    return {transport.local_cipher, transport.remote_cipher}


def test_aes_gcm_is_preferred(home: Home) -> None:
    host = home.login_host(hostname=b"login1\n")
    with connect("mila", home.settings(host.port)) as connection:
        assert ciphers(connection) == {"aes128-gcm@openssh.com"}


@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_host_with_one_cipher(home: Home, cipher: str) -> None:
    host = home.start(ChoosingHost(home, Answer([MEGABYTE] * 3), cipher))
    with connect("mila", home.settings(host.port)) as connection:
        assert ciphers(connection) == {cipher}
        assert b"".join(connection.run("scontrol")) == MEGABYTE * 3


@pytest.mark.parametrize("cipher", CIPHERS)
def test_a_bit_that_is_flipped_on_the_way_ends_the_connection(home: Home, cipher: str) -> None:
    # Beyond the window of 2 MiB: the host goes so far only when the run has taken the first half.
    host = home.start(ChoosingHost(home, Answer([MEGABYTE] * 5), cipher))
    with misfortunes.RawHost(misfortunes.flips_a_bit(host.port, 4_000_000)) as relay:
        home.know(f"[127.0.0.1]:{relay.port}", home.host_keys["ed25519"])
        chunks: list[bytes] = []
        with connect("mila", home.settings(relay.port)) as connection:
            with pytest.raises(ConnectionLost):
                chunks.extend(connection.run("scontrol"))
            assert not connection.is_alive()
    came = b"".join(chunks)
    assert 1_500_000 < len(came) < 4_000_000
    assert came == (MEGABYTE * 4)[: len(came)]


@pytest.mark.parametrize("cipher", CIPHERS)
@pytest.mark.parametrize("side", ["host", "scraper"])
def test_keys_are_renewed_in_the_middle_of_the_output(home: Home, side: str, cipher: str) -> None:
    hosts_own: list[paramiko.Transport] = []

    class RenewingHost(ChoosingHost):
        def session(self, transport: paramiko.Transport) -> Session:
            if side == "host":
                transport.packetizer.REKEY_BYTES = 1 << 20
            hosts_own.append(transport)
            return super().session(transport)

    answer = Answer([MEGABYTE] * 8)
    host = home.start(RenewingHost(home, answer, cipher))
    with connect("mila", home.settings(host.port)) as connection:
        transport = connection._transports[-1]
        if side == "scraper":
            transport.packetizer.REKEY_BYTES = 1 << 20
        session_id = transport.session_id  # of the first exchange of keys
        assert b"".join(connection.run("scontrol")) == MEGABYTE * 8
        assert transport.H not in (None, session_id)
        # The last renewal may still be under way, and paramiko as a host, unlike sshd, would let a
        # new channel be opened in the midst of it.
        [own] = hosts_own
        wait_until(
            lambda: own.clear_to_send.is_set() and not own.packetizer.need_rekey(),
            "the host is through with its keys",
        )
        assert b"".join(connection.run("scontrol")) == MEGABYTE * 8


def test_a_command_that_fails(home: Home) -> None:
    stderr = b"slurm_load_jobs error: \x1b[31mUnable to contact slurm controller\n(try later)\n"
    host = answering(home, Answer([b"partial"], stderr, 1))
    with connect("mila", home.settings(host.port)) as connection:
        run = connection.run("scontrol -a show job")
        with pytest.raises(CommandFailed) as caught:
            list(run)
        assert caught.value.exit_status == run.exit_status == 1
        assert caught.value.stderr == run.stderr
        assert not caught.value.is_refusal
        assert "`scontrol -a show job` ended with exit status 1" in caught.value.message
        assert "\\x1b[31mUnable to contact slurm controller | (try later)" in caught.value.message
        assert connection.is_alive()
        with pytest.raises(CommandFailed):
            list(connection.run("scontrol"))


@pytest.mark.parametrize(
    ("answer", "unknown"),
    [
        (Answer(stderr=b"slurm_load_jobs error: Invalid job id specified\n", exit_status=1), True),
        (Answer(stderr=b"slurm_load_jobs error: Unable to contact slurm\n", exit_status=1), False),
        (Answer(stderr=b"slurm_load_jobs error: Invalid job id specified\n", exit_status=2), False),
        (Answer([b"Invalid job id specified\n"], exit_status=1), False),
        (Answer(exit_status=1), False),
        (Answer(exit_status=126), False),
    ],
)
def test_an_unknown_job_is_told_from_other_failures(
    home: Home, answer: Answer, unknown: bool
) -> None:
    host = answering(home, answer)
    with (
        connect("mila", home.settings(host.port)) as connection,
        pytest.raises(CommandFailed) as caught,
    ):
        list(connection.run("scontrol"))
    assert caught.value.is_unknown_job == unknown


@pytest.mark.parametrize(
    ("status", "hint"), [(126, "clockwork-forced-command"), (127, "set scontrol to its full path")]
)
def test_exit_statuses_that_have_a_meaning(home: Home, status: int, hint: str) -> None:
    host = answering(home, Answer(exit_status=status))
    with (
        connect("mila", home.settings(host.port)) as connection,
        pytest.raises(CommandFailed, match=hint),
    ):
        list(connection.run("scontrol"))


def test_a_command_that_is_killed(home: Home) -> None:
    host = scripted(home, misfortunes.killed)
    with connect("mila", home.settings(host.port)) as connection:
        run = connection.run("scontrol")
        with pytest.raises(CommandFailed, match="killed by signal KILL") as caught:
            list(run)
        assert caught.value.exit_signal == run.exit_signal == "KILL"
        assert caught.value.exit_status is run.exit_status is None


def test_no_output_at_all_and_exit_status_0_is_a_normal_end(home: Home) -> None:
    host = scripted(home, misfortunes.exit_status_without_output)
    with connect("mila", home.settings(host.port)) as connection:
        run = connection.run("scontrol")
        assert list(run) == []
        assert run.exit_status == 0


def test_the_exit_status_may_come_before_the_output(home: Home) -> None:
    host = scripted(home, misfortunes.exit_status_before_the_output)
    with connect("mila", home.settings(host.port)) as connection:
        assert b"".join(connection.run("scontrol")) == b"whole"


@pytest.mark.parametrize(
    "response", [misfortunes.cut_in_the_middle, misfortunes.cut_after_the_exit_status]
)
def test_output_that_is_cut_never_ends_normally(home: Home, response: Response) -> None:
    host = scripted(home, response)
    connection = connect("mila", home.settings(host.port))
    received: list[bytes] = []
    with pytest.raises(ConnectionLost, match="bytes of output came, which may not be all"):
        received.extend(connection.run("scontrol"))
    assert b"JobId=1 JobName=a\n   UserId=alice".startswith(b"".join(received))
    connection.close()
    assert_client_left_nothing(host.port)


def test_an_end_without_exit_status_is_no_normal_end(home: Home) -> None:
    host = scripted(home, misfortunes.closes_without_exit_status)
    with connect("mila", home.settings(host.port)) as connection:
        run = connection.run("scontrol")
        with pytest.raises(ConnectionLost, match="before the command's exit status"):
            list(run)
        assert run.stdout_bytes == 18
        assert run.exit_status is None


@pytest.mark.parametrize(
    "response",
    [
        misfortunes.hang,
        misfortunes.hang_after_the_output,
        misfortunes.trickle,
        misfortunes.endless_stdout,
        misfortunes.endless_stderr,
    ],
)
def test_a_command_that_does_not_end(home: Home, response: Response) -> None:
    host = scripted(home, response)
    connection = connect("mila", home.settings(host.port, command_timeout=0.3))
    run = connection.run("scontrol")
    with pytest.raises(CommandTimedOut, match=r"did not end within 0\.3 s"):
        for _ in run:
            pass
    assert not connection.is_alive()
    assert len(run.stderr) < 20_000
    connection.close()
    assert_client_left_nothing(host.port)


def test_an_endless_output_that_is_kept_whole_ends_at_a_size(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scraper.ssh.command.WHOLE_BYTES", 1 << 20)
    host = scripted(home, misfortunes.endless_stdout)
    with connect("mila", home.settings(host.port, command_timeout=20.0)) as connection:
        run = connection.run("squeue")
        with pytest.raises(TooMuchOutput, match="`squeue` printed more than 1048576 bytes"):
            run.whole()
        assert run.stdout_bytes <= (1 << 20) + READ_BYTES
        assert connection.is_alive()
        assert next(connection.run("squeue"))
        inquiry = ClusterInquiry(connection, "mila", "scontrol", seal_on_stdin=True)
        assert inquiry.owners() is None
        with pytest.raises(NotAsked, match="printed more than"):
            inquiry.show("1")


def test_the_callers_own_work_does_not_count(home: Home) -> None:
    """Mongo may take its time over a chunk: the cluster has done nothing wrong."""
    works = threading.Event()

    def respond(host: ScriptedHost, channel: paramiko.Channel) -> None:
        channel.sendall(b"JobId=1\n")
        works.wait(20)
        channel.sendall(b"JobId=2\n")
        channel.send_exit_status(0)

    host = scripted(home, respond)
    with connect("mila", home.settings(host.port, command_timeout=1.5)) as connection:
        run = connection.run("scontrol")
        assert next(run) == b"JobId=1\n"
        with Deadline(2.0, works.set):
            assert works.wait(20)
        assert b"".join(run) == b"JobId=2\n"
        assert run.exit_status == 0


def test_the_limit_goes_on_after_the_callers_own_work(home: Home) -> None:
    def respond(host: ScriptedHost, channel: paramiko.Channel) -> None:
        channel.sendall(b"JobId=1\n")
        host.stopping.wait()

    host = scripted(home, respond)
    with connect("mila", home.settings(host.port, command_timeout=1.0)) as connection:
        run = connection.run("scontrol")
        assert next(run) == b"JobId=1\n"
        with pytest.raises(CommandTimedOut, match="8 bytes of output came"):
            next(run)


def test_much_on_standard_error_neither_blocks_nor_fills_memory(home: Home) -> None:
    def respond(host: ScriptedHost, channel: paramiko.Channel) -> None:
        for number in range(300):
            channel.sendall_stderr(f"line {number:05}\n".encode() * 3000)
            channel.sendall(b"x" * 1000)
        channel.send_exit_status(0)

    host = scripted(home, respond)
    with connect("mila", home.settings(host.port)) as connection:
        run = connection.run("scontrol")
        assert b"".join(run) == b"x" * 300_000
    assert run.stderr.startswith("line 00000\n")
    assert run.stderr.endswith("line 00299\n")
    assert f"[{300 * 3000 * 11 - 2 * 8192} bytes left out]" in run.stderr


def test_leaving_the_loop_ends_the_command_and_not_the_connection(home: Home) -> None:
    host = scripted(home, misfortunes.endless_stdout)
    with connect("mila", home.settings(host.port)) as connection:
        run = connection.run("scontrol")
        next(run)
        run.close()
        assert connection.is_alive()
        assert list(run) == []
        again = connection.run("scontrol")
        assert next(again)
        third = connection.run("scontrol")
        assert list(again) == []
        assert next(third)
    assert list(third) == []


def test_closing_from_another_thread_ends_a_run(home: Home) -> None:
    host = scripted(home, misfortunes.hang)
    connection = connect("mila", home.settings(host.port))
    run = connection.run("scontrol")
    errors: list[Exception] = []

    def read() -> None:
        try:
            list(run)
        except ConnectionLost as error:
            errors.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    _wait_for_a_command(host)
    connection.close()
    reader.join(20)
    assert len(errors) == 1


def _wait_for_a_command(host: ScriptedHost) -> None:
    while not any(thread.name == "scontrol" for thread in threading.enumerate()):
        host.stopping.wait(0.01)


class DeafHost(SimulatedLoginHost):
    """A host that leaves one kind of request unanswered."""

    deaf_to = ""

    def session(self, transport: paramiko.Transport) -> Session:
        return StubbornSession(self, transport, self.deaf_to)


def deaf(home: Home, deaf_to: str) -> DeafHost:
    host = DeafHost(lambda _: Answer(), home.host_keys["ecdsa"], home.authorized)
    host.deaf_to = deaf_to
    return home.start(host)


def test_a_host_that_does_not_answer_to_the_command(home: Home) -> None:
    host = deaf(home, "command")
    with (
        connect("mila", home.settings(host.port, command_timeout=0.3)) as connection,
        pytest.raises(CommandTimedOut),
    ):
        list(connection.run("scontrol"))


def test_a_kept_connection_that_is_dead_is_found_out_before_the_commands_limit(home: Home) -> None:
    host = deaf(home, "session")
    with (
        connect("mila", home.settings(host.port, connect_timeout=0.3)) as connection,
        pytest.raises(ConnectionLost, match=r"no session was opened within 0\.3 s"),
    ):
        list(connection.run("scontrol"))


def test_a_host_that_refuses_commands(home: Home) -> None:
    class ClosedSession(Session):
        def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
            return False

    class ClosedHost(SimulatedLoginHost):
        def session(self, transport: paramiko.Transport) -> Session:
            return ClosedSession(self, transport)

    host = home.start(ClosedHost(lambda _: Answer(), home.host_keys["ecdsa"], home.authorized))
    with (
        connect("mila", home.settings(host.port)) as connection,
        pytest.raises(ConnectionLost, match="Channel closed"),
    ):
        list(connection.run("scontrol"))


def reads_all(_host: ScriptedHost, channel: paramiko.Channel) -> None:
    """Read standard input to its end, then print it."""
    stdin = b""
    while chunk := channel.recv(1 << 16):
        stdin += chunk
    channel.sendall(stdin)
    channel.send_exit_status(0)


@pytest.mark.parametrize("stdin", [b"", b"%FT%T%zq7Rk2Xa\n", bytes(range(256)), MEGABYTE * 5])
def test_standard_input_arrives_whole_and_then_ends(home: Home, stdin: bytes) -> None:
    """5 MiB are more than the host's window."""
    host = scripted(home, reads_all)
    with connect("mila", home.settings(host.port)) as connection:
        assert b"".join(connection.run("cat", stdin)) == stdin
        assert b"".join(connection.run("cat")) == b""


@pytest.mark.parametrize("exit_status", [0, 126])
def test_a_command_that_never_reads_its_standard_input_ends_as_usual(
    home: Home, exit_status: int
) -> None:
    host = answering(home, Answer([b"JobId=1\n"], b"refused\n", exit_status))
    with connect("mila", home.settings(host.port)) as connection:
        for stdin in (b"%FT%T%zq7Rk2Xa\n", MEGABYTE * 5):
            run = connection.run("scontrol", stdin)
            if exit_status == 0:
                assert b"".join(run) == b"JobId=1\n"
            else:
                with pytest.raises(CommandFailed) as caught:
                    list(run)
                assert caught.value.is_refusal
                assert caught.value.stderr == "refused\n"
            assert run.exit_status == exit_status
            assert connection.is_alive()


@pytest.mark.parametrize("stdin", [b"%FT%T%zq7Rk2Xa\n", MEGABYTE * 5])
def test_a_command_that_neither_reads_nor_ends_is_given_up(home: Home, stdin: bytes) -> None:
    host = scripted(home, misfortunes.hang)
    connection = connect("mila", home.settings(host.port, command_timeout=0.3))
    with pytest.raises(
        CommandTimedOut, match=r"did not end within 0\.3 s \(0 bytes of output came"
    ):
        list(connection.run("scontrol", stdin))
    assert not connection.is_alive()
    connection.close()
    assert_client_left_nothing(host.port)


@pytest.mark.parametrize("read_bytes", [0, 3, 3 << 20])
def test_a_connection_that_is_cut_while_standard_input_is_sent(home: Home, read_bytes: int) -> None:
    def respond(_host: ScriptedHost, channel: paramiko.Channel) -> None:
        left = read_bytes
        while left:
            left -= len(channel.recv(min(left, 1 << 16)))
        misfortunes.cut(channel)

    host = scripted(home, respond)
    connection = connect("mila", home.settings(host.port))
    run = connection.run("scontrol", MEGABYTE * 5)
    with pytest.raises(ConnectionLost, match="before the command's exit status") as caught:
        list(run)
    assert caught.value.output_bytes == 0
    connection.close()
    assert_client_left_nothing(host.port)


def test_no_error_shows_standard_input(home: Home) -> None:
    host = answering(home, Answer(exit_status=1))
    with (
        connect("mila", home.settings(host.port)) as connection,
        pytest.raises(CommandFailed) as caught,
    ):
        list(connection.run("scontrol", b"%FT%T%zq7Rk2Xa\n"))
    assert "q7Rk2Xa" not in caught.value.message


@pytest.mark.parametrize("sizes", [[0], [1], [8192], [8193], [16384], [16385], [9000, 9000, 1]])
def test_head_and_tail_keep_both_ends_and_count_the_rest(sizes: list[int]) -> None:
    stream = bytes(ord("a") + n % 26 for n in range(sum(sizes)))
    kept = HeadAndTail()
    rest = stream
    for size in sizes:
        kept.add(rest[:size])
        rest = rest[size:]
    left_out = len(stream) - 16384
    if left_out <= 0:
        assert kept.text() == stream.decode()
    else:
        gap = f"\n[{left_out} bytes left out]\n"
        assert kept.text() == stream[:8192].decode() + gap + stream[-8192:].decode()
