// The forms of /api/docs that try a call: a field for each argument, and what the API answers.

import { token } from "../frame/session.js";
import { element } from "../parts/elements.js";
import { LANGUAGE, t } from "../words/words.js";

document.querySelectorAll("[data-call]").forEach((place, index) => {
  place.append(formOf(JSON.parse(place.dataset.call), index));
});

function formOf({ method, path, parameters }, index) {
  const fields = parameters.map((name) => {
    const id = `call-${index}-${name}`;
    return element("div", {}, element("label", { for: id }, name), element("input", { id, name, autocomplete: "off" }));
  });
  const answer = element("pre", { class: "whole", "aria-live": "polite", tabindex: "0" });
  const button = element("button", { type: "submit", class: "primary" }, `${method} ${path}`);
  const form = element("form", { class: "filters" }, fields, element("div", { class: "whole" }, button), answer);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    answer.textContent = await called(method, path, new FormData(form));
  });
  return element("details", { class: "card", lang: LANGUAGE }, element("summary", {}, t("Try this call")), form);
}

async function called(method, path, fields) {
  const query = new URLSearchParams([...fields].filter(([, value]) => value !== ""));
  const byProxy = token() === null && "byProxy" in document.documentElement.dataset;
  const headers = token() === null ? {} : { Authorization: `Bearer ${token()}` };
  try {
    const response = await fetch(`${path.replace(/^\//, "../")}?${query}`, {
      method,
      headers,
      credentials: byProxy ? "same-origin" : "omit",
      cache: "no-store",
    });
    return `${response.status} ${response.statusText}\n${(await response.text()).slice(0, 20_000)}`;
  } catch {
    return t("Clockwork does not answer.");
  }
}
