// What a job's documented keys say together.

import { isFinished } from "./states.js";
import { moment } from "./text.js";

/** The name of a job's user on its cluster; null where Slurm gave none. */
export function userOf(slurm) {
  return slurm.mila_cluster_username ?? slurm.cc_account_username ?? null;
}

/**
 * For how many seconds a job has run, or ran; null where it has not or can't be told.
 *
 * An unfinished job's end is only where its limit lies: then `now` (ms) counts.
 */
export function runTime(slurm, now) {
  const start = moment(slurm.start_time);
  if (start === null || start > now || slurm.job_state === "PENDING") return null;
  const end = isFinished(slurm.job_state) ? moment(slurm.end_time) : now;
  return end === null ? null : Math.max(0, (end - start) / 1000);
}
