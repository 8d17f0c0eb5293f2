// The form of a list's filters: fields whose names are the API's arguments.

import { oneValue } from "../frame/address.js";
import { element } from "./elements.js";
import { shown } from "../words/text.js";

/** A field for text; several values stand with commas between them. */
export function field(title, name, filters) {
  const id = `filter-${name}`;
  const input = element("input", {
    ...{ id, name, type: "text", value: filters[name] ?? "" },
    ...{ autocomplete: "off", autocapitalize: "off", spellcheck: "false" },
  });
  return element("div", {}, element("label", { for: id }, title), input);
}

/** Let the fields named in {name: values} suggest these values. */
export function suggest(form, values) {
  for (const [name, each] of Object.entries(values)) {
    const id = `suggested-${name}`;
    const list = form.querySelector(`#${id}`) ?? form.appendChild(element("datalist", { id }));
    list.replaceChildren(...each.map((value) => element("option", { value })));
    form.elements[name].setAttribute("list", id);
  }
}

/** A choice of one of [[value, words]]; a value of the address that is none of them is offered too. */
export function choice(title, name, filters, options) {
  const id = `filter-${name}`;
  const chosen = filters[name] ?? "";
  const offered = options.some(([value]) => value === chosen) ? options : [...options, [chosen, chosen]];
  const select = element(
    "select",
    { id, name, "data-at-once": true },
    offered.map(([value, words]) => element("option", { value, selected: value === chosen }, words))
  );
  return element("div", {}, element("label", { for: id }, title), select);
}

/** Boxes to tick, as many as wanted, of one argument. */
export function pills(title, name, values, chosen) {
  const boxes = values.map((value) => {
    const box = element("input", {
      ...{ type: "checkbox", name, value: oneValue(value), checked: chosen.includes(value) },
      ...{ "data-at-once": true, "data-key": `${name} ${value}` },
    });
    return element("label", {}, box, shown(value));
  });
  return element("fieldset", { class: "pills whole" }, element("legend", {}, title), boxes);
}

const WIDE = "(min-width: 701px)";
let unfolded = null;

/**
 * The form: what is chosen applies at once, what is typed when Enter or the button is pressed.
 *
 * It is folded on a narrow screen until somebody opens it; {node, form}.
 */
export function filterForm(fields, apply, cleared) {
  const form = element(
    "form",
    { class: "filters", role: "search", "aria-label": "Filters" },
    fields,
    element(
      "div",
      { class: "actions" },
      element("button", { type: "submit", class: "primary", "data-key": "apply" }, "Apply"),
      element("a", { class: "quiet", href: cleared, "data-key": "clear" }, "Clear")
    )
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    apply();
  });
  form.addEventListener("change", (event) => {
    if (event.target.dataset.atOnce !== undefined) apply();
  });
  const node = element(
    "details",
    { class: "fold", open: unfolded ?? matchMedia(WIDE).matches },
    element("summary", { "data-key": "filters" }, "Filters"),
    form
  );
  node.addEventListener("toggle", () => {
    unfolded = node.open;
  });
  return { node, form };
}

/** {argument: value} of what the form holds; the values of boxes with commas between them. */
export function filtersIn(form) {
  const held = new FormData(form);
  const values = [...new Set(held.keys())].map((name) => [name, held.getAll(name)]);
  return Object.fromEntries(
    values.map(([name, each]) => [name, each.map((value) => value.trim()).filter(Boolean).join(",")])
  );
}
