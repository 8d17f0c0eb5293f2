// What a job's keys say together.

import { moment } from "../words/times.js";
import { LANGUAGE } from "../words/words.js";
import { hasStopped, isFinished, isWaiting } from "./states.js";
import { gpusIn, mebibytes, readTres } from "./tres.js";

/** The key of `cw` that says in the page's language why a job waits; it comes where it is asked for. */
export const WHY = LANGUAGE === "fr" ? "why_fr" : "why";

/** The name of a job's user on its cluster; null where Slurm gave none. */
export function userOf(slurm) {
  return slurm.mila_cluster_username ?? slurm.cc_account_username ?? slurm.username ?? null;
}

/** The moment (ms) until which the data of each cluster reaches: (name) => ms. */
export function knownUntil(clusters, now) {
  const until = new Map(
    clusters.map(({ name, up, rounds }) => [name, up ? now : (moment(rounds.jobs.last_success) ?? now)])
  );
  return (name) => until.get(name) ?? now;
}

/**
 * For how many seconds a job has run, or ran; null where it has not or can't be told.
 *
 * The time in which a job was suspended does not count. The end of a job that runs is only where its
 * limit lies: then `now` (ms) counts, the moment until which its cluster is known; not for a job that
 * is gone from its cluster, as nobody saw it end. A job that is completing has run until its end.
 */
export function runTime({ slurm, cw }, now) {
  const start = moment(slurm.start_time);
  if (start === null || start > now || isWaiting(slurm.job_state)) return null;
  const before = Number(slurm.secs_pre_suspend ?? 0);
  if (/^SUSPENDED/.test(slurm.job_state)) return before;
  const finished = isFinished(slurm.job_state);
  if (!finished && cw.vanished) return null;
  const stop = hasStopped(slurm.job_state) ? moment(slurm.end_time) : null;
  const end = finished ? stop : Math.min(stop ?? now, now);
  if (end === null) return null;
  const resumed = moment(slurm.suspend_time);
  return Math.max(0, resumed === null ? (end - start) / 1000 : before + (end - resumed) / 1000);
}

/** {cpus, memory, gpus, types, nodes} that a job holds, or asks for: numbers, memory in MiB; null is unknown. */
export function resources(slurm) {
  const text = slurm.alloc_tres ?? slurm.tres ?? slurm.req_tres ?? null;
  const tres = readTres(text);
  const nodes = tres.nodes || whole(slurm.num_nodes);
  const gpus = gpusIn(text) ?? gpusAsked(slurm, nodes);
  return {
    cpus: tres.cpus || whole(slurm.num_cpus),
    memory: tres.memory || memoryAsked(slurm, nodes),
    gpus: gpus?.total ?? 0,
    types: [...(gpus?.types.keys() ?? [])],
    nodes,
  };
}

function whole(text) {
  const match = /^\d+/.exec(String(text ?? ""));
  return match ? Number(match[0]) : null;
}

function gpusAsked(slurm, nodes) {
  const perJob = gpusIn(slurm.tres_per_job);
  if (perJob) return perJob;
  const perNode = gpusIn(slurm.tres_per_node ?? slurm.job_gres ?? slurm.gres);
  if (perNode) return { ...perNode, total: perNode.total * (nodes ?? 1) };
  const perTask = gpusIn(slurm.tres_per_task);
  return perTask ? { ...perTask, total: perTask.total * Math.max(whole(slurm.num_tasks) ?? 1, 1) } : null;
}

function memoryAsked(slurm, nodes) {
  if (slurm.min_memory_cpu) return mebibytes(slurm.min_memory_cpu) * (whole(slurm.num_cpus) ?? 1) || null;
  return mebibytes(slurm.min_memory_node) * (nodes ?? 1) || null;
}
