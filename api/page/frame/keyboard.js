// The keyboard: "/" goes to the search field, arrows move between rows and between the heads of columns.

/** Listen for keys, for as long as the page is open. */
export function listenForKeys(search) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = event.target;
    const types = /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
    if (event.key === "/" && !types) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (!types) moveBy(event);
  });
}

const STEPS = { ArrowDown: 1, ArrowUp: -1, ArrowRight: 1, ArrowLeft: -1 };

function moveBy(event) {
  const step = STEPS[event.key];
  if (step === undefined) return;
  const along = event.key === "ArrowDown" || event.key === "ArrowUp";
  const heads = event.target.closest("thead");
  const table = event.target.closest(".scroll table");
  if (table === null) return;
  if (heads !== null && !along) return moveTo([...heads.querySelectorAll("button")], event, step);
  if (!along) return;
  const rows = [...table.querySelectorAll("tbody tr:not([hidden])")].map((row) => row.querySelector("a, button"));
  const at = rows.findIndex((stop) => stop?.closest("tr") === event.target.closest("tr"));
  const stop = rows[at + step] ?? (step < 0 ? table.querySelector("thead [tabindex='0']") : null);
  focus(stop, event);
}

function moveTo(stops, event, step) {
  const next = stops[stops.indexOf(document.activeElement) + step];
  if (next === undefined) return;
  for (const stop of stops) stop.tabIndex = stop === next ? 0 : -1;
  focus(next, event);
}

function focus(stop, event) {
  if (!stop) return;
  event.preventDefault();
  stop.focus();
}
