// The nodes: what is free now, as a table that sorts and filters, or as a grid with a cell for each.

import { only } from "../frame/address.js";
import { csv, csvButton } from "../parts/csv.js";
import { meter } from "../parts/drawing.js";
import { element, refill } from "../parts/elements.js";
import { filterBar } from "../parts/filters.js";
import { clipped, linkTo, staleness, stateBadge } from "../parts/parts.js";
import { table } from "../parts/table.js";
import { gpusByType, hasFree, nodeFacts } from "../slurm/node_facts.js";
import { nodeTone } from "../slurm/states.js";
import { none, plain, shown } from "../words/text.js";
import { memory } from "../words/times.js";
import { counted, grouped, t, tx } from "../words/words.js";
import { nodeGrid } from "./node_grid.js";

const FILTERS = ["cluster_name", "name", "state", "partition", "feature"];
const ASKED = [
  ...["name", "cluster_name", "state", "cfg_tres", "alloc_tres", "gres", "gres_used"].map((key) => `slurm.${key}`),
  ...["slurm.partitions", "slurm.features", "slurm.reason", "cw.vanished"],
].join(",");
const STATES = ["IDLE", "MIXED", "ALLOCATED", "DRAIN", "DOWN", "RESERVED", "POWERED_DOWN"];
const ROWS = 200;
const MAX_TYPES = 12;

const SORTS = {
  name: (row) => row.node.slurm.name,
  cpus: (row) => row.facts.cpus.free ?? -1,
  memory: (row) => row.facts.memory.free ?? -1,
  gpus: (row, type) => (type === null ? row.facts.gpus : row.facts.types[type])?.free ?? -1,
};

export function nodesView(args, goTo) {
  const kept = only(args, [...FILTERS, "free", "sort", "as"]);
  const list = table({
    caption: t("Nodes"),
    columns: COLUMNS,
    sort: kept.sort || "name",
    onSort: (key) => goTo("nodes", { ...kept, sort: key }),
    empty: t("No node matches these filters."),
  });
  let matching = [];
  const count = element("span", { class: "muted" });
  const asGrid = kept.as === "grid";
  const other = linkTo(
    "nodes",
    { ...kept, as: asGrid ? "" : "grid" },
    asGrid ? t("Show as a table") : t("Show as a grid")
  );
  const save = csvButton("nodes.csv", () => csv(CSV_NAMES, matching.map(csvRow)));
  const bar = filterBar("nodes", fields(), kept, (chosen) => goTo("nodes", chosen), [other, save]);
  const [old, gpus, rows] = [element("div"), element("div"), element("div")];
  const more = element("button", { type: "button", class: "quiet", "data-key": "more" });
  let most = ROWS;
  more.addEventListener("click", () => {
    most += 5 * ROWS;
    fill();
  });

  function fill() {
    const left = matching.length - most;
    if (asGrid) {
      refill(rows, nodeGrid(matching));
      return;
    }
    list.fill(matching.slice(0, most).map((row) => ({ key: row.node.slurm.name, rows: [row] })));
    more.textContent = t("Show more: {count} are left", { count: grouped(Math.max(left, 0)) });
    refill(rows, list.node, left > 0 ? more : null);
  }

  return {
    title: t("Nodes"),
    tab: "nodes",
    content: element(
      "div",
      {},
      element("div", { class: "page-title" }, element("h1", {}, t("Nodes")), count),
      bar.node,
      old,
      gpus,
      rows
    ),
    questions: { nodes: ["nodes/list", { ...only(kept, FILTERS), fields: ASKED }], clusters: ["clusters/list", {}] },
    show({ nodes, clusters }) {
      const all = nodes.body.filter(({ cw }) => !cw.vanished).map((node) => ({ node, facts: nodeFacts(node) }));
      matching = sorted(
        all.filter(({ facts }) => !kept.free || hasFree(facts, kept.free)),
        kept.sort || "name",
        kept.free?.startsWith("gpu:") ? kept.free.slice("gpu:".length) : null
      );
      fill();
      bar.suggest(suggestions(nodes.body, clusters.body));
      refill(
        old,
        staleness(clusters.body, (name) => !kept.cluster_name || kept.cluster_name === name)
      );
      refill(gpus, freeGpus(gpusByType(all.map(({ facts }) => facts)), kept));
      count.textContent = counted(matching.length, "node");
      return count.textContent;
    },
  };
}

function fields() {
  return [
    { name: "cluster_name", title: t("Cluster"), kind: "one" },
    { name: "name", title: t("Node"), kind: "text" },
    { name: "partition", title: t("Partition"), kind: "text" },
    { name: "feature", title: t("Feature"), kind: "text" },
    {
      name: "free",
      title: t("Free now"),
      kind: "choice",
      options: [
        ["", t("any")],
        ["cpu", t("a CPU")],
        ["gpu", t("a GPU")],
      ],
    },
    { name: "state", title: t("State"), kind: "several", options: STATES },
  ];
}

