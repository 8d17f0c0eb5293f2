"""Outputs made to take the reader's time, at any size, and how long each takes.

``python -m tests.fuzz.growth`` prints the microseconds per byte at 100 kB, 1 MB and 10 MB: a row
whose figures grow with the size shows work that is more than linear.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ingest.reading.records import NoAnswer, SealMissing, read_records
from ingest.slurm.grammar import JOB, NODE, Grammar
from tests.ingest.reading.attacks import SEAL, job

SIZES = (100_000, 1_000_000, 10_000_000)

_ALICE = "alice(1001)"
_NODE = "NodeName=a CoresPerSocket=1\n   RealMemory=1\n   State=IDLE ThreadsPerCore=1\n"


@dataclass(frozen=True)
class Hard:
    """An output that is hard to read: *make* gives one of about so many bytes."""

    name: str
    make: Callable[[int], bytes]
    grammar: Grammar = JOB
    seal: str = SEAL
    chunk_bytes: int = 1 << 15
    max_bytes: int = 1 << 30
    """So large that every byte of a record is read; the default limit would hide it."""

    def seconds(self, size: int, tries: int = 1) -> float:
        """The processor time of the fastest of *tries* readings."""
        text = self.make(size)
        return min(self._once(text) for _ in range(tries))

    def _once(self, text: bytes) -> float:
        chunks = _cut(text, self.chunk_bytes)
        start = time.process_time()
        try:
            for _ in read_records(chunks, self.grammar, seal=self.seal, max_bytes=self.max_bytes):
                pass
        except (NoAnswer, SealMissing):
            pass
        return time.process_time() - start


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
        yield Hard(f"a node's reason of {name}", _in_reason(piece), NODE)
    yield Hard(
        "many jobs with a hundred false keys each", _jobs(comment="\n   Comment=\n   Extra=" * 50)
    )
    yield Hard(
        "many jobs with a thousand false keys each",
        _jobs(comment="\n   Comment=\n   Extra=" * 440),
    )
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


def main() -> None:
    limit = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    rows = sys.stdout
    for hard in hard_outputs():
        rows.write(f"{hard.name} ({hard.chunk_bytes} bytes a chunk):")
        last = 0.0
        for size in SIZES:
            if last * 12 > limit:
                rows.write("  too slow")
                break
            last = hard.seconds(size)
            rows.write(f"  {last / size * 1e6:.3f}")
            rows.flush()
        rows.write("\n")


if __name__ == "__main__":
    main()
