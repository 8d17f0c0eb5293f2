// The table of nodes, with the filters of nodes/list.

import { hashOf, only } from "./address.js";
import { nextPage } from "./client.js";
import { meter } from "./drawing.js";
import { element } from "./elements.js";
import { field, filterForm, filtersIn } from "./filters.js";
import { clipped, linkTo, pager, stateBadge } from "./parts.js";
import { nodeTone } from "./states.js";
import { table } from "./table.js";
import { counted, grouped, memory, none, shown } from "./text.js";
import { readTres } from "./tres.js";

const FILTERS = ["cluster_name", "name", "state", "partition"];
const FIELDS = [
  ...["name", "cluster_name", "state", "cfg_tres", "alloc_tres", "cpu_load", "partitions"],
  ...["features", "reason"],
].map((key) => `slurm.${key}`);
const BY_NAME = "slurm.name";
const LIMIT = "100";

export function nodesView(args, goTo) {
  const filters = only(args, FILTERS);
  const sort = args.sort ?? BY_NAME;
  const limit = args.limit ?? LIMIT;
  const kept = { ...filters, ...only(args, ["sort", "limit"]) };
  const form = filterForm(
    fieldsFor(filters),
    () => goTo("nodes", { ...only(args, ["sort", "limit"]), ...filtersIn(form) }),
    hashOf("nodes")
  );
  const list = table({
    caption: "Nodes",
    columns: COLUMNS,
    sort,
    onSort: (key) => goTo("nodes", { ...kept, sort: key }),
    empty: "No node is like this.",
  });
  const count = element("span", { class: "muted" });
  const pages = element("div");
  const title = element("div", { class: "page-title" }, element("h1", {}, "Nodes"), count);
  return {
    title: "Nodes",
    tab: "nodes",
    content: element("div", {}, title, form, list.node, pages),
    questions: {
      nodes: ["nodes/list", { ...filters, sort, limit, cursor: args.cursor ?? "", fields: FIELDS.join(",") }],
      count: ["nodes/list", { ...filters, count: "true" }],
    },
    show({ nodes, count: number }) {
      list.fill(nodes.body.map((node) => node.slurm));
      const said = counted(number.body.count, "node");
      count.textContent = said;
      pages.replaceChildren(pager("nodes", kept, args.cursor, nextPage(nodes.headers.get("Link"))));
      return `${said}, ${nodes.body.length} shown`;
    },
  };
}

function fieldsFor(filters) {
  return [
    field("Cluster", "cluster_name", filters),
    field("Node", "name", filters),
    field("State", "state", filters),
    field("Partition", "partition", filters),
  ];
}

// --- what stands in the table ---------------------------------------------------------------------

const COLUMNS = [
  { title: "Node", sort: "slurm.name", class: "id", cell: nodeLink },
  { title: "State", sort: "slurm.state", cell: (slurm) => stateBadge(slurm.state, nodeTone(slurm.state)) },
  { title: "CPUs", class: "measure", cell: (slurm) => used(slurm, "cpus", grouped) },
  { title: "Memory", class: "measure", cell: (slurm) => used(slurm, "memory", memory) },
  { title: "GPUs", class: "measure", cell: (slurm) => used(slurm, "gpus", grouped) },
  { title: "Load", cell: (slurm) => shown(slurm.cpu_load) },
  { title: "Partitions", class: "name", cell: (slurm) => clipped(slurm.partitions) },
  { title: "Features", class: "name", cell: (slurm) => clipped(slurm.features) },
  { title: "Reason", class: "name", cell: (slurm) => clipped(slurm.reason) },
  { title: "Cluster", cell: (slurm) => shown(slurm.cluster_name) },
];

function nodeLink(slurm) {
  return linkTo("node", { cluster_name: slurm.cluster_name, node_name: slurm.name }, slurm.name);
}

/** How much of what a node has is allocated, of one kind of its TRES. */
function used(slurm, kind, words) {
  const has = readTres(slurm.cfg_tres)[kind];
  if (has === 0) return none();
  const gives = readTres(slurm.alloc_tres)[kind];
  const said = `${words(gives)} of ${words(has)}`;
  return [said, meter(gives, has, said)];
}
