"""Coverage-guided fuzzing of the reader.

``python -m tests.fuzz.fuzz_reader -max_total_time=600`` runs for ten minutes.

An input is a byte that says how the rest is read (kind, seal, size of the chunks, limit) and the
rest, an output of scontrol.  It starts from the dumps of fake_slurm_outputs and the forgeries of
`tests.ingest.reading.attacks`, and half of the mutations know what a record is made of.  What
breaks a rule of `tests.fuzz.oracle`, or takes too long, is written to a file ``crash-…`` or
``timeout-…``; ``python -m tests.fuzz.fuzz_reader FILE`` runs it again.

Needs atheris, which the project's other tests do without.
"""

import importlib
import random
import re
import sys
import tempfile
from pathlib import Path

atheris = importlib.import_module("atheris")
with atheris.instrument_imports(include=["ingest"]):
    from tests.fuzz.oracle import check
    from tests.ingest.reading.attacks import attacks, output
    from tests.ingest.reading.golden import DUMPS, kind_of
    from tests.support.reading import SEAL

MAX_BYTES = 4096
SECONDS_PER_INPUT = 5

_RECORD = re.compile(rb"\n(?=JobId=|NodeName=)")
_PARTS = [
    *(b"\n", b"\n   ", b"\n\n", b"\n   \n\n", b"   ", b" ", b"=", b"(null)", b"N/A", b"\xff\xfe"),
    *(b"\n\nJobId=7 JobName=x", b"\nJobId=20 ", b"JobId=", b"\nNodeName=a ", b" UserId=bob(2)"),
    *(b"\n   UserId=bob(2)", b"\n   SubmitTime=2021-01-01T00:00:00", SEAL.encode(), b"9" * 5000),
    *(b"\n   FutureKey=1", b" Future=x", b"\n     Nodes=a CPU_IDs=0 Mem=1 GRES=", b" Nodes=\xff"),
    *(b"\n   NtasksPerTRES:0", b"\n   Comment=y", b"\n   StdOut=/z", b"\n   Power=", b"\n" * 300),
    *(b" BatchFlag=1 ", b"\n   State=IDLE", b"\n   RealMemory=1", b"\n   Reason=x", b" " * 700),
]


def _outputs() -> list[bytes]:
    """What to start from, each with its first byte."""
    found = []
    for dump in DUMPS:
        kind = 0 if kind_of(dump).table.kind == "job" else 1
        text = dump.read_bytes()
        if dump.stem.endswith("_sealed"):
            kind += 2
        found += [bytes([kind + 16]) + part for part in _parts_of(text)]
    for attack in attacks():
        for sealed, one_line in ((True, False), (False, False), (False, True)):
            options = bytes([2 if sealed else 0])
            found.append(options + output(attack, sealed=sealed, one_line=one_line))
    return found


def _parts_of(text: bytes) -> list[bytes]:
    """*text* in parts of whole records, of which a few make an input."""
    starts = [0, *(match.end() for match in _RECORD.finditer(text)), len(text)]
    return [text[start:stop] for start, stop in zip(starts[:-3:2], starts[2::2], strict=False)][:20]


OUTPUTS = _outputs()
LINES = sorted({line for text in OUTPUTS for line in text[1:].splitlines(keepends=True)})


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Change *data* as a user's text, a release of Slurm or a bad line would; or in any way."""
    chance = random.Random(seed)  # noqa: S311 - nothing is kept secret
    if len(data) < 2 or chance.random() < 0.5:
        return bytes(atheris.Mutate(data, max_size))
    options, text = data[:1], data[1:]
    if chance.random() < 0.2:
        options = bytes([chance.randrange(256)])
    for _ in range(chance.randint(1, 4)):
        text = _change(text, chance)
    return (options + text)[:max_size]


def _change(text: bytes, chance: random.Random) -> bytes:
    lines = text.splitlines(keepends=True) or [b"\n"]
    line = chance.randrange(len(lines))
    anywhere = chance.randrange(len(text) + 1)
    match chance.randrange(9):
        case 0:
            return text[:anywhere] + chance.choice(_PARTS) + text[anywhere:]
        case 1:
            lines.insert(line, chance.choice(LINES))
        case 2:
            lines[line] = chance.choice(LINES)
        case 3:
            del lines[line]
        case 4:
            lines.insert(line, lines.pop(chance.randrange(len(lines))))
        case 5:
            return text[:anywhere] + chance.choice(OUTPUTS)[1:] + text[anywhere:]
        case 6:
            return re.sub(rb"(?<=SubmitTime=)(\S*)", rb"\g<1>" + SEAL.encode(), text)
        case 7:
            part = text[anywhere : anywhere + chance.randrange(400)]
            return text[:anywhere] + part + text[anywhere:]
        case _:
            lines[line] = lines[line].rstrip(b"\n") + chance.choice(_PARTS) + b"\n"
    return b"".join(lines)


def main() -> None:
    with tempfile.TemporaryDirectory() as corpus:
        for number, text in enumerate(OUTPUTS):
            Path(corpus, str(number)).write_bytes(text[:MAX_BYTES])
        limits = [f"-timeout={SECONDS_PER_INPUT}", f"-max_len={MAX_BYTES}"]
        given = [] if any(Path(each).is_file() for each in sys.argv[1:]) else [corpus]
        atheris.Setup([*sys.argv, *limits, *given], check, custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
