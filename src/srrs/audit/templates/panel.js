// The panel beside the photos: the current one large, why its label is doubted, and what can be decided.

const say = (text) => (at("live").textContent = text);
const targets = () => (view.selected.size ? view.shown.filter((row) => view.selected.has(row)) : [view.current]);

/** Take one decision on the selection, else on the current photo, and go on to the next. */
function decide(kind, label) {
  const chosen = targets();
  const changes = chosen.map((row) => [row, deciding[kind](row, label)]).filter(([, decision]) => decision !== null);
  if (!changes.length) return say(kind === "keep" ? "There is no label to keep." : "No class is suggested here.");
  const single = chosen.length === 1;
  const next = view.shown[view.shown.indexOf(view.current) + 1] ?? view.current;
  record(changes);
  view.selected.clear();
  view.anchor = -1;
  showDecided(changes.map(([row]) => row), single && kind !== "clear" ? next : view.current, next);
  const done = single ? capital(decisionInWords(chosen[0]) || "decision cleared") : `${photos(changes.length)}: ${kind}`;
  const skipped = chosen.length - changes.length;
  say(`${done}. ${skipped ? `${photos(skipped)} without a suggestion left alone. ` : ""}${count(decided.size)} decided.`);
}

function undo() {
  const back = undoStep();
  if (!back) return say("There is nothing to undo.");
  showDecided(back, back[0]);
  say(`Undone. ${count(decided.size)} decided.`);
}

/** Draw the rows whose decision has changed, and go to the first of `preferred` that the filters leave. */
function showDecided(changed, ...preferred) {
  drawProgress();
  const free = document.activeElement === document.body || at("gallery").contains(document.activeElement);
  if (changed.length === 1 && at("decision").value === "any" && view.shown.includes(preferred[0])) {
    redraw(changed);
    moveTo(preferred[0]);
  } else {
    refresh(...preferred);
  }
  if (free) tileOf(view.current)?.focus({ preventScroll: true });
  tileOf(view.current)?.scrollIntoView({ block: "nearest" });
}

function drawProgress() {
  const tally = { accept: 0, keep: 0, drop: 0, relabel: 0 };
  for (const { action } of decided.values()) tally[action] += 1;
  const parts = [[tally.accept + tally.relabel, "changed"], [tally.keep, "kept"], [tally.drop, "dropped"]];
  const told = parts.filter(([n]) => n).map(([n, word]) => `${count(n)} ${word}`);
  at("progress").textContent = decided.size ? `${count(decided.size)} decided` : "Nothing decided yet";
  at("tally").textContent = told.length ? `${told.join(", ")} ·` : "·";
  at("undo").disabled = steps.length === 0;
  at("download").disabled = at("restart").disabled = decided.size === 0;
  at("unkept").hidden = saved.here;
}

function drawPanel() {
  const row = view.current;
  if (row < 0) return;
  const many = view.selected.size;
  at("large").replaceChildren(photo(row, `${fileName(row)}, labelled ${given(row) ?? "nothing"}`));
  at("badge").className = `badge ${statusOf(row)}`;
  at("badge").textContent = statusOf(row);
  at("grade").textContent = graded(columns.quality[row]);
  at("question").replaceChildren(...question(row));
  at("flags").textContent = capital(columns.flags[row] ?? "");
  at("yours").textContent = decided.has(row) ? `You: ${decisionInWords(row)}` : "";
  at("why").replaceChildren(...why(row).map((sentence) => make("li", "", sentence)));
  at("path").replaceChildren(bdi(pathOf(row) ?? columns.id[row]));
  drawActs(row, many);
  drawNearest(row);
  drawOthers(row);
}

/** What is asked of the person, whatever they have decided already. */
function question(row) {
  const sure = doubted(row) ? columns.suggested_confidence[row] : null;
  return [...labels(row, null), make("span", "grade", sure === null ? "" : ` ${percent(sure)}`)];
}

function drawActs(row, many) {
  at("chosen").textContent = many ? `${photos(many)} selected: what you decide holds for all of them.` : "";
  at("accept-label").textContent = many ? "each suggestion" : doubted(row) ? suggested(row) : (given(row) ?? "");
  at("keep-label").textContent = many ? "each label" : (given(row) ?? "no label");
  at("drop-label").textContent = many ? `Drop ${photos(many)}` : "Drop photo";
  at("accept").disabled = !many && !deciding.accept(row);
  at("keep").disabled = !many && !deciding.keep(row);
  for (const action of ["accept", "keep", "drop"]) {
    at(action).setAttribute("aria-pressed", !many && decided.get(row)?.action === action);
  }
}

function drawNearest(row) {
  const found = nearest.of[row] ?? [];
  at("nearest").hidden = found.length === 0;
  at("near").replaceChildren(...found.map(([code, index]) => {
    const base64 = nearest.photos[index];
    return make("li", "", base64 ? picture(base64, "") : make("div", "nothing", "no photo"), bdi(nameOf(code) ?? "no label"));
  }));
}

function drawOthers(row) {
  const held = [...at("others").children].indexOf(document.activeElement);
  at("others").replaceChildren(...candidates(row).map((label, index) => {
    const button = make("button", "", make("kbd", "", String(index + 1)), bdi(label));
    button.type = "button";
    button.addEventListener("click", () => decide("relabel", label));
    return button;
  }));
  if (held >= 0) (at("others").children[held] ?? at("choose")).focus();
}
