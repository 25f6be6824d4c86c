// What the page knows of each image, and the words for it. Names of files and classes are only ever set as text.

const at = (id) => document.getElementById(id);
const { root, prefix, budget, twins, classes, words, statuses, pairs, columns, nearest, storage, tuned } = JSON.parse(at("data").textContent);
const rows = columns.id.map((_, row) => row); // in the order to look at them

const count = (n) => n.toLocaleString("en");
const images = (n) => (n === 1 ? "1 image" : `${count(n)} images`);
const percent = (rate) => (rate > 0 && rate < 0.01 ? "under 1\u202f%" : `${Math.round(100 * rate)}\u202f%`);
const list = (words) => (words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`);
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
const graded = (quality) => (quality === null ? "" : `quality ${quality > 0 && quality < 0.01 ? "under 0.01" : quality.toFixed(2)}`);

/** A class as a person reads it: the user's label, and the name that the model read where it is another one. */
const meaning = new Map(classes.map((label, code) => [label, words[code] ?? label]));
const told = (label) => ((meaning.get(label) ?? label) === label ? label : `${label} (${meaning.get(label)})`);
const nameOf = (code) => (code < 0 ? null : classes[code]);
const given = (row) => nameOf(columns.given[row]);
const suggested = (row) => nameOf(columns.suggested[row]);
const doubted = (row) => suggested(row) !== null && suggested(row) !== given(row);
const statusOf = (row) => statuses[columns.status[row]];

/** The kinds of its flags: "near-duplicate" of "near-duplicate of cat/7.jpg (labeled dog)". */
const kindsOf = (row) => columns.flags[row]?.split("; ").map((flag) => flag.split(" of ")[0]) ?? [];

/** The path as the audit has it; 0 stands for the common folder and the id. */
function pathOf(row) {
  const path = columns.path[row];
  return path === 0 ? root + columns.id[row] : path;
}

const fileName = (row) => (pathOf(row) ?? columns.id[row]).split(/[\\/]/).at(-1);

/** What each model sees, models of one mind in one phrase: "Zero-shot and macro see husky; micro sees wolf." */
function seen(row) {
  const speakers = new Map();
  for (const column of ["zero_shot", ...tuned]) {
    const said = columns[column][row];
    if (said >= 0) speakers.set(said, [...(speakers.get(said) ?? []), column.replace("_", "-")]);
  }
  const phrases = [...speakers].map(([said, names]) => `${list(names)} ${names.length > 1 ? "see" : "sees"} ${told(classes[said])}`);
  return phrases.length ? `${capital(phrases.join("; "))}.` : "";
}

/** Why the label is doubted or trusted, a sentence each. */
function why(row) {
  const [right, match, near, issue] = ["p_clean", "match", "neighbors_agree", "issue"].map((name) => columns[name][row]);
  return [
    right !== null && given(row) !== null && `The label ${told(given(row))} is right with a chance of ${percent(right)}.`,
    seen(row),
    match !== null && suggested(row) !== null && `The matcher gives ${told(suggested(row))} ${percent(match)}.`,
    near !== null && `${near > 0 ? capital(percent(near)) : "None"} of the nearest images carry the given label.`,
    issue && `${capital(issue)}.`,
  ].filter(Boolean);
}

/** Classes for the number keys: all where they are few (then a number always means the same class), else the likely ones. */
function candidates(row) {
  if (classes.length <= 9) return classes;
  const codes = [
    ...[...tuned, "zero_shot"].map((column) => columns[column][row]),
    ...(nearest.of[row] ?? []).map(([code]) => code),
    ...pairs.filter(([from]) => from === columns.given[row]).map(([, to]) => to),
  ];
  const other = codes.filter((code) => code >= 0 && code !== columns.given[row] && code !== columns.suggested[row]);
  return [...new Set(other)].slice(0, 6).map(nameOf);
}

/** Unusable files have nothing to accept, nor have labels that are suggested already. */
const acceptable = (row) => doubted(row) && statusOf(row) !== "unusable";

function make(tag, className, ...content) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...content);
  return element;
}

/** For the eye alone. */
function hidden(tag, className, ...content) {
  const element = make(tag, className, ...content);
  element.ariaHidden = "true";
  return element;
}

const bdi = (text, className = "") => make("bdi", className, text);

/** An image that travels in this file; WebP and JPEG are told apart by how their base64 begins. */
function picture(base64, alt) {
  const image = make("img");
  image.src = `data:image/${base64.startsWith("UklGR") ? "webp" : "jpeg"};base64,${base64}`;
  image.alt = alt;
  image.decoding = "async";
  return image;
}

/** The address of the file, relative to the page; null where the row is no file. */
function linkOf(row) {
  const link = columns.link[row];
  return link === 0 ? prefix + columns.id[row].split("/").map(encodeURIComponent).join("/") : link;
}

/** An image file beside the page; where the browser cannot show it, that is said. */
function filed(url, alt) {
  const image = make("img");
  image.src = url;
  image.alt = alt;
  image.decoding = "async";
  image.loading = "lazy";
  image.addEventListener("error", () => image.replaceWith(make("div", "nothing", "cannot be shown here")));
  return image;
}

function photo(row, alt) {
  const base64 = columns.photo[row];
  if (base64) return picture(base64, alt);
  const url = linkOf(row);
  if (url !== null && statusOf(row) !== "unusable") return filed(url, alt);
  return make("div", "nothing", columns.issue[row] ?? (url === null ? "no file to show" : "cannot be shown"));
}
