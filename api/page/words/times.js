// Times, lengths of time and amounts of memory, as people read them. The page has one clock: the browser's.

import { element } from "../parts/elements.js";
import { none } from "./text.js";
import { LANGUAGE, t } from "./words.js";

const UNITS = [
  [t("y"), 365 * 86400],
  [t("d"), 86400],
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

/** The milliseconds since 1970 of an ISO 8601 text; null for "Unknown", null and the like. */
export function moment(text) {
  const parsed = typeof text === "string" && /^\d{4}-\d\d-\d\dT/.test(text) ? Date.parse(text) : NaN;
  return Number.isNaN(parsed) ? null : parsed;
}

/** A moment in milliseconds by the browser's clock, to the minute: "2021-11-13 00:56". */
export function clock(milliseconds) {
  const at = new Date(milliseconds);
  const [month, day, hour, minute] = [at.getMonth() + 1, at.getDate(), at.getHours(), at.getMinutes()].map((part) =>
    String(part).padStart(2, "0")
  );
  return `${at.getFullYear()}-${month}-${day} ${hour}:${minute}`;
}

/** A <time> of an ISO 8601 text by the browser's clock, Slurm's own text in its title; a dash for none. */
export function when(text) {
  const at = moment(text);
  return at === null ? none() : element("time", { datetime: text, title: text, class: "nowrap" }, clock(at));
}

/** The name of the browser's time zone and its offset: "America/Toronto (UTC-05:00)". */
export function zone(now = new Date()) {
  const minutes = -now.getTimezoneOffset();
  const [hours, rest] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
  const offset = `UTC${minutes < 0 ? "-" : "+"}${String(hours).padStart(2, "0")}:${String(rest).padStart(2, "0")}`;
  const name = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  return name === "UTC" ? "UTC" : `${name} (${offset})`;
}

/** "40 s ago", "in 2 h 5 min". */
export function distance(then, now) {
  const seconds = (now - then) / 1000;
  return seconds >= -0.5
    ? t("{length} ago", { length: length(seconds) })
    : t("in {length}", { length: length(-seconds) });
}

/** A <time> that says how far away an ISO 8601 text is, and goes on saying it (`tick`). */
export function relative(text) {
  const then = moment(text);
  if (then === null) return none();
  const attributes = { datetime: text, title: clock(then), class: "nowrap", "data-relative": true };
  return element("time", attributes, distance(then, Date.now()));
}

/** Let all relative times in `parent` say what is true now. */
export function tick(parent) {
  for (const time of parent.querySelectorAll("time[data-relative]")) {
    const said = distance(Date.parse(time.getAttribute("datetime")), Date.now());
    if (time.textContent !== said) time.textContent = said;
  }
}

const DECIMAL = new Intl.NumberFormat(LANGUAGE, { maximumFractionDigits: 1 });

/** Mebibytes as "32 GiB", on one line; null where `mib` is no number. */
export function memory(mib) {
  if (!Number.isFinite(mib)) return null;
  const units = [t("MiB"), t("GiB"), t("TiB"), t("PiB")];
  let unit = 0;
  let value = mib;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${DECIMAL.format(value >= 100 ? Math.round(value) : value)}\u00a0${units[unit]}`;
}
