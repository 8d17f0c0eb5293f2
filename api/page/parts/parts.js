// Parts that several views show: a state, a table of keys and values, a link that filters.

import { hashOf } from "../frame/address.js";
import { Exact } from "../frame/client.js";
import { element } from "./elements.js";
import { length, moment, none, plain, relative, shown } from "../words/text.js";

const SECONDS_KEYS = new Set(["time_limit", "run_time", "time_min", "delay_boot", "secs_pre_suspend"]);

/** A state's word, a dot of its tone before it. */
export function stateBadge(state, tone) {
  return element("span", { class: `state ${tone}` }, shown(state));
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

/** The name of a cluster, on narrow screens alone, where its column has no room. */
export function besideId(clusterName) {
  return element("small", { class: "narrow" }, " ", shown(clusterName));
}

/** Since when a job or a node is gone, if it is. */
export function gone(cw) {
  return cw.vanished
    ? element("span", { class: "muted" }, " when last seen; gone from the cluster since ", relative(cw.vanished))
    : null;
}

/** A part of a page under a title of its own. */
export function section(title, ...content) {
  const id = title.toLowerCase().replaceAll(" ", "-");
  return element("section", { class: "card", "aria-labelledby": id }, element("h2", { id }, title), ...content);
}

/** Parts of a page, one above the other; those that are null are left out. */
export function column(...parts) {
  return element("div", { class: "column" }, parts);
}

/** A <dl> of [[term, description]]. */
export function facts(pairs) {
  return element(
    "dl",
    { class: "facts" },
    pairs.map(([term, ...description]) =>
      element("div", {}, element("dt", {}, term), element("dd", {}, ...description))
    )
  );
}

/** A table of all keys of `dict` and their values; `caption` says of what. */
export function keyTable(dict, caption) {
  const lines = Object.entries(dict).map(([key, value]) =>
    element("tr", {}, element("th", { scope: "row" }, shown(key)), element("td", {}, ...valueOf(key, value)))
  );
  return element("table", { class: "keys", "aria-label": caption }, element("tbody", {}, lines));
}

function valueOf(key, value) {
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
  if (cursor) links.push(element("a", { href: hashOf(view, args), "data-key": "first" }, "First page"));
  if (next !== null) {
    const following = { ...args, cursor: next.get("cursor") };
    links.push(element("a", { href: hashOf(view, following), rel: "next", "data-key": "next" }, "Next page"));
  }
  return element("nav", { class: "pager", "aria-label": "Pages" }, links);
}
