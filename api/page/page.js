// The page: who is signed in, which view is open, and the turn that keeps it fresh.

import { hashOf, readHash } from "./frame/address.js";
import { Away, Client, Problem } from "./frame/client.js";
import { element, refill } from "./parts/elements.js";
import { jobView } from "./views/job.js";
import { jobsView } from "./views/jobs.js";
import { nodeView } from "./views/node.js";
import { nodesView } from "./views/nodes.js";
import { overview } from "./views/overview.js";
import { forget, keep, token } from "./frame/session.js";
import { signInForm } from "./frame/sign_in.js";
import { tick } from "./words/text.js";

const SECONDS_BETWEEN_TURNS = 15;
const MOST_SECONDS_BETWEEN_TURNS = 120;
const SECONDS_BETWEEN_TICKS = 5;
const SECONDS_SHOWN = 60; // lengths of time are shown again, even if nothing has changed

// A view is made of the arguments in the address:
//   title      of the document
//   tab        which link of the navigation is the current one
//   content    an element, complete but for what the API says
//   questions  {name: [path, arguments]} for the API, asked at every turn; [..., ONCE] only at first
//   show       puts the answers, {name: {body, headers}}, into the content; returns what to say aloud
const VIEWS = {
  overview,
  jobs: jobsView,
  job: jobView,
  nodes: nodesView,
  node: nodeView,
};

const main = document.getElementById("main");
const trouble = document.getElementById("trouble");
const freshness = document.getElementById("freshness");

let client = null;
let visit = null;

// --- signing in and out ---------------------------------------------------------------------------

function signedOut(refusal = null) {
  leave();
  client = null;
  showSignedIn(false);
  document.title = "Sign in · Clockwork";
  document.getElementById("find").reset();
  trouble.replaceChildren();
  main.replaceChildren(signInForm(refusal, signIn));
  document.getElementById("token").focus();
}

async function signIn(value, stay) {
  const candidate = new Client(value);
  try {
    await candidate.ask("clusters/list", {}, new AbortController().signal);
  } catch (error) {
    return error.status === 401
      ? "This token is refused. Check that you copied all of it; it may also have been revoked."
      : error.message;
  }
  keep(value, stay);
  main.focus();
  enter(candidate);
  return null;
}

function enter(newClient) {
  client = newClient;
  showSignedIn(true);
  navigate();
}

function showSignedIn(yes) {
  for (const id of ["views", "find", "session"]) document.getElementById(id).hidden = !yes;
}

// --- going to a view ------------------------------------------------------------------------------

