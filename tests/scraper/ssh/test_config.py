"""The ssh configuration file: aliases, and the way through jump hosts."""

import getpass
import threading
from pathlib import Path
from typing import Any

import paramiko
import pytest

from config.settings import SshSettings
from scraper.ssh.config import Hop, route
from scraper.ssh.connection import connect
from scraper.ssh.errors import HostKeyRefused, KeyUnusable, Unreachable
from tests.scraper.home import Home, assert_client_left_nothing
from tests.scraper.misfortunes import JumpHost


def hops(text: str, home: Home, **settings: object) -> tuple[Hop, ...]:
    home.config.write_text(text)
    return route("mila", SshSettings.model_validate({"host": "login", **settings}))


def test_without_a_file_the_defaults_hold(home: Home) -> None:
    [hop] = route("mila", SshSettings(host="login.example.org"))
    assert hop == Hop(
        written="login.example.org",
        host="login.example.org",
        port=22,
        user=getpass.getuser(),
        key_files=None,
        only_these_keys=False,
        known_hosts=(home.known_hosts,),
        known_as="login.example.org",
    )
    assert str(hop) == f"{getpass.getuser()}@login.example.org port 22"


def test_an_alias(home: Home) -> None:
    [hop] = hops(
        "Host login\n  HostName Login1.Example.org\n  Port 2222\n  User slurm\n"
        "  IdentityFile ~/.ssh/first\n  IdentityFile=%d/.ssh/second\n  IdentitiesOnly yes\n"
        "  UserKnownHostsFile ~/.ssh/one ~/.ssh/two\n  ConnectTimeout 1\n"
        "  StrictHostKeyChecking no\n",
        home,
    )
    assert hop == Hop(
        written="login",
        host="Login1.Example.org",
        port=2222,
        user="slurm",
        key_files=(home.ssh / "first", home.ssh / "second"),
        only_these_keys=True,
        known_hosts=(home.ssh / "one", home.ssh / "two"),
        known_as="[login1.example.org]:2222",
    )


def test_a_host_key_alias_stands_without_the_port(home: Home) -> None:
    [hop] = hops("Host login\n  Port 2222\n  HostKeyAlias mila-login\n", home)
    assert hop.known_as == "mila-login"


def test_our_settings_win(home: Home) -> None:
    [hop] = hops(
        "Host *\n  Port 2222\n  User slurm\n  IdentityFile ~/.ssh/theirs\n"
        "  UserKnownHostsFile ~/.ssh/theirs\n",
        home,
        port=22,
        user="clockwork",
        key_file=Path("~/.ssh/ours"),
        known_hosts=Path("~/.ssh/ours"),
    )
    assert hop.port == 22
    assert hop.user == "clockwork"
    assert hop.key_files == (home.ssh / "ours",)
    assert hop.known_hosts == (home.ssh / "ours",)


def test_included_files_stand_in_their_place(home: Home) -> None:
    (home.ssh / "config.d").mkdir()
    (home.ssh / "config.d" / "1").write_text("Host login\n  User first\n  Include deeper\n")
    (home.ssh / "config.d" / "2").write_text("Host login\n  User second\n  Port 2\n")
    (home.ssh / "deeper").write_text("HostName deep.example.org\n")
    [hop] = hops(
        "Host other\n  Include config.d/* ~/.ssh/none\n  User other\nHost login\n  Port 3\n", home
    )
    assert (hop.user, hop.host, hop.port) == ("first", "deep.example.org", 2)


def test_a_file_of_another_name(home: Home) -> None:
    file = home.ssh / "clockwork"
    file.write_text("Host login\n  User elsewhere\n")
    [hop] = hops("Host login\n  User here\n", home, config_file=file)
    assert hop.user == "elsewhere"


