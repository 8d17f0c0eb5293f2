"""One call: which addresses it goes to, and that no receiver can hold it or mislead it."""

import fcntl
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from ipaddress import IPv6Address, ip_address
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from clockwork.webhooks.call import CallFailed, _trusting, addresses, call, may_be_called
from clockwork.webhooks.senders import pause_after
from tests.clockwork.webhooks.receiver import Receiver, receiving, status
from tests.support.http import CERTIFICATE_FAULTS, Authority
from tests.support.ports import LOOPBACK, free_port, full_port

SIOCGIFADDR = 0x8915


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("clockwork.webhooks.call.CALL_SECONDS", 0.5)


def post(url: str) -> int:
    return call(urlsplit(url), (LOOPBACK,), b"{}", {"webhook-id": "1"})


@pytest.mark.parametrize("number", [200, 204, 299])
def test_a_receiver_that_takes_the_call(receiver: Receiver, number: int) -> None:
    receiver.answers = [status(number, b"")]
    assert post(receiver.url) == number
    [came] = receiver.calls
    assert (came.body, came.headers["webhook-id"]) == (b"{}", "1")


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (301, "answered 301: redirects are not followed"),
        (307, "answered 307: redirects are not followed"),
        (400, "answered 400: no"),
        (404, "answered 404: no"),
        (500, "answered 500: no"),
    ],
)
def test_a_receiver_that_refuses(receiver: Receiver, number: int, says: str) -> None:
    receiver.answers = [status(number, b"no", Location=receiver.url)]
    with pytest.raises(CallFailed, match=says):
        post(receiver.url)
    assert len(receiver.calls) == 1


def test_a_huge_response_is_not_read(receiver: Receiver) -> None:
    def huge(request: BaseHTTPRequestHandler) -> None:
        request.send_response(500)
        request.end_headers()
        for _ in range(10_000):
            request.wfile.write(b"x" * 100_000)  # ends when the caller leaves

    receiver.answers = [huge]
    with pytest.raises(CallFailed, match=r"answered 500: x{200}$"):
        post(receiver.url)


def test_receivers_that_hang(receiver: Receiver, short: None) -> None:
    def silent(_request: BaseHTTPRequestHandler) -> None:
        receiver.ended.wait(60)

    def slow(request: BaseHTTPRequestHandler) -> None:
        while not receiver.ended.wait(0.1):  # each byte comes long before a read times out
            request.wfile.write(b"H")

    def slow_body(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while not receiver.ended.wait(0.1):
            request.wfile.write(b"x")

    receiver.answers = [silent, slow, slow_body]
    for _ in range(2):
        with pytest.raises(CallFailed, match=r"no response within 0\.5 s"):
            post(receiver.url)
    assert post(receiver.url) == 200


def test_hosts_that_do_not_answer(short: None) -> None:
    with pytest.raises(CallFailed, match=r"no response: .*refused"):
        post(f"http://{LOOPBACK}:{free_port()}/")
    with full_port() as port, pytest.raises(CallFailed, match="no response within"):
        post(f"http://{LOOPBACK}:{port}/")


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Authority]:
    made = Authority(tmp_path)
    made.trusted(monkeypatch)
    _trusting.cache_clear()
    yield made
    _trusting.cache_clear()


def test_a_receiver_whose_certificate_is_good(authority: Authority) -> None:
    with receiving(authority.certificate()) as receiver:
        assert post(receiver.url) == 200
        assert len(receiver.calls) == 1


@pytest.mark.parametrize("fault", CERTIFICATE_FAULTS)
def test_a_receiver_whose_certificate_is_bad(authority: Authority, fault: str) -> None:
    with receiving(authority.bad_certificate(fault)) as receiver:
        with pytest.raises(CallFailed, match=r"no response: .*CERTIFICATE_VERIFY_FAILED"):
            post(receiver.url)
        assert not receiver.calls


def test_a_receiver_that_hangs_before_tls(short: None) -> None:
    with (
        socket.create_server((LOOPBACK, 0)) as silent,
        pytest.raises(CallFailed, match=r"no response within 0\.5 s"),
    ):
        post(f"https://{LOOPBACK}:{silent.getsockname()[1]}/")


