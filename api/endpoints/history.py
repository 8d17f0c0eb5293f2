"""``jobs/history``: the states that scrapes showed of a job, and the jobs that had its id before.

::

    {"job_id": str, "cluster_name": str,
     "first_seen": time, "finished_at": time or null,
     "vanished": time or null,      when a scrape first showed that it is gone
     "history": [{"state": str or null, "seen": time}],
                                    the newest 20, oldest first; when a scrape first showed each
     "accounting": {"job_state", "exit_code", "start_time", "end_time": str or null} or null,
                                    what sacct says of its end, where that was asked
     "former_jobs": [JOB]}          whole jobs, with their ``cw.history``, the newest 20 first,
                                    of those that the user may see
"""

from typing import Any

from pymongo import DESCENDING

from api.http.arguments import required_argument, text_argument
from api.http.request import Answer, Call
from api.lists import queries
from api.lists.fields import FORMER_JOB_FIELDS
from api.lists.json_stream import Document, json_bytes, only_one

ARGUMENTS = ("job_id", "cluster_name")

_MOST_FORMER_JOBS = 20


def job_history(call: Call) -> Answer:
    """The history of the job of this id, an empty object where there is none.

    Raises Problem 400 for a bad argument, 500 for an id that several clusters have.
    """
    job_id = required_argument(call.arguments, "job_id")
    cluster_name = text_argument(call.arguments, "cluster_name")
    wanted = queries.all_of(queries.job(job_id, cluster_name), call.visible)
    job = only_one(call.store.jobs.find(wanted, {"slurm": 1, "cw": 1}), f"job {job_id!r}")
    return Answer(json_bytes({} if job is None else _history(call, job)))


def _history(call: Call, job: Document) -> dict[str, Any]:
    cw = job["cw"]
    names = {key: job["slurm"][key] for key in ("job_id", "cluster_name")}
    wanted = queries.all_of(queries.job(**names), call.visible)
    newest = call.store.former_jobs.find(wanted).sort("_id", DESCENDING).limit(_MOST_FORMER_JOBS)
    return {
        **names,
        **{key: cw.get(key) for key in ("first_seen", "finished_at", "vanished")},
        "history": cw.get("history", []),
        "accounting": cw.get("accounting"),
        "former_jobs": [FORMER_JOB_FIELDS.shown(each) for each in newest],
    }
