// Pictures: counts to shapes, shapes to SVG. Colours come from page.css, by the tone's class.

import { plain } from "../words/text.js";
import { grouped } from "../words/words.js";
import { drawn } from "./elements.js";

const GAP = 0.4;
const THINNEST = 0.8;

/**
 * Where the segments of a stacked bar lie: [{...part, x, width}] on a line of `full` units.
 *
 * Widths are as the counts, of which `most` fills the line; the smallest count can still be seen.
 */
export function segments(parts, most, full = 100) {
  const counted = parts.filter((part) => part.count > 0);
  const total = counted.reduce((sum, part) => sum + part.count, 0);
  if (total === 0) return [];
  const line = (full * total) / Math.max(most, total);
  const gap = Math.min(GAP, line / 4 / counted.length);
  const room = line - gap * (counted.length - 1);
  const wanted = counted.map((part) => Math.max((room * part.count) / total, THINNEST));
  const scale = room / wanted.reduce((sum, width) => sum + width, 0);
  let x = 0;
  return counted.map((part, index) => {
    const place = { ...part, x, width: wanted[index] * scale };
    x += place.width + gap;
    return place;
  });
}

/** A stacked bar of [{state, count, tone}]; `label` says in words what it shows. */
export function stackedBar(parts, { label, most = 0, height = 14 }) {
  return picture(
    { label, height, class: "bar" },
    drawn("rect", { class: "track", width: 100, height }),
    segments(parts, most).map((segment) =>
      drawn(
        "rect",
        { class: segment.tone, x: segment.x, width: segment.width, height },
        drawn("title", {}, `${plain(segment.state)}: ${grouped(segment.count)}`)
      )
    )
  );
}

/** A thin bar of how much of a whole is used; `label` says it in words. */
export function meter(part, whole, label, tone = "go") {
  const share = whole > 0 ? Math.min(Math.max(part / whole, 0), 1) : 0;
  return picture(
    { label, height: 4, class: "meter" },
    drawn("rect", { class: "track", width: 100, height: 4 }),
    drawn("rect", { class: tone, width: share * 100, height: 4 })
  );
}

/**
 * A line of time: steps [{state, tone, from, to}] in milliseconds, one behind the other.
 *
 * Widths are as the lengths of time, none too thin to be seen.
 */
export function timeline(steps, label) {
  const parts = steps.map((step) => ({ ...step, count: Math.max(step.to - step.from, 1) }));
  return picture(
    { label, height: 14, class: "bar" },
    segments(parts, 0).map((segment) =>
      drawn(
        "rect",
        { class: segment.tone, x: segment.x, width: segment.width, height: 14 },
        drawn("title", {}, plain(segment.state))
      )
    )
  );
}

function picture({ label, height, class: name }, ...shapes) {
  const attributes = {
    class: name,
    viewBox: `0 0 100 ${height}`,
    preserveAspectRatio: "none",
    role: "img",
    "aria-label": label,
  };
  return drawn("svg", attributes, ...shapes);
}
