// The ids of jobs as people write them: 4711, 4711_3, 4711_[5-8%1], 26+1, with a cluster before them or without.

/** The id that squeue shows: that of a task has its array's, that of a component its first job's. */
export function squeueId(slurm) {
  const { job_id: id, array_job_id: array, array_task_id: task } = slurm;
  if (known(array) && known(task)) return /^\d+$/.test(task) ? `${array}_${task}` : `${array}_[${task}]`;
  if (known(slurm.het_job_id) && known(slurm.het_job_offset)) return `${slurm.het_job_id}+${slurm.het_job_offset}`;
  return String(id);
}

/** Whether a key holds something. */
function known(value) {
  return value !== null && value !== undefined && value !== "";
}

/**
 * {cluster, id, task, offset} of what somebody typed; null where it is no job's id.
 *
 * `cluster` is null where none is named. `task` is "3" in 4711_3, and "" in 4711_[5-8%1] and 4711_*.
 */
export function typedId(text) {
  const match = /^(?:(.+)\/)?(\d+)(?:_(?:(\d+)|(\[[\d,:%-]*\]|\*))|\+(\d+))?(?:\.\S+)?$/su.exec(text.trim());
  if (match === null) return null;
  const [, cluster = null, id, task, tasks, offset = null] = match;
  return { cluster, id, task: task ?? (tasks === undefined ? null : ""), offset };
}

/**
 * Jobs in the rows of a table: the tasks of an array together, and the components of a heterogeneous
 * job, where there are at least two: [{key, jobs}], in the order in which each first comes.
 */
export function grouped(jobs) {
  const groups = new Map();
  for (const job of jobs) {
    const key = groupOf(job.slurm);
    if (!groups.has(key)) groups.set(key, { key, jobs: [] });
    groups.get(key).jobs.push(job);
  }
  return [...groups.values()];
}

function groupOf({ cluster_name: cluster, job_id: id, array_job_id: array, het_job_id: het }) {
  const [kind, first] = known(array) ? ["array", array] : known(het) ? ["het", het] : ["job", id];
  return JSON.stringify([cluster, kind, String(first)]);
}

/**
 * The ids in a dependency such as "afterok:4(failed),afterany:7_*?singleton": texts and ids in turn.
 *
 * A number behind "+" is no component there, but minutes: "after:4+30".
 */
export function dependencyParts(text) {
  return text.split(/(?<=:)(\d+(?:_(?:\d+|\*))?)/u).map((part, index) => ({ text: part, isId: index % 2 === 1 }));
}
