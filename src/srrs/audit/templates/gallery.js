// The images that are shown: filters, order, pages of tiles, the current image and the selection.

const PAGE = 36; // what a key may change is drawn in under 100 ms on a slow machine
const view = { shown: [], page: 0, current: rows[0] ?? -1, anchor: -1, selected: new Set(), seen: new Set() };

// Filters

const haystack = rows.map((row) => [pathOf(row) ?? columns.id[row], told(given(row)), told(suggested(row)), columns.flags[row]].join("\n").toLowerCase());

const byDecision = {
  any: () => true,
  open: (row) => !decided.has(row),
  decided: (row) => decided.has(row),
  changed: (row) => ["accept", "relabel"].includes(decided.get(row)?.action),
  kept: (row) => decided.get(row)?.action === "keep",
  dropped: (row) => decided.get(row)?.action === "drop",
};
const orders = {
  first: null, // as the audit ranks them
  sure: (row) => -(doubted(row) ? (columns.suggested_confidence[row] ?? 0) : -1),
  given: (row) => columns.given[row],
  suggested: (row) => columns.suggested[row],
};

/** How many rows the menu of the budget leaves. */
const listed = () => (budget && at("scope").value === "budget" ? budget : rows.length);

function matching() {
  const chosen = new Set([...at("statuses").querySelectorAll(":checked")].map((box) => Number(box.value)));
  const oneClass = at("class").value === "" ? null : Number(at("class").value);
  const pair = pairs[at("pair").value];
  const flag = at("flag").value;
  const decision = byDecision[at("decision").value];
  const most = listed();
  const words = at("text").value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = rows.filter((row) =>
    row < most &&
    (chosen.size === 0 || chosen.has(columns.status[row])) &&
    (oneClass === null || columns.given[row] === oneClass || columns.suggested[row] === oneClass) &&
    (!pair || (columns.given[row] === pair[0] && columns.suggested[row] === pair[1])) &&
    (!flag || (flag === "any" ? columns.flags[row] : kindsOf(row).includes(flag))) &&
    decision(row) &&
    words.every((word) => haystack[row].includes(word)));
  const key = orders[at("order").value];
  return key ? found.sort((a, b) => key(a) - key(b) || a - b) : found;
}

/** Show what the filters leave; the current image is the first of the preferred ones that is left. */
function refresh(...preferred) {
  view.shown = matching();
  view.selected = new Set(view.shown.filter((row) => view.selected.has(row)));
  const current = [...preferred, view.current].find((row) => view.shown.includes(row));
  moveTo(current ?? view.shown[0] ?? -1, { all: true });
}

// Tiles

/** Rows whose tile has been in sight; a key must not decide on others unasked. */
const note = (entry) => entry.isIntersecting && view.seen.add(Number(entry.target.dataset.row));
const sight = new IntersectionObserver((entries) => entries.forEach(note), { threshold: 0.5 });

function unseen(chosen) {
  sight.takeRecords().forEach(note);
  return chosen.filter((row) => !view.seen.has(row));
}

const MARKS = { accept: "✓", keep: "=", drop: "✕", relabel: "✎" };

/** The label, and beside it what is suggested; once that is decided, the old one is struck out. */
function labels(row, decision = decided.get(row)) {
  const old = told(given(row)) ?? "no label";
  const now = told(decision ? decision.label : suggested(row));
  if (decision?.action === "drop") return [bdi(old, "old")];
  if (now === null || now === old) return [bdi(old, decision ? "new" : "given")];
  const arrow = make("span", "arrow", make("span", "quiet", decision ? " is now " : " should be "), hidden("span", "", "→"));
  return [bdi(old, decision ? "old" : "given"), arrow, bdi(now, "new")];
}

/** One flag, the one that is asked for before others, and how many more there are. */
function badge(row) {
  const kinds = kindsOf(row);
  const first = kinds.find((kind) => kind === at("flag").value) ?? kinds[0];
  return make("span", "flag", kinds.length > 1 ? `${first} +${kinds.length - 1}` : first);
}

function tile(row) {
  const item = make("li", "", hidden("div", "frame", photo(row, ""), make("span", "pick", "✓")), make("div", "caption"));
  item.setAttribute("role", "option");
  item.setAttribute("aria-describedby", "why");
  item.dataset.row = row;
  sight.observe(item);
  return dress(item, row);
}

