// Text that others chose, made safe to read; and numbers, times and lengths of time as people read them.

import { element } from "../parts/elements.js";

// Controls, terminal escapes, newlines, overrides of the writing direction, invisible characters,
// halves of pairs, and what no font has.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu;

/** `text` in pieces: [{text, unseen}], where an unseen one is the escape that stands for a character. */
export function pieces(text) {
  const found = [];
  let end = 0;
  for (const match of text.matchAll(UNSEEN)) {
    if (match.index > end) found.push({ text: text.slice(end, match.index), unseen: false });
    found.push({ text: escapeOf(match[0]), unseen: true });
    end = match.index + match[0].length;
  }
  if (end < text.length) found.push({ text: text.slice(end), unseen: false });
  return found;
}

function escapeOf(character) {
  const known = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[character];
  if (known) return known;
  const code = character.codePointAt(0).toString(16).padStart(2, "0");
  return code.length <= 2 ? `\\x${code}` : `\\u{${code}}`;
}

/** `text` on one line, its unseen characters as escapes: for titles, labels and the like. */
export function plain(text) {
  return pieces(String(text)).map((piece) => piece.text).join("");
}

/** A <bdi> that shows `text` as it is, unseen characters as marks; a dash for null. */
export function shown(text) {
  if (text === null || text === undefined) return none();
  if (text === "") return element("span", { class: "none" }, "(empty)");
  return element(
    "bdi",
    {},
    ...pieces(String(text)).map((piece) =>
      piece.unseen ? element("span", { class: "unseen" }, piece.text) : piece.text
    )
  );
}

/** What stands where nothing is. */
export function none() {
  return element("span", { class: "none" }, "–");
}

// --- numbers --------------------------------------------------------------------------------------

const GROUPED = new Intl.NumberFormat("en");

/** 12345 as 12,345. */
export function grouped(number) {
  return GROUPED.format(number);
}

/** `count` and the word for it: "1 job", "2 jobs". */
export function counted(count, word) {
  return `${grouped(count)} ${word}${count === 1 ? "" : "s"}`;
}

/** Mebibytes as "32 GiB"; null where `mib` is no number. */
export function memory(mib) {
  if (!Number.isFinite(mib)) return null;
  const units = ["MiB", "GiB", "TiB", "PiB"];
  let unit = 0;
  let value = mib;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 || Number.isInteger(value) ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

// --- times ----------------------------------------------------------------------------------------

const UNITS = [
  ["y", 365 * 86400],
  ["d", 86400],
  ["h", 3600],
  ["min", 60],
  ["s", 1],
];

/** Seconds in the two largest units that count: "2 d 5 h", "3 h 12 min", "45 s". */
export function length(seconds) {
  let rest = Math.max(0, Math.round(seconds));
  const first = UNITS.findIndex(([, size]) => rest >= size);
  if (first === -1) return "0 s";
  const parts = [];
  for (const [name, size] of UNITS.slice(first, first + 2)) {
    const amount = Math.floor(rest / size);
    rest -= amount * size;
    if (amount > 0) parts.push(`${amount} ${name}`);
  }
  return parts.join(" ");
}

/** A time of day as Slurm's cluster prints it, to the minute: "2021-11-13 00:56"; null for none. */
export function clusterTime(text) {
  return moment(text) === null ? null : text.slice(0, 16).replace("T", " ");
}

/** A moment of Clockwork's own clock, "2026-11-24 18:55:19 UTC". */
export function utc(text) {
  return moment(text) === null ? "" : `${new Date(text).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** The milliseconds since 1970 of an ISO 8601 text; null for "Unknown", null and the like. */
export function moment(text) {
  const parsed = typeof text === "string" && /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(parsed) ? null : parsed;
}

/** "40 s ago", "in 2 h 5 min". */
export function distance(then, now) {
  const seconds = (now - then) / 1000;
  return seconds >= -0.5 ? `${length(seconds)} ago` : `in ${length(-seconds)}`;
}

/** A <time> that says how far away an ISO 8601 text is, and goes on saying it (`tick`). */
export function relative(text) {
  const then = moment(text);
  if (then === null) return none();
  return element(
    "time",
    { datetime: text, title: text, "data-relative": true },
    distance(then, Date.now())
  );
}

/** Let all relative times in `parent` say what is true now. */
export function tick(parent) {
  for (const time of parent.querySelectorAll("time[data-relative]")) {
    const said = distance(Date.parse(time.getAttribute("datetime")), Date.now());
    if (time.textContent !== said) time.textContent = said;
  }
}
