// The grid of a cluster: a cell for each node, coloured by its state and filled by its use.
//
// The cells are links with words for those who hear the page. One cell is a tab stop; arrows move.

import { hashOf } from "../frame/address.js";
import { element } from "../parts/elements.js";
import { stateBadge } from "../parts/parts.js";
import { useLevel } from "../slurm/node_facts.js";
import { nodeTone } from "../slurm/states.js";
import { plain } from "../words/text.js";
import { grouped, t } from "../words/words.js";

const KEYS = { ArrowRight: 1, ArrowLeft: -1 };

/** The grid of `rows`, [{node, facts}]. */
export function nodeGrid(rows) {
  const cells = rows.map(cell);
  const list = element("ul", { class: "grid", "aria-label": t("Nodes") }, cells);
  const first = list.querySelector("a");
  if (first !== null) first.tabIndex = 0;
  list.addEventListener("keydown", (event) => move(list, event));
  return element("div", { class: "card" }, legend(), list);
}

function cell({ node: { slurm }, facts }) {
  const words = [plain(slurm.name), plain(slurm.state), freeWords(facts)].join(", ");
  const link = element("a", {
    ...{ href: hashOf("node", { cluster_name: slurm.cluster_name, node_name: slurm.name }), tabindex: "-1" },
    ...{ class: `cell ${nodeTone(slurm.state)} use${useLevel(facts)}`, title: words, "aria-label": words },
  });
  return element("li", {}, link);
}

function freeWords({ usable, cpus, gpus }) {
  if (!usable) return t("out of service");
  const parts = [t("{free} of {total} CPUs free", { free: grouped(cpus.free ?? 0), total: grouped(cpus.total) })];
  if (gpus.total > 0)
    parts.push(
      t("{free} of {total} GPUs free", {
        free: gpus.free === null ? "?" : grouped(gpus.free),
        total: grouped(gpus.total),
      })
    );
  return parts.join(", ");
}

function legend() {
  const tones = [
    ["good", t("idle")],
    ["half", t("partly used")],
    ["go", t("fully used")],
    ["wait", t("reserved or planned")],
    ["odd", t("drained or in maintenance")],
    ["bad", t("down")],
    ["off", t("powered down")],
  ];
  return element(
    "ul",
    { class: "legend" },
    tones.map(([tone, words]) => element("li", {}, stateBadge(words, tone)))
  );
}

function move(list, event) {
  const links = [...list.querySelectorAll("a")];
  const at = links.indexOf(document.activeElement);
  const perLine = links.filter((link) => link.offsetTop === links[0].offsetTop).length;
  const by = KEYS[event.key] ?? { ArrowDown: perLine, ArrowUp: -perLine }[event.key];
  const next = links[at + by];
  if (at < 0 || next === undefined) return;
  event.preventDefault();
  links[at].tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
}
