// Slurm's lists of hosts, "cn-a[001-003,7],login1", as names.

/** The names of a list of hosts; null where there are more than `most`, or where it is no such list. */
export function expanded(text, most = 64) {
  const items = text.match(/(?:[^,[\]]|\[[^\]]*\])+/g) ?? [];
  if (items.join(",") !== text) return null;
  const names = [];
  for (const item of items) {
    const each = expandedItem(item, most);
    if (each === null || names.length + each.length > most) return null;
    names.push(...each);
  }
  return names;
}

function expandedItem(item, most) {
  const match = /^([^[\]]*)\[([\d,-]+)\](.*)$/s.exec(item);
  if (match === null) return /[[\]]/.test(item) ? null : [item];
  const [, before, ranges, after] = match;
  const rest = expandedItem(after, most);
  if (rest === null) return null;
  const names = [];
  for (const range of ranges.split(",")) {
    const [from, to = from] = range.split("-");
    for (let number = Number(from); number <= Number(to); number += 1) {
      const written = before + String(number).padStart(from.length, "0");
      names.push(...rest.map((end) => written + end));
      if (names.length > most) return null;
    }
  }
  return names;
}
