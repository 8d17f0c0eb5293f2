"""Write the API's description for people: ``/api/docs``, one page that needs nothing else.

The page is made once from the description in OpenAPI.  A script of the web page adds a form to each
call, which asks the API with the token of the person who is signed in.
"""

import json
import re
from collections.abc import Iterator
from html import escape
from typing import Any

from api.http.security_headers import page_headers
from api.schema.arguments import Schema

CONTENT_TYPE = "text/html; charset=utf-8"

SECURITY_HEADERS = page_headers(
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for"
    " 'script'; trusted-types 'none'"
)


def docs_page(description: Schema) -> bytes:
    """Return the page of *description*, in UTF-8."""
    info = description["info"]
    title = f"{escape(info['title'])} {escape(info['version'])}"
    parts = [
        "<!doctype html>",
        '<html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{title}: API</title>",
        '<link rel="icon" href="../page/icon.svg" type="image/svg+xml">',
        '<link rel="stylesheet" href="../page/page.css">',
        '<script type="module" src="../page/views/docs.js"></script>',
        '<header class="top"><a class="brand" href="../"><img src="../page/icon.svg" alt=""'
        ' width="22" height="22">Clockwork</a><nav aria-label="Views">'
        '<a href="../">Back to the page</a></nav></header>',
        f'<main class="docs"><h1>{title}: API</h1>',
        *(f"<p>{_words(text)}</p>" for text in info["description"].split("\n\n")),
        '<p>The same for programs: <a href="/api/v1/openapi.json">openapi.json</a>.</p>',
    ]
    parts += _contents(description)
    for tag in description["tags"]:
        parts.append(f"<h2>{escape(tag['name'])}</h2>")
        for path, item in description["paths"].items():
            for method, operation in item.items():
                if tag["name"] in operation["tags"]:
                    parts += _operation(method, path, operation)
    parts.append('<h2 id="what-comes-back">What comes back</h2>')
    for name, schema in description["components"]["schemas"].items():
        parts += _schema(name, schema)
    return "\n".join([*parts, "</main></html>"]).encode()


def _contents(description: Schema) -> Iterator[str]:
    """Links to every call, and to what comes back."""
    yield '<nav aria-label="Contents"><ul>'
    for path, item in description["paths"].items():
        for method, operation in item.items():
            words = _words(operation["summary"])
            name = operation["operationId"]
            yield f'<li><a href="#{name}">{method.upper()} {escape(path)}</a>: {words}</li>'
    yield '<li><a href="#what-comes-back">What comes back</a></li></ul></nav>'


def _operation(method: str, path: str, operation: Schema) -> Iterator[str]:
    name = operation["operationId"]
    yield f'<h3 id="{name}"><code>{method.upper()} {escape(path)}</code></h3>'
    yield f"<p>{_words(operation['summary'])}. {_words(operation.get('description', ''))}</p>"
    if operation.get("security") == []:
        yield "<p>Needs no token.</p>"
    if operation.get("parameters"):
        yield from _table(
            ("argument", "values", "description"),
            (
                (
                    _code(each["name"]) + (" (required)" if "required" in each else ""),
                    _values(each),
                    _words(each["description"]),
                )
                for each in operation["parameters"]
            ),
        )
    if "requestBody" in operation:
        kinds = ", ".join(f"<code>{kind}</code>" for kind in operation["requestBody"]["content"])
        yield f"<p>Or in a body: {kinds}.</p>"
    parameters = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
    call = {"method": method.upper(), "path": path, "parameters": parameters}
    yield f'<div data-call="{escape(json.dumps(call))}"></div>'
    responses = operation["responses"].items()
    yield from _table(
        ("status", "when", "content"),
        (
            (status, _words(response["description"]), _content(response.get("content", {})))
            for status, response in responses
        ),
    )


def _schema(name: str, schema: Schema) -> Iterator[str]:
    yield f'<h3 id="schema-{name}">{name}</h3>'
    if "description" in schema:
        yield f"<p>{_words(schema['description'])}</p>"
    rows = list(_keys("", schema))
    if rows:
        yield from _table(("key", "value", "description"), rows)
    else:
        yield f"<pre>{escape(json.dumps(schema, indent=1))}</pre>"


def _keys(before: str, schema: Schema) -> Iterator[tuple[str, str, str]]:
    for key, value in schema.get("properties", {}).items():
        words = _words(value.get("description", ""))
        if "type" in value or "$ref" in value or "anyOf" in value or "const" in value:
            yield f"<code>{escape(before + key)}</code>", _type(value), words
        yield from _keys(f"{before}{key}.", value)


def _table(
    head: tuple[str, str, str], rows: Iterator[tuple[str, str, str]] | list[tuple[str, str, str]]
) -> Iterator[str]:
    yield "<table><tr>" + "".join(f"<th>{cell}</th>" for cell in head) + "</tr>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
    yield "</table>"


def _values(parameter: Schema) -> str:
    if "content" in parameter:
        return "JSON: " + _type(next(iter(parameter["content"].values()))["schema"])
    where = "in the header" if parameter["in"] == "header" else ""
    return f"{_type(parameter['schema'])} {where}"


def _content(content: Schema) -> str:
    return ", ".join(
        f"<code>{escape(kind)}</code> {_type(each['schema'])}" for kind, each in content.items()
    )


def _type(schema: Schema) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    if "const" in schema:
        return _code(schema["const"])
    if "enum" in schema:
        return ", ".join(_code(each) for each in schema["enum"])
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}"
    types: list[str] = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    texts: str = schema.get("format", "string")
    return " or ".join(texts if each == "string" else each for each in types)


def _code(value: Any) -> str:
    return f"<code>{escape(str(value))}</code>"


def _words(text: str) -> str:
    """Text with its `code` marked as such."""
    return re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text))
