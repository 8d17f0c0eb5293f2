"""A captured dump of scontrol's to one that a site can publish.

What is replaced, the same by the same wherever it stands in the dump (see
`ingest.anonymise.pseudonyms`):

- names: users, groups, accounts, WCKeys, MCS labels, reservations, nodes and other hosts, inside
  hostlists and paths too; numbers of users and groups; addresses;
- texts: job names, comments, paths, commands, submit lines, scripts, mail addresses, reasons that
  an administrator wrote, and whatever stands behind a key that this release does not know.  Every
  word, number, time and address in them is another one; spaces, newlines, ``=`` and the other
  signs stay where they are;
- all times, moved by one number of whole weeks, so that what lay between them still does;
- ids of jobs, moved by one number, so that arrays, heterogeneous jobs and dependencies still agree.

What stays: states, Slurm's own reasons, durations, priorities, amounts; the numbers in names of
nodes, of ``ip-10-0-0-7`` too; names of partitions, QOS, features, licences and GRES, but not one
that is or holds a name that is replaced, nor a licence's server; kernel versions; 127.0.0.1; the
users of `SYSTEM_NAMES`, and the words of `KEPT_WORDS` unless somebody's name has them; a key's own
name, so keys that are new are told to be looked at; what has neither a letter nor a digit.

A record that can't be read for certain is left out.  The dump is read twice, once for its names.
"""

import re
import tempfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ingest.anonymise.names import SYSTEM_NAMES, DumpNames
from ingest.anonymise.pseudonyms import GROWTH, Pseudonyms, length, names_within, words
from ingest.reading.parsing import RawPairs
from ingest.reading.reader import MAX_RECORD_BYTES, NoAnswer, Reader, SealMissing
from ingest.reading.records import Record, SetAside, Unchanged
from ingest.slurm import values
from ingest.slurm.convert import AnyCluster
from ingest.slurm.hostlists import HostlistError, parse
from ingest.slurm.keys import JOB, NODE, KeyTable

KEPT_WORDS = SYSTEM_NAMES | frozenset(
    {
        *("bash", "bin", "dev", "err", "home", "log", "logs", "null", "out", "py", "python"),
        *("salloc", "sbatch", "scratch", "sh", "srun", "tmp", "usr", "zero"),
    }
)
"""Words that stay in texts and paths."""

_TRES_WORDS = frozenset(
    {
        *("bb", "billing", "cpu", "energy", "fs", "disk", "gpu", "gres", "ic", "license", "mem"),
        *("mps", "node", "pages", "shard", "vmem", "S", "IDX", "no_consume"),
    }
)
_DEPENDENCY_WORDS = frozenset(
    {
        *("after", "afterany", "afterburstbuffer", "aftercorr", "afternotok", "afterok", "expand"),
        *("singleton", "failed", "unfulfilled", "fulfilled"),
    }
)
_KERNEL_WORDS = frozenset(
    {
        *("Linux", "SMP", "PREEMPT", "DYNAMIC", "RT", "x", "aarch", "amd", "arm", "ppc", "le"),
        *("Ubuntu", "Debian", "el", "amzn", "fc", "deb", "bpo", "oe", "sp", "rc", "default"),
        *("generic", "cloud", "lts", "aws", "azure", "gcp", "nvidia", "oracle", "lowlatency"),
        *("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun", "Jan", "Feb", "Mar", "Apr", "May"),
        *("Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
        *("UTC", "GMT", "CET", "CEST", "CST", "EDT", "EST", "PDT", "PST"),
    }
)
_REASONS = frozenset(
    {
        "Nodes_required_for_job_are_DOWN,_DRAINED_or_reserved_for_jobs_in_higher_priority_"
        "partitions",
        "Nodes_required_for_job_are_DOWN,_DRAINED_or_reserved_for_jobs_in_higher_priority_"
        "partition",
        "job_requeued_in_held_state",
        "launch_failed_requeued_held",
        "user_env_retrieval_failed_requeued_held",
    }
)

_FIRST_KEY = re.compile(rb"(?:\A|\n)(?:(JobId)|NodeName)=")
_NO_RECORD = re.compile(rb"\s*No (?:jobs|nodes) in the system\s*")
_SEALED = re.compile(
    rb"\n   (?:SubmitTime|BootTime|LastBusyTime)="
    rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[+-]\d{4})?([A-Za-z0-9]{7})?(?=[ \n]|\Z)"
)
_PLAIN = re.compile(r"[A-Za-z0-9_.:;,@*&|()\[\]+/=<>-]* *")
_TOKEN = re.compile(r"[A-Za-z0-9_.-]+")
_OWNER = re.compile(r"(.+)\(([0-9]{1,18})\)( *)", re.DOTALL)
_IDS = re.compile(r"[0-9,\[\]-]+ *")
_UNAVAILABLE = re.compile(r"([A-Za-z_, ()]*Nodes:)([^ ]+)( *)")
_PART = re.compile(r"(?:[^,\[]|\[[^\]]*\])+")
_HEAD_BYTES = 1 << 20
_MAX_SEALS = 3
"""Seals that are tried if the times of a dump differ in theirs."""
_SPOOL_BYTES = 8 << 20