/** What changes on a tile; its image stays, so that nothing flickers. */
function dress(item, row) {
  const action = decided.get(row)?.action;
  item.className = `tile ${action ?? ""}`;
  item.classList.toggle("current", row === view.current);
  item.tabIndex = row === view.current ? 0 : -1;
  item.setAttribute("aria-selected", view.selected.has(row));
  item.setAttribute("aria-setsize", view.shown.length);
  item.setAttribute("aria-posinset", view.shown.indexOf(row) + 1);
  const more = [statusOf(row), columns.flags[row], decisionInWords(row), fileName(row)].filter(Boolean).join(", ");
  item.lastChild.replaceChildren(make("span", `dot ${statusOf(row)}`), ...labels(row), make("span", "quiet", `, ${more}`));
  item.querySelector(".stamp")?.remove();
  item.querySelector(".flag")?.remove();
  if (columns.flags[row]) item.firstChild.append(badge(row));
  if (action) item.firstChild.append(make("span", `stamp ${action}`, MARKS[action]));
  return item;
}

const tileOf = (row) => at("gallery").querySelector(`[data-row="${row}"]`);

function redraw(changed) {
  const rows = new Set(changed);
  for (const item of at("gallery").children) {
    const row = Number(item.dataset.row);
    if (rows.has(row)) dress(item, row);
  }
}

function drawPage() {
  const pages = Math.max(1, Math.ceil(view.shown.length / PAGE));
  const drawn = new Map([...at("gallery").children].map((item) => [Number(item.dataset.row), item]));
  const shown = view.shown.slice(view.page * PAGE, (view.page + 1) * PAGE);
  at("gallery").replaceChildren(...shown.map((row) => (drawn.has(row) ? dress(drawn.get(row), row) : tile(row))));
  at("gallery").hidden = at("panel").hidden = view.shown.length === 0;
  at("empty").hidden = view.shown.length > 0;
  at("pages").hidden = pages === 1;
  at("page").textContent = `Page ${view.page + 1} of ${pages}`;
  at("back").disabled = view.page === 0;
  at("on").disabled = view.page === pages - 1;
  const of = view.shown.length === listed() ? "" : ` of ${count(listed())}`;
  at("count").textContent = `${count(view.shown.length)}${of} images shown`;
}

// The current image and the selection

function moveTo(row, { focus = false, all = false } = {}) {
  const before = view.current;
  const page = Math.max(0, Math.floor(view.shown.indexOf(row) / PAGE));
  const held = focus || at("gallery").contains(document.activeElement);
  view.current = row;
  if (all || page !== view.page) {
    view.page = page;
    drawPage();
  } else {
    redraw([before, row]);
  }
  drawPanel();
  if (held) tileOf(row)?.focus({ preventScroll: true });
  if (focus) tileOf(row)?.scrollIntoView({ block: "nearest" });
}

/** Go `by` images on among those shown; with `extend`, select all on the way from where the selection began. */
function step(by, { extend = false } = {}) {
  const from = view.shown.indexOf(view.current);
  const to = Math.min(Math.max(from + by, 0), view.shown.length - 1);
  if (to < 0) return;
  if (extend) selectRange(view.anchor < 0 ? view.current : view.anchor, view.shown[to]);
  else view.anchor = -1;
  moveTo(view.shown[to], { focus: true });
}

function select(chosen) {
  const changed = [...view.selected, ...chosen];
  view.selected = new Set(chosen);
  redraw(changed);
  drawPanel();
}

function selectRange(from, to) {
  const [low, high] = [view.shown.indexOf(from), view.shown.indexOf(to)].sort((a, b) => a - b);
  view.anchor = from;
  select(view.shown.slice(Math.max(low, 0), high + 1));
}

function toggle(row) {
  const chosen = new Set(view.selected);
  if (!chosen.delete(row)) chosen.add(row);
  view.anchor = row;
  select(chosen);
}

/** Tiles side by side, for the arrows up and down. */
function columnsWide() {
  const tiles = [...at("gallery").children];
  return Math.max(1, tiles.filter((item) => item.offsetTop === tiles[0].offsetTop).length);
}
