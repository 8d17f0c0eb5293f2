// What a job does now, why and until when, in one or two sentences.

import { runTime, WHY } from "../slurm/job_facts.js";
import { hasStopped, isFinished, isWaiting } from "../slurm/states.js";
import { plain } from "../words/text.js";
import { clock, length, moment } from "../words/times.js";
import { t } from "../words/words.js";

// Reasons with which no job starts by itself.
const STAYS = /Never|Held/;

/** The sentences for a job whose cluster is known until `until` (ms); `why` is the answer of jobs/why. */
export function jobInWords(job, until, why = {}) {
  const { slurm, cw } = job;
  if (cw.vanished && !isFinished(slurm.job_state)) return t("Clockwork did not see how it ended.");
  if (isWaiting(slurm.job_state)) return waits(job, until, why);
  const took = runTime(job, until);
  const ran = took === null ? t("an unknown time") : length(took);
  if (/^SUSPENDED/.test(slurm.job_state)) return t("It ran for {time} and is suspended.", { time: ran });
  if (!hasStopped(slurm.job_state)) return [t("It has run for {time}.", { time: ran }), endsBy(slurm, until)].join(" ");
  return [t("It ran for {time}.", { time: ran }), exit(slurm.exit_code)].join(" ");
}

function waits({ slurm, cw }, until, why) {
  const submitted = moment(slurm.submit_time);
  const since = submitted === null ? "" : t("It has waited for {time}.", { time: length((until - submitted) / 1000) });
  const start = moment(slurm.start_time);
  const expected =
    start !== null
      ? t("Slurm expects it to start at {time}.", { time: clock(start) })
      : STAYS.test(slurm.reason)
        ? ""
        : t("Slurm does not forecast its start yet.");
  return [cw[WHY], why.remedy, since, expected].filter(Boolean).join(" ");
}

function endsBy(slurm, until) {
  const end = moment(slurm.end_time);
  return end === null || end < until ? "" : t("Its time limit ends it at {time} at the latest.", { time: clock(end) });
}

// Slurm prints the status and the signal that ended a job: "0:15".
function exit(code) {
  const [status = "0", signal = "0"] = String(code ?? "").split(":");
  if (signal !== "0") return t("A signal ended it: {signal}.", { signal: plain(signal) });
  return status === "0" || status === "" ? "" : t("Its exit code was {code}.", { code: plain(status) });
}
