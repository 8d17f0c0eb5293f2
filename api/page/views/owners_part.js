// What the owner of a job wrote into its user dict, and the form in which the owner writes more.

import { element } from "../parts/elements.js";
import { keyTable, section } from "../parts/parts.js";
import { t } from "../words/words.js";

/**
 * {part(job, user)}: the section of the user dict. What is being typed survives refreshes, as the form
 * stays the same for as long as its view is open.
 */
export function ownersPart(session, asked) {
  let form = null;

  function part(job, user) {
    const written =
      Object.keys(user).length === 0
        ? element("p", { class: "muted" }, t("Nothing yet."))
        : keyTable(user, t("Notes of the owner"));
    if (session.owns(job.slurm)) form ??= editor(session, asked);
    return section(t("Notes of the owner"), written, form);
  }

  return { part };
}

function editor(session, asked) {
  const key = element("input", {
    id: "note-key",
    type: "text",
    required: true,
    autocomplete: "off",
    "data-key": "note-key",
  });
  const value = element("input", {
    id: "note-value",
    type: "text",
    required: true,
    autocomplete: "off",
    "data-key": "note-value",
  });
  const button = element("button", { type: "submit", class: "quiet", "data-key": "note-save" }, t("Save"));
  const error = element("p", { class: "error", role: "alert" });
  const form = element(
    "form",
    { class: "note", "aria-label": t("Write a note") },
    element("div", {}, element("label", { for: "note-key" }, t("Key")), key),
    element("div", {}, element("label", { for: "note-value" }, t("Value: JSON or text")), value),
    button,
    error
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    error.textContent = "";
    try {
      await session.client.put("jobs/user_dict_update", { ...asked, update_pairs: pairs(key.value, value.value) });
      form.reset();
      session.lookAgain();
    } catch (problem) {
      error.textContent = problem.message;
    }
    button.disabled = false;
  });
  return form;
}

/** The text of a JSON object of one key; `value` stays as it is where it is JSON, and is text elsewhere. */
export function pairs(key, value) {
  return `{${JSON.stringify(key)}:${isJson(value) ? value : JSON.stringify(value)}}`;
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
