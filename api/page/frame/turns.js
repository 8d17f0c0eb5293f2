// The turns in which a view that is open asks the API again and shows what is new.

const SECONDS_BETWEEN_TURNS = 60; // even if nothing has changed: ages grow
const SECONDS_AFTER_FAILURE = 15;
const MOST_SECONDS_AFTER_FAILURE = 120;

/**
 * The turns of `view`, which begin at once: {look, leave}.
 *
 * ask      (path, args, signal) asks the API
 * shown    (said, first, answers) is called when answers were put into the view
 * failed   (error) is called when a turn failed; true ends the turns
 * quiet    tells whether what is shown may not be touched now, and says so to the person
 */
export function turns(view, { ask, shown, failed, quiet }) {
  const leaving = new AbortController();
  let [timer, asking, again, answers, failures, askedLater] = [null, false, false, null, 0, 0];

  const askNow = (path, args) => ask(path, args, leaving.signal);

  /** The answer to a question that is costly for the API and that the view can be shown without: at most a minute old. */
  function askSeldom(name, [path, args]) {
    if (answers?.[name] && Date.now() - askedLater < SECONDS_BETWEEN_TURNS * 1000) return answers[name];
    askedLater = Date.now();
    return askNow(path, args);
  }

  /** Settle the answers to the view's questions; at first those alone that it needs at once, and then all. */
  async function answer() {
    if (view.ask) {
      settle(await view.ask(askNow));
      return;
    }
    const isLater = (name) => view.later?.includes(name) ?? false;
    const asked = Object.entries(view.questions).map(([name, question]) => [
      name,
      isLater(name) ? askSeldom(name, question) : askNow(...question),
    ]);
    const atOnce = asked.filter(([name]) => !isLater(name));
    const all = together(asked);
    all.catch(() => {}); // it is awaited below
    if (answers === null && atOnce.length < asked.length) settle(await together(atOnce));
    settle(await all);
  }

  async function turn() {
    again = asking;
    if (asking || leaving.signal.aborted) return;
    clearTimeout(timer);
    asking = true;
    let wait = SECONDS_BETWEEN_TURNS;
    try {
      await answer();
      failures = 0;
    } catch (error) {
      if (leaving.signal.aborted || failed(error)) return;
      failures += 1;
      wait = Math.max(secondsAfter(failures), error.retryAfter ?? 0);
    } finally {
      asking = false;
    }
    if (again) wait = 0; // something changed meanwhile
    if (!leaving.signal.aborted) timer = setTimeout(() => document.hidden || turn(), wait * 1000);
  }

  /** Show the answers, unless what is shown may not be touched now. */
  function settle(found) {
    if (leaving.signal.aborted) return;
    const first = answers === null;
    if (!first && quiet()) return;
    const said = view.show(found);
    if (leaving.signal.aborted) return; // the view has gone to another
    answers = found;
    shown(said, first, found);
  }

  turn();
  return {
    look: turn,
    leave() {
      leaving.abort();
      clearTimeout(timer);
    },
  };
}

async function together(asked) {
  const answers = await Promise.all(asked.map(([, answer]) => answer));
  return Object.fromEntries(asked.map(([name], index) => [name, answers[index]]));
}

/** How many seconds after this many failures, one behind the other, the API is asked again. */
export function secondsAfter(failures) {
  return Math.min(SECONDS_AFTER_FAILURE * 2 ** (failures - 1), MOST_SECONDS_AFTER_FAILURE);
}
