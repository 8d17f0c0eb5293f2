// What of a node is free now. What a node that is down, drained, reserved or powered down has is not free.

import { isOutOfService } from "./states.js";
import { nodeGpus, nodeGpusByType, readTres } from "./tres.js";

/**
 * {usable, cpus, memory, gpus, types} of a node: each {free, total}, memory in MiB.
 *
 * `types` are the GPUs by type. `free` is null where Slurm does not tell what is allocated.
 */
export function nodeFacts({ slurm, cw }) {
  const usable = !cw.vanished && !isOutOfService(slurm.state);
  const [has, holds] = [readTres(slurm.cfg_tres), readTres(slurm.alloc_tres)];
  const free = (total, allocated) => {
    if (!usable) return { free: 0, total };
    return { free: allocated === null ? null : Math.max(0, total - allocated), total };
  };
  const gpus = nodeGpus(slurm);
  const types = Object.entries(nodeGpusByType(slurm)).map(([type, each]) => [type, free(each.total, each.allocated)]);
  return {
    usable,
    cpus: free(has.cpus, holds.cpus),
    memory: free(has.memory, holds.memory),
    gpus: free(gpus.total, gpus.allocated),
    types: Object.fromEntries(types),
  };
}

/** Sums by type of GPU, [{type, free, total, unusable}], most first; `free` leaves out what is unknown. */
export function gpusByType(facts) {
  const sums = new Map();
  for (const { usable, types } of facts) {
    for (const [type, { free, total }] of Object.entries(types)) {
      const sum = sums.get(type) ?? { type, free: 0, total: 0, unusable: 0 };
      sum.free += free ?? 0;
      sum.total += total;
      if (!usable) sum.unusable += total;
      sums.set(type, sum);
    }
  }
  return [...sums.values()].sort((a, b) => b.total - a.total || (a.type < b.type ? -1 : 1));
}

/** Whether something is free: "cpu", "gpu", or "gpu:" and a type. */
export function hasFree(facts, what) {
  if (what === "cpu") return facts.cpus.free > 0;
  if (what === "gpu") return facts.gpus.free > 0;
  return (facts.types[what.slice("gpu:".length)]?.free ?? 0) > 0;
}

/** In which fifth of its use a node is, 0 to 4, by what of its GPUs is held, or of its CPUs where it has none. */
export function useLevel({ usable, cpus, gpus }) {
  const { free, total } = gpus.total > 0 && gpus.free !== null ? gpus : cpus;
  if (!usable || total === 0) return 0;
  return Math.ceil(((total - free) / total) * 4);
}
