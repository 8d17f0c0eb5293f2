// The filters of a list: those that apply as chips on one line, and behind it fields to choose others.

import { hashOf, oneValue, severalValues } from "../frame/address.js";
import { plain, shown } from "../words/text.js";
import { t } from "../words/words.js";
import { element, refill } from "./elements.js";

let unfolded = false;

/**
 * {node, suggest} of the filters of `view`.
 *
 * fields   [{name, title, kind, options}], `name` an argument of the address; `kind` is "text" of values
 *          with commas between them, "one" text as it is, "choice" of one of `options`,
 *          [[value, words]], or "several" of the values in `options`
 * given    the arguments of the address
 * apply    is called with all arguments when something is chosen or typed
 * beside   elements that stand at the end of the line
 * suggest  lets the fields named in {name: values} suggest these values
 */
export function filterBar(view, fields, given, apply, beside = []) {
  const form = element(
    "form",
    { class: "filters", role: "search", "aria-label": t("Filters") },
    fields.map((field) => fieldOf(field, given))
  );
  const changed = () =>
    apply({
      ...without(
        given,
        fields.map((field) => field.name)
      ),
      ...chosen(form),
    });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    changed();
  });
  form.addEventListener("change", changed);
  form.addEventListener("input", (event) => {
    const picked = event.target.type === "text" && event.inputType === "insertReplacementText";
    if (picked) changed(); // from what the field suggests
  });
  const summary = element("summary", { "data-key": "filters" }, t("Filters"));
  const fold = element("details", { class: "fold", open: unfolded }, summary, form);
  fold.addEventListener("toggle", () => {
    unfolded = fold.open;
  });
  const chips = fields.flatMap((field) => chipsOf(view, field, given));
  const all =
    chips.length > 1 ? element("a", { class: "quiet", href: hashOf(view), "data-key": "clear" }, t("Clear")) : null;
  const line = element("div", { class: "chips" }, chips, all, element("span", { class: "beside" }, beside));
  return {
    node: element("div", { class: "filter-bar" }, line, fold),
    suggest: (values) => suggest(form, fields, values),
  };
}

function without(args, names) {
  return Object.fromEntries(Object.entries(args).filter(([name]) => !names.includes(name)));
}

// --- chips ----------------------------------------------------------------------------------------

function chipsOf(view, field, given) {
  const value = given[field.name] ?? "";
  if (value === "" || field.kind === "quiet") return [];
  if (field.kind === "choice") {
    const words = field.options.find(([each]) => each === value)?.[1] ?? value;
    return [chip(view, field, words, without(given, [field.name]))];
  }
  if (field.kind === "one") return [chip(view, field, value, without(given, [field.name]))];
  const values = severalValues(value);
  return values.map((each) => {
    const rest = values
      .filter((other) => other !== each)
      .map(oneValue)
      .join(",");
    return chip(view, field, each, { ...given, [field.name]: rest });
  });
}

function chip(view, { title }, words, rest) {
  const label = t("Remove the filter {title}: {value}", { title, value: plain(words) });
  return element(
    "a",
    { class: "chip", href: hashOf(view, rest), "aria-label": label, "data-key": label },
    `${title}: `,
    shown(words)
  );
}

// --- fields ---------------------------------------------------------------------------------------

function fieldOf(field, given) {
  const value = given[field.name] ?? "";
  if (field.kind === "several") return pills(field, severalValues(value));
  const id = `filter-${field.name}`;
  const input =
    field.kind === "choice"
      ? choice(field, id, value)
      : element("input", {
          ...{ id, name: field.name, type: "text", value, list: `suggested-${field.name}` },
          ...{ autocomplete: "off", autocapitalize: "off", spellcheck: "false" },
        });
  return element("div", {}, element("label", { for: id }, field.title), input);
}

/** A choice of one; a value of the address that is none of them is offered too. */
function choice({ name, options }, id, value) {
  const offered = options.some(([each]) => each === value) ? options : [...options, [value, value]];
  return element(
    "select",
    { id, name },
    offered.map(([each, words]) => element("option", { value: each, selected: each === value }, plain(words)))
  );
}

function pills({ title, name, options }, values) {
  const boxes = [...new Set([...options, ...values])].map((value) => {
    const box = element("input", {
      ...{ type: "checkbox", name, value: oneValue(value), checked: values.includes(value) },
      "data-key": `${name} ${value}`,
    });
    return element("label", {}, box, shown(value));
  });
  return element("fieldset", { class: "pills whole" }, element("legend", {}, title), boxes);
}

function suggest(form, fields, values) {
  for (const [name, each] of Object.entries(values)) {
    const written = fields.find((field) => field.name === name)?.kind === "one" ? String : oneValue;
    const id = `suggested-${name}`;
    const list = form.querySelector(`#${id}`) ?? form.appendChild(element("datalist", { id }));
    const options = [...new Set(each)].sort().map((value) => element("option", { value: written(value) }));
    refill(list, options);
  }
}

/** {argument: value} of what the form holds; the values of boxes with commas between them. */
function chosen(form) {
  const held = new FormData(form);
  const values = [...new Set(held.keys())].map((name) => [name, held.getAll(name)]);
  return Object.fromEntries(
    values.map(([name, each]) => [
      name,
      each
        .map((value) => value.trim())
        .filter(Boolean)
        .join(","),
    ])
  );
}
