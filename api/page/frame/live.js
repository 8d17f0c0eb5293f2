// The changes of jobs and nodes, as the API tells them. Of all tabs of one account, one follows them
// and tells the others; ten tabs ask no more than one.

const SECONDS_TO_WAIT = "45";
const SECONDS_BETWEEN = 5; // a round writes in several steps
const SECONDS_AFTER_FAILURE = 60;
const KINDS = [
  ["jobs/changes", "slurm.job_id"],
  ["nodes/changes", "slurm.name"],
];

/** Call `changed` whenever something that the account called `name` sees has changed; returns what ends this. */
export function followChanges(client, name, changed) {
  const leaving = new AbortController();
  const channel = new BroadcastChannel(`clockwork ${name}`);
  channel.onmessage = changed;
  const tell = () => {
    changed();
    channel.postMessage("changed");
  };
  const lead = () => Promise.all(KINDS.map((kind) => follow(client, kind, tell, leaving.signal)));
  const takeTurns = async () => {
    while (!leaving.signal.aborted) {
      await navigator.locks.request(`clockwork ${name}`, { signal: leaving.signal }, lead);
      await sleep(SECONDS_AFTER_FAILURE, leaving.signal); // another tab may have a token that is not refused
    }
  };
  // A page without TLS has no locks: its tabs would use up the browser's connections, and look once a minute.
  if (navigator.locks) takeTurns().catch(() => {});
  return () => {
    leaving.abort();
    channel.close();
  };
}

/** Follow the changes of one kind until `signal` says otherwise, or the API refuses the token. */
async function follow(client, [path, fields], tell, signal) {
  let cursor = "";
  while (!signal.aborted) {
    let pause = SECONDS_BETWEEN;
    try {
      const wait = cursor && SECONDS_TO_WAIT; // none without a cursor
      const { body } = await client.ask(path, { cursor, wait, fields }, signal);
      if (signal.aborted) return;
      if (body.changed.length + body.gone.length > 0) tell();
      cursor = body.cursor;
    } catch (error) {
      if (error.status === 401) return;
      const outdated = error.status === 410; // the changes since the cursor are no longer known
      if (outdated) cursor = "";
      else pause = SECONDS_AFTER_FAILURE;
    }
    await sleep(pause, signal);
  }
}

function sleep(seconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
