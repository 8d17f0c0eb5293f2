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
 * quiet    tells whether what is shown may not be touched now
 */
export function turns(view, { ask, shown, failed, quiet }) {
  const leaving = new AbortController();
  let [timer, asking, again, answers, failures] = [null, false, false, null, 0];

  async function turn() {
    again = asking;
    if (asking || leaving.signal.aborted) return;
    clearTimeout(timer);
    asking = true;
    let wait = SECONDS_BETWEEN_TURNS;
    try {
      await answer(view, (path, args) => ask(path, args, leaving.signal), answers === null, settle);
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

/** Settle the answers to the view's questions; at first those alone that it needs at once, and then all. */
async function answer(view, ask, isFirst, settle) {
  if (view.ask) {
    settle(await view.ask(ask));
    return;
  }
  const asked = Object.entries(view.questions).map(([name, [path, args]]) => [name, ask(path, args)]);
  const atOnce = asked.filter(([name]) => !view.later?.includes(name));
  const all = together(asked);
  all.catch(() => {}); // it is awaited below
  if (isFirst && atOnce.length < asked.length) settle(await together(atOnce));
  settle(await all);
}

async function together(asked) {
  const answers = await Promise.all(asked.map(([, answer]) => answer));
  return Object.fromEntries(asked.map(([name], index) => [name, answers[index]]));
}

function secondsAfter(failures) {
  return Math.min(SECONDS_AFTER_FAILURE * 2 ** (failures - 1), MOST_SECONDS_AFTER_FAILURE);
}
