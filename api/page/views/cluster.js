// One cluster: its partitions, its reservations, and how fresh what is known of it is.

import { oneValue } from "../frame/address.js";
import { element, refill } from "../parts/elements.js";
import { linkTo } from "../parts/parts.js";
import { plain, shown } from "../words/text.js";
import { t, tx } from "../words/words.js";
import { allocated } from "./clusters.js";
import { freshness, standing } from "./cluster_card.js";

export function clusterView(args) {
  const name = args.cluster_name ?? "";
  const content = element("div");
  const links = [
    [t("Jobs"), "jobs", {}],
    [t("Nodes"), "nodes", {}],
    [t("Grid of the nodes"), "nodes", { as: "grid" }],
    [t("Nodes with free GPUs"), "nodes", { free: "gpu" }],
  ];
  return {
    title: t("Cluster {name}", { name: plain(name) }),
    tab: "clusters",
    content,
    questions: { clusters: ["clusters/list", {}] },
    show({ clusters }) {
      const found = clusters.body.find((cluster) => cluster.name === name);
      const title = element("div", { class: "page-title" }, element("h1", {}, tx("Cluster {name}", { name: shown(name) })));
      if (!found) {
        refill(content, title, element("p", { class: "card" }, t("Clockwork knows no cluster of this name.")));
        return t("There is no such cluster.");
      }
      title.append(standing(found), freshness(found.rounds));
      const nav = element("p", { class: "links" }, links.map(([words, view, more]) => linkTo(view, { cluster_name: name, ...more }, words)));
      refill(content, title, nav, element("div", { class: "card" }, allocated(found.tres)), partitions(found));
      return t("Cluster {name}", { name: plain(name) });
    },
  };
}

function partitions(found) {
  const states = [...new Set(Object.values(found.partitions).flatMap(Object.keys))].sort();
  const head = [t("Partition"), ...states].map((each) => element("th", { scope: "col" }, plain(each)));
  const rows = Object.entries(found.partitions).map(([partition, counts]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, linkTo("jobs", { cluster_name: found.name, partition: oneValue(partition) }, partition)),
      states.map((state) => element("td", { class: "number" }, String(counts[state] ?? 0)))
    )
  );
  return element("div", { class: "scroll plain", tabindex: "0", role: "region", "aria-label": t("Partitions") }, element("table", { "aria-label": t("Partitions") }, element("thead", {}, element("tr", {}, head)), element("tbody", {}, rows)));
}
