// What a table shows, as a file of comma-separated values.

import { t } from "../words/words.js";
import { element } from "./elements.js";

/** The text of a CSV file (RFC 4180): names of columns, then rows; null is an empty field. */
export function csv(names, rows) {
  return [names, ...rows].map((row) => `${row.map(field).join(",")}\r\n`).join("");
}

// Where a spreadsheet could begin to read a formula. Some separate cells by semicolons or tabs.
const FORMULA = /^(?=[\t\r\n])|(?:^|(?<=[;\t\r\n]))(?=[=+\-@])/g;

// An apostrophe makes a text of a formula.
function field(value) {
  const text = String(value ?? "");
  const harmless = typeof value === "string" ? text.replace(FORMULA, "'") : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

/** A button that saves what `content` gives, the text of a CSV file, as a file called `name`. */
export function csvButton(name, content) {
  const button = element(
    "button",
    { type: "button", class: "quiet", "data-key": "csv", title: t("Save what is shown as a CSV file") },
    "CSV"
  );
  button.addEventListener("click", () => {
    const address = URL.createObjectURL(new Blob([content()], { type: "text/csv" }));
    element("a", { href: address, download: name }).click();
    URL.revokeObjectURL(address);
  });
  return button;
}
