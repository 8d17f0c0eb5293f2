// Why a job waits: Slurm's word for it as a sentence.

import { t } from "../words/words.js";

const REASONS = {
  None: t("The scheduler has not looked at the job yet."),
  Priority: t("Jobs with a higher priority come first."),
  Resources: t("The resources that the job asks for are not free yet."),
  Dependency: t("The job waits for other jobs on which it depends."),
  DependencyNeverSatisfied: t(
    "The job will never start: a job on which it depends has failed. Cancel it or change its dependency."
  ),
  JobHeldUser: t("The job is held by its owner. It starts only after scontrol release."),
  JobHeldAdmin: t("The job is held by an administrator."),
  BeginTime: t("The time at which the job may begin is not reached yet."),
  JobArrayTaskLimit: t("The array already runs as many tasks at once as it allows."),
  ReqNodeNotAvail: t("A node that the job needs is not available: it is down, drained or reserved."),
  PartitionDown: t("The partition does not start jobs now."),
  PartitionInactive: t("The partition takes no jobs now."),
  PartitionNodeLimit: t("The job asks for more nodes than its partition allows, or for nodes that are down."),
  PartitionTimeLimit: t("The time limit of the job is longer than its partition allows."),
  Reservation: t("The reservation of the job has not begun yet."),
  ReservationDeleted: t("The reservation of the job was deleted."),
  Licenses: t("The licences that the job asks for are in use."),
  Cleaning: t("The job is put back into the queue, and its last run is still being cleaned up."),
  NodeDown: t("A node that the job needs is down."),
  BadConstraints: t("No node of the partition can ever meet what the job asks for."),
  InvalidAccount: t("The account of the job is not valid."),
  InvalidQOS: t("The QOS of the job is not valid."),
  JobLaunchFailure: t("The job could not be started on its nodes."),
  JobHoldMaxRequeue: t("The job was put back into the queue too often, and is held."),
  MaxRequeue: t("The job was put back into the queue too often, and is held."),
  launch: t("The start of the job failed, and the job is held. It starts only after scontrol release."),
  Prolog: t("The node is being prepared for the job."),
  NodesNotReady: t("The nodes of the job are still starting."),
  Nodes: t("The nodes that the job asks for are not available, or reserved for jobs with a higher priority."),
  QOSNotAllowed: t("The partition or the account does not allow the QOS of the job."),
  AccountNotAllowed: t("The partition does not allow the account of the job."),
  BurstBufferResources: t("The burst buffer has no room for the job yet."),
  BurstBufferStageIn: t("The files of the job are being copied to the burst buffer."),
  DeadLine: t("The job cannot end before its deadline."),
  SchedDefer: t("The scheduler looks at the job in its next round."),
  Federation: t("The job waits for another cluster of the federation."),
};

// The words of limits are put together: "QOSMaxCpuPerUserLimit", "AssocGrpGRESMinutes".
const LIMIT = /^(Assoc|QOS)?(Grp|Max)(.*?)(?:PerUser|PerAccount|PerJob|PerNode)?(?:Limit)?$/;
const AMOUNTS = [
  [/Min(ute)?s|RunM/, t("CPU or GPU time")],
  [/GRES|Gres/, t("GPUs or other GRES")],
  [/CPU|Cpu/, t("CPUs")],
  [/Mem/, t("memory")],
  [/Node/, t("nodes")],
  [/Submit/, t("submitted jobs")],
  [/Job/, t("running jobs")],
  [/Wall/, t("run time")],
  [/Billing/, t("billing units")],
  [/License/, t("licences")],
  [/./, t("resources")],
];

/** A sentence for a job's reason; null where there is none, or where the page knows no sentence for it. */
export function reasonInWords(reason) {
  const word = /^\(?([A-Za-z]+)/.exec(reason ?? "")?.[1];
  if (word === undefined) return null;
  return Object.hasOwn(REASONS, word) ? REASONS[word] : limitInWords(word);
}

function limitInWords(word) {
  const match = LIMIT.exec(word);
  if (match === null || match[3] === "") return null;
  const [, , scope, amount] = match;
  const what = AMOUNTS.find(([pattern]) => pattern.test(amount))[1];
  if (/PerJob|PerNode/.test(word)) return t("The job asks for more than a limit allows: {what}.", { what });
  if (/PerUser/.test(word)) return t("The user's jobs have reached a limit: {what}.", { what });
  if (/PerAccount/.test(word)) return t("The account's jobs have reached a limit: {what}.", { what });
  if (scope === "Grp") return t("The jobs of the account or QOS together have reached a limit: {what}.", { what });
  return t("The job would go beyond a limit of its account or QOS: {what}.", { what });
}
