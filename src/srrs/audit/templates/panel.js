// The panel beside the images: the current one large, why its label is doubted, and what can be decided.

const say = (text) => (at("live").textContent = text);
const targets = () => (view.selected.size ? view.shown.filter((row) => view.selected.has(row)) : [view.current]);

const wordOf = { accept: "Accept the suggestions of", keep: "Keep the labels of", drop: "Drop", relabel: "Change the class of", clear: "Clear the decisions on" };

function nothingTo(kind, row) {
  if (kind === "keep") return "There is no label to keep.";
  if (statusOf(row) === "unusable") return "This file could not be used: nothing is suggested.";
  return suggested(row) === null ? "No class is suggested here." : "No other class is suggested: k keeps the label.";
}

/** Take one decision on the selection, else on the current image; ask first where more is decided than was seen. */
function decide(kind, label) {
  const chosen = targets();
  const changes = chosen.map((row) => [row, deciding[kind](row, label)]).filter(([, decision]) => decision !== null);
  if (!changes.length) return say(nothingTo(kind, chosen[0]));
  const act = () => take(kind, chosen, changes);
  const missed = chosen.length > 1 ? unseen(changes.map(([row]) => row)).length : 0;
  if (!missed) return act();
  confirmed(`${wordOf[kind]} ${images(changes.length)}?`, `You have not seen ${count(missed)} of them yet.`, act);
}

function confirmed(title, text, act) {
  at("sure-title").textContent = title;
  at("sure-note").textContent = text;
  at("sure-yes").textContent = title.replace("?", "");
  at("sure").onclose = () => at("sure").returnValue === "yes" && act();
  at("sure").returnValue = "no";
  at("sure").showModal();
}

/** Record the changes, and go on to the next image. */
function take(kind, chosen, changes) {
  const single = chosen.length === 1;
  const next = view.shown[view.shown.indexOf(view.current) + 1] ?? view.current;
  record(changes);
  view.selected.clear();
  view.anchor = -1;
  showDecided(changes.map(([row]) => row), single && kind !== "clear" ? next : view.current, next);
  const done = single ? capital(decisionInWords(chosen[0]) || "decision cleared") : `${images(changes.length)}: ${kind}`;
  const skipped = chosen.length - changes.length;
  say(`${done}. ${skipped ? `${images(skipped)} left alone: that cannot be decided there. ` : ""}${count(decided.size)} decided.`);
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
  const active = document.activeElement; // the browser leaves a dialog that has just closed a frame later
  const free = active === document.body || at("gallery").contains(active) || active.closest("dialog") !== null;
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
  const kinds = parts.filter(([n]) => n).map(([n, word]) => `${count(n)} ${word}`);
  const first = [...decided.keys()].filter((row) => row < budget).length;
  const told = budget ? `${count(first)} of ${count(budget)} decided` : `${count(decided.size)} decided`;
  at("progress").textContent = decided.size || budget ? told : "Nothing decided yet";
  at("tally").textContent = kinds.length ? `${kinds.join(", ")} ·` : "·";
  at("undo").disabled = steps.length === 0;
  at("download").disabled = at("restart").disabled = decided.size === 0;
  at("unkept").hidden = saved.here;
}

function drawPanel() {
  const row = view.current;
  if (row < 0) return;
  const many = view.selected.size;
  at("large").replaceChildren(photo(row, `${fileName(row)}, labeled ${told(given(row)) ?? "nothing"}`));
  for (const link of [at("original"), at("lens-original")]) {
    link.hidden = linkOf(row) === null;
    link.href = linkOf(row) ?? "";
  }
  at("badge").className = `badge ${statusOf(row)}`;
  at("badge").textContent = statusOf(row);
  at("grade").textContent = graded(columns.quality[row]);
  at("question").replaceChildren(...question(row));
  at("flags").textContent = capital(columns.flags[row] ?? "");
  at("yours").textContent = decided.has(row) ? `You: ${decisionInWords(row)}` : "";
  at("why").replaceChildren(...why(row).map((sentence) => make("li", "", sentence)));
  at("path").replaceChildren(bdi(pathOf(row) ?? columns.id[row]));
  drawActs(row, many);
  drawTwins(row);
  drawNearest(row);
  drawOthers(row);
}

/** The images that this one is a duplicate of, side by side with it. */
function drawTwins(row) {
  const found = twins[row] ?? [];
  at("twins").hidden = found.length === 0;
  const own = make("li", "", photo(row, ""), make("span", "", "this one: "), bdi(told(given(row)) ?? "no label"));
  at("twin").replaceChildren(own, ...found.map(([id, code, place, url]) => {
    const shown = place >= 0 ? photo(place, id) : url === null ? make("div", "nothing", "no file to show") : filed(url, id);
    return make("li", "", shown, bdi(id), make("span", "", ": "), bdi(told(nameOf(code)) ?? "no label"));
  }));
}

/** The image as large as the window, from its file where there is one. */
function zoom() {
  const row = view.current;
  const url = linkOf(row);
  const shown = url !== null && statusOf(row) !== "unusable" ? filed(url, fileName(row)) : photo(row, fileName(row));
  shown.addEventListener("error", () => at("lens-view").replaceChildren(photo(row, fileName(row))));
  at("lens-view").replaceChildren(shown);
  resize(false);
  at("lens").showModal();
}

function resize(actual) {
  at("lens-view").classList.toggle("actual", actual);
  at("lens-size").textContent = actual ? "Fit to window" : "Actual size";
}

/** What is asked of the person, whatever they have decided already. */
function question(row) {
  const sure = doubted(row) ? columns.suggested_confidence[row] : null;
  return [...labels(row, null), make("span", "grade", sure === null ? "" : ` ${percent(sure)}`)];
}

function drawActs(row, many) {
  at("chosen").textContent = many ? `${images(many)} selected: what you decide holds for all of them.` : "";
  at("accept-label").textContent = many ? "each suggestion" : (told(suggested(row)) ?? "");
  at("keep-label").textContent = many ? "each label" : (told(given(row)) ?? "no label");
  at("drop-label").textContent = many ? `Drop ${images(many)}` : "Drop image";
  at("accept").hidden = !many && !acceptable(row);
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
    return make("li", "", base64 ? picture(base64, "") : make("div", "nothing", "no preview"), bdi(told(nameOf(code)) ?? "no label"));
  }));
}

function drawOthers(row) {
  const held = [...at("others").children].indexOf(document.activeElement);
  at("others").replaceChildren(...candidates(row).map((label, index) => {
    const button = make("button", "", make("kbd", "", String(index + 1)), bdi(told(label)));
    button.type = "button";
    button.addEventListener("click", () => decide("relabel", label));
    return button;
  }));
  if (held >= 0) (at("others").children[held] ?? at("choose")).focus();
}
