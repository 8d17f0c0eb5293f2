// One cluster: its partitions, its reservations, and how fresh what is known of it is.

import { element, refill } from "../parts/elements.js";
import { linkTo, staleness } from "../parts/parts.js";
import { plain, shown } from "../words/text.js";
import { t, tx } from "../words/words.js";
import { freshness, standing } from "./cluster_card.js";
import { partitionsTable, reservationsTable } from "./cluster_tables.js";
import { allocated, known, troubles } from "./clusters.js";

export function clusterView(args, _goTo, session) {
  const name = args.cluster_name ?? "";
  const content = element("div");
  const links = [
    [t("Jobs"), "jobs", {}],
    [t("Nodes"), "nodes", {}],
    [t("Grid of the nodes"), "nodes", { as: "grid" }],
    [t("Nodes with free GPUs"), "nodes", { free: "gpu", sort: "-gpus" }],
  ];
  return {
    title: t("Cluster {name}", { name: plain(name) }),
    tab: "clusters",
    content,
    questions: {
      clusters: ["clusters/list", {}],
      partitions: ["partitions/list", { cluster_name: name }],
      waits: ["partitions/waits", { cluster_name: name }],
      reservations: ["reservations/list", { cluster_name: name }],
    },
    show({ clusters, partitions, waits, reservations }) {
      const found = clusters.body.find((cluster) => cluster.name === name);
      const title = element(
        "div",
        { class: "page-title" },
        element("h1", {}, tx("Cluster {name}", { name: shown(name) }))
      );
      if (!found) {
        refill(content, title, element("p", { class: "card" }, t("Clockwork knows no cluster of this name.")));
        return t("There is no such cluster.");
      }
      title.append(standing(found), freshness(found.rounds));
      const isAdmin = session.account.role === "admin";
      const nav = element(
        "p",
        { class: "links" },
        links.map(([words, view, more]) => linkTo(view, { cluster_name: name, ...more }, words))
      );
      refill(
        content,
        ...[
          title,
          staleness(clusters.body, (each) => each === name),
          isAdmin ? troubles(found.rounds) : null,
          known(found.coverage, isAdmin),
          nav,
          element("h2", {}, t("Allocated now")),
          element("div", { class: "card" }, allocated(found.tres)),
        ],
        ...[element("h2", {}, t("Partitions")), partitionsTable(partitions.body, found.partitions, waits.body, name)],
        ...[element("h2", {}, t("Reservations")), reservationsTable(reservations.body)]
      );
      return t("Cluster {name}", { name: plain(name) });
    },
  };
}
