"""Jobs with the names of their owners, and what a change of accounts makes of the names."""

from datetime import datetime, timezone
from typing import Any

from ingest.database.search_fields import job_search_fields
from ingest.database.store import Store


def insert_job(store: Store, job_id: str, cluster_name: str = "mila", **slurm: Any) -> None:
    names = dict.fromkeys(("cc_account_username", "mila_cluster_username", "mila_email_username"))
    store.jobs.insert_one(
        {
            "_id": f"{cluster_name}/{job_id}",
            "slurm": {"job_id": job_id, "cluster_name": cluster_name, **slurm},
            "cw": {
                **names,
                **slurm,
                "first_seen": datetime.now(timezone.utc),
                "filters": job_search_fields(slurm, slurm.values(), None),
            },
            "user": {"a": 1},
        }
    )


def cw_names(store: Store, job_id: str) -> list[str | None]:
    job = store.jobs.find_one({"slurm.job_id": job_id})
    assert job is not None
    assert job["user"] == {"a": 1}
    assert isinstance(job["cw"]["first_seen"], datetime)
    fields = ("mila_cluster_username", "cc_account_username", "mila_email_username")
    return [job["cw"][field] for field in fields]
