// The page: who is signed in, which view is open, and what stands around it.

import { hashOf, readHash } from "./frame/address.js";
import { Away, Client, Problem } from "./frame/client.js";
import { listenForKeys } from "./frame/keyboard.js";
import { followChanges } from "./frame/live.js";
import { forget, keep, token } from "./frame/session.js";
import { signInForm } from "./frame/sign_in.js";
import { secondsAfter, turns } from "./frame/turns.js";
import { element, refill } from "./parts/elements.js";
import { clusterView } from "./views/cluster.js";
import { clustersView } from "./views/clusters.js";
import { findView } from "./views/find.js";
import { jobView } from "./views/job.js";
import { jobsView } from "./views/jobs.js";
import { mineView } from "./views/mine.js";
import { nodeView } from "./views/node.js";
import { nodesView } from "./views/nodes.js";
import { tokensView } from "./views/tokens.js";
import { tick, zone } from "./words/times.js";
import { LANGUAGE, t } from "./words/words.js";

const SECONDS_BETWEEN_TICKS = 5;

// A view is made of the arguments in the address, goTo(view, args), and the session:
//   title      of the document
//   tab        which link of the navigation is the current one
//   content    an element, complete but for what the API says
//   questions  {name: [path, arguments]} for the API, asked at every turn; or ask(ask), which asks itself
//   later      names of questions that are costly for the API: the view is shown without them at first, and asks
//              them once a minute
//   show       puts the answers, {name: {body, headers}}, into the content; returns what to say aloud
const VIEWS = {
  home: (...parts) => (parts[2].account.role === "user" ? mineView : clustersView)(...parts),
  mine: mineView,
  clusters: clustersView,
  cluster: clusterView,
  jobs: jobsView,
  job: jobView,
  nodes: nodesView,
  node: nodeView,
  find: findView,
  tokens: tokensView,
};

const main = document.getElementById("main");
const trouble = document.getElementById("trouble");
const freshness = document.getElementById("freshness");
const search = document.getElementById("find-text");

let session = null;
let visit = null;
let toldOfClusters = null;
let entering = null; // the timer of the next try to enter

// --- signing in and out ---------------------------------------------------------------------------

function signedOut(refusal = null) {
  leave();
  session?.unfollow();
  session = null;
  showSignedIn(false);
  document.title = `${t("Sign in")} · Clockwork`;
  document.getElementById("find").reset();
  trouble.replaceChildren();
  main.removeAttribute("aria-busy");
  main.replaceChildren(signInForm(refusal, signIn));
  document.getElementById("token").focus();
}

async function signIn(value, stay) {
  const client = new Client(value);
  try {
    const account = await accountOf(client);
    keep(value, stay);
    main.replaceChildren();
    main.focus();
    enter(client, account);
    return null;
  } catch (error) {
    return error.status === 401
      ? t("This token is refused. Check that you copied all of it. It may also have been revoked.")
      : error.message;
  }
}

async function accountOf(client) {
  return (await client.ask("whoami", {}, new AbortController().signal)).body;
}

function enter(client, account) {
  const changed = () => document.hidden || visit?.turns.look();
  session = {
    ...{ client, account, lookAgain: () => visit?.turns.look() },
    unfollow: followChanges(client, account.mila_email_username, changed),
    owns: (slurm) =>
      account.role !== "service" &&
      ["mila_cluster_username", "cc_account_username", "username"].some(
        (key) => slurm[key] && slurm[key] === account[key]
      ),
  };
  showSignedIn(true);
  const who = document.getElementById("who");
  who.textContent = account.mila_email_username;
  who.title = client.hasToken
    ? t("Role: {role}. Token: {token}.", { role: account.role, token: account.token.name })
    : t("Role: {role}. Signed in by a proxy.", { role: account.role });
  document.getElementById("sign-out").hidden = !client.hasToken; // the proxy would sign in again at once
  navigate();
}

/** Enter with the token that is kept, or null for the proxy's sign-in; until the API has answered who that is, go on trying. */
async function enterAgain(value, failures = 1) {
  clearTimeout(entering);
  load();
  const client = new Client(value);
  try {
    const account = await accountOf(client);
    if (session === null) enter(client, account); // else another try was faster
  } catch (error) {
    if (session !== null) return;
    if (value === null && [401, 403].includes(error.status)) signedOut(error.status === 403 ? error.message : null);
    else if (error.status === 401) refused();
    else {
      const wait = Math.max(secondsAfter(failures), error.retryAfter ?? 0);
      clearTimeout(entering);
      entering = setTimeout(() => enterAgain(value, failures + 1), wait * 1000);
      complain(error, () => enterAgain(value));
    }
  }
}

function refused() {
  const hadToken = session?.client.hasToken ?? true;
  forget();
  if (!hadToken) return signedOut(t("Your sign-in has ended. Reload this page to sign in again."));
  signedOut(t("Your token is no longer accepted. It may have been revoked. Sign in again."));
}

function showSignedIn(yes) {
  for (const id of ["views", "find", "session"]) document.getElementById(id).hidden = !yes;
}

// --- going to a view ------------------------------------------------------------------------------

