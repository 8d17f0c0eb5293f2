"""Say in words why a job waits, and what can be done: for every reason that Slurm knows.

    >>> explain("QOSMaxCpuPerUserLimit").sentence
    'The jobs of this user hold as many CPUs as the QOS allows one user.'

The names are those of Slurm 16.05 to 26.05.  Most of them name a limit, and have four parts: whose
limit, what is counted, for how long, and for whom.  Behind some names Slurm prints more, and
instead of a name Slurm can print a text of its own, with ``_`` for each space.
"""

import re
from typing import NamedTuple


class Explanation(NamedTuple):
    """A reason in words."""

    sentence: str
    remedy: str
    """What the user or an administrator can do."""


_WAIT = "Nothing needs to be done: the job starts by itself."
_ASK_LESS = "Ask for less, or ask an administrator for a higher limit."
_WAIT_FOR_OWN = "Wait until other jobs end, or cancel some of them."
_FILL_A_GAP = "A shorter time limit or a smaller request can let the job fill a gap."
_ADMIN = "Ask an administrator."
_RESUBMIT = "Cancel the job and submit it with other options."

_REASONS = {
    "None": ("Slurm has not looked at the job yet.", _WAIT),
    "Priority": (
        "Jobs with a higher priority wait for the same partition.",
        _FILL_A_GAP,
    ),
    "Resources": (
        "The resources that the job asks for are not free.",
        _FILL_A_GAP,
    ),
    "SchedDefer": ("Slurm starts no job at the moment of its submission here.", _WAIT),
    "Dependency": ("The job waits for another job.", _WAIT),
    "DependencyNeverSatisfied": (
        "The job will never start: a job that it waits for did not end as it should.",
        _RESUBMIT,
    ),
    "BeginTime": ("The time at which the job may begin is yet to come.", _WAIT),
    "JobHeldUser": ("The owner holds the job.", "Release it: scontrol release JOBID."),
    "JobHeldAdmin": ("An administrator holds the job.", _ADMIN),
    "JobHoldMaxRequeue": (
        "The job was requeued as often as the cluster allows, and is held.",
        "Find out why it failed, then release it: scontrol release JOBID.",
    ),
    "JobArrayTaskLimit": (
        "As many tasks of the array run as the array allows.",
        "Raise the limit: scontrol update JobId=JOBID ArrayTaskThrottle=N.",
    ),
    "Licenses": ("Licenses that the job asks for are in use.", _WAIT),
    "Reservation": ("The job waits for its reservation to begin.", _WAIT),
    "ReservationDeleted": ("The reservation that the job asks for was deleted.", _RESUBMIT),
    "ReservationInvalid": (
        "The job asks for a reservation that does not exist or that it may not use.",
        _RESUBMIT,
    ),
    "ReqNodeNotAvail": (
        "Nodes that the job needs are down, drained or reserved.",
        "Wait for these nodes, or ask for no node by its name. A time limit that ends before a "
        "reservation begins lets the job start.",
    ),
    "NodeDown": ("A node that the job needs is down.", _ADMIN),
    "FrontEndDown": ("No front end is up.", _ADMIN),
    "PartitionDown": ("The partition is down.", "Wait, or use another partition."),
    "PartitionInactive": ("The partition takes no jobs.", "Use another partition."),
    "PartitionNodeLimit": (
        "The job asks for more or fewer nodes than the partition allows.",
        "Ask for another number of nodes, or use another partition.",
    ),
    "PartitionTimeLimit": (
        "The time limit of the job is longer than the partition allows.",
        "Lower the time limit, or use another partition.",
    ),
    "PartitionConfig": (
        "The partition does not allow what the job asks for.",
        "Use another partition.",
    ),
    "AccountNotAllowed": (
        "The partition or the QOS does not allow the account of the job.",
        "Use another account or another partition.",
    ),
    "QOSNotAllowed": (
        "The partition or the account does not allow the QOS of the job.",
        "Use another QOS or another partition.",
    ),
    "InvalidAccount": ("The account of the job is not valid.", "Use another account."),
    "InvalidQOS": ("The QOS of the job is not valid.", "Use another QOS."),
    "QOSUsageThreshold": (
        "The usage of the account or the user is above the threshold of the QOS.",
        "Wait until the usage decays, or use another QOS.",
    ),
    "AccountingPolicy": ("A limit of the accounting holds the job back.", _ASK_LESS),
    "AssociationJobLimit": ("The account has as many jobs as it may have.", _WAIT_FOR_OWN),
    "AssociationResourceLimit": ("The account holds as much as it may hold.", _WAIT_FOR_OWN),
    "AssociationTimeLimit": ("The account has used up its time.", _ASK_LESS),
    "QOSJobLimit": ("The QOS has as many jobs as it may have.", _WAIT_FOR_OWN),
    "QOSResourceLimit": ("The jobs of the QOS hold as much as they may hold.", _WAIT_FOR_OWN),
    "QOSTimeLimit": ("The QOS has used up its time.", _ASK_LESS),
    "QOSMinCpuNotSatisfied": ("The job asks for fewer CPUs than the QOS demands.", _RESUBMIT),
    "MaxMemPerLimit": (
        "The job asks for more memory than a CPU or a node of the partition may give.",
        "Ask for less memory, or for more CPUs.",
    ),
    "BadConstraints": (
        "No node of the partition can ever give what the job asks for.",
        _RESUBMIT,
    ),
    "Constraints": ("No node that has the asked features is free.", _WAIT),
    "DeadLine": ("The job can no longer end before its deadline.", _RESUBMIT),
    "BurstBufferOperation": ("An operation of the burst buffer failed.", _ADMIN),
    "BurstBufferResources": ("The burst buffer has not enough room.", _WAIT),
    "BurstBufferStageIn": ("The burst buffer copies the files that the job needs.", _WAIT),
    "Cleaning": ("The job was requeued, and its last run is still cleaned up.", _WAIT),
    "Prolog": ("The prolog runs.", _WAIT),
    "FedJobLock": ("The clusters of the federation agree on where the job runs.", _WAIT),
    "MaxPoweredUpNodes": ("As many nodes are powered up as the cluster allows.", _WAIT),
    "PowerNotAvail": ("The cluster has not enough electric power for the job.", _WAIT),
    "PowerReserved": ("The electric power that the job needs is reserved.", _WAIT),
    "MpiPortsBusy": ("The ports for MPI are in use on the nodes.", _WAIT),
    "NvidiaImexChannels": ("No channel of NVIDIA IMEX is free.", _WAIT),
    "BlockFreeAction": ("A block of the machine is being freed.", _WAIT),
    "BlockMaxError": ("Too many blocks of the machine have errors.", _ADMIN),
    "SystemFailure": ("Slurm or a node failed.", _ADMIN),
    "JobLaunchFailure": ("The job could not be launched.", _ADMIN),
    "NonZeroExitCode": ("The last run of the job failed.", "Read the output of the job."),
    "RaisedSignal": ("A signal ended the last run of the job.", "Read the output of the job."),
    "OutOfMemory": ("The last run of the job ran out of memory.", "Ask for more memory."),
    "TimeLimit": ("The last run of the job reached its time limit.", "Raise the time limit."),
    "InactiveLimit": ("The job was inactive for as long as the cluster allows.", _RESUBMIT),
}

