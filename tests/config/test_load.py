"""The configuration: the example loads, and every kind of mistake is named."""

import re
from pathlib import Path
from types import UnionType
from typing import get_args, get_origin

import pytest
from pydantic import BaseModel

from config import (
    ConfigurationError,
    Settings,
    find_settings_file,
    load_settings,
    read_webhook_secrets,
)
from config.settings import ClusterSettings
from config.webhooks import WebhookSettings

JWT = "issuer = 'https://login.example'\naudience = 'clockwork'\n"
TAKEN_HEADERS = (
    *("Host", "Accept", "Accept-Encoding", "accept-language", "Via", "Sec-Fetch-Mode", "Sec-CH-UA"),
    *("X-Forwarded-For", "Forwarded", "X-Forwarded-Proto", "X-Real-IP", "Connection", "Keep-Alive"),
    "TE",  # codespell:ignore te
    *("Trailer", "Upgrade", "Proxy-Authorization", "Cookie", "Range", "If-Modified-Since"),
    *("Content-Length", "Origin", "Access-Control-Request-Method", "Cache-Control", "From"),
)
PROXIES = "proxies = ['127.0.0.1']"
EXAMPLE = Path(__file__).parents[2] / "clockwork.example.toml"
CLUSTER = """
[clusters.mila]
timezone = "America/Montreal"
username_field = "mila_cluster_username"
[clusters.mila.ssh]
host = "login"
"""


