// Slurm's states of jobs and nodes: which are ends, and in which of seven tones they are drawn.
//
// A tone is a class of page.css: go, half, wait, good, bad, odd, off. It never stands alone: the state's
// own word is always beside it.

const JOB_TONES = {
  RUNNING: "go",
  COMPLETING: "go",
  STAGE_OUT: "go",
  SIGNALING: "go",
  RESIZING: "go",
  CONFIGURING: "wait",
  PENDING: "wait",
  REQUEUED: "wait",
  REQUEUE_FED: "wait",
  REQUEUE_HOLD: "wait",
  RESV_DEL_HOLD: "wait",
  SPECIAL_EXIT: "odd",
  SUSPENDED: "odd",
  STOPPED: "odd",
  PREEMPTED: "odd",
  COMPLETED: "good",
  FAILED: "bad",
  TIMEOUT: "bad",
  OUT_OF_MEMORY: "bad",
  NODE_FAIL: "bad",
  BOOT_FAIL: "bad",
  DEADLINE: "bad",
  CANCELLED: "off",
  REVOKED: "off",
};

/** The states that a filter offers even where no job has them now. */
export const COMMON_JOB_STATES = [
  ...["RUNNING", "PENDING", "COMPLETING", "SUSPENDED"],
  ...["COMPLETED", "FAILED", "TIMEOUT", "OUT_OF_MEMORY", "CANCELLED", "PREEMPTED", "NODE_FAIL"],
];

const FINISHED = new Set([
  ...["BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"],
  ...["OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"],
]);

/** Whether a job of this state has ended; until then, the end that Slurm gives is a forecast. */
export function isFinished(state) {
  return FINISHED.has(firstWord(state));
}

/** Whether a job of this state runs no longer: the end that Slurm gives is no forecast. While its nodes are cleaned, it has not ended. */
export function hasStopped(state) {
  return isFinished(state) || firstWord(state) === "COMPLETING";
}

/** Whether a job of this state waits; its start, if it has one, is a forecast. */
export function isWaiting(state) {
  return jobTone(state) === "wait";
}

/** Whether a job of this state has begun and does not run now. */
export function isSuspended(state) {
  return ["SUSPENDED", "STOPPED"].includes(firstWord(state));
}

/** The tone of a job's state; Slurm may join a state and its flags: "RUNNING+COMPLETING". */
export function jobTone(state) {
  return JOB_TONES[firstWord(state)] ?? "off";
}

// The first that is in a node's state decides.
const NODE_TONES = [
  [/DOWN|FAIL|ERROR|NOT_RESPONDING|UNKNOWN|INVALID|\*/, "bad"],
  [/DRAIN|MAINT|REBOOT|BLOCKED/, "odd"],
  [/POWERED_OFF|\bPOWER\b|[~%!]/, "off"],
  [/POWER(ING)?_UP|RESERVED|PLANNED|\bFUTURE|#|-/, "wait"],
  [/ALLOC|COMP/, "go"],
  [/MIX/, "half"],
  [/IDLE/, "good"],
];

/** The tone of a node's state with its flags, as scontrol prints it: "IDLE+DRAIN", "DOWN*". */
export function nodeTone(state) {
  // Powered down is no failure, whatever else the word holds, and such a node does not respond.
  let text = String(state ?? "").replace(/POWER(ED|ING)?_DOWN/g, "POWERED_OFF");
  if (text.includes("POWER")) text = text.replace("NOT_RESPONDING", "");
  return NODE_TONES.find(([pattern]) => pattern.test(text))?.[1] ?? "off";
}

const TONE_ORDER = ["go", "half", "wait", "good", "odd", "bad", "off"];

/** Whether a node of this state takes no jobs now: what it has is not free, whatever its use. */
export function isOutOfService(state) {
  return ["bad", "odd", "off"].includes(nodeTone(state)) || /RESERVED|\bFUTURE|_UP|#/.test(String(state ?? ""));
}

/** Counts by state, {state: count}, as [{state, count, tone}] in the order of the tones, large first. */
export function toneOrdered(counts, toneOf) {
  return Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => ({ state, count, tone: toneOf(state) }))
    .sort(
      (a, b) =>
        TONE_ORDER.indexOf(a.tone) - TONE_ORDER.indexOf(b.tone) || b.count - a.count || (a.state < b.state ? -1 : 1)
    );
}

function firstWord(state) {
  return /^[A-Z_]*/.exec(String(state ?? ""))[0];
}
