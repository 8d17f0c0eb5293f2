// The clusters: how fresh what is known of each is, and what it holds, in pictures.

import { oneValue } from "../frame/address.js";
import { meter, stackedBar } from "../parts/drawing.js";
import { element, refill } from "../parts/elements.js";
import { linkTo } from "../parts/parts.js";
import { jobTone, nodeTone, toneOrdered } from "../slurm/states.js";
import { none, plain, shown } from "../words/text.js";
import { clock, moment, relative } from "../words/times.js";
import { counted, grouped, t } from "../words/words.js";
import { freshness, standing } from "./cluster_card.js";

const MOST_PARTITIONS = 12;
const MOST_MISSING = 3;

export function clustersView(_args, _goTo, session) {
  const clusters = element("div", { class: "clusters" });
  const title = element("div", { class: "page-title" }, element("h1", {}, t("Clusters")));
  return {
    title: t("Clusters"),
    tab: "clusters",
    content: element("div", {}, title, clusters),
    questions: { clusters: ["clusters/list", {}] },
    show(answers) {
      const found = answers.clusters.body;
      const isAdmin = session.account.role === "admin";
      refill(clusters, found.length > 0 ? found.map((each) => cluster(each, isAdmin)) : nothing());
      return counted(found.length, "cluster");
    },
  };
}

function nothing() {
  return element(
    "p",
    { class: "card" },
    t("Clockwork knows no cluster yet. An administrator adds clusters to its configuration.")
  );
}

function cluster(found, isAdmin) {
  return element(
    "section",
    { class: "card cluster", "aria-label": t("Cluster {name}", { name: plain(found.name) }) },
    element(
      "header",
      {},
      element("h2", {}, linkTo("cluster", { cluster_name: found.name }, found.name)),
      standing(found),
      freshness(found.rounds)
    ),
    isAdmin ? troubles(found.rounds) : null,
    known(found.coverage, isAdmin),
    jobsByState(found),
    jobsByPartition(found),
    nodesByState(found),
    allocated(found.tres)
  );
}

// --- what an operator wants to know ----------------------------------------------------------------

/** Why the rounds fail that fail now. */
export function troubles(rounds) {
  const failing = Object.entries(rounds).filter(([, { up, last_error: last }]) => up === false && last !== null);
  const errors = Map.groupBy(failing, ([, { last_error: last }]) => last.error);
  return [...errors].map(([error, each]) => {
    const kinds = each.map(([kind]) => kind).join(", ");
    return element("p", { class: "trouble" }, `${kinds}, `, relative(each[0][1].last_error.at), ": ", shown(error));
  });
}

/** Since when all jobs are known, and in which times jobs may have ended that are not. */
export function known(coverage, isAdmin) {
  if (coverage === null) return null;
  const newest = coverage.missing.slice(-MOST_MISSING).reverse();
  const earlier = coverage.missing.length - newest.length;
  const time = (text) => clock(moment(text));
  const refused = isAdmin && coverage.accounting === false;
  return element(
    "details",
    { class: "known" },
    element(
      "summary",
      { "data-key": `known ${time(coverage.since)}` },
      t("Every job is known that ended since {time}.", { time: time(coverage.complete_since) })
    ),
    newest.map((each) =>
      element(
        "p",
        { class: "trouble" },
        t("Jobs may be missing that ended from {from} to {to}.", { from: time(each.from), to: time(each.to) })
      )
    ),
    earlier === 0 ? null : element("p", {}, t("There are earlier gaps: {count}.", { count: grouped(earlier) })),
    refused
      ? element(
          "p",
          {},
          t("sacct did not answer."),
          " ",
          coverage.accounting_error === null ? null : shown(coverage.accounting_error)
        )
      : null
  );
}

// --- pictures -------------------------------------------------------------------------------------

function jobsByState(found) {
  const parts = toneOrdered(found.unfinished_jobs, jobTone);
  return figure(t("Unfinished jobs by state"), parts, "job", (part) =>
    linkTo("jobs", { cluster_name: found.name, job_state: oneValue(part.state) }, part.state)
  );
}

function nodesByState(found) {
  const parts = toneOrdered(found.nodes, nodeTone);
  return figure(t("Nodes by state"), parts, "node", (part) =>
    linkTo("nodes", { cluster_name: found.name, state: oneValue(part.state) }, part.state)
  );
}

function figure(title, parts, word, link) {
  const told = parts.map((part) => `${plain(part.state)} ${grouped(part.count)}`).join(", ");
  return element(
    "div",
    { class: "figure", role: "group", "aria-label": title },
    element("header", {}, element("h3", {}, title), element("small", {}, counted(total(parts), word))),
    stackedBar(parts, { label: `${title}: ${told || t("none")}` }),
    element(
      "ul",
      { class: "legend" },
      parts.map((part) =>
        element(
          "li",
          { class: `state ${part.tone}` },
          element("span", {}, link(part), " ", element("b", {}, grouped(part.count)))
        )
      )
    )
  );
}

function jobsByPartition(found) {
  const partitions = Object.entries(found.partitions)
    .map(([name, counts]) => ({ name, parts: toneOrdered(counts, jobTone) }))
    .map((partition) => ({ ...partition, jobs: total(partition.parts) }))
    .sort((a, b) => b.jobs - a.jobs || (a.name < b.name ? -1 : 1));
  if (partitions.length === 0) return null;
  const most = partitions[0].jobs;
  const rows = partitions.map((partition) => partitionRow(found.name, partition, most));
  const rest = rows.slice(MOST_PARTITIONS);
  const title = t("Unfinished jobs by partition");
  return element(
    "div",
    { class: "figure", role: "group", "aria-label": title },
    element("header", {}, element("h3", {}, title)),
    element("ul", { class: "partitions" }, rows.slice(0, MOST_PARTITIONS)),
    rest.length === 0
      ? null
      : element(
          "details",
          { "data-key": `more ${found.name}` },
          element("summary", { "data-key": `more ${found.name}` }, t("{count} more", { count: grouped(rest.length) })),
          element("ul", { class: "partitions" }, rest)
        )
  );
}

function partitionRow(clusterName, { name, parts, jobs }, most) {
  const told = parts.map((part) => `${plain(part.state)} ${grouped(part.count)}`).join(", ");
  return element(
    "li",
    { title: plain(name) },
    name === "" ? none() : linkTo("jobs", { cluster_name: clusterName, partition: oneValue(name) }, name),
    stackedBar(parts, { label: told, most, height: 10 }),
    element("span", { class: "number" }, grouped(jobs))
  );
}

/** How much of a cluster's CPUs and GPUs is allocated to jobs. */
export function allocated(tres) {
  const kinds = [
    [t("CPUs allocated"), tres.allocated_cpus, tres.cpus],
    [t("GPUs allocated"), tres.allocated_gpus, tres.gpus],
  ].filter(([, , all]) => all === null || all > 0);
  return element(
    "div",
    { class: "allocated" },
    kinds.map(([title, part, all]) => {
      const said = t("{part} of {all}", { part: amount(part), all: amount(all) });
      return element(
        "div",
        { class: "figure", role: "group", "aria-label": title },
        element("header", {}, element("h3", {}, title), element("small", {}, said)),
        part === null || all === null ? null : meter(part, all, `${title}: ${said}`)
      );
    })
  );
}

function amount(number) {
  return number === null ? t("unknown") : grouped(number);
}

function total(parts) {
  return parts.reduce((sum, part) => sum + part.count, 0);
}