THINGS = {
    "cpu": "CPUs",
    "mem": "memory",
    "memory": "memory",
    "gres": "GPUs or other generic resources",
    "node": "nodes",
    "bb": "room in the burst buffer",
    "billing": "billing units",
    "energy": "energy",
    "license": "licenses",
    "unknown": "units of a resource",
    "jobs": "running jobs",
    "submitjob": "jobs",
    "submitjobs": "jobs",
    "wall": "running time",
    "wallduration": "running time",
}
"""What a limit counts, by the word in the name of the reason."""
LIMIT = re.compile(
    r"(?P<whose>AssocGrp|AssocMax|QOSGrp|QOSMax|QOSMin|Max)"
    r"(?P<thing>CPU|Cpu|Memory|Mem|GRES|Node|BB|Billing|Energy|License|Unknown"
    r"|Jobs|SubmitJobs?|WallDuration|Wall)"
    r"(?P<time>RunMins|RunMinutes|Minutes)?"
    r"(?P<per>PerJob|PerNode|PerUser|PerAccount)?(?:Limit)?"
)
"""The name of a reason that is a limit."""
_OWNERS = {
    "AssocGrp": "the association (account and user) together",
    "AssocMax": "the association (account and user)",
    "QOSGrp": "the QOS for all its jobs together",
    "QOSMax": "the QOS",
    "QOSMin": "the QOS",
    "Max": "the QOS or the account",
}


def reason_name(reason: str | None) -> str:
    """Return the name in a job's ``reason``: what stands before more text; ``None`` for null.

    >>> reason_name("ReqNodeNotAvail,_UnavailableNodes:cn-a001")
    'ReqNodeNotAvail'
    """
    return (reason or "None").partition(",")[0].strip("_ ()")


def is_known(name: str) -> bool:
    """Return whether *name* is a reason of Slurm, and no text of its own."""
    return name in _REASONS or LIMIT.fullmatch(name) is not None


def explain(reason: str | None) -> Explanation:
    """Return the words for a job's ``reason``; Slurm's own text if it is no name."""
    name = reason_name(reason)
    if name in _REASONS:
        return Explanation(*_REASONS[name])
    limit = LIMIT.fullmatch(name)
    if limit is None:
        text = (reason or "").replace("_", " ").strip()
        return Explanation(f"Slurm says: {text}.", _ADMIN)
    return _explain_limit(*limit.group("whose", "thing", "time", "per"))


def _explain_limit(whose: str, thing: str, time: str | None, per: str | None) -> Explanation:
    what = THINGS[thing.lower()]
    if time:
        what = f"minutes of {what}"
    is_plural = what.split(" of ")[0].endswith("s") or what.startswith("GPUs")
    fewer, many = ("fewer", "many") if is_plural else ("less", "much")
    owner = _OWNERS[whose]
    if whose == "QOSMin":
        return Explanation(f"The job asks for {fewer} {what} than the QOS demands.", _RESUBMIT)
    if per in {"PerJob", "PerNode"}:
        one = "one job" if per == "PerJob" else "one job on one node"
        return Explanation(
            f"The job asks for more {what} than {owner} allows {one}.",
            _ASK_LESS,
        )
    if thing == "WallDuration":
        return Explanation(f"The time limit is longer than {owner} allows.", _ASK_LESS)
    if per in {"PerUser", "PerAccount"}:
        one = "user" if per == "PerUser" else "account"
        return Explanation(
            f"The jobs of this {one} hold as {many} {what} as {owner} allows one {one}.",
            _WAIT_FOR_OWN,
        )
    return Explanation(
        f"With this job, more {what} would be in use than {owner} allows.",
        _WAIT_FOR_OWN,
    )