def test_a_receiver_that_speaks_no_tls(receiver: Receiver) -> None:
    with pytest.raises(CallFailed, match=r"no response: .*SSL"):
        post(f"https://{LOOPBACK}:{receiver.port}/")


@pytest.mark.parametrize(
    ("address", "host", "allowed", "may"),
    [
        ("192.0.2.77", "a.example", (), True),
        ("10.0.0.7", "a.example", (), True),
        ("2001:db8::7", "a.example", (), True),
        ("169.254.169.254", "a.example", (), False),
        ("169.254.169.254", "169.254.169.254", ("169.254.169.254",), True),
        ("::ffff:169.254.169.254", "a.example", (), False),
        ("fe80::1%eth0", "a.example", (), False),
        ("fd00:ec2::254", "a.example", (), False),
        ("100.100.100.200", "a.example", (), False),
        ("::", "a.example", (), False),
        ("224.0.0.1", "a.example", (), False),
        ("127.0.0.1", "a.example", (), False),
        ("::ffff:127.0.0.1", "a.example", (), False),
        ("127.0.0.1", "a.example", ("127.0.0.1",), True),
        ("127.0.0.1", "localhost", (), True),
        ("::1", "::1", (), True),
        ("64:ff9b::192.0.2.77", "a.example", (), True),
        ("64:ff9b::169.254.169.254", "a.example", (), False),
        ("64:ff9b::169.254.169.254", "a.example", ("64:ff9b::a9fe:a9fe",), True),
        ("64:ff9b::7f00:1", "a.example", (), False),
        ("2002:a9fe:a9fe::1", "a.example", (), False),
        ("2002:7f00:1::", "a.example", (), False),
        ("::169.254.169.254", "a.example", (), False),
        ("::7f00:1", "a.example", (), False),
        ("::1", "a.example", (), False),
        ("168.63.129.16", "a.example", (), False),
        ("fd20:ce::254", "a.example", (), False),
    ],
)
def test_addresses(address: str, host: str, allowed: tuple[str, ...], may: bool) -> None:
    assert may_be_called(address, host, allowed) is may


def own_addresses() -> list[str]:
    """The addresses of this machine's interfaces, without the link-local ones."""
    lines = Path("/proc/net/if_inet6").read_text().splitlines()
    found = [str(IPv6Address(int(line.split()[0], 16))) for line in lines]
    with socket.socket() as asking:
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # an interface without an address
                shown = fcntl.ioctl(asking, SIOCGIFADDR, struct.pack("256s", name.encode()))
                found.append(socket.inet_ntoa(shown[20:24]))
    return [each for each in found if not ip_address(each).is_link_local]


def test_every_address_of_this_machine_is_refused() -> None:
    own = own_addresses()
    assert own
    for each in own:
        assert not may_be_called(each, "a.example", ())
        assert may_be_called(each, "localhost", ())
        assert may_be_called(each, each, (each,))


def test_a_silent_first_address_does_not_keep_the_second_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("clockwork.webhooks.call.CALL_SECONDS", 6.0)
    with receiving() as receiver, full_port(receiver.port, "127.0.0.2") as port:
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in ("127.0.0.2", LOOPBACK)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        assert call(urlsplit(f"http://localhost:{port}/"), ("localhost",), b"{}", {}) == 200


def test_a_name_that_leads_to_a_refused_address(monkeypatch: pytest.MonkeyPatch) -> None:
    url = urlsplit("https://hook.example/")
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 443))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(CallFailed, match=r"hook\.example has the address 169\.254\.169\.254"):
        addresses(url, ("hook.example",))
    with pytest.raises(CallFailed, match=r"not in webhooks\.allowed_hosts"):
        addresses(url, ("other.example",))
    assert addresses(url, ("hook.example", "169.254.169.254"))


def test_pauses_grow_up_to_a_limit() -> None:
    assert [pause_after(each, None) for each in range(8)] == [5, 10, 20, 40, 80, 160, 300, 300]
    assert pause_after(0, 60) == 60
    assert pause_after(10_000, 10_000) == 300
