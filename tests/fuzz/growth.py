"""Outputs made to take the reader's time, at any size, and how much work each makes.

``python -m tests.fuzz.growth`` prints the microseconds per byte at 100 kB, 1 MB and 10 MB: a row
whose figures grow with the size shows work that is more than linear.  With a number of seconds, it
leaves out what would probably take longer.  The tests count calls of
functions instead, which no other process on the machine can change.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from ingest.reading.reader import NoAnswer, Reader, SealMissing
from ingest.slurm.keys import JOB, NODE, KeyTable
from tests.ingest.reading.attacks import job
from tests.support.reading import CLUSTER, SEAL

SIZES = (100_000, 1_000_000, 10_000_000)
MAX_GROWTH = 4
"""Times the microseconds per byte of the smallest size."""
MIN_MICROSECONDS = 0.5
"""Microseconds per byte below which nothing is said to grow."""

_ALICE = "alice(1001)"
_NODE = "NodeName=a CoresPerSocket=1\n   RealMemory=1\n   State=IDLE ThreadsPerCore=1\n"


@dataclass(frozen=True)
class Hard:
    """An output that is hard to read: *make* gives one of about so many bytes."""

    name: str
    make: Callable[[int], bytes]
    table: KeyTable = JOB
    seal: str = SEAL
    chunk_bytes: int = 1 << 15
    max_bytes: int = 1 << 30
    """So large that every byte of a record is read; the default limit would hide it."""

    def seconds(self, size: int) -> float:
        """Return the processor time of one reading, in seconds."""
        chunks = _cut(self.make(size), self.chunk_bytes)
        start = time.process_time()
        self._read(chunks)
        return time.process_time() - start

    def calls(self, size: int) -> int:
        """Return the number of calls of functions, of Python's own too, that one reading makes."""
        chunks = _cut(self.make(size), self.chunk_bytes)
        count = 0

        def note(_frame: object, event: str, _argument: object) -> None:
            nonlocal count
            count += event in {"call", "c_call"}

        sys.setprofile(note)
        try:
            self._read(chunks)
        finally:
            sys.setprofile(None)
        return count

    def _read(self, chunks: Iterable[bytes]) -> None:
        with suppress(NoAnswer, SealMissing):
            for _ in Reader(self.table, CLUSTER, self.max_bytes).read(chunks, seal=self.seal):
                pass


def _cut(text: bytes, size: int) -> Iterable[bytes]:
    return (text[start : start + size] for start in range(0, len(text), size))


