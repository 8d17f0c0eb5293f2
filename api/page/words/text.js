// Text that others chose, made safe to read.

import { element } from "../parts/elements.js";
import { t } from "./words.js";

// Controls, terminal escapes, newlines, overrides of the writing direction, invisible characters,
// halves of pairs, and what no font has.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu;

/** `text` in pieces: [{text, unseen}], where an unseen one is the escape that stands for a character. */
export function pieces(text) {
  const found = [];
  let end = 0;
  for (const match of text.matchAll(UNSEEN)) {
    if (match.index > end) found.push({ text: text.slice(end, match.index), unseen: false });
    found.push({ text: escapeOf(match[0]), unseen: true });
    end = match.index + match[0].length;
  }
  if (end < text.length) found.push({ text: text.slice(end), unseen: false });
  return found;
}

function escapeOf(character) {
  const known = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }[character];
  if (known) return known;
  const code = character.codePointAt(0).toString(16).padStart(2, "0");
  return code.length <= 2 ? `\\x${code}` : `\\u{${code}}`;
}

/** `text` on one line, its unseen characters as escapes: for titles, labels and the like. */
export function plain(text) {
  return pieces(String(text))
    .map((piece) => piece.text)
    .join("");
}

/** A <bdi> that shows `text` as it is, unseen characters as marks; a dash for null. */
export function shown(text) {
  if (text === null || text === undefined) return none();
  if (text === "") return element("span", { class: "none" }, t("(empty)"));
  return element(
    "bdi",
    {},
    ...pieces(String(text)).map((piece) =>
      piece.unseen ? element("span", { class: "unseen" }, piece.text) : piece.text
    )
  );
}

/** What stands where nothing is. */
export function none() {
  return element("span", { class: "none" }, "–");
}
