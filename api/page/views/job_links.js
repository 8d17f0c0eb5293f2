// Links to jobs: by the id that squeue shows, to the jobs of a user, of an array, of a heterogeneous job.

import { oneValue } from "../frame/address.js";
import { element } from "../parts/elements.js";
import { linkTo } from "../parts/parts.js";
import { expanded } from "../slurm/hostlist.js";
import { dependencyParts, squeueId } from "../slurm/ids.js";
import { none, shown } from "../words/text.js";

/** The link to a job; its text is the id that squeue shows. */
export function jobLink(slurm) {
  return linkTo("job", { cluster_name: slurm.cluster_name, job_id: slurm.job_id }, squeueId(slurm));
}

/** The link to what an id as people write it stands for: a job, a task, or all tasks of an array. */
export function idLink(id, cluster) {
  return linkTo("find", { q: `${cluster}/${id}` }, id);
}

/** The link to the jobs of a user, of a node and so on: `key` is the filter. */
export function jobsOf(key, value, cluster, text = value) {
  const written = key === "user" ? value : oneValue(value); // alone among these, `user` takes one value
  return value ? linkTo("jobs", { cluster_name: cluster, [key]: written }, text) : none();
}

/** A dependency, "afterok:4_3(unfulfilled)", each id in it a link. */
export function dependencyLinks(text, cluster) {
  return dependencyParts(text).map((part) => [
    part.isId ? idLink(part.text, cluster) : shown(part.text),
    element("wbr"),
  ]);
}

/** Links to the components of a heterogeneous job, "26+0 26+1", of a set of ids such as "26-27"; a very large set stays text. */
export function componentLinks({ het_job_id: first, het_job_id_set: set, cluster_name: cluster }) {
  const ids = expanded(`[${set ?? first}]`);
  if (ids === null) return [jobOf(first, first, cluster), " ", shown(set)];
  return ids.map((id, offset) => [jobOf(id, `${first}+${offset}`, cluster), " "]);
}

function jobOf(id, text, cluster) {
  return linkTo("job", { cluster_name: cluster, job_id: id }, text);
}

const LINKED = {
  array_job_id: (id, { cluster_name: cluster }) => jobsOf("array_job_id", id, cluster),
  het_job_id: (id, { cluster_name: cluster }) => jobOf(id, id, cluster),
  het_job_id_set: (_set, slurm) => componentLinks(slurm),
  dependency: (text, { cluster_name: cluster }) => dependencyLinks(text, cluster),
};

/** What stands for a key of a job in whose value are ids of jobs: links; null for other keys. */
export function linkedKey(key, slurm) {
  return Object.hasOwn(LINKED, key) ? LINKED[key](slurm[key], slurm) : null;
}
