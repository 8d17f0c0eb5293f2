// The table of jobs: its columns, arrays and heterogeneous jobs folded, and what of it goes into a CSV file.

import { csv } from "../parts/csv.js";
import { meter } from "../parts/drawing.js";
import { element } from "../parts/elements.js";
import { clipped, linkTo, stateBadge } from "../parts/parts.js";
import { table } from "../parts/table.js";
import { grouped as inGroups, squeueId } from "../slurm/ids.js";
import { knownUntil, resources, runTime, userOf, WHY } from "../slurm/job_facts.js";
import { isFinished, isWaiting, jobTone, toneOrdered } from "../slurm/states.js";
import { none, shown } from "../words/text.js";
import { length, memory, moment, relative, when } from "../words/times.js";
import { counted, grouped, t, tx } from "../words/words.js";
import { jobLink, jobsOf } from "./job_links.js";

const KEYS = [
  ...["job_id", "array_job_id", "array_task_id", "het_job_id", "het_job_offset", "name", "cluster_name"],
  ...[
    "job_state",
    "reason",
    "mila_cluster_username",
    "cc_account_username",
    "username",
    "account",
    "partition",
    "nodes",
  ],
  ...["submit_time", "start_time", "end_time", "time_limit", "suspend_time", "secs_pre_suspend"],
  ...["tres", "req_tres", "alloc_tres", "num_cpus", "num_nodes", "num_tasks", "min_memory_cpu", "min_memory_node"],
  ...["tres_per_job", "tres_per_node", "tres_per_task", "job_gres", "gres"],
].map((key) => `slurm.${key}`);

/** The argument `fields` of jobs/list for this table. */
export const ASKED = [...KEYS, "cw.vanished", `cw.${WHY}`].join(",");

/** {node, fill(jobs, clusters), csv()} of a table of jobs; `options` are those of `table`, without the user where `own`. */
export function jobsTable({ own = false, ...options }) {
  let until = () => Date.now();
  let jobs = [];
  const list = table({
    ...options,
    columns: columns((job) => until(job.slurm.cluster_name)).filter((column) => !(own && column.user)),
  });
  return {
    node: list.node,
    fill(found, clusters, fold = true) {
      jobs = found;
      until = knownUntil(clusters, Date.now());
      const groups = fold ? inGroups(jobs) : jobs.map((job) => ({ key: "", jobs: [job] }));
      list.fill(groups.map((group) => ({ key: group.key, rows: group.jobs })));
    },
    csv: () =>
      csv(
        CSV_NAMES,
        jobs.map((job) => csvRow(job, until(job.slurm.cluster_name)))
      ),
  };
}

function columns(until) {
  return [
    { title: t("Job"), class: "id", cell: idCell, ofGroup: groupLink },
    { title: t("State"), class: "status", cell: state, ofGroup: groupStates },
    {
      title: t("Name"),
      sort: "name",
      class: "name",
      cell: ({ slurm }) => clipped(slurm.name),
      ofGroup: same((slurm) => slurm.name),
    },
    { title: t("User"), user: true, cell: who, ofGroup: ([first]) => who(first) },
    { title: t("Partition"), cell: ({ slurm }) => clipped(slurm.partition), ofGroup: same((slurm) => slurm.partition) },
    {
      title: t("CPUs"),
      class: "number",
      cell: (job) => amount(resources(job.slurm).cpus, grouped),
      ofGroup: total("cpus", grouped),
    },
    {
      title: t("Memory"),
      class: "number",
      cell: (job) => amount(resources(job.slurm).memory, memory),
      ofGroup: total("memory", memory),
    },
    { title: t("GPUs"), class: "number", cell: (job) => gpus(resources(job.slurm)), ofGroup: total("gpus", grouped) },
    { title: t("Time"), class: "measure", cell: (job) => time(job, until(job)) },
    {
      title: t("Submitted"),
      sort: "submit_time",
      mostFirst: true,
      class: "minor",
      cell: ({ slurm }) => when(slurm.submit_time),
      ofGroup: ([first]) => when(first.slurm.submit_time),
    },
    { title: t("Ended"), sort: "finished_at", mostFirst: true, class: "minor", cell: ended },
  ];
}

// --- cells ----------------------------------------------------------------------------------------

function idCell({ slurm }) {
  return [jobLink(slurm), besideId(slurm)];
}

