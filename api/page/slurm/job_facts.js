// What a job's documented keys say together.

import { isFinished, isWaiting } from "./states.js";
import { moment } from "../words/text.js";

/** The name of a job's user on its cluster; null where Slurm gave none. */
export function userOf(slurm) {
  return slurm.mila_cluster_username ?? slurm.cc_account_username ?? null;
}

/**
 * For how many seconds a job has run, or ran; null where it has not or can't be told.
 *
 * The end of a job that runs is only where its limit lies: then `now` (ms) counts, unless the job is
 * gone from its cluster, and nobody saw it end.
 */
export function runTime({ slurm, cw }, now) {
  const start = moment(slurm.start_time);
  if (start === null || start > now || isWaiting(slurm.job_state)) return null;
  const finished = isFinished(slurm.job_state);
  if (!finished && cw.vanished) return null;
  const end = finished ? moment(slurm.end_time) : now;
  return end === null ? null : Math.max(0, (end - start) / 1000);
}
