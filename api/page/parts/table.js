// A table that the API sorts: semantics for those who hear it, cards where the screen is narrow.
//
// The roles are written out because page.css lays the rows out as cards on narrow screens, and a
// browser forgets what a table is when its display is another.

import { element, refill } from "./elements.js";

/**
 * A table: {node, fill(rows)}.
 *
 * columns  [{title, sort, wide, cell}]: `sort` is the API's key to sort by, if it has one; `wide`
 *          columns take what is left of the width; cell(row) gives what stands there
 * sort     the key by which the rows are sorted, with "-" before it where they go down
 * onSort   is called with the key to sort by instead
 */
export function table({ caption, columns, sort, onSort, empty }) {
  const body = element("tbody", { role: "rowgroup" });
  const heads = columns.map((column) => head(column, sort, onSort));
  const node = element(
    "div",
    { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" },
    element(
      "table",
      { role: "table", "aria-label": caption },
      element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, heads)),
      body
    )
  );
  const fill = (rows) => refill(body, rows.length > 0 ? rows.map(line) : nothing());

  function line(row) {
    return element("tr", { role: "row" }, columns.map((column, index) => cell(column, row, index)));
  }

  function nothing() {
    const attributes = { role: "cell", colspan: columns.length, class: "empty" };
    return element("tr", { role: "row" }, element("td", attributes, empty));
  }

  return { node, fill };
}

function cell(column, row, index) {
  const content = column.cell(row);
  const attributes = { "data-label": column.title, class: column.class ?? null };
  return index === 0
    ? element("th", { role: "rowheader", scope: "row", ...attributes }, content)
    : element("td", { role: "cell", ...attributes }, content);
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
  button.addEventListener("click", () => onSort(sorted && !down ? `-${column.sort}` : column.sort));
  const order = sorted ? (down ? "descending" : "ascending") : "none";
  return element("th", { ...attributes, "aria-sort": order }, button);
}
