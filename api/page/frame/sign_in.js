// The form that asks for the token.

import { element } from "../parts/elements.js";
import { t } from "../words/words.js";
import { malformed } from "./session.js";

/**
 * The form; `refusal` is why a token was refused before, null at first.
 *
 * `signIn(token, stay)` is called with what may be a token; it resolves to a sentence that says why
 * the token is refused, or to null.
 */
export function signInForm(refusal, signIn) {
  const field = element("input", {
    ...{ id: "token", name: "token", type: "password", required: true, spellcheck: "false" },
    ...{ autocomplete: "current-password", autocapitalize: "off", "aria-describedby": "token-help" },
  });
  // For a keeper of passwords, which wants a name beside it.
  const name = element("input", { type: "text", autocomplete: "username", value: "Clockwork", hidden: true });
  const stay = element("input", { id: "stay", name: "stay", type: "checkbox" });
  const button = element("button", { type: "submit", class: "primary" }, t("Sign in"));
  const error = element("p", { id: "refusal", class: "error", role: "alert" });

  function refuse(sentence) {
    error.textContent = sentence ?? "";
    if (sentence === null) return;
    field.setAttribute("aria-invalid", "true");
    field.select();
    field.focus();
  }

  async function submitted(event) {
    event.preventDefault();
    const token = field.value.trim();
    const wrong = malformed(token);
    if (wrong !== null) {
      refuse(wrong);
      return;
    }
    button.disabled = true;
    const why = await signIn(token, stay.checked);
    button.disabled = false;
    refuse(why);
  }

  const form = element(
    "form",
    { class: "card sign-in", novalidate: true, "aria-labelledby": "sign-in-title" },
    element("h1", { id: "sign-in-title" }, t("Sign in")),
    element(
      "p",
      { id: "token-help", class: "muted" },
      t("Clockwork shows the jobs and the nodes of your clusters. An administrator of Clockwork gives you a token.")
    ),
    name,
    element("label", { for: "token" }, t("Token")),
    field,
    error,
    element(
      "label",
      { class: "choice" },
      stay,
      element(
        "span",
        {},
        t("Stay signed in on this device"),
        element("small", {}, t("Otherwise you are signed out when this tab closes."))
      )
    ),
    button
  );
  form.addEventListener("submit", submitted);
  if (refusal !== null) queueMicrotask(() => refuse(refusal));
  return form;
}
