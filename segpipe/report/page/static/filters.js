// Which rows the browser shows: words, status, pictures and conditions on columns, all of which must hold.

const filter = { search: "", status: "", pictured: false, conditions: [] };
let haystacks = null;

const TESTS = {
  below: (column, value) => comparison(column, value, (one, limit) => one <= limit),
  above: (column, value) => comparison(column, value, (one, limit) => one >= limit),
  is: (column, value) => (row) => shownText(column, row) === value || column.text(row) === value,
  has: (column, value) => (row) => column.text(row).toLowerCase().includes(value.toLowerCase()),
  missing: (column) => (row) => column.text(row) === "",
};

function comparison(column, value, holds) {
  const limit = Number(value);
  if (column.number) return (row) => holds(column.number(row), limit);
  return (row) => column.text(row) !== "" && holds(column.text(row), value);
}

// Rows for which the filter holds, in the order of the table; Promise of a Uint32Array.
async function filteredRows() {
  const tests = [];
  if (filter.status) tests.push(await statusTest());
  if (filter.pictured) tests.push((row) => pictureOf(row) !== undefined);
  for (const { name, test, value } of filter.conditions) tests.push(TESTS[test](await loadColumn(name), value));
  const needles = filter.search.toLowerCase().split(/\s+/).filter(Boolean);
  if (needles.length) {
    const texts = await searchableTexts();
    tests.push((row) => needles.every((needle) => texts[row].includes(needle)));
  }
  const rows = new Uint32Array(page.rows);
  let count = 0;
  for (let row = 0; row < page.rows; row++) if (tests.every((test) => test(row))) rows[count++] = row;
  return rows.subarray(0, count);
}

async function statusTest() {
  const status = await loadColumn("status");
  return (row) => status.text(row) === filter.status;
}

async function searchableTexts() {
  if (!haystacks) {
    const columns = await loadColumns(page.columns.filter((one) => one.kind !== "number").map((one) => one.name));
    haystacks = Array.from({ length: page.rows }, (_, row) =>
      columns.map((column) => column.text(row)).join("\n").toLowerCase(),
    );
  }
  return haystacks;
}

function conditionText({ name, test, value }) {
  const sign = { below: "≤", above: "≥", is: "=", has: words("cases.has"), missing: words("cases.missing") }[test];
  return test === "missing" ? `${name} ${sign}` : `${name} ${sign} ${value}`;
}
