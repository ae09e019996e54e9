// The numbers of the box plots, for those who cannot see them or want digits.

function fillGroupTable({ by, groups }) {
  const table = document.createElement("table");
  table.className = "plain";
  const heads = [by || words("scores.group"), words("scores.count_images"), words("scores.mean"), "25 %", words("scores.median"), "75 %"];
  const head = table.createTHead().insertRow();
  heads.forEach((text, index) => {
    const cell = Object.assign(document.createElement("th"), { scope: "col", textContent: text, className: index ? "r" : "" });
    head.append(cell);
  });
  const body = table.createTBody();
  for (const [name, sorted] of groups) {
    const line = body.insertRow();
    line.append(Object.assign(document.createElement("th"), { scope: "row", textContent: name || words("scores.nothing") }));
    const mean = sorted.reduce((sum, value) => sum + value, 0) / sorted.length;
    const cells = [String(sorted.length), ...[mean, ...[0.25, 0.5, 0.75].map((share) => quantile(sorted, share))].map(shownNumber)];
    for (const text of cells) Object.assign(line.insertCell(), { textContent: text, className: "r" });
  }
  document.getElementById("group-table").replaceChildren(table);
}
