// What a job used, as sacct told after its end: CPU time, memory, GPUs and energy, with bars.

import { meter } from "../parts/drawing.js";
import { element } from "../parts/elements.js";
import { facts, section } from "../parts/parts.js";
import { length, memory } from "../words/times.js";
import { t } from "../words/words.js";

const BYTES_PER_MIB = 2 ** 20;
const JOULES_PER_KWH = 3_600_000;

/** The section for `cw.usage` of a job; null where sacct told nothing. */
export function usagePart(usage) {
  return usage
    ? section(t("What it used"), facts([cpu(usage), mainMemory(usage), gpus(usage), gpuMemory(usage), energy(usage)]))
    : null;
}

function cpu({ cpu_seconds: used, elapsed_seconds: elapsed, cpus, cpu_efficiency: share }) {
  const said = t("{time} of {limit}", { time: length(used), limit: length(elapsed * cpus) });
  return [t("CPU time"), said, ...shareOf(share, t("CPU time"))];
}

function mainMemory({ peak_memory_bytes: peak, memory_bytes: given, memory_efficiency: share }) {
  if (peak === null) return null;
  const said = given === null ? amount(peak) : t("{part} of {all}", { part: amount(peak), all: amount(given) });
  return [t("Most memory at a time"), said, ...shareOf(share, t("Most memory at a time"))];
}

function gpus({ gpu_utilization: percent }) {
  return percent === null ? null : [t("GPUs, on average"), ...shareOf(percent / 100, t("GPUs, on average"))];
}

function gpuMemory({ peak_gpu_memory_bytes: peak }) {
  return peak === null ? null : [t("Most GPU memory at a time"), amount(peak)];
}

function energy({ energy_joules: joules }) {
  return joules === null ? null : [t("Energy"), `${(joules / JOULES_PER_KWH).toPrecision(2)} kWh`];
}

function amount(bytes) {
  return memory(bytes / BYTES_PER_MIB);
}

/** A share in per cent with its bar; nothing where it is not known. */
function shareOf(share, title) {
  if (share === null) return [];
  const said = t("{share} %", { share: Math.round(100 * share) });
  return [" ", element("b", {}, said), meter(share, 1, `${title}: ${said}`)];
}
