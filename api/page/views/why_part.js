// More about why a job waits: its place, how long such jobs waited, what stands in its way.

import { element } from "../parts/elements.js";
import { column, facts, linkTo, section, stateBadge } from "../parts/parts.js";
import { jobTone, nodeTone } from "../slurm/states.js";
import { shown } from "../words/text.js";
import { length, when } from "../words/times.js";
import { grouped, t, tx } from "../words/words.js";
import { idLink } from "./job_links.js";

// Slurm's words for what has to happen to the other job first.
const MEANINGS = {
  after: t("Start of"),
  afterany: t("End of"),
  afterok: t("Success of"),
  afternotok: t("Failure of"),
  aftercorr: t("Success of the same task of"),
  afterburstbuffer: t("End of, with its burst buffer,"),
  singleton: t("End of all earlier jobs of this name and user"),
};
const FULFILLED = { unfulfilled: t("not yet"), failed: t("can no longer happen") };

/** The section for the answer of jobs/why; null for a job that does not wait. */
export function whyPart(why) {
  if (!why.sentence) return null;
  const cluster = why.cluster_name;
  return section(
    t("Why it waits"),
    facts([
      ...why.places.map((each) => [tx("Place in {partition}", { partition: shown(each.partition) }), place(each)]),
      ...why.waits.map((each) => [
        tx("Jobs like it in {partition}", { partition: shown(each.partition) }),
        waits(each),
      ]),
      why.forecast === null ? null : [t("Slurm's forecast"), forecast(why.forecast)],
      why.nodes && why.nodes.unavailable > 0 ? [t("Nodes out of service"), nodes(why.nodes, cluster)] : null,
    ]),
    why.dependencies.length === 0
      ? null
      : list(
          t("It depends on"),
          why.dependencies.map((each) => dependency(each, cluster))
        ),
    why.reservations.length === 0 ? null : list(t("Reservations in its way"), why.reservations.map(reservation))
  );
}

function list(title, items) {
  return column(
    element("h3", {}, title),
    element(
      "ul",
      { class: "steps" },
      items.map((item) => element("li", {}, item))
    )
  );
}

function place({ ahead, pending }) {
  return t("{ahead} of {pending} waiting jobs come first", { ahead: grouped(ahead), pending: grouped(pending) });
}

function waits({ low, median, high, count }) {
  const words = t("Half waited less than {median}, and eight of ten between {low} and {high}.", {
    ...{ median: length(median), low: length(low), high: length(high) },
  });
  return [words, " ", element("small", {}, t("From {count} jobs.", { count: grouped(count) }))];
}

function forecast({ start_time: start, half_within: half }) {
  const error =
    half === null
      ? null
      : element("small", {}, t("Half of such forecasts were wrong by less than {time}.", { time: length(half) }));
  return [when(start), " ", error];
}

function nodes({ total, unavailable, named }, cluster) {
  const words = t("{part} of {all}", { part: grouped(unavailable), all: grouped(total) });
  const each = named.map(({ name, state }) => [
    linkTo("node", { cluster_name: cluster, node_name: name }, name),
    " ",
    stateBadge(state, nodeTone(state)),
    " ",
  ]);
  return [words, element("details", {}, element("summary", { "data-key": "bad nodes" }, t("Which")), each)];
}

function dependency({ type, job_id: id, array_task_id: task, job_states: states, fulfilled }, cluster) {
  const job = id === null ? null : [" ", idLink(task === null ? id : `${id}_${task}`, cluster)];
  return [
    MEANINGS[type] ?? shown(type),
    job,
    " ",
    states.map((state) => [stateBadge(state, jobTone(state)), " "]),
    fulfilled === null ? null : element("small", {}, FULFILLED[fulfilled] ?? shown(fulfilled)),
  ];
}

function reservation({ name, start_time: start, end_time: end, nodes: names }) {
  return [shown(name), " ", when(start), " – ", when(end), " ", element("small", {}, shown(names))];
}