def load(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> Settings:
    path = tmp_path / "clockwork.toml"
    path.write_text(text)
    return load_settings(path, environment or {})


def complaint(tmp_path: Path, text: str, environment: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text, environment)
    assert str(tmp_path / "clockwork.toml") in str(caught.value)
    return str(caught.value)


def test_the_example_loads_and_defines_both_clusters() -> None:
    settings = load_settings(EXAMPLE, {})
    assert settings.clusters["mila"].username_field == "mila_cluster_username"
    assert settings.clusters["beluga"].username_field == "cc_account_username"
    assert {cluster.timezone for cluster in settings.clusters.values()} == {"America/Montreal"}


def test_the_example_shows_every_key_with_its_default() -> None:
    text = EXAMPLE.read_text()

    def check(model: type[BaseModel]) -> None:
        for name, field in model.model_fields.items():
            annotation = field.annotation
            if get_origin(annotation) is UnionType:  # such as JwtSettings | None
                annotation = get_args(annotation)[0]
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                check(annotation)
            elif name not in {"clusters", "targets", "name"}:
                assert re.search(rf"^(# )?{name} = ", text, re.MULTILINE), name

    check(Settings)
    check(ClusterSettings)
    check(WebhookSettings)
    example = load_settings(EXAMPLE, {})
    shown = example.clusters["mila"].model_dump(exclude={"name", "ssh"})
    plain = example.clusters["beluga"].model_dump(exclude={"name", "ssh"})
    assert shown | {"username_field": ""} == plain | {"username_field": ""}
    default = Settings()
    assert example.api == default.api
    assert example.scraper == default.scraper
    assert example.log == default.log
    assert example.retention == default.retention
    assert example.mongo == default.mongo


def test_a_mistyped_key_is_answered_with_the_one_that_was_meant(tmp_path: Path) -> None:
    text = complaint(tmp_path, "[mongo]\ndatabse = 'x'\n")
    assert "mongo.databse: unknown key; did you mean database?" in text


def test_an_unknown_key_of_a_cluster_lists_the_known_ones(tmp_path: Path) -> None:
    text = complaint(tmp_path, CLUSTER + "zzz = 1\n")
    assert "clusters.mila.ssh.zzz: unknown key; known here: auth_timeout, " in text


def test_every_mistake_is_named_at_once(tmp_path: Path) -> None:
    text = complaint(
        tmp_path,
        "[clusters.mila]\ntimezone = 'Mars/Base'\nusername_field = 'mila'\njobs_interval = 'x'\n"
        "[clusters.mila.ssh]\nport = 70000\n",
    )
    assert "found 'Mars/Base', expected an IANA time zone, such as America/Montreal" in text
    assert "clusters.mila.username_field: found 'mila', expected 'mila_cluster" in text
    assert "clusters.mila.jobs_interval: found 'x', expected a valid number" in text
    assert "clusters.mila.ssh.host: is missing" in text
    assert "clusters.mila.ssh.port: found 70000, expected less than or equal to 65535" in text


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("api = 3", "api"),
        ("[api]\nport = '8080'", "api.port"),
        ("[api]\nport = true", "api.port"),
        ("[api]\njobs_visible = 'some'", "api.jobs_visible"),
        ("[api]\nrate_limit = 'fast'", "api.rate_limit"),
        ("[api]\nrate_limit = '600'", "api.rate_limit"),
        ("[api]\nrate_limit = 600", "api.rate_limit"),
        ("[api]\nrate_limit = '0/minute'", "api.rate_limit"),
        ("[api]\nrate_limit = '10/second;600/minute'", "api.rate_limit"),
        ("[api]\nrate_limit = '600/0 minutes'", "api.rate_limit"),
        ("[api]\nrate_limit = '1/fortnight'", "api.rate_limit"),
        ("[api]\nrate_limit = ''", "api.rate_limit"),
        ("[api]\nfailed_rate_limit = '-1/minute'", "api.failed_rate_limit"),
        ("[api]\ntrusted_proxy = 'proxy.example.org'", "api.trusted_proxy"),
        ("[api]\ntrusted_proxy = '*'", "api.trusted_proxy"),
        ("[api]\ncors_origins = 'https://a.example'", "api.cors_origins"),
        ("[api]\ncors_origins = ['*']", "api.cors_origins"),
        ("[api]\ncors_origins = ['null']", "api.cors_origins"),
        ("[api]\ncors_origins = ['https://*.example.org']", "api.cors_origins"),
        ("[api]\ncors_origins = ['https://a.example', 'https://a.example/']", "api.cors_origins"),
        ("[api]\ncors_origins = ['https://A.example']", "api.cors_origins"),
        ("[api]\ncors_origins = ['https://a.example:443']", "api.cors_origins"),
        ("[api]\ncors_origins = ['a.example']", "api.cors_origins"),
        *(
            (f"[api]\ncors_origins = ['https://a.example:{port}']", "api.cors_origins")
            for port in ("99999", "65536", "0", "08443", "")
        ),
        (f"[api.jwt]\n{JWT}", "api.jwt"),
        (f"[api.jwt]\n{JWT}keys_file = 'k'\nkeys_url = 'https://a.example/k'", "api.jwt"),
        (f"[api.jwt]\n{JWT}keys_url = 'http://a.example/k'", "api.jwt.keys_url"),
        (f"[api.jwt]\n{JWT}keys_url = 'https://u:p@a.example/k'", "api.jwt.keys_url"),
        *(
            (f"[api.jwt]\n{JWT}keys_url = '{url}'", "api.jwt.keys_url")
            for url in (
                *("file:///etc/keys", "https://h:99999/k", "https://h:0/k", "https://h:x/k"),
                *("https://[::1/k", "https:///k", "https://h/a b", "https://h/é", ""),
            )
        ),
        *(
            (f"[api.jwt]\nkeys_file = 'k'\n{JWT.replace(good, bad)}", key)
            for good, bad, key in (
                ("'clockwork'", "' clockwork'", "api.jwt.audience"),
                ("login.example'", "login.example '", "api.jwt.issuer"),
            )
        ),
        *(
            (f"[api.jwt]\n{JWT}keys_file = 'k'\nclaim = {claim}", "api.jwt.claim")
            for claim in ("' email'", "'email '", "' '", '"email\\n"')
        ),
        *(
            (f"[api.jwt]\n{JWT}keys_file = 'k'\nheader = '{name}'", "api.jwt.header")
            for name in TAKEN_HEADERS
        ),
        (f"[api.jwt]\n{JWT}keys_file = ''", "api.jwt.keys_file"),
        (f"[api.jwt]\n{JWT}keys_file = 'k'\nheader = 'X_Jwt'", "api.jwt.header"),
        (f"[api.jwt]\n{JWT}keys_file = 'k'\nclaim = ''", "api.jwt.claim"),
        (f"[api.jwt]\n{JWT}keys_file = 'k'\nname_field = 'email'", "api.jwt.name_field"),
        (f"[api.jwt]\n{JWT}keys_file = 'k'\nsecret = 's'", "api.jwt.secret"),
        ("[api.jwt]\naudience = 'a'\nkeys_file = 'k'", "api.jwt.issuer"),
        ("[api.jwt]\nissuer = 'i'\nkeys_file = 'k'", "api.jwt.audience"),
        *(
            (f"[api.trusted_header]\nname = '{name}'\n{PROXIES}", "api.trusted_header.name")
            for name in ("", "X_User", "X User", "AUTHORIZATION", "é", *TAKEN_HEADERS)
        ),
        *(
            (
                f"[api.trusted_header]\nname = 'X-User'\nproxies = {proxies}",
                "api.trusted_header.proxies",
            )
            for proxies in (
                *("[]", "['*']", "['0.0.0.0/0']", "['::/0']", "['10.0.0.1/8']", "'::1'"),
                *("['0.0.0.0/1', '128.0.0.0/1']", "['::/1', '127.0.0.1', '8000::/1']"),
                *("['0.0.0.0/1', '192.0.0.0/2', '128.0.0.0/2']", "['::ffff:0:0/96']"),
                "['::ffff:0:0/97', '128.0.0.0/1']",
            )
        ),
        ("[api.trusted_header]\nname = 'X-User'", "api.trusted_header.proxies"),
        (
            f"[api.jwt]\n{JWT}keys_file = 'k'\n[api.trusted_header]\nname = 'X-User'\n{PROXIES}",
            "api",
        ),
        ("[log]\nlevel = 'loud'", "log.level"),
        ("[mongo]\ndatabase = 'a/b'", "mongo.database"),
        ("[scraper]\nmax_record_bytes = 1", "scraper.max_record_bytes"),
        ("[retention]\nafter_days = 90", "retention"),
        ("[retention]\narchive = 'old'\ndelete = true", "retention"),
        ("[retention]\nafter_days = -1\ndelete = true", "retention.after_days"),
        ("[retention]\nat = '24:00'", "retention.at"),
        ("[retention]\nafter_days = 90\narchive = ''", "retention.archive"),
        ("[embedded]\npath = ''", "embedded.path"),
        ("[mongo]\nuri_file = ''", "mongo.uri_file"),
        ("[scraper]\nvolatile_interval = 0.01", "scraper.volatile_interval"),
        *(
            (f"[clusters.mila]\n{each}_interval = 0.01", f"clusters.mila.{each}_interval")
            for each in ("jobs", "nodes", "partitions")
        ),
        ("[clusters.mila]\nround_timeout = 0.01", "clusters.mila.round_timeout"),
        *(
            (f"[clusters.mila]\nscontrol = '{program}'", "clusters.mila.scontrol")
            for program in ("-x", "-", "", "scontrol -a", "a;b", "/opt/slurm/bin/")
        ),
        *(
            (f"[clusters.mila.ssh]\n{key} = '{value}'", f"clusters.mila.ssh.{key}")
            for key in ("host", "user")
            for value in ("", " login", "login ")
        ),
        *(
            (f"[clusters.mila.ssh]\n{key} = ''", f"clusters.mila.ssh.{key}")
            for key in ("key_file", "known_hosts", "config_file")
        ),
        ("[clusters.'a b']", "clusters.a b.name"),
    ],
)
def test_a_bad_value_names_its_key(tmp_path: Path, line: str, key: str) -> None:
    assert f"{key}: " in complaint(tmp_path, line + "\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "[api]\ncors_origins = ['https://a.example:99999']",
            "api.cors_origins: found ['https://a.example:99999'], expected origins as a browser",
        ),
        (
            f"[api.jwt]\n{JWT}keys_url = 'https://h:99999/k'",
            "api.jwt.keys_url: found something else, expected the address of a JWK Set, such as"
            " https://login.example.org/keys: in ASCII, without spaces and a password, and with a"
            " port up to 65535",
        ),
        (
            f"[api.jwt]\n{JWT}keys_file = 'k'\nclaim = ' email'",
            "api.jwt.claim: found ' email', expected a text that is not empty, without spaces",
        ),
        (
            f"[api.trusted_header]\nname = 'Via'\n{PROXIES}",
            "api.trusted_header.name: found 'Via', expected the name of a header field of letters,"
            " digits and -, which has no other meaning, such as X-Forwarded-Email",
        ),
        (
            "[api.trusted_header]\nname = 'X-User'\nproxies = ['0.0.0.0/1', '128.0.0.0/1']",
            "api.trusted_header.proxies: found ['0.0.0.0/1', '128.0.0.0/1'], expected the proxies'"
            " own addresses",
        ),
        (
            "[retention]\narchive = ''",
            "retention.archive: found '', expected the path of a file or a folder; remove the key",
        ),
        (
            "[clusters.mila]\njobs_interval = 0.01",
            "clusters.mila.jobs_interval: found 0.01, expected greater than or equal to 0.1",
        ),
        (
            "[clusters.mila]\nscontrol = '-x'",
            "clusters.mila.scontrol: found '-x', expected the name or the full path of scontrol,"
            " such as /opt/slurm/bin/scontrol",
        ),
    ],
)
def test_a_mistake_says_what_was_found_and_what_to_write(
    tmp_path: Path, text: str, says: str
) -> None:
    assert says in complaint(tmp_path, text + "\n")


