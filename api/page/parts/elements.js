// Elements from plain values. Text becomes text nodes, never markup; nothing here parses HTML.

const SUMMARY = "summary[data-key]";
const UNFOLDED = `details[open] > ${SUMMARY}`;
const SEARCH = "input[type=search][data-key]";
const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; `attributes` whose value is null or false are left out, true is empty. */
export function element(name, attributes = {}, ...children) {
  return furnished(document.createElement(name), attributes, children);
}

/** An SVG element, likewise. */
export function drawn(name, attributes = {}, ...children) {
  return furnished(document.createElementNS(SVG, name), attributes, children);
}

function furnished(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== false));
  return node;
}

/**
 * Put `children` in the place of what `parent` holds; what had the focus has it again, if something
 * with the same data-key (or id, or link) is still there. Likewise what is unfolded and searched for.
 */
export function refill(parent, ...children) {
  const unfolded = new Set([...parent.querySelectorAll(UNFOLDED)].map(keyOf));
  const searched = new Map([...parent.querySelectorAll(SEARCH)].map((field) => [keyOf(field), field.value]));
  const focused = parent.contains(document.activeElement) ? keyOf(document.activeElement) : null;
  parent.replaceChildren(...children.flat(Infinity).filter((child) => child !== null));
  for (const summary of parent.querySelectorAll(SUMMARY)) {
    if (unfolded.has(keyOf(summary))) summary.parentElement.open = true;
  }
  for (const field of parent.querySelectorAll(SEARCH)) {
    field.value = searched.get(keyOf(field)) ?? "";
    field.dispatchEvent(new Event("input"));
  }
  if (focused === null) return;
  for (const candidate of parent.querySelectorAll("a, button, input, select, summary, [tabindex]")) {
    if (keyOf(candidate) === focused) {
      candidate.focus({ preventScroll: true });
      return;
    }
  }
}

function keyOf(node) {
  return node.dataset.key ?? (node.id || node.getAttribute("href"));
}
