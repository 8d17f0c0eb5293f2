"""Replacements under a secret: the same in, the same out, and no way back without the secret.

Nothing is remembered, so memory stays flat: what replaces a word, a number or an address is
computed from it and the secret (keyed BLAKE2b, and a Feistel network over it where no two may
become one).  A text keeps its shape: letters become other letters, digits other digits, and what
stands between them stays::

    /home/j.doe7/run_12 a=b    ->    /home/kqzvwabc.plodmwer4/ywqncbzp_83 tnbvqaze=mplkwuvd

Names of nodes keep their numbers, so that ``cn-a[001-008]`` and ``cn-a003`` go on to agree.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence, Set
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from string import ascii_lowercase

from ingest.slurm.values import INT64_MAX

GROWTH = 5
"""How many times longer a text can become: ``a a`` is ``kqzvwabc kqzvwabc``."""

Skeleton = tuple[str | int, ...]
"""A node's name without its numbers: ``cn-a003`` is ``("cn", "-", "a", 3)``."""

_LETTERS = r"(?:[A-Za-z]|[^\x00-\x7f\s])+"
_OFFSET = r"[+-](?:0[0-9]|1[0-4])[0-5][0-9]"
_TIME = (
    r"(?<![0-9])[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}"
    rf"(?P<offset>{_OFFSET})?(?![0-9])"
)
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_ADDRESS = rf"(?<![0-9.])(?:{_OCTET}\.){{3}}{_OCTET}(?![0-9]|\.[0-9])"
_WHOLE = re.compile(rf"(?P<time>{_TIME})|(?P<address>{_ADDRESS})")
_ALNUM = r"(?:[A-Za-z0-9]|[^\x00-\x7f\s])"
_RUN = re.compile(rf"{_ALNUM}+(?:[._-]+{_ALNUM}+)*")
_PIECE = re.compile(rf"{_LETTERS}|[0-9]{{1,19}}|[._-]+")
_SOME_LETTERS = re.compile(_LETTERS)

_WORD_LENGTH = 8  # two of 100,000 words become one in one dump of forty
_ROUNDS = 8
_WEEKS = (52, 1040)
_ID_SHIFT = (100_000, 90_000_000)
_SLURMS_NUMBERS = frozenset({"4294967294", "4294967295"})  # no value; no limit
_OCTETS = (24, 16, 8, 0)
_HOST_ITSELF = (0, 127)


