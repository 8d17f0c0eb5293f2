// One job: what it does and why, what it asks for, where it has been, what its owner wrote, and all else.

import { meter, timeline } from "../parts/drawing.js";
import { element, refill } from "../parts/elements.js";
import { column, facts, foldedKeys, gone, keyTable, linkTo, section, staleness, stateBadge } from "../parts/parts.js";
import { expanded } from "../slurm/hostlist.js";
import { squeueId } from "../slurm/ids.js";
import { knownUntil, resources, runTime, userOf, WHY } from "../slurm/job_facts.js";
import { hasStopped, isFinished, isWaiting, jobTone } from "../slurm/states.js";
import { none, plain, shown } from "../words/text.js";
import { length, memory, moment, relative, when } from "../words/times.js";
import { grouped, LANGUAGE, t, tx } from "../words/words.js";
import { findView } from "./find.js";
import { jobInWords } from "./job_in_words.js";
import { componentLinks, dependencyLinks, jobsOf, linkedKey } from "./job_links.js";
import { ownersPart } from "./owners_part.js";
import { usagePart } from "./usage_part.js";
import { whyPart } from "./why_part.js";

export function jobView(args, goTo, session) {
  if (!args.cluster_name) return findView({ q: args.job_id }, goTo); // several clusters may have the id
  const asked = { job_id: args.job_id ?? "", cluster_name: args.cluster_name };
  const content = element("article", { class: "job" });
  const owners = ownersPart(session, asked);
  return {
    title: t("Job {id}", { id: plain(asked.job_id) }),
    tab: "jobs",
    content,
    questions: {
      job: ["jobs/one", { ...asked, fields: `slurm,cw,cw.${WHY},user` }],
      history: ["jobs/history", asked],
      why: ["jobs/why", { ...asked, language: LANGUAGE }],
      clusters: ["clusters/list", {}],
    },
    later: ["why"],
    show({ job, history, why = { body: {} }, clusters }) {
      if (!job.body.slurm) {
        refill(content, absent(asked));
        return t("There is no such job.");
      }
      const { cluster_name: cluster, job_state: state } = job.body.slurm;
      const until = knownUntil(clusters.body, Date.now())(cluster);
      const old = staleness(clusters.body, (name) => name === cluster);
      refill(content, sections(job.body, history.body, why.body, until, old, owners));
      return t("Job {id} is {state}", { id: plain(asked.job_id), state: plain(state) });
    },
  };
}

function absent({ job_id: id, cluster_name: cluster }) {
  const words = tx("There is no job of this id on {cluster}.", { cluster: shown(cluster) });
  return [element("h1", {}, tx("Job {id}", { id: shown(id) })), element("p", { class: "card whole" }, words)];
}

function sections(job, known, why, until, old, owners) {
  const { slurm, cw, user } = job;
  return [
    element(
      "header",
      {},
      element(
        "p",
        { class: "muted" },
        tx("Job {id} on {cluster}", { id: shown(squeueId(slurm)), cluster: shown(slurm.cluster_name) })
      ),
      element("h1", {}, shown(slurm.name)),
      element(
        "p",
        { class: "why" },
        stateBadge(slurm.job_state, jobTone(slurm.job_state)),
        gone(cw),
        " ",
        element("span", { id: "why" }, jobInWords(job, until, why))
      ),
      old
    ),
    column(
      isWaiting(slurm.job_state) ? whyPart(why) : null,
      section(t("Resources"), resourcesOf(job, until)),
      usagePart(cw.usage),
      section(t("History"), ...historyOf(known, until))
    ),
    column(
      section(t("About the job"), about(slurm)),
      owners.part(job, user),
      accountingOf(known.accounting),
      formerJobs(known.former_jobs)
    ),
    element(
      "div",
      { class: "column whole" },
      foldedKeys(t("All that Slurm says"), slurm, (key) => linkedKey(key, slurm)),
      foldedKeys(t("What Clockwork knows"), { ...cw, [WHY]: null })
    ),
  ];
}

function resourcesOf(job, until) {
  const { slurm } = job;
  const has = resources(slurm);
  return facts([
    [t("Nodes"), has.nodes ? grouped(has.nodes) : none()],
    [t("CPUs"), has.cpus ? grouped(has.cpus) : none()],
    [t("Memory"), memory(has.memory || NaN) ?? none()],
    [
      t("GPUs"),
      has.gpus
        ? [grouped(has.gpus), has.types.length ? [" ", element("small", {}, shown(has.types.join(", ")))] : null]
        : none(),
    ],
    timeOf(runTime(job, until), slurm.time_limit ?? null),
  ]);
}

