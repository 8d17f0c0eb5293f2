"""The checker of the documents' English finds what it should, and nothing in code."""

import pytest

from tests.prose import MOST_WORDS, check

LONG = "word " * MOST_WORDS + "word."


@pytest.mark.parametrize(
    "text",
    [
        LONG,
        f"Short.\n\n- An item.\n- {LONG}",
        f"1. {LONG}",
        LONG.replace(" ", "\n"),
        LONG.replace("word.", "[word](https://example.org/a.b)."),
        "The newest release is mended.",
        "It is set\naside.",
        "Likewise, this.",
    ],
)
def test_a_mistake_in_a_document_is_found_once(text: str) -> None:
    assert len(list(check("README.md", text))) == 1


@pytest.mark.parametrize(
    "text",
    [
        f"One. {LONG.replace('word.', 'end. Two.', 1).replace('word ', '', 2)}",
        f"    {LONG}",
        f"```python\n# {LONG}\n```",
        f"# {LONG}",
        f"| {LONG} |",
        f"`{LONG}`",
        "The key `set aside`. Recommended amendments.",
    ],
)
def test_code_tables_headings_and_short_sentences_are_no_mistake(text: str) -> None:
    assert list(check("README.md", text)) == []


def test_of_other_files_the_comments_are_checked() -> None:
    lines = "\n".join(f"# {word}" for word in LONG.split())
    assert len(list(check("clockwork.example.toml", f'a = "{LONG}"\n{lines}\nb = 1\n'))) == 1
    assert list(check("clockwork.example.toml", f'a = "{LONG}"\n# b = "{LONG}"\n')) == []
