// The window in which any class is chosen by typing a part of its name.

const MOST = 50;
const chooser = { labels: [], active: 0 };

function openChooser() {
  if (view.current < 0) return;
  at("wanted").value = "";
  at("chooser-title").textContent = view.selected.size ? `Class of ${images(view.selected.size)}` : `Class of ${fileName(view.current)}`;
  drawChoices();
  at("chooser").showModal();
}

function drawChoices() {
  const wanted = at("wanted").value.trim();
  const low = wanted.toLowerCase();
  const found = classes.filter((name) => told(name).toLowerCase().includes(low));
  found.sort((a, b) => b.toLowerCase().startsWith(low) - a.toLowerCase().startsWith(low));
  chooser.labels = found.slice(0, MOST);
  const isNew = wanted && !classes.some((name) => name.toLowerCase() === low);
  if (isNew) chooser.labels.push(wanted);
  at("choices").replaceChildren(...chooser.labels.map((label, index) => {
    const item = make("li", "", ...(isNew && index === chooser.labels.length - 1 ? ["New class ", bdi(label)] : [bdi(told(label))]));
    item.id = `choice-${index}`;
    item.setAttribute("role", "option");
    item.addEventListener("click", () => choose(label));
    return item;
  }));
  at("cut").hidden = found.length <= MOST;
  activate(0);
}

function activate(index) {
  chooser.active = Math.min(Math.max(index, 0), chooser.labels.length - 1);
  [...at("choices").children].forEach((item, place) => item.setAttribute("aria-selected", place === chooser.active));
  at("wanted").setAttribute("aria-activedescendant", `choice-${chooser.active}`);
  at("choices").children[chooser.active]?.scrollIntoView({ block: "nearest" });
}

function choose(label) {
  if (label === undefined) return;
  at("chooser").close();
  decide("relabel", label);
}

at("wanted").addEventListener("input", drawChoices);
at("wanted").addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  const by = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 }[event.key];
  if (by) activate(chooser.active + by);
  else if (event.key === "Enter") choose(chooser.labels[chooser.active]);
  else return;
  event.preventDefault();
});
