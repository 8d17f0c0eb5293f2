// Slurm's TRES text, "cpu=40,mem=191000M,gres/gpu:a100=4", as numbers.

const MEBIBYTES = { K: 1 / 1024, M: 1, G: 1024, T: 1024 ** 2, P: 1024 ** 3 };

/** {cpus, memory, gpus} of a TRES text, memory in MiB; what it does not name is 0. */
export function readTres(text) {
  const amounts = new Map();
  for (const pair of (text ?? "").split(",")) {
    const at = pair.lastIndexOf("=");
    if (at > 0) amounts.set(pair.slice(0, at).trim(), pair.slice(at + 1).trim());
  }
  return {
    cpus: number(amounts.get("cpu")),
    memory: mebibytes(amounts.get("mem")),
    gpus: gpus(amounts),
  };
}

// Slurm names all GPUs in "gres/gpu", and those of a type once more.
function gpus(amounts) {
  if (amounts.has("gres/gpu")) return number(amounts.get("gres/gpu"));
  return [...amounts]
    .filter(([name]) => name.startsWith("gres/gpu:"))
    .reduce((sum, [, amount]) => sum + number(amount), 0);
}

function mebibytes(text) {
  const match = /^(\d+(?:\.\d+)?)([KMGTP]?)/.exec(text ?? "");
  return match ? Number(match[1]) * MEBIBYTES[match[2] || "M"] : 0;
}

function number(text) {
  const value = Number(text ?? 0);
  return Number.isFinite(value) ? value : 0;
}