@pytest.mark.parametrize(
    "name",
    [
        *("X-Remote-User", "Remote-User", "X-Forwarded-User", "X-Forwarded-Email", "X-User"),
        *("X-Auth-Request-User", "X-Auth-Request-Email", "X-Forwarded-Preferred-Username"),
        *("Cf-Access-Authenticated-User-Email", "X-WEBAUTH-USER", "Remote-Email", "Tailscale-User"),
    ],
)
def test_header_fields_that_proxies_have_for_a_name(tmp_path: Path, name: str) -> None:
    chosen = load(tmp_path, f"[api.trusted_header]\nname = '{name}'\n{PROXIES}\n")
    assert chosen.api.trusted_header is not None
    assert chosen.api.trusted_header.name == name


def test_an_ipv4_address_in_ipv6_is_the_ipv4_address(tmp_path: Path) -> None:
    """As connections from there count."""
    api = load(
        tmp_path,
        "[api]\ntrusted_proxy = '::FFFF:192.0.2.10'\n[api.trusted_header]\nname = 'X-User'\n"
        "proxies = ['::ffff:192.0.2.10', '::ffff:198.51.100.0/120', '::1', '2001:db8::/32']\n",
    ).api
    assert api.trusted_proxy == "192.0.2.10"
    assert api.trusted_header is not None
    assert api.trusted_header.proxies == (
        *("192.0.2.10/32", "198.51.100.0/24", "::1/128", "2001:db8::/32"),
    )