def test_several_jumps_in_one_line(home: Home) -> None:
    way = hops(
        "Host login\n  ProxyJump a@gate:2222,ssh://inner,[::1]:23\n"
        "Host gate\n  HostName gate.example.org\n  User nobody\nHost inner\n  User b\n  Port 24\n",
        home,
        user="c",
        port=25,
    )
    assert [(hop.user, hop.host, hop.port) for hop in way] == [
        ("a", "gate.example.org", 2222),
        ("b", "inner", 24),
        (getpass.getuser(), "::1", 23),
        ("c", "login", 25),
    ]


def test_a_jump_host_behind_a_jump_host(home: Home) -> None:
    way = hops(
        "Host login\n  ProxyJump inner\nHost inner\n  ProxyJump gate\n"
        "Host gate\n  ProxyJump none\nHost *\n  ProxyJump everywhere\n"
        "Host everywhere\n  ProxyJump none\n",
        home,
    )
    assert [hop.host for hop in way] == ["gate", "inner", "login"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Host login\n  ProxyJump gate\nHost gate\n  ProxyJump login\n", "leads back to itself"),
        ("Host login\n  ProxyCommand nc %h %p\n", "ProxyCommand of login is not supported"),
        ("Host login\n  ProxyJump a:b:c\n", "'a:b:c', not [user@]host[:port]"),
        ("Host login\n  Port many\n", "many"),
        ("Host login\n  Port 99999\n", "port 99999 of login"),
        ("Host login\n  ProxyJump gate:0\n", "port 0 of gate"),
        ('Host "login\n', "Unparsable host"),
        ("Include config\n", "include one another"),
        ("Match sometimes\n", "Missing parameter"),
        ("Include ~no-such-user/config\n", "home directory"),
        ("Host login\n  UserKnownHostsFile ~no-such-user/hosts\n", "home directory"),
    ],
)
def test_a_file_that_cannot_be_used(home: Home, text: str, reason: str) -> None:
    with pytest.raises(Unreachable) as caught:
        hops(text, home)
    assert reason in caught.value.message
    assert str(home.config) in caught.value.message


def test_a_file_that_is_named_and_missing(home: Home) -> None:
    with pytest.raises(Unreachable, match="does not exist"):
        hops("", home, config_file=home.ssh / "missing")


def test_a_folder_in_place_of_the_file(home: Home) -> None:
    home.config.mkdir()
    with pytest.raises(Unreachable, match="Is a directory"):
        route("mila", SshSettings(host="login"))


def alias_settings(**changes: object) -> SshSettings:
    return SshSettings.model_validate({"host": "login", **changes})


def test_connecting_by_an_alias_alone(home: Home) -> None:
    host = home.login_host(date=b"today")
    home.config.write_text(
        f"Host login\n  HostName 127.0.0.1\n  Port {host.port}\n  User u\n"
        "  IdentityFile ~/.ssh/key\n"
    )
    with connect("mila", alias_settings()) as connection:
        assert b"".join(connection.run("date")) == b"today"


def test_identities_only_keeps_the_default_keys_away(home: Home) -> None:
    host = home.login_host()
    home.write_key("id_rsa", home.client_keys["rsa"])
    home.config.write_text(
        f"Host login\n  HostName 127.0.0.1\n  Port {host.port}\n  IdentitiesOnly yes\n"
        "  IdentityFile ~/.ssh/missing\n"
    )
    with pytest.raises(KeyUnusable, match="missing does not exist"):
        connect("mila", alias_settings())


def test_a_host_key_alias_is_what_known_hosts_is_asked_for(home: Home) -> None:
    host = home.login_host(date=b"today")
    home.known_hosts.unlink()
    home.know("mila-login", host.host_keys[0])
    home.config.write_text(
        f"Host login\n  HostName 127.0.0.1\n  Port {host.port}\n  HostKeyAlias mila-login\n"
    )
    with connect("mila", alias_settings(key_file=home.key_file)) as connection:
        assert b"".join(connection.run("date")) == b"today"


