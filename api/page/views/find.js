// What the search field finds: jobs by an id as people write it; else a node, a user, jobs of a name.

import { oneValue } from "../frame/address.js";
import { element, refill } from "../parts/elements.js";
import { linkTo, stateBadge } from "../parts/parts.js";
import { squeueId, typedId } from "../slurm/ids.js";
import { userOf } from "../slurm/job_facts.js";
import { jobTone, nodeTone } from "../slurm/states.js";
import { plain, shown } from "../words/text.js";
import { counted, t, tx } from "../words/words.js";

const KEYS = [
  "job_id",
  "cluster_name",
  "name",
  "job_state",
  "mila_cluster_username",
  "cc_account_username",
  "username",
];
const TASK_KEYS = ["array_job_id", "array_task_id", "het_job_id", "het_job_offset"];
const ASKED = [...KEYS, ...TASK_KEYS].map((key) => `slurm.${key}`).join(",");
const MOST = "1000";

export function findView(args, goTo) {
  const text = (args.q ?? "").trim();
  const wanted = typedId(text);
  const title = t("Search: {text}", { text: plain(text) });
  const found = element("div", { class: "card" });
  return {
    title,
    tab: null,
    content: element(
      "div",
      {},
      element("div", { class: "page-title" }, element("h1", {}, tx("Search: {text}", { text: shown(text) }))),
      found
    ),
    ask: (ask) => (text === "" ? { jobs: [] } : wanted === null ? byName(ask, text) : byId(ask, wanted)),
    show({ jobs, nodes = [], links = [] }) {
      if (jobs.length + nodes.length === 1 && links.length === 0) {
        const [only] = [...jobs.map(jobPlace), ...nodes.map(nodePlace)];
        goTo(...only, true);
        return "";
      }
      refill(found, jobs.length + nodes.length + links.length === 0 ? nothing(wanted) : listed(jobs, nodes, links));
      return counted(jobs.length, "job");
    },
  };
}

function jobPlace({ slurm }) {
  return ["job", { cluster_name: slurm.cluster_name, job_id: slurm.job_id }];
}

function nodePlace({ slurm }) {
  return ["node", { cluster_name: slurm.cluster_name, node_name: slurm.name }];
}

/** The jobs with an id: of one cluster, or of every cluster that has such a job. */
async function byId(ask, { cluster, id, task, offset }) {
  const clusters = cluster === null ? (await ask("clusters/list", {})).body.map(({ name }) => name) : [cluster];
  const asked = clusters.map((name) =>
    task === null && offset === null
      ? ask("jobs/one", { cluster_name: name, job_id: id }).then(({ body }) => (body.slurm ? [body] : []))
      : members(ask, name, { id, task, offset })
  );
  return { jobs: (await Promise.all(asked)).flat() };
}

async function members(ask, cluster, { id, task, offset }) {
  if (offset !== null) {
    // Slurm numbers the components of a heterogeneous job one after the other.
    const { body } = await ask("jobs/one", { cluster_name: cluster, job_id: String(BigInt(id) + BigInt(offset)) });
    return body.slurm && String(body.slurm.het_job_id) === id ? [body] : [];
  }
  const list = async (wanted) =>
    (await ask("jobs/list", { cluster_name: cluster, ...wanted, fields: ASKED, limit: MOST })).body;
  const exact = task === "" ? [] : await list({ job_id: `${id}_${task}` });
  if (exact.length > 0) return exact;
  const all = await list({ array_job_id: id });
  return task === "" ? all : all.filter(({ slurm }) => !/^\d+$/.test(slurm.array_task_id ?? "")); // not started yet
}

async function byName(ask, text) {
  const value = oneValue(text);
  const [nodes, ofUser, ofName] = await Promise.all([
    ask("nodes/list", { name: value, fields: "slurm.name,slurm.cluster_name,slurm.state" }),
    ask("jobs/list", { user: text, count: "true" }),
    ask("jobs/list", { name: value, count: "true" }),
  ]);
  const links = [
    [t("Jobs of this user"), { user: text, time: "all" }, ofUser.body.count],
    [t("Jobs with this name"), { name: value, time: "all" }, ofName.body.count],
  ].filter(([, , count]) => count > 0);
  return { jobs: [], nodes: nodes.body, links };
}

function nothing(wanted) {
  return element(
    "p",
    {},
    wanted === null ? t("No node, no user and no job has this name.") : t("No cluster has a job of this id.")
  );
}

function listed(jobs, nodes, links) {
  return element(
    "ul",
    { class: "steps" },
    jobs.map(({ slurm }) =>
      element(
        "li",
        {},
        linkTo(...jobPlace({ slurm }), `${slurm.cluster_name}/${squeueId(slurm)}`),
        " ",
        stateBadge(slurm.job_state, jobTone(slurm.job_state)),
        " ",
        shown(slurm.name),
        " ",
        element("small", {}, shown(userOf(slurm)))
      )
    ),
    nodes.map(({ slurm }) =>
      element(
        "li",
        {},
        linkTo(...nodePlace({ slurm }), `${slurm.cluster_name}/${slurm.name}`),
        " ",
        stateBadge(slurm.state, nodeTone(slurm.state))
      )
    ),
    links.map(([title, args, count]) =>
      element("li", {}, linkTo("jobs", args, title), " ", element("small", {}, counted(count, "job")))
    )
  );
}
