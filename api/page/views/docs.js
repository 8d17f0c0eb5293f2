// The forms of /api/docs that try a call: a field for each argument, and what the API answers.

import { token } from "../frame/session.js";
import { element } from "../parts/elements.js";
import { t } from "../words/words.js";

for (const place of document.querySelectorAll("[data-call]")) place.append(formOf(JSON.parse(place.dataset.call)));

function formOf({ method, path, parameters }) {
  const fields = parameters.map((name) =>
    element("label", {}, `${name} `, element("input", { name, autocomplete: "off" }))
  );
  const answer = element("pre", { "aria-live": "polite" });
  const form = element("form", {}, fields, element("button", { type: "submit" }, `${method} ${path}`), answer);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    answer.textContent = await called(method, path, new FormData(form));
  });
  return element("details", {}, element("summary", {}, t("Try this call")), form);
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
