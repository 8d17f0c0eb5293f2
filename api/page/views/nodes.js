// The table of nodes, with the filters of nodes/list.

import { hashOf, only, severalValues } from "../frame/address.js";
import { ONCE, nextPage } from "../frame/client.js";
import { meter } from "../parts/drawing.js";
import { element, refill } from "../parts/elements.js";
import { choice, field, filterForm, filtersIn, pills, suggest } from "../parts/filters.js";
import { besideId, clipped, linkTo, pager, stateBadge } from "../parts/parts.js";
import { nodeTone } from "../slurm/states.js";
import { table } from "../parts/table.js";
import { counted, grouped, memory, none, shown } from "../words/text.js";
import { nodeGpus, readTres } from "../slurm/tres.js";

const FILTERS = ["cluster_name", "name", "state", "partition", "feature"];
const FIELDS = [
  ...["name", "cluster_name", "state", "cfg_tres", "alloc_tres", "gres", "gres_used"],
  ...["cpu_load", "partitions", "features", "reason"],
].map((key) => `slurm.${key}`);
const ASKED = [...FIELDS, "cw.vanished"].join(",");
const BY_NAME = "name";
const LIMIT = "100";
const STATES = ["IDLE", "MIXED", "ALLOCATED", "DRAIN", "DOWN", "RESERVED", "POWERED_DOWN"];
const LIMITS = [
  ["", LIMIT],
  ["500", "500"],
];

export function nodesView(args, goTo) {
  const { cursor, ...kept } = only(args, [...FILTERS, "sort", "limit", "cursor"]);
  const filters = only(kept, FILTERS);
  const sort = args.sort ?? BY_NAME;
  const page = { ...filters, sort, limit: args.limit ?? LIMIT, cursor: cursor ?? "", fields: ASKED };
  const { node: filterFold, form } = filterForm(
    fieldsFor(kept),
    () => goTo("nodes", filtersIn(form)),
    hashOf("nodes")
  );
  const list = table({
    caption: "Nodes",
    columns: COLUMNS,
    sort,
    onSort: (key) => goTo("nodes", { ...kept, sort: key }),
    empty: "No node matches.",
  });
  const count = element("span", { class: "muted" });
  const pages = element("div");
  const title = element("div", { class: "page-title" }, element("h1", {}, "Nodes"), count);
  return {
    title: "Nodes",
    tab: "nodes",
    content: element("div", {}, title, filterFold, list.node, pages),
    questions: {
      nodes: ["nodes/list", page],
      number: ["nodes/list", { ...filters, count: "true" }],
      clusters: ["clusters/list", {}, ONCE],
    },
    show({ nodes, number, clusters }) {
      list.fill(nodes.body);
      suggest(form, { cluster_name: clusters.body.map((cluster) => cluster.name) });
      count.textContent = counted(number.body.count, "node");
      refill(pages, pager("nodes", kept, cursor, nextPage(nodes.headers.get("Link"))));
      return `${count.textContent}, ${nodes.body.length} shown`;
    },
  };
}

function fieldsFor(kept) {
  const states = severalValues(kept.state);
  return [
    pills("State", "state", [...new Set([...STATES, ...states])], states),
    field("Cluster", "cluster_name", kept),
    field("Node", "name", kept),
    field("Partition", "partition", kept),
    field("Feature", "feature", kept),
    choice("On a page", "limit", kept, LIMITS),
  ];
}

// --- what stands in the table ---------------------------------------------------------------------

const COLUMNS = [
  { title: "Node", sort: "name", class: "id", cell: nodeLink },
  { title: "State", class: "status", cell: state },
  { title: "CPUs", class: "measure", cell: ({ slurm }) => used(slurm, "cpus", grouped) },
  { title: "Memory", class: "measure", cell: ({ slurm }) => used(slurm, "memory", memory) },
  { title: "GPUs", class: "measure", cell: ({ slurm }) => usedGpus(nodeGpus(slurm)) },
  { title: "Load", class: "minor", cell: ({ slurm }) => shown(slurm.cpu_load) },
  { title: "Partitions", class: "name", cell: ({ slurm }) => clipped(slurm.partitions) },
  { title: "Features", class: "name minor", cell: ({ slurm }) => clipped(slurm.features) },
  { title: "Reason", class: "name", cell: ({ slurm }) => clipped(slurm.reason) },
  { title: "Cluster", class: "minor", cell: ({ slurm }) => clipped(slurm.cluster_name) },
];

function nodeLink({ slurm }) {
  const link = linkTo("node", { cluster_name: slurm.cluster_name, node_name: slurm.name }, slurm.name);
  return [link, besideId(slurm.cluster_name)];
}

function state({ slurm, cw }) {
  const note = cw.vanished ? element("small", { class: "clip" }, "when last seen; gone since") : null;
  return [stateBadge(slurm.state, nodeTone(slurm.state)), note];
}

/** How much of what a node has is allocated, of one kind of its TRES. */
function used(slurm, kind, words) {
  return usedOf(readTres(slurm.alloc_tres)[kind], readTres(slurm.cfg_tres)[kind], words);
}

function usedGpus({ total, allocated }) {
  if (allocated === null) return [`${grouped(total)}, `, element("small", {}, "use unknown")];
  return usedOf(allocated, total, grouped);
}

function usedOf(gives, has, words) {
  if (has === 0) return none();
  const said = `${words(gives)} of ${words(has)}`;
  return [said, meter(gives, has, said)];
}
