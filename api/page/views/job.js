// One job: what matters, where it has been, what its owner wrote, and all that Slurm said.

import { oneValue } from "../frame/address.js";
import { timeline } from "../parts/drawing.js";
import { element } from "../parts/elements.js";
import { runTime, userOf } from "../slurm/job_facts.js";
import { column, facts, gone, keyTable, linkTo, section, stateBadge } from "../parts/parts.js";
import { isFinished, isWaiting, jobTone } from "../slurm/states.js";
import { clusterTime, length, moment, none, plain, relative, shown, utc } from "../words/text.js";

export function jobView(args) {
  const asked = { job_id: args.job_id ?? "", cluster_name: args.cluster_name ?? "" };
  const content = element("article", { class: "job" });
  return {
    title: `Job ${plain(asked.job_id)}`,
    tab: "jobs",
    content,
    questions: { job: ["jobs/one", asked], history: ["jobs/history", asked] },
    show({ job, history }) {
      if (!job.body.slurm) {
        content.replaceChildren(...absent(asked));
        return "There is no such job.";
      }
      content.replaceChildren(...sections(job.body, history.body));
      return `Job ${plain(asked.job_id)} is ${plain(job.body.slurm.job_state)}`;
    },
  };
}

function absent({ job_id: id, cluster_name: cluster }) {
  return [
    element("h1", {}, "Job ", shown(id)),
    element(
      "p",
      { class: "card" },
      cluster === "" ? "No cluster has a job of this id." : ["There is no job of this id on ", shown(cluster), "."]
    ),
  ];
}

function sections(job, known) {
  const { slurm, cw, user } = job;
  return [
    element(
      "header",
      {},
      element("p", { class: "muted" }, "Job ", shown(slurm.job_id), " on ", shown(slurm.cluster_name)),
      element("h1", {}, shown(slurm.name)),
      element("p", {}, stateBadge(slurm.job_state, jobTone(slurm.job_state)), gone(cw))
    ),
    column(
      section("In short", inShort(job)),
      section("History", ...historyOf(known)),
      section("Written by its owner", ownersPart(user)),
      accountingOf(known.accounting),
      formerJobs(known.former_jobs),
      section("What Clockwork knows", keyTable(cw, "What Clockwork knows of this job"))
    ),
    column(section("All that Slurm said", keyTable(slurm, "All that Slurm said of this job"))),
  ];
}

function inShort(job) {
  const { slurm } = job;
  const cluster = slurm.cluster_name;
  const filtered = (key, value, written = oneValue(value)) =>
    value ? linkTo("jobs", { cluster_name: cluster, [key]: written }, value) : none();
  const time = (text) =>
    moment(text) === null ? shown(text) : [clusterTime(text), " ", element("small", {}, relative(text))];
  const waiting = isWaiting(slurm.job_state);
  const finished = isFinished(slurm.job_state);
  const took = runTime(job, Date.now());
  return facts([
    ["User", filtered("user", userOf(slurm), userOf(slurm))],
    ["Account", filtered("account", slurm.account)],
    ["Partition", filtered("partition", slurm.partition)],
    ["Nodes", shown(slurm.nodes)],
    ["Submitted", time(slurm.submit_time)],
    [waiting ? "Expected to start" : "Started", time(slurm.start_time)],
    [finished ? "Ended" : "Ends by", time(slurm.end_time)],
    ["Run time", took === null ? none() : length(took)],
    ["Time limit", (slurm.time_limit ?? null) === null ? "none" : length(slurm.time_limit)],
    [waiting ? "Waits for" : "Reason", shown(slurm.reason)],
    ["Exit code", shown(slurm.exit_code)],
    ["Command", shown(slurm.command)],
  ]);
}

// --- history --------------------------------------------------------------------------------------

function historyOf(known) {
  const steps = known.history;
  if (steps.length === 0) return [element("p", { class: "muted" }, "No state of it was seen yet.")];
  const until = moment(known.finished_at) ?? moment(known.vanished) ?? Date.now();
  const line = spans(steps, until);
  const told = line.map(({ state, from, to }) => `${plain(state)} ${length((to - from) / 1000)}`).join(", ");
  return [
    timeline(line, told),
    element("ol", { class: "steps" }, steps.map(step)),
    element("p", { class: "muted" }, "Each time is that of the scrape which first showed the state."),
  ];
}

function step({ state, seen }) {
  return element("li", {}, stateBadge(state, jobTone(state)), " ", element("small", {}, relative(seen), " · ", utc(seen)));
}

/** The states of a history, [{state, seen}], as lengths of time: each until the next, the last until `end`. */
export function spans(steps, end) {
  return steps.map(({ state, seen }, index) => {
    const from = moment(seen) ?? end;
    const to = moment(steps[index + 1]?.seen) ?? Math.max(end, from);
    return { state: state ?? "unknown", tone: jobTone(state), from, to };
  });
}

function accountingOf(accounting) {
  return accounting === null ? null : section("What sacct says of its end", keyTable(accounting, "What sacct says"));
}

function formerJobs(jobs) {
  if (jobs.length === 0) return null;
  const lines = jobs.map(({ slurm }) =>
    element("li", {}, stateBadge(slurm.job_state, jobTone(slurm.job_state)), " ", shown(slurm.name), " ", element("small", {}, "submitted ", relative(slurm.submit_time)))
  );
  return section("Former jobs of this id", element("ol", { class: "steps" }, lines));
}

// --- the owner's part -----------------------------------------------------------------------------

function ownersPart(user) {
  return Object.keys(user).length === 0
    ? element("p", { class: "muted" }, "Nothing yet. The owner of a job can write to it with jobs/user_dict_update.")
    : keyTable(user, "Written by the job's owner");
}
