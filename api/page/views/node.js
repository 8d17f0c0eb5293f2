// One node: its state and why, what of it is free, its jobs, when it was out of service, and all else.

import { oneValue } from "../frame/address.js";
import { timeline } from "../parts/drawing.js";
import { element, refill } from "../parts/elements.js";
import { column, facts, foldedKeys, gone, linkTo, section, staleness, stateBadge } from "../parts/parts.js";
import { nodeFacts } from "../slurm/node_facts.js";
import { nodeTone } from "../slurm/states.js";
import { none, plain, shown } from "../words/text.js";
import { clock, length, memory, moment, relative, when } from "../words/times.js";
import { grouped, t, tx } from "../words/words.js";
import { findView } from "./find.js";
import { ASKED, jobsTable } from "./jobs_table.js";
import { free } from "./nodes.js";

const MOST_PERIODS = 12;

export function nodeView(args, goTo) {
  if (!args.cluster_name) return findView({ q: args.node_name }, goTo); // several clusters may have the name
  const asked = { node_name: args.node_name ?? "", cluster_name: args.cluster_name };
  const content = element("article", { class: "job" });
  const list = jobsTable({ caption: t("Jobs on this node"), empty: t("No job runs on this node.") });
  return {
    title: t("Node {name}", { name: plain(asked.node_name) }),
    tab: "nodes",
    content,
    questions: {
      node: ["nodes/one", asked],
      history: ["nodes/history", asked],
      jobs: [
        "jobs/list",
        { node: oneValue(asked.node_name), cluster_name: asked.cluster_name, time: "0", fields: ASKED, limit: "200" },
      ],
      clusters: ["clusters/list", {}],
    },
    show({ node, history, jobs, clusters }) {
      if (!node.body.slurm) {
        refill(content, absent(asked));
        return t("There is no such node.");
      }
      const { slurm } = node.body;
      list.fill(jobs.body, clusters.body);
      const old = staleness(clusters.body, (name) => name === slurm.cluster_name);
      refill(content, sections(node.body, history.body.periods ?? [], old, list.node));
      return t("Node {name} is {state}", { name: plain(slurm.name), state: plain(slurm.state) });
    },
  };
}

function absent({ node_name: name, cluster_name: cluster }) {
  const words = tx("There is no node of this name on {cluster}.", { cluster: shown(cluster) });
  return [element("h1", {}, tx("Node {name}", { name: shown(name) })), element("p", { class: "card whole" }, words)];
}

function sections(node, periods, old, jobs) {
  const { slurm, cw } = node;
  return [
    element(
      "header",
      {},
      element("p", { class: "muted" }, tx("Node on {cluster}", { cluster: shown(slurm.cluster_name) })),
      element("h1", {}, shown(slurm.name)),
      element(
        "p",
        { class: "why" },
        stateBadge(slurm.state, nodeTone(slurm.state)),
        gone(cw),
        " ",
        whyOut(slurm, periods)
      ),
      old
    ),
    column(section(t("Free now"), freeNow(node)), section(t("About the node"), about(slurm))),
    column(section(t("Out of service"), ...history(periods))),
    element(
      "div",
      { class: "column whole" },
      section(t("Jobs on this node"), jobs),
      foldedKeys(t("All that Slurm says"), slurm)
    ),
  ];
}

function whyOut(slurm, periods) {
  if (!slurm.reason) return null;
  const onset = periods.at(-1)?.onset ?? null;
  return element(
    "span",
    { id: "why" },
    shown(slurm.reason),
    onset === null ? null : [" ", tx("(since {when})", { when: relative(onset) })]
  );
}

function freeNow(node) {
  const found = nodeFacts(node);
  return facts([
    [t("CPUs"), free(found, found.cpus, grouped)],
    [t("Memory"), free(found, found.memory, memory)],
    ...Object.entries(found.types).map(([type, each]) => [
      type === "" ? t("GPUs") : tx("GPUs: {type}", { type: shown(type) }),
      free(found, each, grouped),
    ]),
  ]);
}

function about(slurm) {
  const cluster = slurm.cluster_name;
  const links = (text, key) =>
    (text ?? "")
      .split(",")
      .filter(Boolean)
      .map((each) => [linkTo("nodes", { cluster_name: cluster, [key]: oneValue(each) }, each), " "]);
  return facts([
    [t("Partitions"), slurm.partitions ? links(slurm.partitions, "partition") : none()],
    [t("Features"), slurm.features ? links(slurm.features, "feature") : none()],
    [t("Load"), shown(slurm.cpu_load ?? null)],
    slurm.boot_time ? [t("Started"), when(slurm.boot_time)] : null,
    slurm.comment ? [t("Comment"), shown(slurm.comment)] : null,
  ]);
}

// --- history --------------------------------------------------------------------------------------

function history(periods) {
  if (periods.length === 0) return [element("p", { class: "muted" }, t("Nothing is recorded yet."))];
  const now = Date.now();
  const steps = periods.map(({ words, since, until }) => ({
    state: words.length > 0 ? words.join("+") : t("in service"),
    tone: words.length > 0 ? nodeTone(words.join("+")) : "good",
    from: moment(since),
    to: moment(until) ?? now,
  }));
  const told = steps.map(({ state, from, to }) => `${plain(state)} ${length((to - from) / 1000)}`).join(", ");
  const lines = periods
    .slice(-MOST_PERIODS)
    .reverse()
    .map((period, index) => line(period, steps.at(-1 - index)));
  return [timeline(steps, told), element("ol", { class: "steps" }, lines)];
}

function line({ reason, reason_by: by }, { state, tone, from, to }) {
  const who = reason === null ? null : [" ", shown(reason), by ? [" (", shown(by), ")"] : null];
  return element(
    "li",
    {},
    stateBadge(state, tone),
    " ",
    element("span", { class: "nowrap" }, clock(from)),
    " ",
    element("small", {}, length((to - from) / 1000)),
    who
  );
}
