// Where one is, as the part of the URL behind "#": "#/jobs?partition=long&job_state=RUNNING".

/** {view, args} of a hash; an empty one is the first view. Arguments that come twice count once. */
export function readHash(hash) {
  const [, path = "", query = ""] = /^#?\/?([^?]*)\??(.*)$/su.exec(hash);
  return { view: path || "home", args: Object.fromEntries(new URLSearchParams(query)) };
}

/** The hash of a view with its arguments; empty ones are left out. */
export function hashOf(view, args = {}) {
  const query = new URLSearchParams(
    Object.entries(args).filter(([, value]) => value !== "" && value !== null && value !== undefined)
  );
  const path = view === "home" ? "" : view;
  return `#/${path}${query.size > 0 ? `?${query}` : ""}`;
}

/** Those of `args` that `names` has. */
export function only(args, names) {
  return Object.fromEntries(names.filter((name) => name in args).map((name) => [name, args[name]]));
}

/** One value of an argument that takes several with commas between them. */
export function oneValue(text) {
  return String(text).replace(/[\\,]/g, "\\$&");
}

/** The values of an argument that holds several. */
export function severalValues(text) {
  const values = (text ?? "").match(/(?:[^\\,]|\\.)+/gsu) ?? [];
  return values.map((value) => value.replace(/\\(.)/gsu, "$1"));
}
