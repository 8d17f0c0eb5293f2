"""Forms as multipart/form-data: what is read, and what is refused before it can cost anything."""

import json
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.http.multipart import MOST_HEADER_BYTES, MOST_HEADER_FIELDS, read_multipart
from api.http.problems import Problem
from tests.api.support.client import Client
from tests.api.support.problems import assert_problem

TYPE = "multipart/form-data; boundary=b"
MOST = 100
MEGABYTE = 1_000_000
NAMED = 'Content-Disposition: form-data; name="job_id"'


def part(header: str, value: str = "1") -> str:
    return f"--b\r\n{header}\r\n\r\n{value}\r\n"


def form(*parts: str) -> bytes:
    return ("".join(parts) + "--b--\r\n").encode()


def read(body: bytes, content_type: str = TYPE) -> list[tuple[str, str]]:
    return read_multipart(body, content_type, MOST)


@pytest.mark.parametrize(
    "header",
    [
        NAMED,
        "content-disposition:form-data;name=job_id",
        'Content-Disposition: form-data; name="job_id"; filename="a; b.txt"',
        'Content-Disposition: FORM-DATA; filename="name=x"; NAME="job_id" ',
        f"{NAMED}\r\nContent-Type: application/json\r\nContent-Transfer-Encoding: 8bit",
        f"X-Other: y\r\n{NAMED}",
    ],
)
def test_headers_of_parts(header: str) -> None:
    assert read(form(part(header, "é\r\n\r\n--x"))) == [("job_id", "é\r\n\r\n--x")]


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ('multipart/form-data; charset=utf-8; boundary="a b:c"', b"--a b:c"),
        ("Multipart/Form-Data;BOUNDARY=a-b", b"--a-b"),
        (TYPE, b"a preamble that nobody reads\r\n--b"),
        (TYPE, b"--b   "),
    ],
)
def test_boundaries(content_type: str, body: bytes) -> None:
    end = b"\r\n" + body.rpartition(b"\n")[2].strip() + b"--\r\nan epilogue"
    whole = body + f"\r\n{NAMED}\r\n\r\n".encode() + end

    assert read(whole, content_type) == [("job_id", "")]


def test_a_form_without_fields() -> None:
    assert read(b"--b--") == read(b"--b--\r\n") == []


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8")), st.text()), max_size=8))
def test_whatever_is_written_is_read(fields: list[tuple[str, str]]) -> None:
    def quoted(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"')

    plain = [
        (name.replace("\r", "").replace("\n", ""), value.replace("--b", ""))
        for name, value in fields
        if value.isprintable()
    ]
    parts = [
        part(f'Content-Disposition: form-data; name="{quoted(name)}"', value)
        for name, value in plain
    ]

    assert read(form(*parts)) == plain


def nested(depth: int) -> str:
    level = "--b{}\r\nContent-Type: multipart/mixed; boundary=b{}\r\n\r\n"
    return "".join(level.format(number, number + 1) for number in range(depth))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (part(f"{NAMED}\r\nContent-Type: multipart/mixed; boundary=c"), "one flat list"),
        (part(f"{NAMED}\r\ncontent-type:  Multipart/Mixed"), "one flat list"),
        (part(f"{NAMED}\r\nContent-Transfer-Encoding: base64"), "Content-Transfer-Encoding"),
        (part(f"{NAMED}\r\nContent-Transfer-Encoding: x-uuencode"), "Content-Transfer-Encoding"),
        (part(NAMED) * (MOST + 1), f"more than {MOST} fields"),
        (part(NAMED) * 15_000, f"more than {MOST} fields"),
        (part(NAMED + "\r\nA: b" * MOST_HEADER_FIELDS), f"{MOST_HEADER_FIELDS} header fields"),
        (part("A: b\r\n" * 150_000), f"{MOST_HEADER_BYTES} bytes"),
        (part(NAMED + ";a=b" * 240_000), f"{MOST_HEADER_BYTES} bytes"),
        (part(NAMED + ";" + "".join(f"a*{n}*=x;" for n in range(80_000))), "bytes"),
        (part('Content-Disposition: form-data; name="' + ";" * MEGABYTE), "bytes"),
        (part('Content-Disposition: form-data; name="' + '\\"' * 400_000), "bytes"),
        (part('Content-Disposition: form-data; name="' + ";" * 8000), "no name"),
        (part('Content-Disposition: form-data; name="' + '\\"' * 4000), "no name"),
        (part("Content-Disposition: form-data" + ";a=b" * 2000 + ";"), "no name"),
        (part("Content-Disposition: form-data; name*=utf-8''job_id"), "no name"),
        (part("Content-Disposition: attachment; name=job_id"), "no name"),
        (part("X: y"), "no name"),
        ("--b\r\n\r\nvalue\r\n", "no name"),
        (part(NAMED + "\r\n folded"), "malformed"),
        (part("no colon"), "malformed"),
        (part("Content-Disposition : form-data; name=job_id"), "malformed"),
        (f"--b\r\n{NAMED}\r\nvalue\r\n", "no empty line"),
        (f"--bc\r\n{NAMED}\r\n\r\n1\r\n", "does not end there"),
        (f"--b\n{NAMED}\n\n1\n", "does not end"),
    ],
)
def test_forms_that_are_refused(body: str, words: str) -> None:
    with pytest.raises(Problem) as refused:
        read(form(body))

    assert refused.value.status == 400
    assert words in refused.value.detail


@pytest.mark.parametrize("body", [b"", b"x", b"--b", b"--b\r\n", b"x\r\n" * 300_000, b"--c--"])
def test_forms_without_an_end(body: bytes) -> None:
    with pytest.raises(Problem, match="400"):
        read(body)


@pytest.mark.parametrize(
    "content_type",
    ["multipart/form-data", "multipart/form-data; boundary=", 'multipart/form-data; boundary=""',
     "multipart/form-data; boundary=" + "b" * 71, "multipart/form-data;" + " ;" * 30_000],
)  # fmt: skip
def test_content_types_without_a_boundary(content_type: str) -> None:
    with pytest.raises(Problem, match="boundary of 1 to 70"):
        read(form(part(NAMED)), content_type)


def test_bytes_that_are_not_utf_8() -> None:
    for replaced in (b"1", b"_"):
        body = form(part(NAMED)).replace(replaced, b"\xff")
        with pytest.raises(Problem, match="UTF-8"):
            read(body)


@pytest.mark.parametrize("depth", [1, 10, 300, 900])
def test_nested_multiparts_through_the_api(client: Client, depth: int) -> None:
    head = nested(depth)
    body = (head + "x\r\n" * ((MEGABYTE - len(head)) // 3)).encode()

    answer = client.call(
        "PUT", "jobs/user_dict_update", "", body, "multipart/form-data; boundary=b0"
    )

    assert_problem(answer, 400)
    assert "one flat list of parts" in answer.json["detail"]


def test_a_form_as_the_standard_library_writes_it(client: Client) -> None:
    message = EmailMessage()
    message.make_mixed()
    for name, value in (("job_id", "233874"), ("update_pairs", json.dumps({"a": "é"}))):
        field = EmailMessage()
        field["Content-Disposition"] = f'form-data; name="{name}"'
        field.set_payload(value.encode())
        message.attach(field)
    body = message.as_bytes().partition(b"\n\n")[2].replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    kind = f"multipart/form-data; boundary={message.get_boundary()}"

    answer = client.call("PUT", "jobs/user_dict_update", "", body, kind)

    assert answer.json == {"a": "é"}
