// Slurm's TRES and GRES texts, "cpu=40,mem=191000M,gres/gpu:a100=4", as numbers.

const MEBIBYTES = { K: 1 / 1024, M: 1, G: 1024, T: 1024 ** 2, P: 1024 ** 3 };

/** {cpus, memory, nodes} of a TRES text, memory in MiB; what it does not name is 0. */
export function readTres(text) {
  const amounts = new Map();
  for (const pair of (text ?? "").split(",")) {
    const at = pair.lastIndexOf("=");
    if (at > 0) amounts.set(pair.slice(0, at).trim(), pair.slice(at + 1).trim());
  }
  return {
    cpus: number(amounts.get("cpu")),
    memory: mebibytes(amounts.get("mem")),
    nodes: number(amounts.get("node")),
  };
}

/**
 * {total, allocated} GPUs of a node; `allocated` is null where Slurm does not tell.
 *
 * Slurm counts GPUs in CfgTRES and AllocTRES only where AccountingStorageTRES names them.
 */
export function nodeGpus({ cfg_tres: configured, alloc_tres: allocated, gres, gres_used: used }) {
  const total = gpusIn(configured)?.total || gpusIn(gres)?.total || 0;
  if (total === 0) return { total, allocated: 0 };
  if (gpusIn(configured)?.total && allocated !== undefined) return { total, allocated: gpusIn(allocated)?.total ?? 0 };
  return { total, allocated: gpusIn(used)?.total ?? null };
}

/** The GPUs of a node by type, {type: {total, allocated}}; "" is the type of those that have none. */
export function nodeGpusByType(slurm) {
  const { total, allocated } = nodeGpus(slurm);
  if (total === 0) return {};
  const typed = [gpusIn(slurm.cfg_tres), gpusIn(slurm.gres)].find((each) => each?.types.size > 0);
  const types = typed?.total === total ? typed.types : new Map([["", total]]);
  if (types.size === 1) return { [[...types.keys()][0]]: { total, allocated } };
  const held = [gpusIn(slurm.alloc_tres), gpusIn(slurm.gres_used)].find((each) => each?.types.size > 0)?.types;
  return Object.fromEntries(
    [...types].map(([type, count]) => [
      type,
      { total: count, allocated: allocated === 0 ? 0 : held ? (held.get(type) ?? 0) : null },
    ])
  );
}

/**
 * {total, types} of a text: "gres/gpu=8", the sum of the types beside it, "gpu:v100:8(S:0-1)" or
 * "gpu:8"; null where it names no GPUs. `types` is a Map of those that have a type.
 */
export function gpusIn(text) {
  const items = (text ?? "")
    .replaceAll(/\([^()]*\)/g, "")
    .split(",")
    .map((item) => item.trim());
  const found = items
    .map((item) => /^(?:gres[/:])?gpu(?:[:=](.*?))??(?:[:=](\d+))?$/.exec(item))
    .filter((match) => match !== null)
    .map(([, type, count]) => ({ type: (type ?? "").replace(/:no_consume$/, ""), count: number(count ?? 1) }));
  if (found.length === 0) return null;
  const types = new Map();
  for (const { type, count } of found) {
    if (type !== "") types.set(type, (types.get(type) ?? 0) + count);
  }
  const all = items.find((item) => item.startsWith("gres/gpu="));
  const sum = found.reduce((total, { count }) => total + count, 0);
  return { total: all ? number(all.slice("gres/gpu=".length)) : sum, types };
}

/** The mebibytes of an amount such as "16G"; an amount without a letter is in mebibytes. */
export function mebibytes(text) {
  const match = /^(\d+(?:\.\d+)?)([KMGTP]?)/.exec(text ?? "");
  return match ? Number(match[1]) * MEBIBYTES[match[2] || "M"] : 0;
}

function number(text) {
  const value = Number(text ?? 0);
  return Number.isFinite(value) ? value : 0;
}
