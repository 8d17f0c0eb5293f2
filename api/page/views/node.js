// One node: its state, the jobs on it, and all that Slurm said.

import { oneValue } from "../frame/address.js";
import { element } from "../parts/elements.js";
import { column, gone, keyTable, linkTo, section, stateBadge } from "../parts/parts.js";
import { nodeTone } from "../slurm/states.js";
import { plain, shown } from "../words/text.js";

export function nodeView(args) {
  const asked = { node_name: args.node_name ?? "", cluster_name: args.cluster_name ?? "" };
  const content = element("article", { class: "job" });
  return {
    title: `Node ${plain(asked.node_name)}`,
    tab: "nodes",
    content,
    questions: { node: ["nodes/one", asked] },
    show({ node }) {
      const { slurm, cw } = node.body;
      content.replaceChildren(...(slurm ? sections(slurm, cw) : absent(asked)));
      return slurm ? `Node ${plain(slurm.name)} is ${plain(slurm.state)}` : "There is no such node.";
    },
  };
}

function absent({ node_name: name, cluster_name: cluster }) {
  const where = cluster === "" ? "No cluster has a node of this name." : ["There is no node of this name on ", shown(cluster), "."];
  return [element("h1", {}, "Node ", shown(name)), element("p", { class: "card whole" }, where)];
}

function sections(slurm, cw) {
  const here = { cluster_name: slurm.cluster_name, node: oneValue(slurm.name) };
  return [
    element(
      "header",
      {},
      element("p", { class: "muted" }, "Node on ", shown(slurm.cluster_name)),
      element("h1", {}, shown(slurm.name)),
      element("p", {}, stateBadge(slurm.state, nodeTone(slurm.state)), gone(cw)),
      element("p", {}, linkTo("jobs", { ...here, time: "0" }, "Unfinished jobs on this node"))
    ),
    column(section("All that Slurm said", keyTable(slurm, "All that Slurm said of this node"))),
    column(section("What Clockwork knows", keyTable(cw, "What Clockwork knows of this node"))),
  ];
}
