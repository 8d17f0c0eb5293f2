// The jobs of the person who is signed in, and the clusters beside them.

import { nextPage } from "../frame/client.js";
import { csvButton } from "../parts/csv.js";
import { element, refill } from "../parts/elements.js";
import { linkTo, staleness } from "../parts/parts.js";
import { isFinished, isSuspended, isWaiting } from "../slurm/states.js";
import { grouped, t } from "../words/words.js";
import { clusterCard } from "./cluster_card.js";
import { ASKED, jobsTable } from "./jobs_table.js";

const DAYS = 7;
const MOST = 500;

export function mineView(_args, goTo, session) {
  const email = session.account.mila_email_username;
  const list = jobsTable({
    own: true,
    caption: t("My jobs"),
    sort: "-finished_at",
    onSort: (key) => goTo("jobs", { user: email, time: String(DAYS * 86400), sort: key }),
    empty: isUnknown(session.account)
      ? t("Clockwork does not know your username on any cluster. An administrator can add it to your account.")
      : t("You have no unfinished job, and none that ended within a week."),
  });
  const count = element("span", { class: "muted" });
  const old = element("div");
  const clusters = element("div", { class: "clusters" });
  const all = linkTo("jobs", { user: email, time: "all" }, t("All my jobs"));
  return {
    title: t("My jobs"),
    tab: "mine",
    content: element(
      "div",
      { class: "mine" },
      element(
        "div",
        {},
        element(
          "div",
          { class: "page-title" },
          element("h1", {}, t("My jobs")),
          count,
          element("span", { class: "aside" }, all, csvButton("my_jobs.csv", list.csv))
        ),
        old,
        list.node
      ),
      element(
        "section",
        { "aria-label": t("Clusters") },
        element("div", { class: "page-title" }, element("h2", {}, t("Clusters"))),
        clusters
      )
    ),
    questions: {
      jobs: [
        "jobs/list",
        { user: email, time: String(DAYS * 86400), sort: "-finished_at", limit: String(MOST), fields: ASKED },
      ],
      clusters: ["clusters/list", {}],
    },
    show({ jobs, clusters: found }) {
      list.fill(jobs.body, found.body);
      const counts = inShort(jobs.body);
      const isAll = nextPage(jobs.headers.get("Link")) === null;
      count.textContent = isAll
        ? counts
        : t("the first {count} jobs: {counts}", { count: grouped(jobs.body.length), counts });
      const mine = new Set(jobs.body.map(({ slurm }) => slurm.cluster_name));
      refill(
        old,
        staleness(found.body, (name) => mine.has(name))
      );
      refill(
        clusters,
        found.body.map((cluster) => clusterCard(cluster))
      );
      return count.textContent;
    },
  };
}

/** Whether no job can be of the account: none of its usernames is known. */
function isUnknown(account) {
  return ["mila_cluster_username", "cc_account_username", "username"].every((key) => !account[key]);
}

/** How many of the jobs run, wait and have ended, and are suspended if any are. */
export function inShort(jobs) {
  const present = jobs.filter(({ slurm, cw }) => !isFinished(slurm.job_state) && !cw.vanished);
  const waiting = present.filter(({ slurm }) => isWaiting(slurm.job_state)).length;
  const suspended = present.filter(({ slurm }) => isSuspended(slurm.job_state)).length;
  const counts = {
    running: grouped(present.length - waiting - suspended),
    suspended: grouped(suspended),
    waiting: grouped(waiting),
    ended: grouped(jobs.length - present.length),
  };
  return suspended
    ? t("{running} running, {suspended} suspended, {waiting} waiting, {ended} ended within a week", counts)
    : t("{running} running, {waiting} waiting, {ended} ended within a week", counts);
}
