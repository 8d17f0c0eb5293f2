// The list of jobs, with the filters of jobs/list. Unfinished jobs alone, unless asked for others.

import { only, severalValues } from "../frame/address.js";
import { nextPage } from "../frame/client.js";
import { csvButton } from "../parts/csv.js";
import { element, refill } from "../parts/elements.js";
import { filterBar } from "../parts/filters.js";
import { pager, staleness } from "../parts/parts.js";
import { userOf } from "../slurm/job_facts.js";
import { COMMON_JOB_STATES, isFinished } from "../slurm/states.js";
import { counted, t } from "../words/words.js";
import { ASKED, jobsTable } from "./jobs_table.js";

const FILTERS = [
  ...["cluster_name", "job_state", "user", "account", "partition", "name", "node"],
  ...["array_job_id", "time"],
];
const NEWEST_FIRST = "-submit_time";
const LIMIT = "200";
const EVERY_JOB = "all"; // a `time` of this view alone

const FIELDS = [
  { name: "cluster_name", title: t("Cluster"), kind: "one" },
  { name: "user", title: t("User"), kind: "one" },
  { name: "account", title: t("Account"), kind: "text" },
  { name: "partition", title: t("Partition"), kind: "text" },
  { name: "name", title: t("Job name"), kind: "text" },
  { name: "node", title: t("Node"), kind: "text" },
  { name: "array_job_id", title: t("Array"), kind: "text" },
  {
    ...{ name: "time", title: t("Jobs"), kind: "choice" },
    options: [
      ["", t("unfinished")],
      ["3600", t("unfinished, or ended within an hour")],
      ["86400", t("unfinished, or ended within a day")],
      ["604800", t("unfinished, or ended within a week")],
      [EVERY_JOB, t("all known jobs")],
    ],
  },
  {
    ...{ name: "sort", title: t("Order"), kind: "choice" },
    options: [
      ["", t("latest submitted first")],
      ["submit_time", t("earliest submitted first")],
      ["-finished_at", t("unfinished, then latest ended")],
      ["finished_at", t("earliest ended first")],
      ["name", t("name, A to Z")],
      ["-name", t("name, Z to A")],
    ],
  },
  {
    name: "limit",
    title: t("Rows"),
    kind: "choice",
    options: [
      ["", LIMIT],
      ["50", "50"],
      ["1000", "1000"],
    ],
  },
  { name: "job_state", title: t("State"), kind: "several", options: COMMON_JOB_STATES },
];

export function jobsView(args, goTo) {
  const { cursor, ...kept } = only(args, [...FILTERS, "sort", "limit", "cursor"]);
  const sort = args.sort || NEWEST_FIRST;
  const list = jobsTable({
    caption: t("Jobs"),
    sort,
    onSort: (key) => goTo("jobs", { ...kept, sort: key }),
    empty: t("No job matches these filters."),
  });
  const count = element("span", { class: "muted" });
  const save = csvButton("jobs.csv", list.csv);
  const bar = filterBar("jobs", FIELDS, kept, (chosen) => goTo("jobs", chosen), save);
  const pages = element("div");
  const old = element("div");
  return {
    title: t("Jobs"),
    tab: "jobs",
    content: element(
      "div",
      {},
      element("div", { class: "page-title" }, element("h1", {}, t("Jobs")), count),
      bar.node,
      old,
      list.node,
      pages
    ),
    questions: {
      jobs: ["jobs/list", { ...asked(kept), sort, limit: args.limit || LIMIT, cursor: cursor ?? "", fields: ASKED }],
      clusters: ["clusters/list", {}],
    },
    show({ jobs, clusters }) {
      const next = nextPage(jobs.headers.get("Link"));
      list.fill(jobs.body, clusters.body, !kept.array_job_id);
      bar.suggest(suggestions(jobs.body, clusters.body));
      refill(
        old,
        staleness(clusters.body, (name) => !kept.cluster_name || kept.cluster_name === name)
      );
      count.textContent =
        cursor || next
          ? t("{jobs} on this page", { jobs: counted(jobs.body.length, "job") })
          : counted(jobs.body.length, "job");
      refill(pages, pager("jobs", kept, cursor, next));
      return count.textContent;
    },
  };
}

/** The arguments for jobs/list of those of the address. */
function asked({ time, ...kept }) {
  const filters = only(kept, FILTERS);
  const ofEnds = severalValues(kept.job_state).some(isFinished) || kept.array_job_id;
  const within = time || (ofEnds ? EVERY_JOB : "0");
  return within === EVERY_JOB ? filters : { ...filters, time: within };
}

function suggestions(jobs, clusters) {
  const values = (read) => jobs.map(({ slurm }) => read(slurm)).filter(Boolean);
  return {
    cluster_name: clusters.map((cluster) => cluster.name),
    partition: clusters.flatMap((cluster) => Object.keys(cluster.partitions)).filter(Boolean),
    user: values(userOf),
    account: values((slurm) => slurm.account),
    name: values((slurm) => slurm.name),
  };
}