def jump_config(home: Home, login_port: int, *gates: JumpHost) -> None:
    """Write a configuration in which login is reached through *gates*, one after the other."""
    blocks = [
        f"Host gate{number}\n  HostName 127.0.0.1\n  Port {gate.port}\n  IdentityFile ~/.ssh/key\n"
        for number, gate in enumerate(gates)
    ]
    way = ",".join(f"gate{number}" for number in range(len(gates)))
    home.config.write_text(
        f"Host login\n  HostName 127.0.0.1\n  Port {login_port}\n  ProxyJump {way}\n"
        + "".join(blocks)
    )


def gate(home: Home, known: bool = True) -> JumpHost:
    return home.start(JumpHost(home.host_keys["ecdsa"], home.authorized), known=known)


@pytest.mark.parametrize("jumps", [1, 2])
def test_commands_run_through_jump_hosts(home: Home, jumps: int) -> None:
    data = bytes(range(256)) * 4096
    host = home.login_host(big=data)
    gates = [gate(home) for _ in range(jumps)]
    jump_config(home, host.port, *gates)
    with connect("mila", alias_settings(key_file=home.key_file)) as connection:
        assert b"".join(connection.run("big")) == data
        assert b"".join(connection.run("big")) == data
    assert [g.connections for g in gates] == [1] * jumps
    assert_client_left_nothing(gates[0].port)


def test_a_way_that_is_lost_unseen_does_not_hinder_the_end_of_a_connection(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = home.login_host()
    jump_config(home, host.port, way := gate(home))
    with connect("mila", alias_settings(key_file=home.key_file)) as connection:
        outer: Any
        inner: Any  # paramiko's types leave out what is needed here
        outer, inner = connection._transports

        def lost(_out: bytes) -> None:
            raise EOFError

        waiting = inner.channel_events[0] = threading.Event()
        monkeypatch.setattr(outer.packetizer, "write_all", lost)
        inner.sock._handle_eof(paramiko.Message())  # the login host has ended the connection

        assert waiting.wait(20), "nobody told who waits"
        inner.join(20)
        assert not inner.is_alive()
        assert not connection.is_alive()
        with pytest.raises(EOFError):
            outer.open_session()
    assert_client_left_nothing(way.port)


def test_a_jump_hosts_key_is_checked_too(home: Home) -> None:
    host = home.login_host()
    unknown = gate(home, known=False)
    jump_config(home, host.port, unknown)
    with pytest.raises(HostKeyRefused) as caught:
        connect("mila", alias_settings(key_file=home.key_file))
    assert f"127.0.0.1 port {unknown.port}: unknown host key" in caught.value.message
    assert_client_left_nothing(unknown.port)


def test_the_login_hosts_key_is_checked_behind_a_jump_host(home: Home) -> None:
    host = home.login_host()
    home.known_hosts.unlink()
    known = gate(home)
    jump_config(home, host.port, known)
    with pytest.raises(HostKeyRefused) as caught:
        connect("mila", alias_settings(key_file=home.key_file))
    assert f"127.0.0.1 port {host.port}: unknown host key" in caught.value.message
    assert f"ssh gate0 ssh-keyscan -p {host.port} 127.0.0.1" in caught.value.message
    assert_client_left_nothing(known.port)


def test_a_jump_host_that_cannot_reach_the_login_host(home: Home) -> None:
    host = home.login_host()
    host.stop()
    jump_config(home, host.port, gate(home))
    with pytest.raises(Unreachable, match=r"the jump host .* did not connect to it"):
        connect("mila", alias_settings(key_file=home.key_file))


def test_a_jump_host_that_forwards_nothing(home: Home) -> None:
    host, no_gate = home.login_host(), home.login_host()
    home.config.write_text(
        f"Host login\n  HostName 127.0.0.1\n  Port {host.port}\n  IdentityFile ~/.ssh/key\n"
        f"  ProxyJump gate\n"
        f"Host gate\n  HostName 127.0.0.1\n  Port {no_gate.port}\n  IdentityFile ~/.ssh/key\n"
    )
    with pytest.raises(Unreachable, match="Administratively prohibited"):
        connect("mila", alias_settings())
