// The table of jobs, with the filters of jobs/list.

import { hashOf, only, severalValues } from "../frame/address.js";
import { ONCE, nextPage } from "../frame/client.js";
import { meter } from "../parts/drawing.js";
import { element, refill } from "../parts/elements.js";
import { choice, field, filterForm, filtersIn, pills, suggest } from "../parts/filters.js";
import { runTime, userOf } from "../slurm/job_facts.js";
import { besideId, clipped, linkTo, pager, stateBadge } from "../parts/parts.js";
import { COMMON_JOB_STATES, isFinished, jobTone } from "../slurm/states.js";
import { table } from "../parts/table.js";
import { clusterTime, counted, length, none, shown } from "../words/text.js";

const FILTERS = [
  ...["cluster_name", "job_state", "user", "account", "partition", "name", "node"],
  ...["array_job_id", "time"],
];
const FIELDS = [
  ...["job_id", "array_job_id", "array_task_id", "name", "cluster_name", "job_state", "reason"],
  ...["mila_cluster_username", "cc_account_username", "account", "partition", "nodes"],
  ...["submit_time", "start_time", "end_time", "time_limit"],
].map((key) => `slurm.${key}`);
const ASKED = [...FIELDS, "cw.vanished"].join(",");
const NEWEST_FIRST = "-submit_time";
const LIMIT = "50";

const FINISHED = [
  ["", "all of them"],
  ["0", "none"],
  ["3600", "of the last hour"],
  ["86400", "of the last day"],
  ["604800", "of the last week"],
];
const ORDERS = [
  ["", "latest submitted first"],
  ["submit_time", "earliest submitted first"],
  ["-finished_at", "unfinished, then latest ended"],
  ["finished_at", "earliest ended first"],
  ["name", "name, A to Z"],
  ["-name", "name, Z to A"],
];
const LIMITS = [
  ["", LIMIT],
  ["100", "100"],
  ["500", "500"],
];

export function jobsView(args, goTo) {
  const { cursor, ...kept } = only(args, [...FILTERS, "sort", "limit", "cursor"]);
  if (kept.sort === NEWEST_FIRST) delete kept.sort;
  const filters = only(kept, FILTERS);
  const sort = args.sort ?? NEWEST_FIRST;
  const page = { ...filters, sort, limit: args.limit ?? LIMIT, cursor: cursor ?? "", fields: ASKED };
  const { node: filterFold, form } = filterForm(
    fieldsFor(kept),
    () => goTo("jobs", filtersIn(form)),
    hashOf("jobs")
  );
  const list = table({
    caption: "Jobs",
    columns: COLUMNS,
    sort,
    onSort: (key) => goTo("jobs", { ...kept, sort: key }),
    empty: "No job matches.",
  });
  const count = element("span", { class: "muted" });
  const pages = element("div");
  const title = element("div", { class: "page-title" }, element("h1", {}, "Jobs"), count);
  return {
    title: "Jobs",
    tab: "jobs",
    content: element("div", {}, title, filterFold, list.node, pages),
    questions: {
      jobs: ["jobs/list", page],
      number: ["jobs/list", { ...filters, count: "true" }],
      clusters: ["clusters/list", {}, ONCE],
    },
    show({ jobs, number, clusters }) {
      list.fill(jobs.body);
      suggest(form, suggestions(clusters.body));
      count.textContent = counted(number.body.count, "job");
      refill(pages, pager("jobs", kept, cursor, nextPage(jobs.headers.get("Link"))));
      return `${count.textContent}, ${jobs.body.length} shown`;
    },
  };
}

function fieldsFor(kept) {
  const states = severalValues(kept.job_state);
  return [
    pills("State", "job_state", [...new Set([...COMMON_JOB_STATES, ...states])], states),
    field("Cluster", "cluster_name", kept),
    field("User", "user", kept),
    field("Account", "account", kept),
    field("Partition", "partition", kept),
    field("Job name", "name", kept),
    field("Node", "node", kept),
    field("Array job id", "array_job_id", kept),
    choice("Finished jobs", "time", kept, FINISHED),
    choice("Order", "sort", kept, ORDERS),
    choice("On a page", "limit", kept, LIMITS),
  ];
}

function suggestions(clusters) {
  return {
    cluster_name: clusters.map((cluster) => cluster.name),
    partition: [...new Set(clusters.flatMap((cluster) => Object.keys(cluster.partitions)))],
  };
}

// --- what stands in the table ---------------------------------------------------------------------

const COLUMNS = [
  { title: "Job", class: "id", cell: jobLink },
  { title: "State", class: "status", cell: state },
  { title: "Name", sort: "name", class: "name", cell: ({ slurm }) => clipped(slurm.name) },
  { title: "User", cell: ({ slurm }) => clipped(userOf(slurm)) },
  { title: "Account", class: "minor", cell: ({ slurm }) => clipped(slurm.account) },
  { title: "Partition", cell: ({ slurm }) => clipped(slurm.partition) },
  { title: "Submitted", sort: "submit_time", class: "nowrap", cell: ({ slurm }) => clusterTime(slurm.submit_time) ?? none() },
  { title: "Ended", sort: "finished_at", class: "nowrap minor", cell: ended },
  { title: "Run time of limit", class: "measure", cell: runTimeOfLimit },
  { title: "Nodes", class: "minor", cell: ({ slurm }) => clipped(slurm.nodes) },
  { title: "Cluster", class: "minor", cell: ({ slurm }) => clipped(slurm.cluster_name) },
];

function jobLink({ slurm }) {
  const link = linkTo("job", { cluster_name: slurm.cluster_name, job_id: slurm.job_id }, slurm.job_id);
  return [link, besideId(slurm.cluster_name)];
}

function state({ slurm, cw }) {
  const finished = isFinished(slurm.job_state);
  const why = slurm.job_state === "PENDING" && slurm.reason ? shown(slurm.reason) : null;
  const note = !finished && cw.vanished ? "when last seen; gone since" : why;
  return [
    stateBadge(slurm.job_state, jobTone(slurm.job_state)),
    note === null ? null : element("small", { class: "clip" }, note),
  ];
}

function ended({ slurm }) {
  return (isFinished(slurm.job_state) ? clusterTime(slurm.end_time) : null) ?? none();
}

function runTimeOfLimit(job) {
  const seconds = runTime(job, Date.now());
  const limit = job.slurm.time_limit ?? null;
  if (limit === null) return seconds === null ? none() : length(seconds);
  if (seconds === null) return element("span", { class: "muted" }, `– of ${length(limit)}`);
  const said = `${length(seconds)} of ${length(limit)}`;
  return [said, isFinished(job.slurm.job_state) ? null : meter(seconds, limit, said)];
}