@dataclass
class Report:
    """What became of a dump. It holds raw names and texts: for the operator's eyes alone."""

    records: int = 0
    """Records rewritten."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Why records were left out, and how many for each reason."""
    lines_left_out: int = 0
    new_keys: set[str] = field(default_factory=set)
    """Keys that this release does not know: they stand in the result as they were."""


def anonymise(chunks: Iterable[bytes], secret: bytes, report: Report) -> Iterator[bytes]:
    """The dump in *chunks*, jobs or nodes, rewritten.

    It may be in either form; one in the multi-line form may be sealed, as a scrape is, and loses
    its seal.  *secret* is 16 to 64 random bytes that nobody keeps; *report* is filled on the way.
    Records keep their order, but for those that could be read only after all others.

    Raises `NoAnswer` for an output without a record, in which scontrol does not say that there is
    none.
    """
    with tempfile.SpooledTemporaryFile(_SPOOL_BYTES) as dump:
        for chunk in chunks:  # writelines would hold all of them before it looks at their size
            dump.write(chunk)
        dump.seek(0)
        head = dump.read(_HEAD_BYTES)
        if _NO_RECORD.fullmatch(head):
            yield head
            return
        table = _table(head)
        seal = _seal(head, table)
        names = DumpNames()
        for item in _records(_from_start(dump), table, seal):
            if isinstance(item, Record):
                names.note(item.raw, table)
        rewriter = _Rewriter(table, names, secret)
        before = ""
        blank_line = False
        for item in _records(_from_start(dump), table, seal):
            if isinstance(item, SetAside):
                report.left_out[item.reason] += 1
                report.lines_left_out += item.text.count(b"\n")
            if not isinstance(item, Record):
                continue
            raw = item.raw
            report.records += 1
            report.new_keys |= {pair.key for pair in raw.pairs} - table.keys.keys()
            if not before:
                blank_line = table is JOB and item.form.multi_line
            text = rewriter.record(raw).text()
            gap = _gap(before, blank_line=blank_line) if before else ""
            yield (gap + text).encode("utf-8", "surrogateescape")
            before = text


def _from_start(dump: "tempfile.SpooledTemporaryFile[bytes]") -> Iterator[bytes]:
    dump.seek(0)
    return iter(lambda: dump.read(1 << 16), b"")


