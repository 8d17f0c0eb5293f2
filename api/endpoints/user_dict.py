"""``jobs/user_dict_update``: a job's owner merges pairs into the job's ``user`` dict.

Who owns the job and how large its dict becomes are conditions inside the one write that merges, so
that nothing can come between a check and the write; writes of different keys never lose each other.
The filter of the write names the job, which every Mongo finds by its index.  What the write
left as it was is looked at in the same transaction only to say why.
"""

from http import HTTPStatus

import bson
from pymongo.client_session import ClientSession

from api.endpoints.update_pairs import MOST_BYTES, Pairs, checked_pairs, too_large
from api.http.arguments import required_argument, text_argument
from api.http.problems import Problem
from api.http.request import Answer, Call
from api.lists import queries
from api.lists.json_stream import Document, json_bytes, only_one
from ingest.accounts.users import User
from ingest.database.change_tokens import in_transaction, mark, of_user_dict

UPDATE_ARGUMENTS = ("job_id", "cluster_name", "update_pairs")


def update_user_dict(call: Call) -> Answer:
    """Merge the pairs key by key; answers the whole new user dict.

    Raises Problem 400 for a bad argument or a dict that would grow too large, 403 for a job that
    is not the user's, 404 for none that they may see, 500 for an id that several clusters have.
    """
    pairs = checked_pairs(call.arguments.get("update_pairs"))
    job_id = required_argument(call.arguments, "job_id")
    cluster_name = text_argument(call.arguments, "cluster_name") or _its_cluster(call, job_id)
    name = f"job {job_id!r} of cluster {cluster_name!r}"
    job = queries.all_of(queries.job(job_id, cluster_name), call.visible)
    merge = queries.merge_by_owner(call.user, pairs, MOST_BYTES)

    def write(session: ClientSession) -> Document | None:
        written = call.store.jobs.update_one(job, merge, session=session)
        if written.modified_count:
            mark(call.store, session, of_user_dict(cluster_name, job_id))
        now = call.store.jobs.find_one(job, session=session)
        if now is not None and not written.modified_count:
            _check_left_alone(now, pairs, call.user, name)
        return now

    now = in_transaction(call.store, write)
    if now is None:
        raise _no_job(name)
    return Answer(json_bytes(now["user"]))


def _its_cluster(call: Call, job_id: str) -> str:
    wanted = queries.all_of(queries.job(job_id, None), call.visible)
    job = only_one(call.store.jobs.find(wanted), f"job {job_id!r}")
    if job is None:
        raise _no_job(f"job {job_id!r}")
    return str(job["slurm"]["cluster_name"])


def _check_left_alone(job: Document, pairs: Pairs, user: User, name: str) -> None:
    """Raise the Problem for which the write left a job as it was; none if it has all the pairs."""
    if not user.owns(job["slurm"]):
        raise Problem(
            HTTPStatus.FORBIDDEN,
            f"{name} is not yours: you are {user.mila_email_username!r}, and a job belongs to the"
            " user whose name Slurm gives for it",
        )
    if len(bson.encode(job["user"] | pairs)) > MOST_BYTES:
        raise too_large(f"the user dict of {name}")


def _no_job(name: str) -> Problem:
    return Problem(HTTPStatus.NOT_FOUND, f"there is no {name}")