def test_who_may_ask_how_often_from_where(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        "[api]\nrate_limit = '10/second'\nfailed_rate_limit = '5/minute'\n"
        "trusted_proxy = '2001:DB8::1'\n"
        "cors_origins = ['https://a.example', 'http://localhost:3000', 'http://[::1]:8000']\n",
    ).api
    assert (settings.rate_limit, settings.failed_rate_limit) == ("10/second", "5/minute")
    assert settings.trusted_proxy == "2001:db8::1"
    assert len(settings.cors_origins) == 3
    text = complaint(tmp_path, "[api]\nrate_limit = 'often'\n")
    assert "api.rate_limit: found 'often', expected requests per second, minute" in text


def test_how_people_sign_in(tmp_path: Path) -> None:
    """As the example shows it, without its comment signs."""
    text = EXAMPLE.read_text()
    for table, key in [("jwt", "keys_file"), ("trusted_header", "")]:
        start = text.index(f"# [api.{table}]")
        lines = text[start : text.index("\n# 2." if table == "jwt" else "\n\n", start)]
        keys = re.findall(r"^# (\[.*|\w+ = .*)$", lines, re.MULTILINE)
        settings = load(tmp_path, "\n".join(each for each in keys if key not in each or not key))
        assert getattr(settings.api, table) is not None
    assert settings.api.trusted_header is not None
    assert settings.api.trusted_header.proxies == ("192.0.2.10/32",)
    chosen = load(tmp_path, f"[api.jwt]\n{JWT}keys_file = 'k'\nheader = 'authorization'\n").api.jwt
    assert chosen is not None
    assert (chosen.header, chosen.keys_file) == ("Authorization", tmp_path / "k")


def test_a_name_in_a_clusters_table_is_refused(tmp_path: Path) -> None:
    assert "[clusters.mila]" in complaint(tmp_path, "[clusters.mila]\nname = 'x'\n")


def test_what_is_not_toml_is_said_to_be_so(tmp_path: Path) -> None:
    assert "is not TOML" in complaint(tmp_path, "[mongo\n")


