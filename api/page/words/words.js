// The page's own words, in English, or in French where the browser prefers French to English.

import { FRENCH } from "./french.js";

/** "en" or "fr". */
export const LANGUAGE = preferred(navigator.languages);

/** The first of these languages that the page speaks; English where it speaks none. */
export function preferred(languages) {
  const codes = languages.map((code) => code.slice(0, 2).toLowerCase());
  return codes.find((code) => code === "en" || code === "fr") ?? "en";
}

/** `text` in the page's language; values stand where their names are in braces. */
export function t(text, values = {}) {
  return translated(text).replace(/\{(\w+)\}/g, (whole, name) =>
    Object.hasOwn(values, name) ? String(values[name]) : whole
  );
}

/** As `t`, where values may be elements: pieces for `element`. */
export function tx(text, values) {
  return translated(text)
    .split(/\{(\w+)\}/)
    .map((part, index) => (index % 2 === 1 ? values[part] : part));
}

function translated(text) {
  return LANGUAGE === "fr" ? (FRENCH[text] ?? text) : text;
}

const FORMS = {
  job: [t("{n} job"), t("{n} jobs")],
  task: [t("{n} task"), t("{n} tasks")],
  component: [t("{n} component"), t("{n} components")],
  node: [t("{n} node"), t("{n} nodes")],
  cluster: [t("{n} cluster"), t("{n} clusters")],
  token: [t("{n} token"), t("{n} tokens")],
  CPU: [t("{n} CPU"), t("{n} CPUs")],
  GPU: [t("{n} GPU"), t("{n} GPUs")],
};

/** `count` and the noun for it: "1 job", "2 jobs". */
export function counted(count, noun) {
  const single = LANGUAGE === "fr" ? count < 2 : count === 1;
  return FORMS[noun][single ? 0 : 1].replace("{n}", grouped(count));
}

const GROUPED = new Intl.NumberFormat(LANGUAGE);

/** 12345 as 12,345. */
export function grouped(number) {
  return GROUPED.format(number);
}
