// The clusters: how fresh what is known of each is, and what it holds, in pictures.

import { oneValue } from "../frame/address.js";
import { meter, stackedBar } from "../parts/drawing.js";
import { element, refill } from "../parts/elements.js";
import { linkTo, stateBadge } from "../parts/parts.js";
import { jobTone, nodeTone, toneOrdered } from "../slurm/states.js";
import { counted, grouped, none, plain, relative, shown, utc } from "../words/text.js";

const MOST_PARTITIONS = 12;
const MOST_MISSING = 3;

export function overview() {
  const clusters = element("div", { class: "clusters" });
  const title = element("div", { class: "page-title" }, element("h1", {}, "Clusters"));
  return {
    title: "Overview",
    tab: "overview",
    content: element("div", {}, title, clusters),
    questions: { clusters: ["clusters/list", {}] },
    show(answers) {
      const found = answers.clusters.body;
      refill(clusters, found.length > 0 ? found.map(cluster) : nothing());
      return counted(found.length, "cluster");
    },
  };
}

function nothing() {
  return element("p", { class: "card" }, "Clockwork knows no cluster yet: none is configured, and none was scraped.");
}

function cluster(found) {
  return element(
    "section",
    { class: "card cluster", "aria-label": `Cluster ${plain(found.name)}` },
    element("header", {}, element("h2", {}, shown(found.name)), standing(found), ages(found.rounds)),
    troubles(found.rounds),
    known(found.coverage),
    jobsByState(found),
    jobsByPartition(found),
    nodesByState(found),
    allocated(found.tres)
  );
}

// --- freshness ------------------------------------------------------------------------------------

function standing({ up, rounds }) {
  if (up === null) return stateBadge("not configured here", "off");
  if (up) return stateBadge("fresh", "good");
  const never = Object.values(rounds).every((round) => round.last_attempt === null);
  return never ? stateBadge("no round yet", "wait") : stateBadge("not fresh", "bad");
}

function ages(rounds) {
  const age = ([kind, round]) => [
    `${kind} `,
    round.last_success === null ? "never" : relative(round.last_success),
  ];
  const [jobs, nodes] = Object.entries(rounds).map(age);
  return element("span", { class: "age" }, jobs, " · ", nodes);
}

/** Why the rounds fail that fail now. */
function troubles(rounds) {
  return Object.entries(rounds)
    .filter(([, round]) => round.up === false && round.last_error !== null)
    .map(([kind, { last_error: last }]) =>
      element(
        "p",
        { class: "trouble" },
        `A round of ${kind} failed `,
        relative(last.at),
        ": ",
        shown(last.error)
      )
    );
}

/** Since when all jobs are known, and in which times jobs may have ended that are not. */
function known(coverage) {
  if (coverage === null) return null;
  const newest = coverage.missing.slice(-MOST_MISSING).reverse();
  const earlier = coverage.missing.length - newest.length;
  return element(
    "section",
    { class: "known", "aria-label": "Known jobs" },
    element("p", {}, `Complete since ${utc(coverage.complete_since)}: every job that ended since then is known.`),
    newest.map((each) => element("p", { class: "trouble" }, `Jobs may be missing that ended from ${utc(each.from)} to ${utc(each.to)}.`)),
    earlier === 0 ? null : element("p", {}, `Jobs may be missing in ${counted(earlier, "earlier interval")}, too.`),
    coverage.accounting === false ? element("p", {}, "sacct did not tell of missing jobs", ...because(coverage.accounting_error)) : null
  );
}

function because(error) {
  return error === null ? ["."] : [": ", shown(error)];
}

// --- pictures -------------------------------------------------------------------------------------

function jobsByState(found) {
  const parts = toneOrdered(found.unfinished_jobs, jobTone);
  return figure("Unfinished jobs by state", parts, "job", (part) =>
    linkTo("jobs", { cluster_name: found.name, job_state: oneValue(part.state) }, part.state)
  );
}

function nodesByState(found) {
  const parts = toneOrdered(found.nodes, nodeTone);
  return figure("Nodes by state", parts, "node", (part) =>
    linkTo("nodes", { cluster_name: found.name, state: oneValue(part.state) }, part.state)
  );
}

function figure(title, parts, word, link) {
  const told = parts.map((part) => `${plain(part.state)} ${grouped(part.count)}`).join(", ");
  return element(
    "section",
    { class: "figure", "aria-label": title },
    element("header", {}, element("h3", {}, title), element("small", {}, counted(total(parts), word))),
    stackedBar(parts, { label: `${title}: ${told || "none"}` }),
    element(
      "ul",
      { class: "legend" },
      parts.map((part) =>
        element("li", { class: `state ${part.tone}` }, element("span", {}, link(part), " ", element("b", {}, grouped(part.count))))
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
  const title = "Unfinished jobs by partition";
  return element(
    "section",
    { class: "figure", "aria-label": title },
    element("header", {}, element("h3", {}, title)),
    element("ul", { class: "partitions" }, rows.slice(0, MOST_PARTITIONS)),
    rest.length === 0
      ? null
      : element(
          "details",
          { "data-key": `more ${found.name}` },
          element("summary", { "data-key": `more ${found.name}` }, `${grouped(rest.length)} more`),
          element("ul", { class: "partitions" }, rest)
        )
  );
}

function partitionRow(clusterName, { name, parts, jobs }, most) {
  const told = parts.map((part) => `${plain(part.state)} ${grouped(part.count)}`).join(", ");
  return element(
    "li",
    { title: plain(name) },
    name === "" ? none() : linkTo("jobs", { cluster_name: clusterName, partition: oneValue(name), time: "0" }, name),
    stackedBar(parts, { label: told, most, height: 10 }),
    element("span", { class: "number" }, grouped(jobs))
  );
}

/** How much of a cluster's CPUs and GPUs is allocated to jobs. */
function allocated(tres) {
  const kinds = [
    ["CPUs", tres.allocated_cpus, tres.cpus],
    ["GPUs", tres.allocated_gpus, tres.gpus],
  ].filter(([, , all]) => all === null || all > 0);
  return element(
    "div",
    { class: "allocated" },
    kinds.map(([name, part, all]) => {
      const said = `${amount(part)} of ${amount(all)}`;
      return element(
        "section",
        { class: "figure", "aria-label": `${name} allocated` },
        element("header", {}, element("h3", {}, `${name} allocated`), element("small", {}, said)),
        part === null || all === null ? null : meter(part, all, `${name} allocated: ${said}`)
      );
    })
  );
}

function amount(number) {
  return number === null ? "unknown" : grouped(number);
}

function total(parts) {
  return parts.reduce((sum, part) => sum + part.count, 0);
}