def test_settings_are_frozen(tmp_path: Path) -> None:
    settings = load(tmp_path, CLUSTER)
    with pytest.raises(ValueError, match="frozen"):
        settings.api.port = 1  # type: ignore[misc]


def test_the_mongo_uri_comes_from_the_environment_a_file_or_the_configuration(
    tmp_path: Path,
) -> None:
    def uri(settings: Settings) -> str | None:
        return settings.mongo.uri.get_secret_value() if settings.mongo.uri else None

    (tmp_path / "uri").write_text("mongodb://file\n")
    assert uri(load(tmp_path, "")) is None
    assert uri(load(tmp_path, "[mongo]\nuri = 'mongodb://here'\n")) == "mongodb://here"
    assert uri(load(tmp_path, "[mongo]\nuri_file = 'uri'\n")) == "mongodb://file"
    environment = {"CLOCKWORK_MONGO_URI": "mongodb://environment"}
    assert (
        uri(load(tmp_path, "[mongo]\nuri_file = 'uri'\n", environment)) == "mongodb://environment"
    )
    assert "not both" in complaint(tmp_path, "[mongo]\nuri = 'mongodb://a'\nuri_file = 'uri'\n")
    assert "uri_file" in complaint(tmp_path, "[mongo]\nuri_file = 'nowhere'\n")


def test_a_secret_is_in_no_error_and_no_repr(tmp_path: Path) -> None:
    text = complaint(tmp_path, "[mongo]\nuri = 'user:hunter2@host'\n")
    assert "hunter2" not in text
    assert "hunter2" not in complaint(tmp_path, "[mongo]\nuri = ['hunter2']\n")
    (tmp_path / "clockwork.toml").chmod(0o600)
    assert "hunter2" not in repr(load(tmp_path, "[mongo]\nuri = 'mongodb://u:hunter2@h'\n"))


@pytest.mark.parametrize(
    ("mode", "refused"),
    [(0o600, False), (0o640, False), (0o400, False), (0o644, True), (0o604, True), (0o606, True)],
    ids=lambda value: f"{value:o}" if type(value) is int else "",
)
@pytest.mark.parametrize("name", ["clockwork.toml", "uri"])
def test_a_password_that_everyone_can_read_is_refused(
    tmp_path: Path, name: str, mode: int, *, refused: bool
) -> None:
    uri = "mongodb://me:hunter2@db/"
    settings = f"uri = '{uri}'" if name == "clockwork.toml" else "uri_file = 'uri'"
    texts = {"uri": uri, "clockwork.toml": f"[mongo]\n{settings}\n"}
    for each, text in texts.items():
        (tmp_path / each).write_text(text)
        (tmp_path / each).chmod(0o600)
    (tmp_path / name).chmod(mode)
    path = tmp_path / "clockwork.toml"
    if not refused:
        assert load_settings(path, {}).mongo.uri is not None
        return
    with pytest.raises(ConfigurationError) as error:
        load_settings(path, {})
    fix = f"chmod {mode & 0o640:o} {tmp_path / name}"
    assert f"{tmp_path / name}: holds the password of Mongo" in str(error.value)
    assert f"(mode {mode:04o}): {fix}" in str(error.value)
    assert "hunter2" not in str(error.value)
    (tmp_path / name).chmod(mode & 0o640)
    load_settings(path, {})


@pytest.mark.parametrize(
    "uri",
    [
        "mongodb://db/?tls=true&tlsCertificateKeyFile=/key&tlsCertificateKeyFilePassword=hunter2",
        "mongodb://db?TLSCERTIFICATEKEYFILEPASSWORD=hunter2",
        "mongodb+srv://db/?authMechanismProperties=AWS_SESSION_TOKEN:hunter2",
    ],
)
def test_a_password_in_the_options_of_the_uri_is_one_too(tmp_path: Path, uri: str) -> None:
    path = tmp_path / "clockwork.toml"
    path.write_text(f"[mongo]\nuri = '{uri}'\n")
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="holds the password of Mongo"):
        load_settings(path, {})


@pytest.mark.parametrize(
    "uri", ["mongodb://db/", "mongodb://db:27017,db2:27017/x?a=b", "mongodb://me@db/"]
)
def test_what_is_no_secret_may_be_read_by_everyone(tmp_path: Path, uri: str) -> None:
    path = tmp_path / "clockwork.toml"
    path.write_text(f"[mongo]\nuri = '{uri}'\n")
    path.chmod(0o644)
    assert load_settings(path, {}).mongo.uri is not None