function besideId(slurm) {
  return [" ", element("small", { class: "cluster-name" }, shown(slurm.cluster_name))];
}

function state({ slurm, cw }) {
  const badge = stateBadge(slurm.job_state, jobTone(slurm.job_state));
  if (!isFinished(slurm.job_state) && cw.vanished) return [badge, note(t("when last seen; it left the cluster since"))];
  return slurm.reason && cw[WHY] ? [badge, note(cw[WHY])] : badge;
}

function note(words) {
  return element("small", { class: "note", title: words }, words);
}

function who({ slurm }) {
  const account = slurm.account ? element("small", { class: "clip" }, shown(slurm.account)) : null;
  return [clipped(userOf(slurm)), account];
}

function gpus({ gpus: count, types }) {
  if (!count) return none();
  return [
    grouped(count),
    types.length === 0 ? null : [" ", element("small", { class: "clip" }, shown(types.join(", ")))],
  ];
}

function amount(value, words) {
  return value === null ? none() : words(value);
}

function time(job, until) {
  const { job_state: word, time_limit: limit = null, start_time: start, submit_time: submitted } = job.slurm;
  if (isWaiting(word) && !job.cw.vanished) return waiting(start, submitted);
  const seconds = runTime(job, until);
  if (seconds === null) return none();
  if (limit === null) return length(seconds);
  const said = t("{time} of {limit}", { time: length(seconds), limit: length(limit) });
  return [element("span", { class: "nowrap" }, said), isFinished(word) ? null : meter(seconds, limit, said)];
}

function waiting(start, submitted) {
  const starts = moment(start);
  if (starts !== null && starts > Date.now()) return tx("starts {when}", { when: relative(start) });
  return moment(submitted) === null ? none() : tx("submitted {when}", { when: relative(submitted) });
}

function ended({ slurm }) {
  return isFinished(slurm.job_state) ? when(slurm.end_time) : none();
}

// --- rows that are folded -------------------------------------------------------------------------

function groupLink(jobs) {
  const { slurm } = jobs[0];
  if (!slurm.array_job_id) {
    const args = { cluster_name: slurm.cluster_name, job_id: slurm.het_job_id };
    const components = element("small", { class: "of-group" }, counted(jobs.length, "component"));
    return [linkTo("job", args, `${slurm.het_job_id}+[…]`), besideId(slurm), components];
  }
  const link = jobsOf("array_job_id", slurm.array_job_id, slurm.cluster_name, `${slurm.array_job_id}_[…]`);
  return [link, besideId(slurm), element("small", { class: "of-group" }, counted(jobs.length, "task"))];
}

function groupStates(jobs) {
  const counts = {};
  for (const { slurm } of jobs) counts[slurm.job_state] = (counts[slurm.job_state] ?? 0) + 1;
  return toneOrdered(counts, jobTone).map((part) =>
    element("div", { class: "nowrap" }, stateBadge(part.state, part.tone), ` ${grouped(part.count)}`)
  );
}

function same(read) {
  return (jobs) => clipped(jobs.every(({ slurm }) => read(slurm) === read(jobs[0].slurm)) ? read(jobs[0].slurm) : "…");
}

function total(key, words) {
  return (jobs) =>
    amount(jobs.map(({ slurm }) => resources(slurm)[key]).reduce((sum, value) => sum + (value ?? 0), 0) || null, words);
}

// --- CSV ------------------------------------------------------------------------------------------

const CSV_NAMES = [
  ...["cluster_name", "job_id", "squeue_id", "job_state", "reason", "name", "user", "account", "partition"],
  ...["nodes", "cpus", "memory_mib", "gpus", "gpu_types", "submit_time", "start_time", "end_time"],
  ...["run_time_seconds", "time_limit_seconds"],
];

function csvRow(job, until) {
  const { slurm } = job;
  const has = resources(slurm);
  return [
    ...[slurm.cluster_name, slurm.job_id, squeueId(slurm), slurm.job_state, slurm.reason, slurm.name, userOf(slurm)],
    ...[slurm.account, slurm.partition, slurm.nodes, has.cpus, has.memory, has.gpus, has.types.join(" ")],
    ...[slurm.submit_time, slurm.start_time, slurm.end_time, runTime(job, until), slurm.time_limit],
  ];
}
