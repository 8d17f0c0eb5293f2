"""What a user can put into his own job so that scontrol's output holds somebody else's record.

The forger does the best that he can: he copies what scontrol shows him of the victim's job, in the
format that the scrape asks for, and changes what he likes.
"""

from collections.abc import Iterator
from typing import Any

from tests.system.real_slurm import ALICE, BOB
from tests.system.service import Site
from tests.system.submissions import Order, Submitted, held, submit

NOBODYS_ID = "777777"
"""No job of the test has it."""
NOBODYS_NODE = "cn-z999"

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


# --- two users, nodes and long records: what alice does to bob -----------------------------------


def besiege(site: Site) -> dict[str, Submitted]:
    """Submit alice's worst jobs around bob's; return bob's jobs, by what was done to them."""
    bobs: dict[str, Submitted] = {}

    def bob(title: str, *options: str, **wanted: Any) -> str:
        bobs[title] = submit(site, held(*options, user=BOB, wanted=wanted))
        return bobs[title].job_id

    def alice(**texts: str) -> None:
        job_id = submit(site, held()).job_id
        for key, text in texts.items():
            change = f"{key}={text.replace('@id@', job_id)}"
            site.cluster.run("scontrol", "update", f"JobId={job_id}", change, user=ALICE)

    keys = "\n   OOMKillStep=7\n   FutureKey=written-by-alice"
    own_id = "\n\nJobId=@id@ JobName=b"
    bob("the own id in a name, behind a GPU job", "--gres=gpu:1", tres_per_node="gres:gpu:1")
    alice(Name=f"a{keys}{own_id}")
    bob("the own id in a name, behind a plain job")
    alice(Name=f"a\n   MailUser=evil MailType=ALL{own_id}")

    # Each comment names the victim that stands behind the other one.
    first = submit(site, held()).job_id
    behind_first = bob("behind the first of two comments")
    second = submit(site, held()).job_id
    behind_second = bob("behind the second of two comments")
    for job_id, other in ((first, behind_second), (second, behind_first)):
        comment = f"Comment=x{_OWN_END}JobId={other} JobName=z"
        site.cluster.run("scontrol", "update", f"JobId={job_id}", comment, user=ALICE)

    victim = bob("before a comment that is a whole record of this job")
    record = site.cluster.scontrol("-a", "show", "job", victim).decode()
    submit(site, by_comment(f"x{_OWN_END}{_short(record.replace('PENDING', 'FAILED'))}"))
    bob("behind a comment that is a whole record of the job before")

    long = (f"1{_OWN_END}JobId={NOBODYS_ID} JobName=z", *["y" * 104_700] * 10)
    submit(site, held(args=long))
    bob("behind a record of 1 MiB that holds a beginning")
    bob("further behind")
    return bobs


def node_labels(other_node: str) -> Iterator[str]:
    """Yield labels that forge a node that does not exist and one that does."""
    forged = "NodeName={} CoresPerSocket=1\n   RealMemory=1\n   State=DOWN ThreadsPerCore=1"
    end = "\n   Partitions=evil\n   BootTime=2026-01-01T00:00:00 SlurmdStartTime=None"
    for first in ("x", "N/A"):
        yield f"{first}\n\n{forged.format(NOBODYS_NODE)}"
        yield f"{first}{end}\n\n{forged.format(other_node)}"
        yield f"{first}{end}\n\n{forged.format(other_node)}\n\n{forged.format(NOBODYS_NODE)}"