def _in(field: str, piece: str) -> Callable[[int], bytes]:
    """One job whose *field* holds nothing but *piece*, between two that are as usual."""

    def make(size: int) -> bytes:
        text = piece * (size // len(piece))
        records = [
            job("1", _ALICE, sealed=True),
            job("2", _ALICE, sealed=True, **{field: text}),
            job("3", _ALICE, sealed=True),
        ]
        return "".join(records).encode()

    return make


def _in_reason(piece: str) -> Callable[[int], bytes]:
    """One node whose Reason holds nothing but *piece*."""

    def make(size: int) -> bytes:
        text = piece * (size // len(piece))
        return f"{_NODE}   Reason={text}\n\n{_NODE.replace('=a', '=b', 1)}\n".encode()

    return make


def _only(piece: str) -> Callable[[int], bytes]:
    """*piece* and nothing else."""
    return lambda size: (piece * (size // len(piece))).encode()


def _behind(piece: str) -> Callable[[int], bytes]:
    """A job, and *piece* behind its end."""
    return lambda size: (_WHOLE + piece * (size // len(piece))).encode()


def _jobs(**texts: str) -> Callable[[int], bytes]:
    """Many jobs, all with the same *texts*."""

    def make(size: int) -> bytes:
        one = len(job("1000000", _ALICE, sealed=True, **texts))
        return "".join(
            job(str(number), _ALICE, sealed=True, **texts) for number in range(max(1, size // one))
        ).encode()

    return make


def _unfinished(piece: str) -> Callable[[int], bytes]:
    """A job that never ends, followed by nothing but beginnings of others."""

    def make(size: int) -> bytes:
        start = job("1", _ALICE, sealed=True)
        return (start[: start.index("\n   StdErr=")] + piece * (size // len(piece))).encode()

    return make


def _long_key(letter: str) -> Callable[[int], bytes]:
    """A path behind which stands one key that is as long as that."""
    return lambda size: _in("stdout", f"\n   A{letter * (size - 6)}=")(size)


def _many(make_text: Callable[[int], str], field: str = "comment") -> Callable[[int], bytes]:
    """Many jobs, each with another text in its *field*."""

    def make(size: int) -> bytes:
        one = len(job("1000000", _ALICE, sealed=True, **{field: make_text(1)}))
        return "".join(
            job(str(number + 1), _ALICE, sealed=True, **{field: make_text(number)})
            for number in range(max(1, size // one))
        ).encode()

    return make


def _new_keys(number: int) -> str:
    return "x" + "".join(f"\n   K{number}_{each}=" for each in range(200))


def _lines_of_new_keys(size: int) -> bytes:
    text = "x" + "".join(f"\n   K{each:07}=" for each in range(size // 12))
    return _in("command", text)(len(text))


def _another_shape(number: int) -> str:
    """A text whose lines are keys or none: each number gives the record another shape."""
    bits = f"{number:016b}"
    return "x" + "".join("\n   Nice=1" if bit == "1" else "\ny" for bit in bits)


def _beginnings(size: int) -> bytes:
    """One job whose arguments hold a beginning for each 11 bytes: 90,000 in a mebibyte."""
    text = "".join(f"\n\nJobId={number % 1000} " for number in range(size // 13))
    return _in("command", text)(len(text))


_WHOLE = job("7", _ALICE, sealed=False)
_WITHOUT_END = "\n\n" + _WHOLE[: _WHOLE.index("\n   StdErr=")]


def hard_outputs() -> Iterator[Hard]:
    """All of them; what is read with tiny chunks comes last."""
    yield Hard("ordinary jobs", _jobs())
    yield Hard("ordinary jobs, no seal", _jobs(), seal="")
    for name, piece in {
        "newlines": "\n",
        "blank lines": "\n   \n",
        "newlines and spaces": "\n" + " " * 50,
        "spaces": " ",
        "one long line": "x",
        "one long capital word": "A",
        "beginnings of jobs": "\n\nJobId=9 ",
        "beginnings of jobs, one line each": "\nJobId=9 ",
        "places of new keys": "\n   Key=",
        "new keys in a line": " A=",
        "places of one known key": "\n   Comment=",
        "places of two known keys": "\n   Comment=\n   Extra=",
        "known keys in a line": " Nice=",
        "owners": " UserId=b(2)",
        "submit times": "\n   SubmitTime=x",
        "sealed submit times": f"\n   SubmitTime={SEAL}",
        "seals": SEAL,
        "not UTF-8": "é",
    }.items():
        yield Hard(f"a comment of {name}", _in("comment", piece))
        yield Hard(f"a name of {name}", _in("name", piece))
        yield Hard(f"nothing but {name}", _only(piece))
        yield Hard(f"a path of {name}, no seal", _in("stdout", piece), seal="")
        yield Hard(f"{name} behind the last job, no seal", _behind(piece), seal="")
        yield Hard(f"a node's reason of {name}", _in_reason(piece), NODE)
    yield Hard(
        "many jobs with a hundred false keys each", _jobs(comment="\n   Comment=\n   Extra=" * 50)
    )
    yield Hard(
        "many jobs with a thousand false keys each",
        _jobs(comment="\n   Comment=\n   Extra=" * 440),
    )
    yield Hard("new keys, other ones in each job", _many(_new_keys))
    yield Hard("new keys, other ones on each line of one job", _lines_of_new_keys)
    yield Hard("another shape for each job", _many(_another_shape))
    yield Hard("beginnings with a thousand ids", _beginnings)
    yield Hard("one long new key", _long_key("b"))
    yield Hard("one long capital key", _long_key("A"))
    yield Hard("beginnings behind a job without an end", _unfinished("\n\nJobId=9 "))
    yield Hard("jobs without an end, no seal", _unfinished(_WITHOUT_END), seal="")
    yield Hard("spaces before the first record", lambda size: b" " * size + b"\n" + _only("x")(9))
    for chunk_bytes in (1, 100):
        yield Hard("jobs in small chunks", _jobs(), chunk_bytes=chunk_bytes)
        yield Hard("one long job in small chunks", _in("comment", "x"), chunk_bytes=chunk_bytes)
        yield Hard("noise in small chunks", _only("x"), chunk_bytes=chunk_bytes)
        yield Hard("lines in small chunks", _in("comment", "\n   x"), chunk_bytes=chunk_bytes)
        yield Hard(
            "a first job that is long, in small chunks",
            lambda size: job("1", _ALICE, sealed=True, comment="x" * size).encode(),
            chunk_bytes=chunk_bytes,
        )


def main() -> int:
    """Print the microseconds per byte; return 1 if they grow with the size."""
    limit = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    rows = sys.stdout
    grown = 0
    for hard in hard_outputs():
        rows.write(f"{hard.name} ({hard.chunk_bytes} bytes a chunk):")
        figures: list[float] = []
        for size in SIZES:
            if figures and figures[-1] * size > limit * 1e6:
                rows.write("  too slow")
                break
            figures.append(hard.seconds(size) / size * 1e6)
            rows.write(f"  {figures[-1]:.3f}")
            rows.flush()
        if figures[-1] > MAX_GROWTH * figures[0] and figures[-1] > MIN_MICROSECONDS:
            grown += 1
            rows.write("  GROWS")
        rows.write("\n")
    rows.write(f"{grown} outputs take more than linear time\n")
    return int(grown > 0)


if __name__ == "__main__":
    sys.exit(main())