def test_relative_paths_are_taken_from_the_files_folder(tmp_path: Path) -> None:
    ssh = "key_file = 'keys/id'\nknown_hosts = '~/hosts'\n"
    settings = load(
        tmp_path, CLUSTER + ssh + "[embedded]\npath = 'data'\n[retention]\narchive = 'old'\n"
    )
    assert settings.retention.archive == tmp_path / "old"
    assert settings.embedded.path == tmp_path / "data"
    assert settings.clusters["mila"].ssh.key_file == tmp_path / "keys/id"
    assert settings.clusters["mila"].ssh.known_hosts == Path("~/hosts").expanduser()
    assert "config_file" not in settings.clusters["mila"].ssh.model_fields_set


def test_a_path_can_begin_with_the_home_of_a_user(tmp_path: Path) -> None:
    text = (
        "[embedded]\npath = '~/data'\n[mongo]\nuri_file = '~/uri'\n"
        "[retention]\narchive = '~/old'\n[webhooks]\nallowed_hosts = ['127.0.0.1']\n"
        "[webhooks.targets.ops]\nkind = 'jobs'\n"
        "events = ['ended']\nurl = 'http://127.0.0.1/'\nsecret_file = '~/secret'\n"
    )
    path = tmp_path / "clockwork.toml"
    path.write_text(text)
    settings = load_settings(path, {}, secrets=False)
    home = Path.home()
    assert settings.embedded.path == home / "data"
    assert settings.mongo.uri_file == home / "uri"
    assert settings.retention.archive == home / "old"
    assert settings.webhooks.targets["ops"].secret_file == home / "secret"


@pytest.mark.parametrize(
    "line",
    [
        "[clusters.mila.ssh]\nkey_file = '~no-such-user/id'",
        '[clusters.mila.ssh]\nkey_file = "a\\u0000b"',
        "[retention]\narchive = '~no-such-user/old'",
        "[embedded]\npath = '~no-such-user/data'",
    ],
)
def test_a_path_that_can_not_be(tmp_path: Path, line: str) -> None:
    assert "expected a path without NUL, whose ~ or ~USER stands" in complaint(
        tmp_path, line + "\n"
    )


def test_what_systemd_hands_over_goes_before_the_files_folder(tmp_path: Path) -> None:
    handed_over = tmp_path / "credentials"
    handed_over.mkdir()
    for name in ("key", "uri"):
        (handed_over / name).write_text("mongodb://handed-over")
    (tmp_path / "uri").write_text("mongodb://here")
    text = f"{CLUSTER}key_file = 'key'\nknown_hosts = 'hosts'\n[mongo]\nuri_file = 'uri'\n"
    settings = load(tmp_path, text, {"CREDENTIALS_DIRECTORY": str(handed_over)})
    assert settings.mongo.uri is not None
    assert settings.mongo.uri.get_secret_value() == "mongodb://handed-over"
    assert settings.clusters["mila"].ssh.key_file == handed_over / "key"
    assert settings.clusters["mila"].ssh.known_hosts == tmp_path / "hosts"
    settings = load(tmp_path, text)
    assert settings.mongo.uri is not None
    assert settings.mongo.uri.get_secret_value() == "mongodb://here"
    assert settings.clusters["mila"].ssh.key_file == tmp_path / "key"


def test_without_secrets_no_other_file_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "clockwork.toml"
    path.write_text("[mongo]\nuri_file = 'nowhere'\n")
    assert load_settings(path, {}, secrets=False).mongo.uri is None


def test_where_the_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    named, other = tmp_path / "named.toml", tmp_path / "other.toml"
    named.touch()
    other.touch()
    with pytest.raises(ConfigurationError, match=r"clockwork\.example\.toml"):
        find_settings_file(None, {})
    (tmp_path / "clockwork.toml").touch()
    assert find_settings_file(None, {}) == Path("clockwork.toml")
    assert find_settings_file(None, {"CLOCKWORK_CONFIG": str(other)}) == other
    assert find_settings_file(str(named), {"CLOCKWORK_CONFIG": str(other)}) == named
    with pytest.raises(ConfigurationError, match=r"--config"):
        find_settings_file(str(tmp_path / "missing"), {})
    with pytest.raises(ConfigurationError, match=r"\$CLOCKWORK_CONFIG"):
        find_settings_file(None, {"CLOCKWORK_CONFIG": str(tmp_path / "missing")})


