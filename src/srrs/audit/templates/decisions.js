// What the person decides: one decision per image, undone step by step, kept in this browser, written as CSV.

const decided = new Map(); // row -> { action, label }
const steps = []; // what undo restores: lists of [row, decision before]
const rowOf = new Map(columns.id.map((id, row) => [id, row]));
const saved = { here: true, downloaded: true };

const deciding = {
  accept: (row) => (acceptable(row) ? { action: "accept", label: suggested(row) } : null),
  keep: (row) => (given(row) === null ? null : { action: "keep", label: given(row) }),
  drop: () => ({ action: "drop", label: "" }),
  relabel: (row, label) =>
    label === given(row) ? deciding.keep(row) : ((label === suggested(row) && deciding.accept(row)) || { action: "relabel", label }),
  clear: () => undefined,
};

const inWords = {
  accept: (decision) => `accepted as ${told(decision.label)}`,
  keep: (decision) => `kept as ${told(decision.label)}`,
  drop: () => "dropped",
  relabel: (decision) => `changed to ${told(decision.label)}`,
};
const decisionInWords = (row) => (decided.has(row) ? inWords[decided.get(row).action](decided.get(row)) : "");

function put(row, decision) {
  if (decision) decided.set(row, decision);
  else decided.delete(row);
}

/** Take the decisions [row, decision] as one step. */
function record(changes) {
  steps.push(changes.map(([row]) => [row, decided.get(row)]));
  changes.forEach(([row, decision]) => put(row, decision));
  save();
}

/** Rows whose last decision was taken back; null where there is none. */
function undoStep() {
  const step = steps.pop();
  if (!step) return null;
  step.forEach(([row, before]) => put(row, before));
  save();
  return step.map(([row]) => row);
}

function save() {
  saved.downloaded = decided.size === 0;
  try {
    const kept = [...decided].map(([row, { action, label }]) => [columns.id[row], action, label]);
    localStorage.setItem(storage, JSON.stringify(kept));
  } catch {
    saved.here = false; // a browser that keeps nothing for files; the page then warns before it is closed
  }
}

function load() {
  decided.clear();
  try {
    for (const [id, action, label] of JSON.parse(localStorage.getItem(storage)) ?? []) {
      if (rowOf.has(id) && action in inWords && typeof label === "string") decided.set(rowOf.get(id), { action, label });
    }
  } catch {
    saved.here = false;
  }
}

/** A cell as every reader of CSV takes it; a quote in front keeps spreadsheets from running what begins like a formula. */
function cell(text) {
  const plain = text.replace(/\p{Surrogate}/gu, (half) => `\\u${half.charCodeAt(0).toString(16)}`); // bytes no text has
  const safe = /^'*[=+\-@\t\r]/.test(plain) ? `'${plain}` : plain;
  return /[",;\t\r\n]|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function csv() {
  const lines = [...decided.keys()]
    .sort((a, b) => a - b)
    .map((row) => [columns.id[row], pathOf(row) ?? "", given(row) ?? "", decided.get(row).action, decided.get(row).label]);
  return [["id", "path", "given", "action", "label"], ...lines].map((line) => `${line.map(cell).join(",")}\n`).join("");
}

function download() {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", csv()], { type: "text/csv" })); // the mark tells Excel it is UTF-8
  link.download = "decisions.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  saved.downloaded = true;
}