def _records(
    chunks: Iterable[bytes], table: KeyTable, seal: str
) -> Iterator[Record | SetAside | Unchanged]:
    """The records in *chunks*, none so long that its new text would be too long to read."""
    return Reader(table, AnyCluster(), MAX_RECORD_BYTES // GROWTH).read(chunks, seal=seal)


def _table(head: bytes) -> KeyTable:
    match = _FIRST_KEY.search(head)
    if match is None:
        raise NoAnswer(
            "no line of the output begins with JobId= or NodeName=; what `scontrol show job` or "
            f"`scontrol show node` printed was expected, and this begins {head[:200]!r}"
        )
    return JOB if match[1] else NODE


def _seal(head: bytes, table: KeyTable) -> str:
    """The seal of the times; mostly none.

    A user's text can hold times too. If they differ in this, most records are read with the right
    seal.
    """
    seals = Counter(match[1] or b"" for match in _SEALED.finditer(head))
    likely = [seal.decode() for seal, _ in seals.most_common(_MAX_SEALS)]
    if len(likely) < 2:
        return "".join(likely)
    return max(likely, key=lambda seal: _count_read(head, table, seal))


def _count_read(head: bytes, table: KeyTable, seal: str) -> int:
    try:
        return sum(isinstance(item, Record) for item in _records([head], table, seal))
    except SealMissing:
        return 0


def _gap(before: str, *, blank_line: bool) -> str:
    """What the record *before* lacks for another one to follow it: it was the last of its dump."""
    if re.search(r"\n *\n\Z" if blank_line else r"\n\Z", before):
        return ""
    return "\n\n" if blank_line and not before.endswith("\n") else "\n"


# --- values to other values ----------------------------------------------------------------------


class _Rewriter:
    """What each key's value becomes."""

    def __init__(self, table: KeyTable, found: DumpNames, secret: bytes) -> None:
        self._keys = table.keys
        self._names = found.names
        self._longest = max(map(length, found.names), default=0)
        taken = {word for name in found.names for word in words(name)}
        taken |= {piece for shape in found.nodes for piece in shape if isinstance(piece, str)}
        self._new = Pseudonyms(
            secret,
            kept_words=KEPT_WORDS - taken,
            nodes=found.nodes,
            job_ids=array("Q", sorted(found.job_ids)),
        )

    def record(self, raw: RawPairs) -> RawPairs:
        """*raw* with other values."""
        pairs = (pair._replace(value=self._value(pair.key, pair.value)) for pair in raw.pairs)
        return RawPairs(tuple(pairs), raw.end)

    def _value(self, key: str, value: str) -> str:
        if values.is_no_time(value):
            return value
        row = self._keys.get(key)
        rule = _RULES[row.anonymise] if row is not None else _Rewriter.text
        return rule(self, value)

    def text(self, value: str) -> str:
        """What people wrote, what they named, and whatever has no rule of its own."""
        return self._new.text(value)

    def time(self, value: str) -> str:
        """A time; in seconds since 1970, too."""
        return self._new.seconds(value) if values.is_epoch_time(value) else self.text(value)

    def kept(self, value: str) -> str:
        """Slurm's words and numbers."""
        return value

    def owner(self, value: str) -> str:
        """``alice(1001)``."""
        match = _OWNER.fullmatch(value)
        if match is None:
            return self.text(value)
        name, number, spaces = match.groups()
        if name in SYSTEM_NAMES:
            return value
        new = self._new.digits(name) if name == number else self.text(name)
        return f"{new}({self._new.digits(number)}){spaces}"

    def ids(self, value: str) -> str:
        """``4``, ``21-23``, ``21,23-25``."""
        if not _IDS.fullmatch(value):
            return self.text(value)
        return re.sub("[0-9]{1,18}", lambda digits: self._new.job_id(digits[0]), value)

    def dependency(self, value: str) -> str:
        """``afterok:4(failed),after:5+30(unfulfilled)``: an id stands behind a colon."""
        if not set(words(value)) <= _DEPENDENCY_WORDS:
            return self.text(value)
        return re.sub("(?<=:)[0-9]{1,18}", lambda digits: self._new.job_id(digits[0]), value)

    def hosts(self, value: str) -> str:
        """A hostlist, one name, or an address."""
        try:
            parse(value)
        except HostlistError:
            return self.text(value)
        return _PART.sub(lambda part: self._host(part[0]), value)

    def _host(self, part: str) -> str:
        if words(part) and ":" not in part:
            return self._new.letters(part)
        if "." in part or ":" in part:
            return self.text(part)  # an address
        begin = len(part) - len(part.lstrip(" "))
        return part[:begin] + self._new.word("") + part[begin:]  # a number must not stand as it was

    def host_and_sid(self, value: str) -> str:
        """``login-2:20721``."""
        host, colon, sid = value.rpartition(":")
        return self.hosts(host) + colon + self.text(sid)

    def structure(self, value: str) -> str:
        """What the site calls its partitions and the like: kept where it is nobody's name."""
        return self._but_names(value, frozenset())

    def tres(self, value: str) -> str:
        """The same for TRES and GRES, in which Slurm's own words always stay."""
        return self._but_names(value, _TRES_WORDS)

    def _but_names(self, value: str, kept: frozenset[str]) -> str:
        if not _PLAIN.fullmatch(value):
            return self.text(value)

        def new(token: re.Match[str]) -> str:
            if value[: token.start()].endswith("@"):  # the server of matlab@flex.example.org
                return self.text(token[0])
            if token[0] in kept or self._names.isdisjoint(names_within(token[0], self._longest)):
                return token[0]
            return self.text(token[0])

        return _TOKEN.sub(new, value)

    def kernel(self, value: str) -> str:
        """``Linux 5.14.0-503.14.1.el9_5.x86_64 #1 SMP …``: its numbers stay."""
        return self._new.letters(value, _KERNEL_WORDS)

    def job_reason(self, value: str) -> str:
        """A word or a sentence of Slurm's, which a list of nodes can follow."""
        reason = value.rstrip(" ")
        if reason in _REASONS or (re.fullmatch("[A-Za-z]+", reason) and reason not in self._names):
            return value
        match = _UNAVAILABLE.fullmatch(value)
        return match[1] + self.hosts(match[2]) + match[3] if match else self.text(value)


_Rule = Callable[[_Rewriter, str], str]

_RULES: Mapping[str, _Rule] = {
    "dependency": _Rewriter.dependency,
    "host_and_sid": _Rewriter.host_and_sid,
    "hosts": _Rewriter.hosts,
    "ids": _Rewriter.ids,
    "job_reason": _Rewriter.job_reason,
    "kept": _Rewriter.kept,
    "kernel": _Rewriter.kernel,
    "label": _Rewriter.text,
    "mail": _Rewriter.text,
    "person": _Rewriter.owner,
    "structure": _Rewriter.structure,
    "text": _Rewriter.text,
    "time": _Rewriter.time,
    "tres": _Rewriter.tres,
}
"""What the column ``anon`` of `ingest.slurm.keys` means."""