# --- webhooks -------------------------------------------------------------------------------------

WEBHOOK = """
[webhooks]
allowed_hosts = ["hook.example", "127.0.0.1", "169.254.169.254"]
[webhooks.targets.ops]
kind = "jobs"
events = ["ended"]
"""
URL = "url = 'https://hook.example:8443/a?b=c'\n"


def test_a_webhook_with_its_secrets_in_files(tmp_path: Path) -> None:
    for name, text in (("url", "https://hook.example/x\n"), ("secret", f"whsec_{'QUJD' * 8}\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    text = f"{WEBHOOK}url_file = 'url'\nsecret_file = 'secret'\n"
    [unread] = load(tmp_path, text).webhooks.targets.values()
    assert (unread.url, unread.secret) == (None, None)  # the API need not be able to read them
    made = read_webhook_secrets(unread, ("hook.example",))
    assert (made.name, made.host, made.key) == ("ops", "hook.example", b"ABC" * 8)
    assert "ABC" not in repr(made)
    assert "hook.example" not in repr(made)
    with pytest.raises(ConfigurationError, match=r"url: the host hook\.example is not in"):
        read_webhook_secrets(unread, ())
    (tmp_path / "url").chmod(0o644)
    with pytest.raises(
        ConfigurationError, match="url: holds the url of the webhook ops and is open"
    ):
        read_webhook_secrets(unread, ("hook.example",))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            "url = 'https://other.example/'",
            "url: the host other.example is not in webhooks.allowed_hosts: add it there",
        ),
        ("url = 'http://hook.example/'", "url: is http, which others can read: use https"),
        ("url = 'http://127.0.0.1:99999/'", "url: Port out of range"),
        ("url = 'ftp://hook.example/'", "url: expected https://HOST/PATH"),
        ("url = 'https://a:b@hook.example/'", "url: expected plain ASCII without a user"),
        ("url = 'https://hook.example/é'", "url: expected plain ASCII"),
        ("", "url or url_file: where the calls go"),
        (f"{URL}url_file = 'x'", "url or url_file, not both"),
        (f"{URL}filter = {{ state = 'DOWN' }}", "filter"),
        (f"{URL}filter = {{ feature = 'a' }}", "filter of jobs: account, array_job_id, "),
        (f"{URL}name = 'x'", "[webhooks.targets.ops]"),
        (f"{URL}secrets = ''", "secrets: unknown key; did you mean secret?"),
    ],
)
def test_a_webhook_that_is_refused(tmp_path: Path, more: str, says: str) -> None:
    text = complaint(tmp_path, WEBHOOK + more)
    assert "webhooks.targets.ops" in text
    assert says in text
    assert "b@" not in text


@pytest.mark.parametrize("secret", ["hunter2", "whsec_", "whsec_QUJD", f"whsec_{'QUJD' * 30}"])
def test_a_secret_that_is_none(tmp_path: Path, secret: str) -> None:
    (tmp_path / "clockwork.toml").touch(0o600)
    text = complaint(tmp_path, f"{WEBHOOK}{URL}secret = '{secret}'")
    assert "webhooks.targets.ops.secret: expected whsec_ and the base64 of 24 to 64" in text
    assert secret not in text.replace("whsec_ and", "").replace("whsec_$", "") or secret == "whsec_"


def test_events_of_the_other_kind_and_hosts_that_are_none(tmp_path: Path) -> None:
    text = complaint(tmp_path, (WEBHOOK + URL).replace("ended", "down"))
    assert "events of jobs: started, ended; 'down' is none of them" in text
    text = complaint(tmp_path, "[webhooks]\nallowed_hosts = ['https://a.example']\n")
    assert "webhooks.allowed_hosts" in text


@pytest.mark.parametrize("url", ["http://127.0.0.1:8/", "http://hook.example/\nallow_http = true"])
def test_where_http_is_allowed(tmp_path: Path, url: str) -> None:
    first, *rest = url.split("\n")
    text = "\n".join([WEBHOOK, f"url = '{first}'", *rest])
    assert load(tmp_path, text).webhooks.targets["ops"].address.scheme == "http"
