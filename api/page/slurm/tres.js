// Slurm's TRES text, "cpu=40,mem=191000M,gres/gpu:a100=4", as numbers.

const MEBIBYTES = { K: 1 / 1024, M: 1, G: 1024, T: 1024 ** 2, P: 1024 ** 3 };

/** {cpus, memory} of a TRES text, memory in MiB; what it does not name is 0. */
export function readTres(text) {
  const amounts = new Map();
  for (const pair of (text ?? "").split(",")) {
    const at = pair.lastIndexOf("=");
    if (at > 0) amounts.set(pair.slice(0, at).trim(), pair.slice(at + 1).trim());
  }
  return {
    cpus: number(amounts.get("cpu")),
    memory: mebibytes(amounts.get("mem")),
  };
}

/**
 * {total, allocated} GPUs of a node; `allocated` is null where Slurm does not tell.
 *
 * Slurm counts GPUs in CfgTRES and AllocTRES only where AccountingStorageTRES names them.
 */
export function nodeGpus({ cfg_tres: configured, alloc_tres: allocated, gres, gres_used: used }) {
  const total = gpusIn(configured) || gpusIn(gres) || 0;
  if (total === 0) return { total, allocated: 0 };
  if (gpusIn(configured) && allocated !== undefined) return { total, allocated: gpusIn(allocated) ?? 0 };
  return { total, allocated: gpusIn(used) };
}

// "gres/gpu=8", the sum of the types beside it, "gpu:v100:8(S:0-1)" or "gpu:8"; null for none of these.
function gpusIn(text) {
  const items = (text ?? "").replaceAll(/\([^()]*\)/g, "").split(",").map((item) => item.trim());
  const all = items.find((item) => item.startsWith("gres/gpu="));
  if (all) return number(all.slice("gres/gpu=".length));
  const counts = items
    .map((item) => /^(?:gres[/:])?gpu(?:[:=].*?)??(?:[:=](\d+))?$/.exec(item))
    .filter((match) => match !== null)
    .map((match) => number(match[1] ?? 1));
  return counts.length > 0 ? counts.reduce((sum, count) => sum + count, 0) : null;
}

function mebibytes(text) {
  const match = /^(\d+(?:\.\d+)?)([KMGTP]?)/.exec(text ?? "");
  return match ? Number(match[1]) * MEBIBYTES[match[2] || "M"] : 0;
}

function number(text) {
  const value = Number(text ?? 0);
  return Number.isFinite(value) ? value : 0;
}
