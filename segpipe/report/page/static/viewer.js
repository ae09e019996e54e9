// One case large: its picture, its numbers, what was decided on its way; previous and next follow the table.

const viewer = document.getElementById("viewer");
const opened = { row: -1, place: -1 };

async function openCase(id) {
  const row = await rowOf(id);
  if (row < 0) return;
  Object.assign(opened, { row, place: view.rows.indexOf(row) });
  document.getElementById("viewer-title").textContent = id;
  sayPlace();
  showPicture(id);
  if (!viewer.open) viewer.showModal();
  setHash(`#case=${encodeURIComponent(id)}`);
  await fillFacts(row);
}

async function rowOf(id) {
  for (let row = 0; row < page.rows; row++) if (view.ids.text(row) === id) return row;
  return -1;
}

function sayPlace() {
  const inList = opened.place >= 0;
  document.getElementById("viewer-place").textContent = inList
    ? words("viewer.place", { n: opened.place + 1, total: view.rows.length })
    : "";
  document.getElementById("previous").disabled = opened.place <= 0;
  document.getElementById("next").disabled = opened.place >= view.rows.length - 1;
}

function showPicture(id) {
  const figure = pictures.get(id);
  const note = document.getElementById("no-picture");
  note.hidden = Boolean(figure);
  if (!figure) {
    stage.replaceChildren();
    sayNoPicture(note, id);
    return;
  }
  const { width, height } = figure.querySelector("svg").viewBox.baseVal;
  drawStage(figure);
  resetZoom(width, height);
}

async function sayNoPicture(note, id) {
  const status = (await loadColumn("status")).text(opened.row);
  if (status === "scored" || status === "unlabelled") {
    const command = document.createElement("code");
    command.textContent = `segpipe explain ${id} --config CONFIG`;
    note.replaceChildren(words("viewer.no_picture"), command);
  } else {
    note.textContent = `${words("viewer.no_mask")} ${(await loadColumn("reason")).text(opened.row)}`;
  }
}

async function fillFacts(row) {
  const columns = await loadColumns(page.columns.map((one) => one.name));
  if (opened.row !== row) return;
  const known = columns.filter((column) => column.text(row) !== "" && column.name !== "image_id");
  document.getElementById("numbers").replaceChildren(...known.filter((one) => one.number).map((one) => fact(one, row)));
  document.getElementById("decisions").replaceChildren(...known.filter((one) => !one.number).map((one) => fact(one, row)));
}

function fact(column, row) {
  const line = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  name.textContent = column.name;
  name.title = column.about;
  line.append(name);
  line.insertCell().textContent = shownText(column, row);
  return line;
}

function step(by) {
  const place = opened.place + by;
  if (opened.place >= 0 && place >= 0 && place < view.rows.length) openCase(view.ids.text(view.rows[place]));
}

// In a page inside another one the address may not be ours to change.
function setHash(hash) {
  try {
    history.replaceState(null, "", hash);
  } catch {
    // Then links point to the page only.
  }
}

function followHash() {
  const found = /^#case=(.+)$/.exec(location.hash);
  if (found) openCase(decodeURIComponent(found[1]));
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input[type=range]")) return;
  const actions = {
    ArrowRight: () => step(1), j: () => step(1), ArrowLeft: () => step(-1), k: () => step(-1),
    "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: () => resetZoom(),
  };
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (actions[key]) actions[key]();
  else if (!toggleLayer(key)) return;
  event.preventDefault();
}

function startViewer() {
  document.getElementById("previous").addEventListener("click", () => step(-1));
  document.getElementById("next").addEventListener("click", () => step(1));
  document.getElementById("close").addEventListener("click", () => viewer.close());
  viewer.addEventListener("click", (event) => event.target === viewer && viewer.close());
  viewer.addEventListener("close", () => setHash("#cases"));
  viewer.addEventListener("keydown", pressed);
  // Links to cases open them here; the browser would only scroll.
  document.addEventListener("click", (event) => {
    const link = event.target.closest('a[href^="#case="]');
    if (!link || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    openCase(decodeURIComponent(link.getAttribute("href").slice("#case=".length)));
  });
  window.addEventListener("hashchange", followHash);
  onLanguage(() => viewer.open && sayPlace());
}
