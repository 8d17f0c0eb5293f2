// A table whose rows can be folded together: semantics for those who hear it, cards on narrow screens.
//
// The roles are written out because page.css lays the rows out as cards on narrow screens, and a
// browser forgets what a table is when its display is another.

import { t } from "../words/words.js";
import { element, refill } from "./elements.js";

/**
 * A table: {node, fill(groups)}.
 *
 * columns  [{title, sort, mostFirst, class, cell, ofGroup}]: `sort` is the key to sort by, if the
 *          column has one, descending at first where `mostFirst`; cell(row) gives what stands
 *          there, ofGroup(rows) what stands there for folded rows
 * sort     the key by which the rows are sorted, with "-" before it where they are descending
 * onSort   is called with the key to sort by instead
 * groups   [{key, rows}]: the rows of a group of several are folded into one that opens
 */
export function table({ caption, columns, sort = "", onSort, empty }) {
  const opened = new Set();
  const body = element("tbody", { role: "rowgroup" }, alone(t("Not loaded yet.")));
  const heads = columns.map((column) => head(column, sort, onSort));
  const tops = heads.map((each) => each.querySelector("button")).filter(Boolean);
  const reachable = tops.find((each) => each.parentElement.ariaSort !== "none") ?? tops[0];
  for (const button of tops) button.tabIndex = button === reachable ? 0 : -1; // one stop; arrows move
  const node = element(
    "div",
    { class: "scroll" },
    element(
      "table",
      { role: "table", "aria-label": caption },
      element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, heads)),
      body
    )
  );
  body.addEventListener("click", followRow);

  function fill(groups) {
    refill(body, groups.length > 0 ? groups.map(linesOf) : alone(empty));
  }

  function linesOf({ key, rows }) {
    if (rows.length === 1) return line(rows[0]);
    const open = opened.has(key);
    const members = rows.map((row) => line(row, "member"));
    for (const member of members) member.hidden = !open;
    const button = element("button", {
      type: "button",
      class: "opens",
      "data-key": `open ${key}`,
      "aria-expanded": String(open),
      "aria-label": t("Show each"),
    });
    button.addEventListener("click", () => {
      const opens = !opened.delete(key);
      if (opens) opened.add(key);
      button.setAttribute("aria-expanded", String(opens));
      for (const member of members) member.hidden = !opens;
    });
    const cells = columns.map((column, index) => {
      const content = column.ofGroup?.(rows) ?? null;
      return cell(column, index === 0 ? [button, content] : content, index);
    });
    return [element("tr", { role: "row", class: "group" }, cells), members];
  }

  function line(row, kind = null) {
    const cells = columns.map((column, index) => cell(column, column.cell(row), index));
    return element("tr", { role: "row", class: kind }, cells);
  }

  /** A row that only says something. */
  function alone(words) {
    const attributes = { role: "cell", colspan: columns.length, class: "empty" };
    return element("tr", { role: "row" }, element("td", attributes, words));
  }

  return { node, fill };
}

function cell(column, content, index) {
  const attributes = { "data-label": column.title, class: column.class ?? null };
  return index === 0
    ? element("th", { role: "rowheader", scope: "row", ...attributes }, content)
    : element("td", { role: "cell", ...attributes }, content ?? "");
}

function head(column, sort, onSort) {
  const attributes = { role: "columnheader", scope: "col", class: column.class ?? null };
  if (!column.sort) return element("th", attributes, column.title);
  const [key, down] = sort.startsWith("-") ? [sort.slice(1), true] : [sort, false];
  const sorted = key === column.sort;
  const button = element(
    "button",
    { type: "button", class: "sort", "data-key": `sort ${column.sort}` },
    column.title,
    element("span", { class: "arrow", "aria-hidden": "true" }, sorted ? (down ? "▼" : "▲") : "")
  );
  const descends = sorted ? !down : Boolean(column.mostFirst);
  button.addEventListener("click", () => onSort(descends ? `-${column.sort}` : column.sort));
  const order = sorted ? (down ? "descending" : "ascending") : "none";
  return element("th", { ...attributes, "aria-sort": order }, button);
}

/** A click anywhere in a row is a click on what the row is about, unless it selects text or meets a link. */
function followRow(event) {
  if (event.target.closest("a, button") || !getSelection().isCollapsed) return;
  event.target.closest("tr")?.querySelector("button.opens, th a")?.click();
}
