// The token: for this tab, or for this browser where the person asked for that. Nothing else is kept.

import { t } from "../words/words.js";

const KEY = "clockwork.token";

/** The token that is kept, null where there is none. */
export function token() {
  return sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY);
}

/** Keep `value` until the tab closes; until signing out where `stay` is true. */
export function keep(value, stay) {
  forget();
  (stay ? localStorage : sessionStorage).setItem(KEY, value);
}

/** Forget the token, wherever it is. */
export function forget() {
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(KEY);
}

/** What is wrong with a token's shape, in a sentence; null where it may be one. */
export function malformed(value) {
  if (value === "") return t("Type or paste your token.");
  if (!/^[\x21-\x7e]+$/.test(value)) {
    return t("This is not a token: a token has no spaces and no letters with accents.");
  }
  return null;
}