class Pseudonyms:
    """The replacements that one secret gives."""

    def __init__(
        self,
        secret: bytes,
        *,
        kept_words: Set[str] = frozenset(),
        nodes: Set[Skeleton] = frozenset(),
        job_ids: Sequence[int] = (),
    ) -> None:
        """*secret* is 16 to 64 random bytes.

        *kept_words* are not replaced.  *nodes* are the names that keep their numbers wherever they
        stand.  *job_ids*, sorted, are moved wherever they stand by themselves and have four digits
        or more.
        """
        self._secret = secret
        self._kept = kept_words
        self._nodes = nodes
        self._longest = max(map(len, nodes), default=0)
        self._job_ids = job_ids
        self._id_shift = self._between("ids", *_ID_SHIFT)
        self._time_shift = timedelta(weeks=self._between("weeks", *_WEEKS))
        self.word = _cached(self._word)
        self.digits = _cached(self._digits)
        self._run = _cached(self._any_run)

    def text(self, text: str) -> str:
        """*text* with its words, numbers, times and addresses replaced, and its shape kept."""
        done = []
        start = 0
        for match in _WHOLE.finditer(text):
            done.append(_RUN.sub(lambda run: self._run(run[0]), text[start : match.start()]))
            done.append(self._time(match) if match["time"] else self.address(match[0]))
            start = match.end()
        done.append(_RUN.sub(lambda run: self._run(run[0]), text[start:]))
        return "".join(done)

    def letters(self, text: str, kept: Set[str] = frozenset()) -> str:
        """*text* with its words alone replaced, but for those in *kept*."""
        return _SOME_LETTERS.sub(
            lambda match: match[0] if match[0] in kept else self.word(match[0]), text
        )

    def job_id(self, digits: str) -> str:
        """A job's id, moved by the secret's constant; 0 and Slurm's own numbers stay."""
        if not int(digits) or digits in _SLURMS_NUMBERS:
            return digits
        return str(int(digits) + self._id_shift)

    def seconds(self, seconds: str) -> str:
        """A time in seconds since 1970, moved like all times."""
        return str(int(seconds) - int(self._time_shift.total_seconds()))

    def address(self, address: str) -> str:
        """Another IPv4 address; those of the host itself stay."""
        octets = map(int, address.split("."))
        number = sum(octet << shift for octet, shift in zip(octets, _OCTETS, strict=True))
        if number >> 24 in _HOST_ITSELF:
            return address
        number = self._shuffled_bits(number)
        while number >> 24 in _HOST_ITSELF:
            number = self._shuffled_bits(number)
        return ".".join(str(number >> shift & 255) for shift in _OCTETS)

    # --- words and numbers -------------------------------------------------------------------

    def _word(self, word: str) -> str:
        if word in self._kept:
            return word
        number = self._number("word", word)
        letters = []
        for _ in range(_WORD_LENGTH):
            number, letter = divmod(number, len(ascii_lowercase))
            letters.append(ascii_lowercase[letter])
        if not word.isascii():
            letters.append("é" if is_utf8(word) else "\udcff")
        return "".join(letters)

    def _digits(self, digits: str) -> str:
        """As many other digits; a number stays one of its kind (zeros in front, 64 bits)."""
        if digits in _SLURMS_NUMBERS:
            return digits
        found = self._shuffled(digits)
        while _kind(found) != _kind(digits):
            found = self._shuffled(found)
        return found

    def _shuffled(self, digits: str) -> str:
        if len(digits) == 1:
            order = sorted("0123456789", key=lambda digit: self._number("digit", digit))
            return order[int(digits)]
        left, right = digits[: len(digits) // 2], digits[len(digits) // 2 :]
        for turn in range(_ROUNDS):
            mixed = int(left) + self._number("digits", f"{turn} {len(digits)} {right}")
            left, right = right, f"{mixed % 10 ** len(left):0{len(left)}}"
        return left + right

    def _shuffled_bits(self, number: int) -> int:
        left, right = divmod(number, 1 << 16)
        for turn in range(_ROUNDS):
            left, right = right, left ^ self._number("address", f"{turn} {right}") & 0xFFFF
        return left << 16 | right

    def _time(self, match: re.Match[str]) -> str:
        offset = match["offset"] or ""
        try:
            moment = datetime.fromisoformat(match[0].removesuffix(offset))
            return (moment - self._time_shift).isoformat() + offset
        except (ValueError, OverflowError):  # no day of the calendar, or one before the year 1
            return _RUN.sub(lambda run: self._run(run[0]), match[0])

    # --- names within a text -----------------------------------------------------------------

    def _any_run(self, run: str) -> str:
        """Letters, digits and ``. _ -`` in one: the names of nodes in it, and what is beside."""
        pieces = _PIECE.findall(run)
        done = []
        start = 0
        while start < len(pieces):
            stop = self._node_at(pieces, start)
            if stop:
                done += [self.letters(piece) for piece in pieces[start:stop]]
            else:
                stop = start + 1
                done.append(self._piece(pieces, start))
            start = stop
        return "".join(done)

    def _node_at(self, pieces: list[str], start: int) -> int:
        """Where a node's name that begins at *start* ends; 0 when there is none."""
        if not self._nodes or not _is_apart(pieces, start - 1):
            return 0
        shape = _shape(pieces[start : start + self._longest])
        for length in range(len(shape), 0, -1):
            if shape[:length] in self._nodes and _is_apart(pieces, start + length):
                return start + length
        return 0

    def _piece(self, pieces: list[str], place: int) -> str:
        piece = pieces[place]
        if piece[0] in "._-":
            return piece
        if not piece[0].isascii() or not piece[0].isdigit():
            return self.word(piece)
        alone = _is_apart(pieces, place - 1) and _is_apart(pieces, place + 1)
        if alone and len(piece) > 3 and piece[0] != "0" and self._is_job_id(int(piece)):
            return self.job_id(piece)
        return self.digits(piece)

    def _is_job_id(self, number: int) -> bool:
        place = bisect_left(self._job_ids, number)
        return place < len(self._job_ids) and self._job_ids[place] == number

    # --- the secret --------------------------------------------------------------------------

    def _number(self, use: str, text: str = "") -> int:
        message = f"{use} {text}".encode("utf-8", "surrogateescape")
        return int.from_bytes(blake2b(message, key=self._secret, digest_size=16).digest(), "big")

    def _between(self, use: str, low: int, high: int) -> int:
        return low + self._number(use) % (high - low)


def words(text: str) -> list[str]:
    """The words that `Pseudonyms.text` replaces in *text*, one by one."""
    return _SOME_LETTERS.findall(text)


def runs(text: str) -> list[str]:
    """Letters, digits and ``. _ -`` in one: *text* without the signs that part names."""
    return _RUN.findall(text)


def skeleton(name: str) -> Skeleton | None:
    """The skeleton of a node's name; None for one that holds no letter, or other characters."""
    if not _RUN.fullmatch(name) or not words(name):
        return None
    return _shape(_PIECE.findall(name))


def names_within(run: str, longest: int) -> Iterator[str]:
    """What stands in *run* between ``. _ -``: of ``a-b1`` that is a, a-b1, b1.

    *longest* is how many letters, numbers and separators in a row a name can have.
    """
    pieces = _PIECE.findall(run)
    for start in range(len(pieces)):
        for stop in range(start + 1, min(start + longest, len(pieces)) + 1):
            if _is_apart(pieces, start - 1) and _is_apart(pieces, stop):
                yield "".join(pieces[start:stop])


def length(name: str) -> int:
    """How many letters, numbers and separators in a row *name* has: ``a-b1`` has 4."""
    return len(_PIECE.findall(name))


def is_utf8(text: str) -> bool:
    """Whether *text*, decoded with surrogateescape, was UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _cached(function: Callable[[str], str]) -> Callable[[str], str]:
    """*function*, remembering its last answers for short texts."""
    remembering = lru_cache(maxsize=1 << 16)(function)
    return lambda text: remembering(text) if len(text) < 64 else function(text)


def _shape(pieces: list[str]) -> Skeleton:
    return tuple(len(piece) if "0" <= piece[0] <= "9" else piece for piece in pieces)


def _is_apart(pieces: list[str], place: int) -> bool:
    """Whether nothing stands at *place* of *pieces* but ``. _ -``."""
    return not 0 <= place < len(pieces) or pieces[place][0] in "._-"


def _kind(digits: str) -> tuple[bool, bool]:
    return digits[0] == "0", len(digits) == 19 and digits > str(INT64_MAX)
