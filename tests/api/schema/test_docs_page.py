"""/api/docs: the description as a page, which says all of it and tries each call."""

from html.parser import HTMLParser
from urllib.parse import urljoin

import pytest

from api.endpoints.manual import OPENAPI
from tests.api.support.client import Client

VOID = {"img", "link", "meta"}


class Page(HTMLParser):
    """The elements of a page, each closed by the right one but for those that HTML lets be."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture
def page(anyone: Client) -> Page:
    answer = anyone.get("/api/docs")
    assert answer.status == 200
    assert answer.header("Content-Type") == "text/html; charset=utf-8"
    return Page(answer.body.decode())


def test_everything_that_is_described_stands_there(page: Page, anyone: Client) -> None:
    text = " ".join("".join(page.text).split())
    description = anyone.get(OPENAPI).json

    for path, item in description["paths"].items():
        for method, operation in item.items():
            assert f"{method.upper()} {path} " in text
            assert operation["summary"].replace("`", "") in text
            for parameter in operation.get("parameters", ()):
                assert parameter["description"].replace("`", "") in text
    for name in description["components"]["schemas"]:
        assert ("id", f"schema-{name}") in page.attributes
    assert "submit_time" in text


def test_it_loads_files_of_the_page_and_its_links_lead_somewhere(
    page: Page, anyone: Client
) -> None:
    assert not page.tags & {"iframe", "form", "object", "style"}
    assert not any(name.startswith("on") or name == "style" for name, _ in page.attributes)
    ids = {value for name, value in page.attributes if name == "id"}
    for link in {value or "" for name, value in page.attributes if name in {"href", "src"}}:
        if link.startswith("#"):
            assert link[1:] in ids
        else:
            assert anyone.get(urljoin("/api/docs", link)).status == 200


def test_its_policy_lets_in_files_of_the_page_alone(anyone: Client) -> None:
    policy = anyone.get("/api/docs").header("Content-Security-Policy") or ""

    assert policy.startswith("default-src 'none'; style-src 'self'; script-src 'self';")
    assert "unsafe" not in policy
