// A cluster in short: whether what is known of it is fresh, its jobs, and what is free.

import { meter } from "../parts/drawing.js";
import { element } from "../parts/elements.js";
import { linkTo, stateBadge } from "../parts/parts.js";
import { plain } from "../words/text.js";
import { relative } from "../words/times.js";
import { grouped, t, tx } from "../words/words.js";

/** A card of one cluster of clusters/list. */
export function clusterCard(found) {
  const { name, tres } = found;
  const jobs = Object.values(found.unfinished_jobs).reduce((sum, count) => sum + count, 0);
  return element(
    "section",
    { class: "card cluster small", "aria-label": t("Cluster {name}", { name: plain(name) }) },
    element(
      "header",
      {},
      element("h3", {}, linkTo("cluster", { cluster_name: name }, name)),
      standing(found),
      freshness(found.rounds)
    ),
    element(
      "p",
      {},
      tx("{count} unfinished jobs", { count: grouped(jobs) }),
      " · ",
      linkTo("nodes", { cluster_name: name, free: "gpu", sort: "-gpus" }, t("Nodes with free GPUs")),
      " · ",
      linkTo("nodes", { cluster_name: name, free: "cpu", sort: "-cpus" }, t("Nodes with free CPUs"))
    ),
    use(t("CPUs allocated"), tres.allocated_cpus, tres.cpus),
    use(t("GPUs allocated"), tres.allocated_gpus, tres.gpus)
  );
}

function use(title, part, all) {
  if (!all || part === null) return null;
  const said = t("{part} of {all}", { part: grouped(part), all: grouped(all) });
  return element(
    "div",
    { class: "use" },
    element("small", {}, title),
    element("small", {}, said),
    meter(part, all, `${title}: ${said}`)
  );
}

/** A word for whether Clockwork reads the cluster, and whether it succeeds. */
export function standing({ up, rounds }) {
  if (up === null) return stateBadge(t("no longer read"), "off");
  if (up) return stateBadge(t("up to date"), "good");
  const never = Object.values(rounds).every((round) => round.last_attempt === null);
  return never ? stateBadge(t("not read yet"), "wait") : stateBadge(t("out of date"), "bad");
}

/** How old what is known of each kind is. */
export function freshness({ jobs, nodes }) {
  const age = ({ last_success: last }) => (last === null ? t("never") : relative(last));
  return element(
    "span",
    { class: "age" },
    tx("jobs read {jobs}, nodes {nodes}", { jobs: age(jobs), nodes: age(nodes) })
  );
}
