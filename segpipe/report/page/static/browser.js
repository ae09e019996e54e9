// The table of cases. Only the rows in sight are elements, so a hundred thousand scroll like a hundred.

const ROW_HEIGHT = 44;
const ROWS_BEYOND = 12;
const pictures = new Map();
const view = { rows: new Uint32Array(0), columns: [], first: -1, current: 0 };
const box = document.getElementById("browser");
const tableBody = document.querySelector("#rows tbody");

function pictureOf(row) {
  return pictures.get(view.ids.text(row));
}

// The columns to begin with: those of the list that say anything.
async function defaultColumns() {
  const scores = page.columns.map((one) => one.name).filter((name) => name === "miou" || name.startsWith("iou_"));
  const wanted = ["image_id", ...scores, "status", "flags", "reason", "fold", "site", "format"];
  const found = await loadColumns(wanted.filter((name) => columnIndex.has(name)));
  return found.filter((column) => column.texts?.join("") !== "").map((column) => column.name);
}

async function refreshRows() {
  view.rows = await sortedRows(await filteredRows());
  view.current = 0;
  view.first = -1;
  box.scrollTop = 0;
  box.classList.toggle("short", view.rows.length < 9);
  document.getElementById("rows").setAttribute("aria-rowcount", view.rows.length + 1);
  sayCount();
  drawRows();
}

function sayCount() {
  document.getElementById("count").textContent = words("cases.count", { n: view.rows.length, total: page.rows });
}

async function showColumns(names) {
  view.columns = await loadColumns(names);
  drawHead();
  view.first = -1;
  drawRows();
}

function drawHead() {
  const head = document.createElement("tr");
  head.append(headCell(words("cases.picture")));
  for (const column of view.columns) head.append(sortableCell(column));
  document.querySelector("#rows thead").replaceChildren(head);
  const widths = [4.2, ...view.columns.map(columnWidth)];
  head.querySelectorAll("th").forEach((cell, index) => (cell.style.width = `${widths[index]}rem`));
  document.getElementById("rows").style.width = `${widths.reduce((sum, width) => sum + width)}rem`;
}

function columnWidth(column) {
  if (column.name === "image_id" || column.name === "image") return innerWidth < 640 ? 9.5 : 13;
  if (column.number) return Math.max(6, Math.min(14, column.name.length * 0.55 + 2.4));
  return column.name === "reason" || column.name === "flags" ? 16 : 8.5;
}

function headCell(text) {
  const cell = document.createElement("th");
  cell.scope = "col";
  const inside = document.createElement("span");
  inside.textContent = text;
  cell.append(inside);
  return cell;
}

function sortableCell(column) {
  const cell = document.createElement("th");
  cell.scope = "col";
  const sorted = sorting.name === column.name;
  if (column.number) cell.className = "n";
  cell.setAttribute("aria-sort", sorted ? (sorting.descending ? "descending" : "ascending") : "none");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = column.name;
  button.title = column.about || column.name;
  button.addEventListener("click", () => sortBy(column.name));
  cell.append(button);
  return cell;
}

async function sortBy(name) {
  sorting.descending = sorting.name === name && !sorting.descending;
  sorting.name = name;
  drawHead();
  document.querySelector(`#rows th:not([aria-sort="none"]) button`)?.focus();
  await refreshRows();
}

function drawRows() {
  const first = Math.max(0, Math.floor(box.scrollTop / ROW_HEIGHT) - ROWS_BEYOND);
  const last = Math.min(view.rows.length, first + Math.ceil(box.clientHeight / ROW_HEIGHT) + 2 * ROWS_BEYOND);
  if (first === view.first && last === view.last) return;
  Object.assign(view, { first, last });
  const drawn = [gap(first)];
  for (let place = first; place < last; place++) drawn.push(rowElement(place));
  tableBody.replaceChildren(...drawn, gap(view.rows.length - last));
}

function gap(rows) {
  const row = document.createElement("tr");
  row.className = "gap";
  row.setAttribute("aria-hidden", "true");
  const cell = row.insertCell();
  cell.colSpan = view.columns.length + 1;
  cell.style.height = `${rows * ROW_HEIGHT}px`;
  return row;
}

function rowElement(place) {
  const row = view.rows[place];
  const element = document.createElement("tr");
  element.dataset.place = place;
  element.setAttribute("aria-rowindex", place + 2);
  element.append(thumbnail(row), ...view.columns.map((column) => dataCell(column, row)));
  return element;
}

function thumbnail(row) {
  const cell = document.createElement("td");
  const picture = pictureOf(row);
  if (picture) {
    const image = document.createElement("img");
    image.src = picture.querySelector("image").getAttribute("href");
    image.alt = "";
    cell.append(image);
  }
  return cell;
}

function dataCell(column, row) {
  const cell = document.createElement("td");
  const text = shownText(column, row);
  if (column.number) cell.className = "n";
  if (column.name === "image_id") cell.append(caseLink(text));
  else cell.textContent = column.name === "status" ? words(`cases.${text}`) : text;
  if (column.name === "status") cell.className = `status-${text}`;
  if (text.length > 14) cell.title = text;
  return cell;
}

function caseLink(id) {
  const link = document.createElement("a");
  link.href = `#case=${encodeURIComponent(id)}`;
  link.textContent = id;
  return link;
}

function moveTo(place) {
  view.current = Math.max(0, Math.min(view.rows.length - 1, place));
  const top = view.current * ROW_HEIGHT;
  if (top < box.scrollTop) box.scrollTop = top;
  if (top + 3 * ROW_HEIGHT > box.scrollTop + box.clientHeight) box.scrollTop = top + 3 * ROW_HEIGHT - box.clientHeight;
  drawRows();
  tableBody.querySelector(`[data-place="${view.current}"] a`)?.focus({ preventScroll: true });
}

function startBrowser() {
  for (const figure of document.querySelectorAll("figure.case")) pictures.set(figure.dataset.case, figure);
  let waiting = false;
  box.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      drawRows();
    });
  });
  new ResizeObserver(() => drawRows()).observe(box);
  tableBody.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-place]");
    if (!row || event.target.closest("a")) return;
    openCase(view.ids.text(view.rows[row.dataset.place]));
  });
  box.addEventListener("keydown", (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || event.target.closest("th")) return;
    event.preventDefault();
    const inside = event.target.closest("tr[data-place]");
    moveTo(inside ? Number(inside.dataset.place) + steps[event.key] : view.current);
  });
}
