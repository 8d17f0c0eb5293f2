// The partitions and the reservations of a cluster, as tables.

import { oneValue } from "../frame/address.js";
import { element } from "../parts/elements.js";
import { clipped, linkTo, stateBadge } from "../parts/parts.js";
import { table } from "../parts/table.js";
import { none, shown } from "../words/text.js";
import { length, when } from "../words/times.js";
import { grouped, t } from "../words/words.js";

/** The table of partitions/list and partitions/waits; `counts` are the unfinished jobs by partition and state. */
export function partitionsTable(partitions, counts, waits, cluster) {
  const waited = new Map(waits.map((each) => [each.partition, each]));
  const seen = new Set(partitions.map(({ slurm }) => slurm.name));
  const others = Object.keys(counts)
    .filter((name) => name !== "" && !seen.has(name))
    .map((name) => ({ slurm: { name } }));
  const jobs =
    (state) =>
    ({ slurm }) =>
      jobsLink(cluster, slurm.name, state, counts[slurm.name]?.[state] ?? 0);
  const list = table({
    caption: t("Partitions"),
    columns: [
      {
        title: t("Partition"),
        class: "id",
        cell: ({ slurm }) => linkTo("jobs", { cluster_name: cluster, partition: oneValue(slurm.name) }, slurm.name),
      },
      {
        title: t("State"),
        class: "status",
        cell: ({ slurm }) => (slurm.state ? stateBadge(slurm.state, slurm.state === "UP" ? "good" : "bad") : none()),
      },
      { title: t("Running jobs"), class: "number", cell: jobs("RUNNING") },
      { title: t("Waiting jobs"), class: "number", cell: jobs("PENDING") },
      { title: t("Usual wait"), cell: ({ slurm }) => wait(waited.get(slurm.name)) },
      {
        title: t("Maximum time limit"),
        class: "nowrap",
        cell: ({ slurm }) =>
          Number.isFinite(slurm.max_time) ? length(slurm.max_time) : slurm.state ? t("no limit") : none(),
      },
      {
        title: t("Default time limit"),
        class: "nowrap minor",
        cell: ({ slurm }) => (Number.isFinite(slurm.default_time) ? length(slurm.default_time) : none()),
      },
      { title: t("Nodes"), class: "number", cell: ({ slurm }) => nodesLink(cluster, slurm) },
      {
        title: t("CPUs"),
        class: "number",
        cell: ({ slurm }) => (Number.isFinite(slurm.total_cpus) ? grouped(slurm.total_cpus) : none()),
      },
    ],
    empty: t("No partition is known."),
  });
  list.fill([...partitions, ...others].map((row) => ({ key: row.slurm.name, rows: [row] })));
  return list.node;
}

/** Half of the waits, and within what eight of ten lie; a dash where too few are known. */
function wait(told) {
  if (!told) return none();
  const most = t("eight of ten: {low} to {high}", { low: length(told.low), high: length(told.high) });
  return [element("span", { class: "nowrap" }, length(told.median)), " ", element("small", {}, most)];
}

function jobsLink(cluster, partition, state, count) {
  return count === 0
    ? "0"
    : linkTo("jobs", { cluster_name: cluster, partition: oneValue(partition), job_state: state }, grouped(count));
}

function nodesLink(cluster, { name, total_nodes: total }) {
  return linkTo(
    "nodes",
    { cluster_name: cluster, partition: oneValue(name) },
    Number.isFinite(total) ? grouped(total) : t("show")
  );
}

/** The table of reservations/list. */
export function reservationsTable(reservations) {
  const list = table({
    caption: t("Reservations"),
    columns: [
      { title: t("Reservation"), class: "id", cell: ({ slurm }) => clipped(slurm.name) },
      {
        title: t("State"),
        class: "status",
        cell: ({ slurm }) => (slurm.state ? stateBadge(slurm.state, slurm.state === "ACTIVE" ? "go" : "wait") : none()),
      },
      { title: t("Begins"), class: "nowrap", cell: ({ slurm }) => when(slurm.start_time) },
      { title: t("Ends"), class: "nowrap", cell: ({ slurm }) => when(slurm.end_time) },
      { title: t("Nodes"), cell: ({ slurm }) => clipped(slurm.nodes) },
      {
        title: t("For"),
        cell: ({ slurm }) =>
          [slurm.users, slurm.accounts, slurm.groups].filter(Boolean).map((each) => element("div", {}, shown(each))),
      },
      { title: t("Flags"), class: "minor", cell: ({ slurm }) => clipped(slurm.flags) },
    ],
    empty: t("There is no reservation."),
  });
  list.fill(reservations.map((row) => ({ key: row.slurm.name, rows: [row] })));
  return list.node;
}
