"""What the server gives a browser: the page's own files with a strict policy, and nothing else."""

import json
import re
from collections.abc import Iterator
from urllib.parse import urljoin

import pytest

from api.app import build_app
from api.page_files import CONTENT_TYPES, FOLDER, address, with_addresses
from ingest.database.store import connect
from ingest.reasons import EXPLAIN
from ingest.slurm.keys import JOB
from tests.api.support.client import Client
from tests.api.support.problems import assert_problem
from tests.support.reasons import KNOWN_REASONS

FILES = {path.relative_to(FOLDER).as_posix(): path.read_text() for path in FOLDER.rglob("*.*")}
SENTENCES = {words(name).sentence for words in EXPLAIN.values() for name in KNOWN_REASONS}
SCRIPTS = {name: text for name, text in FILES.items() if name.endswith(".js")}


def test_every_duration_of_a_job_is_shown_as_a_duration() -> None:
    [listed] = re.findall(
        r"const SECONDS_KEYS = new Set\(\[(.*?)\]\)", SCRIPTS["parts/parts.js"], re.DOTALL
    )
    durations = {key.document for key in JOB.keys.values() if key.value == "duration"}
    assert durations <= set(re.findall(r"\w+", listed))


@pytest.fixture(scope="module")
def visitor() -> Iterator[Client]:
    """Somebody without a token; the page's files need no database."""
    store = connect("mongodb://127.0.0.1:1/", "none")
    yield Client(build_app(store))
    store.database.client.close()


def header_fields(client: Client, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    answer = Client(client.app, headers).get(path)
    return answer.status, {key.lower(): value for key, value in answer.headers}, answer.body


def test_every_file_is_served_to_everyone(visitor: Client) -> None:
    for name, text in FILES.items():
        status, fields, body = header_fields(visitor, address(FOLDER / name))

        served = with_addresses(text.encode()) if name == "index.html" else text.encode()
        assert (status, body) == (200, served)
        assert fields["content-type"] == CONTENT_TYPES[name.rpartition(".")[2]]
        assert fields["x-content-type-options"] == "nosniff"
        assert fields["referrer-policy"] == "no-referrer"
        cached = "no-cache" if name == "index.html" else "public, max-age=31536000, immutable"
        assert fields["cache-control"] == cached
        policy = dict(part.split(" ", 1) for part in fields["content-security-policy"].split("; "))
        assert policy["default-src"] == "'none'"
        for directive in ("script-src", "style-src", "connect-src", "img-src"):
            assert policy[directive] == "'self'"
        for directive in ("frame-ancestors", "base-uri", "form-action"):
            assert policy[directive] == "'none'"


def test_the_html_names_the_addresses_of_files(visitor: Client) -> None:
    named = set()
    for page in ("/", "/api/docs"):
        html = header_fields(visitor, page)[2].decode()
        named |= {urljoin(page, each) for each in re.findall(r'="([./]*page/[^"]*)"', html)}
    assert named
    assert named <= {address(FOLDER / name) for name in FILES}


def test_a_file_that_the_browser_has(visitor: Client) -> None:
    tags = set()
    for name in FILES:
        _, fields, _ = header_fields(visitor, address(FOLDER / name))
        tags.add(fields["etag"])
        for known in (fields["etag"], f'"other", W/{fields["etag"]}'):
            status, again, body = header_fields(
                visitor, address(FOLDER / name), If_None_Match=known
            )
            assert (status, body, again["etag"]) == (304, b"", fields["etag"])
        assert header_fields(visitor, address(FOLDER / name), If_None_Match='"other"')[0] == 200
    assert len(tags) == len(FILES)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/page",
            "/page/",
            "/page/page.js",
            "/page/index.html",
            "/page/page.js/",
            "/page/PAGE.JS",
            "/index.html",
        ),
        *("/page/../app.py", "/page/..%2fapp.py", "/page/%2e%2e/app.py", "/page//page.js"),
        *(
            "/page/.",
            "/page/page.js\0.css",
            "/page/frame",
            "/page/\\..\\app.py",
            "/api/page/page.js",
        ),
    ],
)
def test_nothing_else_is_served(visitor: Client, path: str) -> None:
    assert_problem(visitor.get(path), 404)


def test_other_methods(visitor: Client) -> None:
    assert visitor.call("HEAD", "/").body == b""
    assert_problem(visitor.call("POST", "/"), 405)


def test_the_page_needs_nothing_from_elsewhere() -> None:
    for name, text in FILES.items():
        outside = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", re.sub(r"^\s*//.*", "", text)))
        assert outside <= {"http://www.w3.org", "http://origin.invalid"}, name
    asked = re.findall(r'(?:src|href)="(?!#)([^"]*)"', FILES["index.html"])
    assert {each.removeprefix("page/") for each in asked} <= FILES.keys() | {"api/docs"}


def test_no_text_can_become_markup() -> None:
    for name, text in SCRIPTS.items():
        markup = r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|DOMParser)\b"
        assert not re.search(markup, text), name
    inline = r"<script(?![^>]*src=)|<style|\son\w+=|\sstyle="
    assert not re.search(inline, FILES["index.html"])


def test_every_module_is_used() -> None:
    used = set(re.findall(r'src="page/([\w./]+\.js)"', FILES["index.html"])) | {"views/docs.js"}
    for name, text in SCRIPTS.items():
        for place in re.findall(r'from "(\.[\w./]+)"', text):
            used.add(
                (FOLDER / name).parent.joinpath(place).resolve().relative_to(FOLDER).as_posix()
            )
    assert used == SCRIPTS.keys()


def test_every_text_is_in_both_languages() -> None:
    """Every text of the page has a translation, and every translation has the text's values."""
    written: set[str] = set()
    for name, text in SCRIPTS.items():
        if name != "words/french.js":
            written.update(re.findall(r'\btx?\(\s*"((?:[^"\\]|\\.)*)"', text))
    page = FILES["index.html"]
    written.update(re.findall(r"data-words>([^<]+)<|", page))
    for attribute in ("aria-label", "placeholder"):
        written.update(re.findall(f'{attribute}="([^"]+)"', page))
    pairs = re.findall(
        r'^  ("(?:[^"\\]|\\.)*"): (".*"),$', SCRIPTS["words/french.js"], re.MULTILINE
    )
    french = {json.loads(english): json.loads(words) for english, words in pairs}

    assert written - {""} == french.keys()
    for english, words in french.items():
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", words))


def test_the_words_for_reasons_are_the_apis_alone() -> None:
    """The page has no sentence of its own for a reason, which could differ from the API's."""
    for name, text in FILES.items():
        assert [each for each in SENTENCES if each in text] == [], name


def test_every_text_of_the_page_can_be_translated() -> None:
    """No text that people read stands in a module by itself, without `t`."""
    for name, text in SCRIPTS.items():
        if name in {"words/french.js", "views/jobs_table.js"}:
            continue
        bare = re.sub(
            r'\btx?\(\s*"(?:[^"\\]|\\.)*"', "", re.sub(r"^\s*(//|\*|/\*).*$", "", text, flags=re.M)
        )
        found = re.findall(r'"([A-Z][a-z]+(?: [a-z]+)+[.:]?)"', bare)
        assert found == [], name


def test_every_class_has_a_style() -> None:
    styled = set(re.findall(r"\.([a-z][\w-]*)", FILES["page.css"]))
    for name, text in FILES.items():
        if name.endswith((".js", ".html")):
            used = " ".join(re.findall(r'class(?:: |=)"([^"]*)"', text)).split()
            assert set(used) <= styled, name