/** The run time of the limit, both in seconds; the limit alone for a job that has not run. */
function timeOf(took, limit) {
  const most = limit === null ? t("no limit") : length(limit);
  if (took === null) return [t("Time limit"), most];
  const said = t("{time} of {limit}", { time: length(took), limit: most });
  return [t("Run time"), said, limit === null ? null : meter(took, limit, said)];
}

function about(slurm) {
  const cluster = slurm.cluster_name;
  const finished = isFinished(slurm.job_state);
  return facts([
    [t("User"), jobsOf("user", userOf(slurm), cluster)],
    [t("Account"), jobsOf("account", slurm.account, cluster)],
    [t("Partition"), (slurm.partition ?? "").split(",").map((each) => [jobsOf("partition", each, cluster), " "])],
    slurm.nodes ? [t("Nodes"), nodesOf(slurm.nodes, cluster)] : null,
    ...times(slurm),
    slurm.reason && !finished ? [t("Slurm's reason"), shown(slurm.reason)] : null,
    ...relatives(slurm, cluster),
    finished ? [t("Exit code"), shown(slurm.exit_code)] : null,
    slurm.command ? [t("Command"), shown(slurm.command)] : null,
    slurm.work_dir ? [t("Working directory"), shown(slurm.work_dir)] : null,
    slurm.stdout ? [t("Output"), shown(slurm.stdout)] : null,
  ]);
}

function times({ job_state: state, submit_time: submitted, start_time: start, end_time: end }) {
  const waiting = isWaiting(state);
  const told = (text) => (moment(text) === null ? none() : [when(text), " ", element("small", {}, relative(text))]);
  return [
    [t("Submitted"), told(submitted)],
    waiting && moment(start) === null ? null : [waiting ? t("Expected start") : t("Started"), told(start)],
    waiting || moment(end) === null ? null : [hasStopped(state) ? t("Ended") : t("Ends at the latest"), told(end)],
  ];
}

/** Links to what a job belongs to or depends on. */
function relatives(slurm, cluster) {
  const { array_job_id: array, het_job_id: het, resv_name: reservation } = slurm;
  return [
    slurm.dependency ? [t("Dependency"), dependencyLinks(slurm.dependency, cluster)] : null,
    array ? [t("Array"), jobsOf("array_job_id", array, cluster)] : null,
    het ? [t("Heterogeneous job"), componentLinks(slurm)] : null,
    reservation ? [t("Reservation"), linkTo("cluster", { cluster_name: cluster }, reservation)] : null,
  ];
}

/** A link to each node of a list of hosts; a list of very many stays text. */
function nodesOf(text, cluster) {
  const names = expanded(text);
  if (names === null) return shown(text);
  return names.map((name) => [linkTo("node", { cluster_name: cluster, node_name: name }, name), " "]);
}

// --- history --------------------------------------------------------------------------------------

function historyOf(known, now) {
  const steps = known.history;
  if (steps.length === 0) return [element("p", { class: "muted" }, t("Clockwork has not seen a state of it yet."))];
  const until = moment(known.finished_at) ?? moment(known.vanished) ?? now;
  const line = spans(steps, until);
  const told = line.map(({ state, from, to }) => `${plain(state)} ${length((to - from) / 1000)}`).join(", ");
  return [
    timeline(line, told),
    element("ol", { class: "steps" }, steps.map(step)),
    element("p", { class: "muted" }, t("Each time is when Clockwork first saw the state.")),
  ];
}

function step({ state, seen }) {
  return element(
    "li",
    {},
    stateBadge(state, jobTone(state)),
    " ",
    when(seen),
    " ",
    element("small", {}, relative(seen))
  );
}

/** The states of a history, [{state, seen}], as lengths of time: each until the next, the last until `end`. */
export function spans(steps, end) {
  return steps.map(({ state, seen }, index) => {
    const from = moment(seen) ?? end;
    const to = moment(steps[index + 1]?.seen) ?? Math.max(end, from);
    return { state: state ?? t("unknown"), tone: jobTone(state), from, to };
  });
}

function accountingOf(accounting) {
  return accounting === null
    ? null
    : section(t("What sacct says of its end"), keyTable(accounting, t("What sacct says of its end")));
}

function formerJobs(jobs) {
  if (jobs.length === 0) return null;
  const lines = jobs.map(({ slurm }) =>
    element(
      "li",
      {},
      stateBadge(slurm.job_state, jobTone(slurm.job_state)),
      " ",
      shown(slurm.name),
      " ",
      element("small", {}, tx("submitted {when}", { when: relative(slurm.submit_time) }))
    )
  );
  return section(t("Earlier jobs with this id"), element("ol", { class: "steps" }, lines));
}
