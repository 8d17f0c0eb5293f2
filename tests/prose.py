"""Check that the documents are written in plain English: ``python -m tests.prose FILE...``.

Two rules, which a program can check: no sentence has more than 30 words, and no word of `WORDS`
stands in the text. Markdown files are checked without their code, tables and headings. In all other
files (TOML, systemd units, Makefile) the comments are checked.

The checker is our own because the rules are our own. proselint looks for bad style of native
speakers, and Vale is a program that pip cannot lock. codespell, which ``make lint`` runs too, finds
spelling mistakes.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

MOST_WORDS = 30
"""In one sentence. Aim at 20."""

WORDS = {
    "afresh": "again",
    "anew": "again",
    "at hand": "available",
    "befall": "happen to",
    "entity": "the name of the thing",
    "greatest first": "descending",
    "helper": "the name of the thing",
    "hence": "so",
    "hitherto": "until now",
    "lest": "so that ... not",
    "likewise": "also",
    "mend": "fix",
    "mended": "fixed",
    "patience": "timeout",
    "save for": "except",
    "set aside": "quarantined",
    "sets aside": "quarantines",
    "thereby": "by this",
    "therein": "in it",
    "thereof": "of it",
    "utils": "the name of the thing",
    "whence": "from where",
    "wherein": "in which",
    "whereof": "of which",
}
"""Words that our readers may not know, or that the trade has a better word for."""

_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[([^]]*)\]\([^)]*\)")
_CODE = re.compile(r"`[^`]+`|<[^>]+>|https?://\S+")
_ITEM = re.compile(r"^\s*(?:[-*]|\d+\.) ")
_SETTING = re.compile(r"^# \w+ = ")
_END = re.compile(r"(?<=[.!?])[)*\"]*\s+")
_NO_END = re.compile(r"\b(?:e\.g|i\.e|etc|vs)\.")


def main(names: list[str]) -> int:
    """Print a line for every mistake; returns 1 if there is one."""
    mistakes = [f"{name}: {each}" for name in names for each in check(name, Path(name).read_text())]
    for mistake in mistakes:
        sys.stderr.write(f"{mistake}\n")
    return 1 if mistakes else 0


def check(name: str, text: str) -> Iterator[str]:
    """What is wrong with *text*, the content of the file *name*; a line for each mistake."""
    paragraphs = _of_markdown(text) if name.endswith(".md") else _of_comments(text)
    for paragraph in paragraphs:
        for sentence in _END.split(paragraph):
            count = sum(any(map(str.isalnum, word)) for word in sentence.split())
            if count > MOST_WORDS:
                yield f"{count} words in one sentence, expected at most {MOST_WORDS}: {sentence}"
            for word, better in WORDS.items():
                if re.search(rf"\b{word}\b", sentence, re.IGNORECASE):
                    yield f"the word {word!r}, expected {better!r}: {sentence}"


def _of_markdown(text: str) -> Iterator[str]:
    """The paragraphs and list items of *text*, each on one line; code is ``X``."""
    for block in re.split(r"\n\s*\n", _FENCE.sub("", text)):
        paragraph: list[str] = []
        for line in block.splitlines():
            if line.startswith(("#", "|")) or (line.startswith("    ") and not paragraph):
                continue
            if _ITEM.match(line) and paragraph:
                yield _plain(paragraph)
                paragraph = []
            paragraph.append(_ITEM.sub("", line).strip())
        if paragraph:
            yield _plain(paragraph)


def _of_comments(text: str) -> Iterator[str]:
    """The comments of *text*, those on neighbouring lines joined."""
    paragraph: list[str] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("# ") and not _SETTING.match(line):
            paragraph.append(line[2:].strip())
        elif paragraph:
            yield _plain(paragraph)
            paragraph = []


def _plain(lines: list[str]) -> str:
    return _NO_END.sub("X", _CODE.sub("X", _LINK.sub(r"\1", " ".join(lines))))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