function navigate() {
  if (client === null) return;
  const { view: name, args } = readHash(location.hash);
  const former = visit?.name;
  leave();
  const view = (Object.hasOwn(VIEWS, name) ? VIEWS[name] : lostView)(args, goTo);
  visit = {
    ...{ name, view, moved: former !== undefined && former !== name, leaving: new AbortController() },
    ...{ answers: null, shown: 0, failures: 0, asking: false },
  };
  document.title = `${view.title} · Clockwork`;
  for (const link of document.querySelectorAll("#views a")) {
    if (link.dataset.view === view.tab) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  client.forgetAllBut(Object.values(view.questions));
  main.setAttribute("aria-busy", "true");
  turn(visit);
}

function goTo(view, args) {
  const hash = hashOf(view, args);
  if (location.hash === hash) navigate();
  else location.hash = hash;
}

function leave() {
  visit?.leaving.abort();
  clearTimeout(visit?.timer);
  visit = null;
}

function lostView() {
  const content = element(
    "div",
    { class: "card" },
    element("h1", {}, "There is no such view"),
    element("p", {}, "The address of this page may be cut short. ", element("a", { href: "#/" }, "To the overview"))
  );
  return { title: "Not found", tab: null, content, questions: {}, show: () => "" };
}

// --- keeping it fresh -----------------------------------------------------------------------------

async function turn(current) {
  if (current.asking) return;
  clearTimeout(current.timer);
  current.asking = true;
  let wait = SECONDS_BETWEEN_TURNS;
  try {
    const answers = await answersTo(current);
    if (current !== visit) return;
    settle(current, answers);
    current.failures = 0;
    trouble.replaceChildren();
    showFreshness("live", "The API was last asked at ", new Date().toTimeString().slice(0, 8));
  } catch (error) {
    if (current !== visit) return;
    if (error.status === 401) {
      forget();
      signedOut("Your token is no longer accepted: it may have been revoked. Sign in again.");
      return;
    }
    current.failures += 1;
    wait = Math.max(secondsAfter(current.failures), error.retryAfter ?? 0);
    place(current);
    complain(error);
  } finally {
    current.asking = false;
  }
  current.timer = setTimeout(() => turnWhenSeen(current), wait * 1000);
}

async function answersTo(current) {
  const questions = Object.entries(current.view.questions);
  const answers = await Promise.all(
    questions.map(([name, [path, args, once]]) =>
      once && current.answers ? current.answers[name] : client.ask(path, args, current.leaving.signal)
    )
  );
  return Object.fromEntries(questions.map(([name], index) => [name, answers[index]]));
}

/** Show the answers, where they are others than those that are shown or these are a minute old. */
function settle(current, answers) {
  const first = current.answers === null;
  const same = !first && Object.keys(answers).every((name) => answers[name] === current.answers[name]);
  const fresh = Date.now() - current.shown < SECONDS_SHOWN * 1000;
  // What someone is selecting to copy is not pulled from under the pointer.
  if ((same && fresh) || (!first && selecting())) return;
  const said = current.view.show(answers);
  current.answers = answers;
  current.shown = Date.now();
  if (!first) return;
  place(current);
  document.getElementById("said").textContent = said;
}

/** Let the view's content take the place of the former one's, once. */
function place(current) {
  main.removeAttribute("aria-busy");
  if (main.firstElementChild === current.view.content) return;
  refill(main, current.view.content);
  if (!current.moved) return;
  scrollTo(0, 0);
  main.focus({ preventScroll: true });
}

function secondsAfter(failures) {
  return Math.min(SECONDS_BETWEEN_TURNS * 2 ** (failures - 1), MOST_SECONDS_BETWEEN_TURNS);
}

function selecting() {
  const selection = getSelection();
  return !selection.isCollapsed && main.contains(selection.anchorNode);
}

/** A page that nobody sees asks nothing; it asks at once when it is seen again. */
function turnWhenSeen(current) {
  if (!document.hidden) turn(current);
}

function complain(error) {
  if (!(error instanceof Problem || error instanceof Away)) console.error(error);
  const rest = error instanceof Away ? " The page goes on trying; what it shows is from before." : "";
  const again = element("button", { type: "button", class: "quiet", "data-key": "again" }, "Try now");
  again.addEventListener("click", () => visit && turn(visit));
  refill(trouble, element("p", {}, error.message + rest), again);
  showFreshness("stale", "", "Not fresh");
}

/** A mark of how fresh the page is, with `words`; what they mean is for those who hear the page. */
function showFreshness(state, meaning, words) {
  freshness.className = `freshness ${state}`;
  freshness.title = meaning + words;
  freshness.replaceChildren(element("span", { class: "unseen-but-read" }, meaning), words);
}

// --- the start ------------------------------------------------------------------------------------

addEventListener("hashchange", navigate);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && visit !== null) turn(visit);
});
document.getElementById("sign-out").addEventListener("click", () => {
  forget();
  signedOut();
});
addEventListener("storage", () => {
  if (client !== null && token() === null) signedOut(); // in another tab
});
document.getElementById("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const [, cluster = "", id] = /^(?:(.*)\/)?(.*)$/su.exec(document.getElementById("find-job").value.trim());
  if (id !== "") goTo("job", { cluster_name: cluster, job_id: id });
});
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault(); // "#main" is not a view
  main.focus();
});
setInterval(() => tick(main), SECONDS_BETWEEN_TICKS * 1000);

const kept = token();
if (kept === null) signedOut();
else enter(new Client(kept));