function navigate() {
  if (session === null) return;
  const { view: name, args } = readHash(location.hash);
  const former = visit?.name;
  leave();
  const view = (Object.hasOwn(VIEWS, name) ? VIEWS[name] : lostView)(args, goTo, session);
  document.title = `${view.title} · Clockwork`;
  for (const link of document.querySelectorAll("#views a")) {
    if (link.dataset.view === view.tab) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  session.client.forgetAllBut(Object.values(view.questions ?? {}));
  load();
  const moved = former !== undefined && former !== name;
  visit = { name, view, moved };
  visit.turns = turns(view, { ask: (...asked) => session.client.ask(...asked), shown, failed, quiet: selecting });
}

function goTo(view, args, instead = false) {
  const hash = hashOf(view, args);
  if (location.hash === hash) navigate();
  else if (instead) location.replace(hash);
  else location.hash = hash;
}

function leave() {
  visit?.turns.leave();
  visit = null;
}

function lostView() {
  const content = element(
    "div",
    { class: "card" },
    element("h1", {}, t("This view does not exist")),
    element(
      "p",
      {},
      t("The address of this page may be cut short."),
      " ",
      element("a", { href: "#/" }, t("Back to the start page"))
    )
  );
  return { title: t("Not found"), tab: null, content, questions: {}, show: () => "" };
}

// --- what comes of a turn -------------------------------------------------------------------------

function shown(said, first, answers) {
  visit.isShown = true;
  trouble.replaceChildren();
  showFreshness(answers.clusters?.body ?? null);
  place();
  if (!first) return;
  document.getElementById("said").textContent = said;
}

function failed(error) {
  if (error.status === 401) {
    refused();
    return true;
  }
  if (error.status === 403) {
    deny(error);
    return false;
  }
  place();
  if (main.textContent === "") main.append(element("p", { class: "loading" }, t("Not loaded yet.")));
  complain(error, () => visit?.turns.look());
  return false;
}

/** In place of the view, say that the account may not see it; the page goes on asking, in case that changes. */
function deny(error) {
  main.removeAttribute("aria-busy");
  trouble.replaceChildren();
  const { mila_email_username: name, role } = session.account;
  refill(
    main,
    element(
      "div",
      { class: "card denied" },
      element("h1", {}, t("You may not see this")),
      element("p", {}, error.message),
      element("p", { class: "muted" }, t("You are signed in as {name}, in the role {role}.", { name, role })),
      element("p", {}, element("a", { href: "#/" }, t("Back to the start page")))
    )
  );
}

/** Until the API answers, the former view stays; where there is none, a word says that it loads. */
function load() {
  main.setAttribute("aria-busy", "true");
  if (main.childElementCount === 0) main.replaceChildren(element("p", { class: "loading" }, t("Loading …")));
}

/** Let the view's content take the place of the former one's, once. */
function place() {
  main.removeAttribute("aria-busy");
  if (main.firstElementChild === visit.view.content) {
    main.querySelector(":scope > .loading")?.remove();
    return;
  }
  refill(main, visit.view.content);
  if (!visit.moved) return;
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
}

/** What someone is selecting to copy is not pulled from under the pointer; the header says that it stays. */
function selecting() {
  const selection = getSelection();
  const selects = !selection.isCollapsed && main.contains(selection.anchorNode);
  if (selects) mark("stale", t("not refreshed while text is selected"));
  return selects;
}

function complain(error, tryAgain) {
  if (!(error instanceof Problem || error instanceof Away)) console.error(error);
  const tries = error instanceof Away || error.status >= 500;
  const rest = [tries && t("The page keeps trying."), visit?.isShown && t("The data that it shows is older.")];
  const again = element("button", { type: "button", class: "quiet", "data-key": "again" }, t("Try now"));
  again.addEventListener("click", tryAgain);
  refill(trouble, element("p", {}, [error.message, ...rest].filter(Boolean).join(" ")), again);
  mark("stale", t("not refreshed"));
}

/** Say in the header whether what Clockwork knows of the clusters is up to date; where a view does not ask, as it was told last. */
function showFreshness(clusters) {
  toldOfClusters = clusters ?? toldOfClusters;
  if (toldOfClusters === null) return;
  const old = toldOfClusters.filter((cluster) => cluster.up === false).map((cluster) => cluster.name);
  if (old.length === 0) mark("live", t("up to date"));
  else mark("stale", t("out of date: {clusters}", { clusters: old.join(", ") }));
}

function mark(state, words) {
  freshness.className = `freshness ${state}`;
  freshness.textContent = words;
}

// --- the start ------------------------------------------------------------------------------------

function translatePage() {
  document.documentElement.lang = LANGUAGE;
  for (const node of document.querySelectorAll("[data-words]")) node.textContent = t(node.textContent);
  for (const name of ["aria-label", "placeholder"]) {
    for (const node of document.querySelectorAll(`[${name}]`)) node.setAttribute(name, t(node.getAttribute(name)));
  }
  document.getElementById("zone").textContent = t("Times are by your clock: {zone}.", { zone: zone() });
}

addEventListener("hashchange", navigate);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) visit?.turns.look();
});
document.getElementById("sign-out").addEventListener("click", () => {
  forget();
  signedOut();
});
addEventListener("storage", () => {
  if (session?.client.hasToken && token() === null) signedOut(); // in another tab
});
document.getElementById("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = search.value.trim();
  if (text !== "") goTo("find", { q: text });
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // "#main" is not a view
  main.focus();
});
listenForKeys(search);
setInterval(() => tick(main), SECONDS_BETWEEN_TICKS * 1000);

translatePage();
const kept = token();
if (kept === null && !("byProxy" in document.documentElement.dataset)) signedOut();
else enterAgain(kept);
