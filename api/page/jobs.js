// The table of jobs, with the filters of jobs/list.

import { hashOf, only, several } from "./address.js";
import { nextPage } from "./client.js";
import { meter } from "./drawing.js";
import { element } from "./elements.js";
import { choice, field, filterForm, filtersIn, pills } from "./filters.js";
import { runTime, userOf } from "./job_facts.js";
import { clipped, linkTo, pager, stateBadge } from "./parts.js";
import { COMMON_JOB_STATES, jobTone } from "./states.js";
import { table } from "./table.js";
import { clusterTime, counted, length, none, shown } from "./text.js";

const FILTERS = [
  ...["cluster_name", "job_state", "user", "account", "partition", "name", "node"],
  ...["array_job_id", "time"],
];
const FIELDS = [
  ...["job_id", "array_job_id", "array_task_id", "name", "cluster_name", "job_state", "reason"],
  ...["mila_cluster_username", "cc_account_username", "account", "partition", "nodes"],
  ...["submit_time", "start_time", "end_time", "time_limit"],
].map((key) => `slurm.${key}`);
const NEWEST_FIRST = "-slurm.submit_time";
const LIMIT = "50";

const FINISHED = [
  ["", "at any time"],
  ["0", "not yet"],
  ["3600", "not yet, or in the last hour"],
  ["86400", "not yet, or in the last day"],
  ["604800", "not yet, or in the last week"],
];

export function jobsView(args, goTo) {
  const filters = only(args, FILTERS);
  const sort = args.sort ?? NEWEST_FIRST;
  const limit = args.limit ?? LIMIT;
  const kept = { ...filters, ...only(args, ["sort", "limit"]) };
  const apply = (changed) => goTo("jobs", { ...only(args, ["sort", "limit"]), ...changed });
  const form = filterForm(fieldsFor(filters), () => apply(filtersIn(form)), hashOf("jobs"));
  const list = table({
    caption: "Jobs",
    columns: COLUMNS,
    sort,
    onSort: (key) => goTo("jobs", { ...kept, sort: key }),
    empty: "No job is like this.",
  });
  const count = element("span", { class: "muted" });
  const pages = element("div");
  const title = element("div", { class: "page-title" }, element("h1", {}, "Jobs"), count);
  return {
    title: "Jobs",
    tab: "jobs",
    content: element("div", {}, title, form, list.node, pages),
    questions: {
      jobs: ["jobs/list", { ...filters, sort, limit, cursor: args.cursor ?? "", fields: FIELDS.join(",") }],
      count: ["jobs/list", { ...filters, count: "true" }],
      clusters: ["clusters/list", {}],
    },
    show({ jobs, count: number, clusters }) {
      list.fill(jobs.body.map((job) => job.slurm));
      const said = counted(number.body.count, "job");
      count.textContent = said;
      pages.replaceChildren(pager("jobs", kept, args.cursor, nextPage(jobs.headers.get("Link"))));
      return `${said}, ${jobs.body.length} shown`;
    },
  };
}

function fieldsFor(filters) {
  const states = several(filters.job_state);
  return [
    pills("State", "job_state", [...new Set([...COMMON_JOB_STATES, ...states])], states),
    field("Cluster", "cluster_name", filters),
    field("User", "user", filters),
    field("Account", "account", filters),
    field("Partition", "partition", filters),
    field("Job name", "name", filters),
    field("Node", "node", filters),
    field("Array job id", "array_job_id", filters),
    choice("Finished", "time", filters, FINISHED),
  ];
}

// --- what stands in the table ---------------------------------------------------------------------

const COLUMNS = [
  { title: "Job", sort: "slurm.job_id", class: "id", cell: jobLink },
  { title: "Name", sort: "slurm.name", class: "name", cell: (slurm) => clipped(slurm.name) },
  { title: "State", sort: "slurm.job_state", cell: state },
  { title: "User", class: "nowrap", cell: (slurm) => shown(userOf(slurm)) },
  { title: "Account", sort: "slurm.account", cell: (slurm) => shown(slurm.account) },
  { title: "Partition", sort: "slurm.partition", cell: (slurm) => shown(slurm.partition) },
  { title: "Submitted", sort: "slurm.submit_time", class: "nowrap", cell: (slurm) => clusterTime(slurm.submit_time) ?? none() },
  { title: "Run time of limit", class: "measure", cell: runTimeOfLimit },
  { title: "Nodes", class: "name", cell: (slurm) => clipped(slurm.nodes) },
  { title: "Cluster", cell: (slurm) => shown(slurm.cluster_name) },
];

function jobLink(slurm) {
  return linkTo("job", { cluster_name: slurm.cluster_name, job_id: slurm.job_id }, slurm.job_id);
}

function state(slurm) {
  const why = slurm.job_state === "PENDING" && slurm.reason ? [element("small", { class: "clip" }, shown(slurm.reason))] : [];
  return [stateBadge(slurm.job_state, jobTone(slurm.job_state)), ...why];
}

function runTimeOfLimit(slurm) {
  const seconds = runTime(slurm, Date.now());
  const limit = slurm.time_limit ?? null;
  if (limit === null) return seconds === null ? none() : length(seconds);
  if (seconds === null) return element("span", { class: "muted" }, `– of ${length(limit)}`);
  const said = `${length(seconds)} of ${length(limit)}`;
  return [said, slurm.job_state === "RUNNING" ? meter(seconds, limit, said) : null];
}