/** The rows by the key `sort`; GPUs by those of `type`, where it is not null. */
function sorted(rows, sort, type) {
  const [key, sign] = sort.startsWith("-") ? [sort.slice(1), -1] : [sort, 1];
  const read = Object.hasOwn(SORTS, key) ? SORTS[key] : SORTS.name;
  return rows.toSorted(
    (a, b) => sign * compared(read(a, type), read(b, type)) || compared(SORTS.name(a), SORTS.name(b))
  );
}

const NAMES = new Intl.Collator("en", { numeric: true });

function compared(one, other) {
  return typeof one === "string" ? NAMES.compare(one, other) : one - other;
}

function suggestions(nodes, clusters) {
  const parts = (key) => nodes.flatMap(({ slurm }) => (slurm[key] ?? "").split(",")).filter(Boolean);
  return {
    cluster_name: clusters.map((cluster) => cluster.name),
    name: nodes.map(({ slurm }) => slurm.name),
    partition: parts("partitions"),
    feature: parts("features"),
  };
}

/** How many GPUs of each type are free, each a link to the nodes that have one. */
function freeGpus(types, kept) {
  if (types.length === 0) return null;
  const tiles = types
    .slice(0, MAX_TYPES)
    .map(({ type, free, total, unusable }) =>
      element(
        "li",
        {},
        linkTo(
          "nodes",
          { ...kept, free: type === "" ? "gpu" : `gpu:${type}`, sort: "-gpus" },
          type === "" ? t("GPUs without a type") : type
        ),
        element("b", {}, tx("{free} free of {total}", { free: grouped(free), total: grouped(total) })),
        unusable > 0 ? element("small", {}, t("{count} out of service", { count: grouped(unusable) })) : null
      )
    );
  return element("ul", { class: "tiles", "aria-label": t("Free GPUs by type") }, tiles);
}

// --- what stands in the table ---------------------------------------------------------------------

const COLUMNS = [
  { title: t("Node"), sort: "name", class: "id", cell: nodeLink },
  { title: t("State"), class: "status", cell: ({ node: { slurm } }) => stateBadge(slurm.state, nodeTone(slurm.state)) },
  {
    title: t("Free CPUs"),
    sort: "cpus",
    mostFirst: true,
    class: "measure",
    cell: ({ facts }) => free(facts, facts.cpus, grouped),
  },
  {
    title: t("Free memory"),
    sort: "memory",
    mostFirst: true,
    class: "measure",
    cell: ({ facts }) => free(facts, facts.memory, memory),
  },
  {
    title: t("Free GPUs"),
    sort: "gpus",
    mostFirst: true,
    class: "measure",
    cell: ({ facts }) => [free(facts, facts.gpus, grouped), types(facts)],
  },
  { title: t("Partitions"), class: "minor", cell: ({ node: { slurm } }) => clipped(slurm.partitions) },
  { title: t("Features"), class: "minor", cell: ({ node: { slurm } }) => clipped(slurm.features) },
  { title: t("Reason"), class: "name", cell: ({ node: { slurm } }) => (slurm.reason ? clipped(slurm.reason) : null) },
];

function nodeLink({ node: { slurm } }) {
  const link = linkTo("node", { cluster_name: slurm.cluster_name, node_name: slurm.name }, slurm.name);
  return [link, " ", element("small", { class: "cluster-name" }, shown(slurm.cluster_name))];
}

/** What is free of what a node has, with a meter of what is not. */
export function free({ usable }, { free: left, total }, words) {
  if (total === 0) return none();
  if (!usable) return element("span", { class: "muted nowrap" }, t("none of {total}", { total: words(total) }));
  if (left === null) return element("span", { class: "nowrap" }, t("unknown of {total}", { total: words(total) }));
  const said = t("{part} of {all}", { part: words(left), all: words(total) });
  return [
    element("span", { class: "nowrap" }, said),
    meter(total - left, total, t("{share} % allocated", { share: Math.round((100 * (total - left)) / total) })),
  ];
}

/** The type of a node's GPUs; of several types, how many of each are free. */
function types({ types: each }) {
  const types = Object.entries(each).filter(([name]) => name !== "");
  const words = ([name, { free: left, total }]) =>
    types.length === 1 || left === null ? name : `${name}: ${t("{part} of {all}", { part: left, all: total })}`;
  return types.map((type) => element("small", { class: "clip of-group" }, plain(words(type))));
}

const CSV_NAMES = [
  "cluster_name",
  "name",
  "state",
  "cpus_free",
  "cpus",
  "memory_free_mib",
  "memory_mib",
  "gpus_free",
  "gpus",
  "gpu_types",
  "partitions",
  "reason",
];

function csvRow({ node: { slurm }, facts: { cpus, memory: mib, gpus, types: each } }) {
  return [
    ...[slurm.cluster_name, slurm.name, slurm.state, cpus.free, cpus.total, mib.free, mib.total, gpus.free, gpus.total],
    ...[Object.keys(each).filter(Boolean).join(" "), slurm.partitions, slurm.reason],
  ];
}
