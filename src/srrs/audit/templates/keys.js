// Keys and clicks, and the first drawing.

const commands = {
  a: () => decide("accept"),
  k: () => decide("keep"),
  d: () => decide("drop"),
  c: openChooser,
  u: undo,
  Backspace: () => decide("clear"),
  x: () => toggle(view.current),
  Escape: () => select([]),
  "/": () => at("text").focus(),
  "?": () => at("help").showModal(),
  z: zoom,
  Home: (event) => step(-rows.length, { extend: event.shiftKey }),
  End: (event) => step(rows.length, { extend: event.shiftKey }),
  PageUp: () => step(-PAGE),
  PageDown: () => step(PAGE),
  ArrowLeft: (event) => step(-1, { extend: event.shiftKey }),
  ArrowRight: (event) => step(1, { extend: event.shiftKey }),
  ArrowUp: (event) => step(-columnsWide(), { extend: event.shiftKey }),
  ArrowDown: (event) => step(columnsWide(), { extend: event.shiftKey }),
};
const withControl = { z: undo, a: () => select(view.shown) };

/** Keys count from the start, but where something is typed or chosen. */
function listening(target) {
  if (document.querySelector("dialog[open]") || target.closest("select, input, textarea, summary")) return false;
  return target === document.body || at("review").contains(target);
}

function inSight() {
  const { top, bottom } = at("bench").getBoundingClientRect();
  return top < 0.8 * innerHeight && bottom > 0.2 * innerHeight;
}

function commandOf(event) {
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.altKey || view.current < 0) return null;
  if (event.ctrlKey || event.metaKey) return event.shiftKey ? null : withControl[key];
  if (/^[1-9]$/.test(key)) {
    const label = candidates(view.current)[Number(key) - 1];
    return label === undefined ? null : () => decide("relabel", label);
  }
  if (key === " ") return event.target.closest("button") ? null : commands.x;
  return Object.hasOwn(commands, key) ? commands[key] : null;
}

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || !listening(event.target)) return;
  const command = commandOf(event);
  if (!command) return;
  event.preventDefault();
  if (event.target === document.body && !inSight()) {
    at("bench").scrollIntoView();
    tileOf(view.current)?.focus({ preventScroll: true });
    return say("The images are in sight now: press the key again.");
  }
  command(event);
});

at("gallery").addEventListener("click", (event) => {
  const row = Number(event.target.closest(".tile")?.dataset.row ?? -1);
  if (row < 0) return;
  if (event.shiftKey) selectRange(view.anchor < 0 ? view.current : view.anchor, row);
  else if (event.ctrlKey || event.metaKey || event.target.closest(".pick")) toggle(row);
  else select([]);
  moveTo(row, { focus: true });
});

at("gallery").addEventListener("focusin", (event) => {
  const row = Number(event.target.dataset.row); // a screen reader may focus any of them
  if (row !== view.current) moveTo(row);
});

const clicks = {
  accept: commands.a, keep: commands.k, drop: commands.d, choose: openChooser, undo, download,
  back: () => turn(-1),
  on: () => turn(1),
  keys: commands["?"],
  zoom,
  large: zoom,
  "lens-size": () => resize(!at("lens-view").classList.contains("actual")),
  "lens-view": () => resize(!at("lens-view").classList.contains("actual")),
  restart: () => confirmed(`Clear ${count(decided.size)} decisions?`, "Undo brings them back while this page is open.", clearAll),
};
for (const [id, act] of Object.entries(clicks)) at(id).addEventListener("click", () => act());

function clearAll() {
  const all = [...decided.keys()];
  record(all.map((row) => [row, undefined]));
  showDecided(all, view.current);
  say("All decisions are cleared. Undo brings them back.");
}

function turn(by) {
  moveTo(view.shown[(view.page + by) * PAGE]);
  at("bench").scrollIntoView();
}

/** Show what one menu leaves, and nothing but that menu set. */
function show(menu, value) {
  at("filters").reset();
  at(menu).value = value;
  refresh();
  at("review").scrollIntoView();
  tileOf(view.current)?.focus({ preventScroll: true });
}

for (const [place, menu] of [["pairs", "pair"], ["flagged", "flag"]]) {
  at(place)?.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) show(menu, button.dataset[menu]);
  });
}
at("filters").addEventListener("submit", (event) => event.preventDefault());
at("filters").addEventListener("input", () => refresh());
at("filters").addEventListener("reset", () => setTimeout(() => refresh()));
addEventListener("storage", (event) => {
  if (event.key !== storage) return;
  steps.length = 0; // another window of the same audit has decided; its steps are not ours to undo
  load();
  drawProgress();
  refresh();
});
addEventListener("beforeunload", (event) => {
  if (!saved.here && !saved.downloaded) event.preventDefault();
});

statuses.forEach((status, code) => {
  const found = columns.status.filter((other) => other === code).length;
  if (!found) return;
  const box = make("input");
  box.type = "checkbox";
  box.value = code;
  at("statuses").append(make("label", "chip", box, make("span", `dot ${status}`), `${status} ${count(found)}`));
});
const used = [...new Set([...columns.given, ...columns.suggested])].filter((code) => code >= 0);
used.sort((a, b) => classes[a].localeCompare(classes[b]));
at("class").append(...used.map((code) => new Option(told(classes[code]), code)));
at("pair").append(...pairs.slice(0, 100).map(([from, to, n], index) => new Option(`${told(classes[from])} → ${told(classes[to])} (${count(n)})`, index)));
const kinds = [...new Set(rows.flatMap(kindsOf))].sort();
const flagged = (kind) => rows.filter((row) => kindsOf(row).includes(kind)).length;
at("flag").append(...kinds.map((kind) => new Option(`${capital(kind)} (${count(flagged(kind))})`, kind)));
at("flag").hidden = kinds.length === 0;
for (const button of at("flagged")?.querySelectorAll("button") ?? []) button.disabled = !kinds.includes(button.dataset.flag); // a cut page

if (budget) {
  at("scope").hidden = false;
  at("scope").options[0].textContent = `The ${count(budget)} to look at`;
}
if (matchMedia("(max-width: 40rem)").matches) at("more").open = false;

load();
drawProgress();
refresh();
if (decided.size) say(`${count(decided.size)} decisions from before are kept in this browser.`);
