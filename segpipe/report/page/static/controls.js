// What stands above the table: search, status, conditions, columns and the export.

function startControls(shown) {
  const by = (id) => document.getElementById(id);
  fillOptions(by("threshold-column"), page.columns.map((one) => one.name), columnIndex.has("miou") ? "miou" : null);
  fillStatuses();
  fillColumnList(new Set(shown));
  by("search").addEventListener("input", later(() => change({ search: by("search").value }), 150));
  by("status").addEventListener("change", () => change({ status: by("status").value }));
  by("pictured").addEventListener("change", () => change({ pictured: by("pictured").checked }));
  by("filters").addEventListener("submit", (event) => {
    event.preventDefault();
    addCondition(by("threshold-column").value, by("threshold-test").value, by("threshold-value").value.trim());
  });
  by("first").addEventListener("click", () => view.rows.length && openCase(view.ids.text(view.rows[0])));
  by("export").addEventListener("click", exportRows);
  for (const button of document.querySelectorAll("[data-filter-status]")) {
    button.addEventListener("click", () => showStatus(button.dataset.filterStatus));
  }
  onLanguage(() => {
    fillStatuses();
    drawChips();
    drawHead();
    view.first = -1;
    drawRows();
    sayCount();
  });
}

function fillOptions(choice, values, chosen, say = (value) => value) {
  choice.replaceChildren(...values.map((value) => new Option(say(value), value, false, value === chosen)));
}

function fillStatuses() {
  const known = ["", "scored", "unlabelled", "quarantined", "training"];
  fillOptions(document.getElementById("status"), known, filter.status, (one) => words(`cases.${one || "any"}`));
}

function fillColumnList(shown) {
  const labels = page.columns.map(({ name, about }) => {
    const label = document.createElement("label");
    const tick = Object.assign(document.createElement("input"), { type: "checkbox", value: name, checked: shown.has(name) });
    label.title = about;
    label.append(tick, ` ${name}`);
    return label;
  });
  const list = document.getElementById("column-list");
  list.replaceChildren(...labels);
  list.addEventListener("change", () => {
    const ticked = [...list.querySelectorAll("input:checked")].map((tick) => tick.value);
    const kept = view.columns.map((column) => column.name).filter((name) => ticked.includes(name));
    showColumns([...kept, ...ticked.filter((name) => !kept.includes(name))]);
  });
}

function change(part) {
  Object.assign(filter, part);
  return refreshRows();
}

function addCondition(name, test, value) {
  if (value === "" && test !== "missing") return;
  filter.conditions.push({ name, test, value });
  document.getElementById("threshold-value").value = "";
  drawChips();
  refreshRows();
}

function showStatus(status) {
  document.getElementById("status").value = status;
  document.getElementById("cases").scrollIntoView();
  change({ status });
}

function drawChips() {
  const chips = filter.conditions.map((condition) => {
    const item = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${conditionText(condition)} ×`;
    button.setAttribute("aria-label", words("cases.remove", { condition: conditionText(condition) }));
    button.addEventListener("click", () => {
      filter.conditions = filter.conditions.filter((other) => other !== condition);
      drawChips();
      refreshRows();
    });
    item.append(button);
    return item;
  });
  document.getElementById("chips").replaceChildren(...chips);
}

// All columns of the rows in sight, in their order, as RFC 4180 has it.
async function exportRows() {
  const text = await rowsAsCsv();
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv;charset=utf-8" }));
  link.download = "cases.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function rowsAsCsv() {
  const columns = await loadColumns(page.columns.map((one) => one.name));
  const lines = [columns.map((column) => csvCell(column.name)).join(",")];
  for (const row of view.rows) lines.push(columns.map((column) => csvCell(column.text(row), column.number)).join(","));
  return `${lines.join("\n")}\n`;
}

// A text that a spreadsheet would run as a formula gets an apostrophe, as in report.csv.
function csvCell(text, number) {
  const plain = !number && /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\n\r]/.test(plain) ? `"${plain.replaceAll('"', '""')}"` : plain;
}

function later(action, milliseconds) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds);
  };
}
