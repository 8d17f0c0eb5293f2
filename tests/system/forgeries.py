"""What a user can put into his own job so that scontrol's output holds somebody else's record.

The forger does the best that he can: he copies what scontrol shows him of the victim's job, in the
format that the scrape asks for, and changes what he likes.
"""

from collections.abc import Iterator
from typing import Any

from tests.system.service import Site
from tests.system.submissions import Order, held

NOBODYS_ID = "777777"
"""No job of the test has it."""

_NEEDED = ("JobId=", "UserId=", "JobState=", "SubmitTime=", "Partition=", "WorkDir=")
_OWN_END = "\n   StdErr=/e\n   StdIn=/dev/null\n   StdOut=/o\n   Power=\n   \n\n"


def forgeries(site: Site, victim_id: str) -> Iterator[tuple[str, Order]]:
    """From crude to seamless: a word on each, and the job that carries it."""
    victims = site.cluster.scontrol(
        "-a", "show", "job", victim_id, env={"SLURM_TIME_FORMAT": "%FT%T%z"}
    ).decode()
    true_one = victims.replace("JobState=RUNNING", "JobState=FAILED")
    no_one = true_one.replace(f"JobId={victim_id} ", f"JobId={NOBODYS_ID} ")
    root = "\n   UserId=root(0) GroupId=root(0) MCS_label=N/A"

    yield "crude, by the comment", by_comment(f"two\nlines\n\nJobId={NOBODYS_ID} JobName=evil")
    yield "another owner, by the name", by_name(f"x{root}")
    yield (
        "another owner and state, by the name",
        by_name(f"x{root}\n   Priority=1 Nice=0 Account=x QOS=x\n   JobState=COMPLETED Reason=x"),
    )
    for whose, record in (("of no job", no_one), ("of bob's job", true_one)):
        short = _short(record)
        own_end = f"x{_OWN_END}"
        yield f"a record {whose}, by the comment", by_comment(f"x\n\n{short}")
        yield f"seamless, {whose}, by the comment", by_comment(f"{own_end}{short}")
        yield f"seamless, {whose}, by an argument", by_argument(record)
        yield f"seamless, {whose}, by a path", _by_chdir(record)
        yield f"seamless, {whose}, by the output", _by_output(record)
        next_id = short.split(" ")[0]
        yield f"a name that ends with a start {whose}", by_name(f"x\n\n{next_id} JobName=y")
        own_body = short.split("\n", 1)[1]
        next_head = short.split("\n   JobState")[0]
        yield f"an end given away, {whose}", by_name(f"x\n{own_body}\n\n{next_head}")


def by_name(text: str) -> Order:
    """A job of that name."""
    return held(f"--job-name={text}", wanted={"name": text})


def by_comment(text: str) -> Order:
    """A job with that comment."""
    return held(f"--comment={text}", wanted={"comment": text})


def by_argument(record: str) -> Order:
    """A job whose one argument ends its own record and opens *record*, up to Command."""
    own_end = f"\n   WorkDir=/w{_OWN_END}"
    return held(args=(f"1{own_end}{_up_to(record, 'WorkDir')}",))


def _by_chdir(record: str) -> Order:
    text = f"/w{_OWN_END}{_up_to(record, 'WorkDir')}\n   WorkDir=/w"
    wanted = {"work_dir": text, "stdout": "/o", "stderr": "/o"}
    return held(f"--chdir={text}", "--output=/o", wanted=wanted)


def _by_output(record: str) -> Order:
    text = f"/o\n   Power=\n   \n\n{_up_to(record, 'StdOut')}\n   StdOut=/o"
    wanted: dict[str, Any] = {"stdout": text, "stderr": "/e"}
    return held(f"--output={text}", "--error=/e", wanted=wanted)


def _up_to(record: str, key: str) -> str:
    return record.split(f"\n   {key}=", maxsplit=1)[0]


def _short(record: str) -> str:
    """The lines of *record* that none can do without: Slurm takes 1,024 bytes of a comment."""
    return "\n".join(line for line in record.split("\n") if line.lstrip().startswith(_NEEDED))
