// Parts that several views show: a state, a table of keys and values, a link that filters.

import { hashOf } from "../frame/address.js";
import { Exact } from "../frame/client.js";
import { none, plain, shown } from "../words/text.js";
import { clock, length, moment, relative } from "../words/times.js";
import { t, tx } from "../words/words.js";
import { element } from "./elements.js";

const SECONDS_KEYS = new Set(["time_limit", "run_time", "time_min", "delay_boot", "secs_pre_suspend"]);

/** A state's word, a dot of its tone before it; it breaks before "+" alone. */
export function stateBadge(state, tone) {
  if (state === null || state === undefined) return element("span", { class: `state ${tone}` }, none());
  const words = plain(state)
    .split(/(?=\+)/)
    .flatMap((word, index) => (index === 0 ? [word] : [element("wbr"), word]));
  return element("span", { class: `state ${tone}` }, element("bdi", {}, words));
}

/** A link to a view with arguments that shows `text`. */
export function linkTo(view, args, text) {
  return element("a", { href: hashOf(view, args) }, shown(text));
}

/** Text on one line; what does not fit is in its title. */
export function clipped(text) {
  return text === null || text === undefined
    ? none()
    : element("span", { class: "clip", title: plain(text) }, shown(text));
}

/** Since when a job or a node is gone, if it is. */
export function gone(cw) {
  return cw.vanished
    ? element(
        "span",
        { class: "muted" },
        " ",
        tx("when last seen. It left the cluster {ago}.", { ago: relative(cw.vanished) })
      )
    : null;
}

/** A line for each of these clusters whose data is old: as of when, and since when; null for none. */
export function staleness(clusters, wanted = () => true) {
  const old = clusters.filter((cluster) => cluster.up !== true && wanted(cluster.name));
  const lines = old.map(({ name, up, rounds }) => {
    const last = moment(rounds.jobs.last_success);
    const values = {
      cluster: shown(name),
      time: last === null ? "" : clock(last),
      ago: relative(rounds.jobs.last_success),
    };
    if (last === null) return element("li", {}, tx("{cluster}: not read yet.", values));
    return up === null
      ? element("li", {}, tx("{cluster}: as of {time}. Clockwork no longer reads this cluster.", values))
      : element("li", {}, tx("{cluster}: as of {time}. It was last reached {ago}.", values));
  });
  return lines.length === 0 ? null : element("ul", { class: "stale-clusters", "aria-label": t("Old data") }, lines);
}

/** A part of a page under a title of its own. */
export function section(title, ...content) {
  const id = title.toLowerCase().replaceAll(/[^\p{L}]+/gu, "-");
  return element("section", { class: "card", "aria-labelledby": id }, element("h2", { id }, title), ...content);
}

/** Parts of a page, one above the other; those that are null are left out. */
export function column(...parts) {
  return element("div", { class: "column" }, parts);
}

/** A <dl> of [[term, ...description]]; pairs that are null are left out. */
export function facts(pairs) {
  return element(
    "dl",
    { class: "facts" },
    pairs
      .filter(Boolean)
      .map(([term, ...description]) => element("div", {}, element("dt", {}, term), element("dd", {}, ...description)))
  );
}

/**
 * All keys of `dict` that hold something, folded, with a field that searches them; `linked(key)` gives
 * what stands there in place of the value, if anything.
 */
export function foldedKeys(title, dict, linked = () => null) {
  const lines = keyLines(
    Object.fromEntries(Object.entries(dict).filter(([, value]) => value !== null && value !== "")),
    linked
  );
  const search = element("input", {
    type: "search",
    "data-key": `search ${title}`,
    "aria-label": t("Search the keys"),
    placeholder: t("Search the keys"),
  });
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    for (const line of lines) line.hidden = !line.textContent.toLowerCase().includes(wanted);
  });
  const table = element("table", { class: "keys", "aria-label": title }, element("tbody", {}, lines));
  return element(
    "details",
    { class: "card all-keys" },
    element("summary", { "data-key": title }, title),
    search,
    table
  );
}

/** A table of all keys of `dict` and their values; `caption` says of what. */
export function keyTable(dict, caption) {
  return element("table", { class: "keys", "aria-label": caption }, element("tbody", {}, keyLines(dict)));
}

function keyLines(dict, linked = () => null) {
  return Object.entries(dict).map(([key, value]) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, shown(key)),
      element("td", {}, linked(key) ?? contentOf(key, value))
    )
  );
}

function contentOf(key, value) {
  if (value === null) return [none()];
  if (typeof value === "string") {
    const away = moment(value) === null ? [] : [" ", element("small", {}, relative(value))];
    return [shown(value), ...away];
  }
  if (typeof value === "object" && !(value instanceof Exact)) {
    return [element("pre", {}, structure(value))];
  }
  const inWords = SECONDS_KEYS.has(key) && value >= 60 ? [" ", element("small", {}, length(value))] : [];
  return [String(value), ...inWords];
}

/** JSON with a line for each key; unseen characters in it are escapes. */
function structure(value) {
  return JSON.stringify(value, null, 2).split("\n").map(plain).join("\n");
}

/** Where one can turn to from a page of a list: its first page, and `next` where there is one. */
export function pager(view, args, cursor, next) {
  const links = [];
  if (cursor) links.push(element("a", { href: hashOf(view, args), "data-key": "first" }, t("First page")));
  if (next !== null) {
    const following = { ...args, cursor: next.get("cursor") };
    links.push(element("a", { href: hashOf(view, following), rel: "next", "data-key": "next" }, t("Next page")));
  }
  return element("nav", { class: "pager", "aria-label": t("Pages") }, links);
}
