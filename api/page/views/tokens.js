// The tokens of the account that is signed in: a table of them, a form that makes one, and buttons that revoke.

import { element, refill } from "../parts/elements.js";
import { table } from "../parts/table.js";
import { shown } from "../words/text.js";
import { moment, relative, when } from "../words/times.js";
import { counted, t } from "../words/words.js";

const DAYS = ["30", "90", "365"];
const NEVER = "";

export function tokensView(_args, _goTo, session) {
  const made = element("div", { role: "status" });
  const error = element("p", { class: "error", role: "alert" });
  let tokens = [];
  let toRevoke = null; // a first click asks, a second one revokes

  async function write(path, fields) {
    error.textContent = "";
    try {
      return await session.client.post(path, fields);
    } catch (problem) {
      error.textContent = problem.message;
      return null;
    } finally {
      session.lookAgain();
    }
  }

  async function revoke(name) {
    if (toRevoke !== name) {
      toRevoke = name;
      fill();
      return;
    }
    toRevoke = null;
    made.replaceChildren();
    await write("tokens/revoke", { name });
  }

  function revokeButton({ name }) {
    const attributes = { type: "button", class: "quiet", "data-key": `revoke ${name}` };
    const label = toRevoke === name ? t("Click again to revoke {name}", { name }) : t("Revoke {name}", { name });
    const button = element(
      "button",
      { ...attributes, "aria-label": label },
      toRevoke === name ? t("Click again") : t("Revoke")
    );
    button.addEventListener("click", () => revoke(name));
    return button;
  }

  const list = table({
    caption: t("My tokens"),
    columns: [
      { title: t("Name"), class: "id", cell: (token) => nameOf(token, session.account.token) },
      { title: t("Made"), class: "nowrap", cell: ({ created }) => relative(created) },
      {
        title: t("Last used"),
        class: "nowrap",
        cell: ({ last_used: used }) => (used === null ? t("never") : relative(used)),
      },
      { title: t("Expires"), class: "nowrap", cell: expiry },
      { title: t("Revoke"), cell: revokeButton },
    ],
    empty: t("You have no token."),
  });
  const fill = () => list.fill(tokens.map((token) => ({ key: token.name, rows: [token] })));
  const form = makingForm(async (fields) => {
    const token = await write("tokens/create", fields);
    if (token !== null) refill(made, madeToken(token));
    return token !== null;
  });
  const help = t(
    "A program that uses the API needs a token. Give each program its own, so that you can revoke it alone."
  );
  return {
    title: t("My tokens"),
    tab: null,
    content: element(
      "div",
      { class: "tokens" },
      element("h1", {}, t("My tokens")),
      element("p", { class: "muted" }, help),
      form,
      error,
      made,
      list.node
    ),
    questions: { tokens: ["tokens/list", {}] },
    show(answers) {
      tokens = answers.tokens.body;
      fill();
      return counted(tokens.length, "token");
    },
  };
}

function nameOf({ name }, own) {
  return [shown(name), name === own?.name ? element("small", { class: "of-group" }, t("of this session")) : null];
}

function expiry({ expires }) {
  if (expires === null) return t("never");
  return moment(expires) > Date.now() ? when(expires) : element("span", { class: "error" }, t("expired"));
}

/** The form; `make({name, expires_in})` resolves to whether there is a new token. */
function makingForm(make) {
  const name = element("input", {
    id: "token-name",
    name: "name",
    type: "text",
    placeholder: "laptop",
    required: true,
    autocomplete: "off",
    maxlength: "128",
  });
  const options = [...DAYS.map((days) => [days, t("{count} days", { count: days })]), [NEVER, t("never")]];
  const expires = element(
    "select",
    { id: "token-expires", name: "expires_in" },
    options.map(([value, words]) => element("option", { value, selected: value === "90" }, words))
  );
  const button = element("button", { type: "submit", class: "primary" }, t("Make a token"));
  const form = element(
    "form",
    { class: "card filters", "aria-label": t("Make a token") },
    element("div", {}, element("label", { for: "token-name" }, t("Name")), name),
    element("div", {}, element("label", { for: "token-expires" }, t("It expires after")), expires),
    button
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    const chosen = expires.value === NEVER ? {} : { expires_in: expires.value };
    if (await make({ name: name.value.trim(), ...chosen })) form.reset();
    button.disabled = false;
  });
  return form;
}

function madeToken({ name, token }) {
  const field = element("input", { id: "new-token", type: "text", readonly: true, value: token, spellcheck: "false" });
  const copy = element("button", { type: "button", class: "quiet" }, t("Copy"));
  copy.addEventListener("click", async () => {
    field.select();
    await navigator.clipboard?.writeText(token); // without TLS there is no clipboard: the text stays selected
    copy.textContent = t("Copied");
  });
  return element(
    "div",
    { class: "card made-token" },
    element("label", { for: "new-token" }, t("The token {name}. Copy it now: it is never shown again.", { name })),
    field,
    copy
  );
}
