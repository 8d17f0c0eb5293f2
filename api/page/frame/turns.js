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
      settle(await answersTo(view, (path, args) => ask(path, args, leaving.signal)));
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

async function answersTo(view, ask) {
  if (view.ask) return view.ask(ask);
  const questions = Object.entries(view.questions);
  const answers = await Promise.all(questions.map(([, [path, args]]) => ask(path, args)));
  return Object.fromEntries(questions.map(([name], index) => [name, answers[index]]));
}

function secondsAfter(failures) {
  return Math.min(SECONDS_AFTER_FAILURE * 2 ** (failures - 1), MOST_SECONDS_AFTER_FAILURE);
}
