"use strict";
// The gallery. Names of files and classes are set as text, never as markup.
(() => {
  const { classes, statuses, pairs, columns } = JSON.parse(document.getElementById("data").textContent);
  const at = (id) => document.getElementById(id);
  const STEP = 200;
  const rows = columns.id.map((_, row) => row); // lowest quality first, as sent
  const state = { shown: [], drawn: 0 };

  // Words

  const percent = (rate) => (rate > 0 && rate < 0.01 ? "under 1\u202f%" : `${Math.round(100 * rate)}\u202f%`);
  const list = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);
  const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

  /** What each model sees, models of one mind in one phrase: "Zero-shot and macro see husky; micro sees wolf." */
  function seen(row) {
    const speakers = new Map();
    for (const [column, name] of [["zero_shot", "zero-shot"], ["macro", "macro"], ["micro", "micro"]]) {
      const said = columns[column][row];
      if (said >= 0) speakers.set(said, [...(speakers.get(said) ?? []), name]);
    }
    const phrases = [...speakers].map(([said, names]) => `${list(names)} ${names.length > 1 ? "see" : "sees"} ${classes[said]}`);
    return phrases.length ? `${capital(phrases.join("; "))}.` : "";
  }

  /** Why the label is doubted or trusted, a sentence each. */
  function why(row) {
    const [match, near, issue] = ["match", "neighbours_agree", "issue"].map((column) => columns[column][row]);
    return [
      seen(row),
      match !== null && `Matcher: ${percent(match)} ${classes[columns.suggested[row]]}.`,
      near !== null && `${near > 0 ? capital(percent(near)) : "None"} of the nearest photos carry the given label.`,
      issue && `${capital(issue)}.`,
    ].filter(Boolean);
  }

  const graded = (quality) => (quality === null ? "" : `quality ${quality < 0.01 ? "under 0.01" : quality.toFixed(2)}`);

  // One photo

  function make(tag, className, ...content) {
    const element = document.createElement(tag);
    if (className) element.className = className;
    element.append(...content);
    return element;
  }

  function arrow() {
    const mark = make("span", "", " → ");
    mark.ariaHidden = "true";
    return mark;
  }

  function label(row) {
    const [given, suggested] = [columns.given[row], columns.suggested[row]];
    const old = given < 0 ? "no label" : classes[given];
    if (suggested < 0 || suggested === given) return make("h3", "", make("bdi", "", old));
    const sure = columns.suggested_confidence[row];
    return make(
      "h3", "",
      make("bdi", "old", old), make("span", "quiet", " should be "), arrow(), make("bdi", "", classes[suggested]),
      make("span", "quality", sure === null ? "" : ` ${percent(sure)}`),
    );
  }

  function picture(row) {
    const photo = columns.photo[row];
    if (!photo) return make("div", "nothing", row < columns.photo.length ? "cannot be shown" : "photo not in this file");
    const image = make("img");
    image.src = `data:image/jpeg;base64,${photo}`;
    image.alt = `Photo labelled ${columns.given[row] < 0 ? "nothing" : classes[columns.given[row]]}`;
    image.decoding = "async";
    return image;
  }

  function card(row) {
    const status = statuses[columns.status[row]];
    const item = make(
      "li", "photo",
      picture(row),
      make(
        "div", "",
        make("div", "top", make("span", `badge ${status}`, status), make("span", "quality", graded(columns.quality[row]))),
        label(row),
        ...why(row).map((sentence) => make("p", "why", sentence)),
      ),
      make("p", "path", make("bdi", "", columns.path[row] ?? columns.id[row])),
    );
    item.dataset.row = row;
    item.tabIndex = -1;
    return item;
  }

  // Filters

  const haystack = rows.map((row) =>
    [columns.path[row] ?? columns.id[row], classes[columns.given[row]], classes[columns.suggested[row]]].join("\n").toLowerCase());

  function matches() {
    const chosen = new Set([...at("statuses").querySelectorAll(":checked")].map((box) => Number(box.value)));
    const [given, suggested] = ["given", "suggested"].map((id) => (at(id).value === "" ? null : Number(at(id).value)));
    const words = at("text").value.toLowerCase().split(/\s+/).filter(Boolean);
    return rows.filter((row) =>
      (chosen.size === 0 || chosen.has(columns.status[row])) &&
      (given === null || columns.given[row] === given) &&
      (suggested === null || columns.suggested[row] === suggested) &&
      words.every((word) => haystack[row].includes(word)));
  }

  function drawMore() {
    const next = state.shown.slice(state.drawn, state.drawn + STEP);
    at("gallery").append(...next.map(card));
    state.drawn += next.length;
    const left = state.shown.length - state.drawn;
    at("more").hidden = left === 0;
    at("more").textContent = `Show ${Math.min(left, STEP).toLocaleString("en")} more`;
    const of = state.shown.length === rows.length ? "" : ` of ${rows.length.toLocaleString("en")}`;
    at("count").textContent = state.shown.length
      ? `${state.shown.length.toLocaleString("en")}${of} photos${left ? `, showing the first ${state.drawn.toLocaleString("en")}` : ""}`
      : "No photo matches. Clear the filters to see all.";
  }

  function update() {
    state.shown = matches();
    state.drawn = 0;
    at("gallery").replaceChildren();
    drawMore();
  }

  function choosePair([given, suggested]) {
    at("filters").reset();
    at("given").value = given;
    at("suggested").value = suggested;
    update();
    at("photos").scrollIntoView();
    at("photos").focus({ preventScroll: true });
  }

  // Set-up

  statuses.forEach((status, code) => {
    const count = columns.status.filter((other) => other === code).length;
    if (!count) return;
    const box = make("input");
    box.type = "checkbox";
    box.value = code;
    at("statuses").append(make("label", "chip", box, make("span", `dot ${status}`), `${status} ${count.toLocaleString("en")}`));
  });
  for (const id of ["given", "suggested"]) {
    const used = [...new Set(columns[id])].filter((code) => code >= 0);
    used.sort((a, b) => classes[a].localeCompare(classes[b]));
    at(id).append(...used.map((code) => new Option(classes[code], code)));
  }
  at("filters").addEventListener("submit", (event) => event.preventDefault());
  at("filters").addEventListener("input", update);
  at("filters").addEventListener("reset", () => setTimeout(update));
  at("pairs").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) choosePair(pairs[button.dataset.pair]);
  });
  at("more").addEventListener("click", () => {
    const first = state.drawn;
    drawMore();
    at("gallery").children[first]?.focus({ preventScroll: true });
  });
  update();
})();
