// The order of rows: by one column, blanks last either way, equals as they stand in the report.

const sorting = { name: "miou", descending: false };

async function sortedRows(rows) {
  if (!columnIndex.has(sorting.name)) return rows;
  const keys = await sortKeys(sorting.name);
  const sign = sorting.descending ? -1 : 1;
  return rows.slice().sort((one, other) => {
    const [first, second] = [keys[one], keys[other]];
    if (first === second) return one - other;
    if (Number.isNaN(first)) return Number.isNaN(second) ? one - other : 1;
    if (Number.isNaN(second)) return -1;
    return first < second ? -sign : sign;
  });
}

// One number per row whose order is the column's; NaN for blanks.
async function sortKeys(name) {
  const column = await loadColumn(name);
  const keys = new Float64Array(page.rows);
  if (column.number) {
    for (let row = 0; row < page.rows; row++) keys[row] = column.number(row);
    return keys;
  }
  const texts = column.texts ?? Array.from({ length: page.rows }, (_, row) => column.text(row));
  const ranks = rankTexts(texts);
  for (let row = 0; row < page.rows; row++) keys[row] = ranks[column.texts ? column.code(row) : row];
  return keys;
}

function rankTexts(texts) {
  const order = Array.from(texts, (_, index) => index).sort((one, other) => compareTexts(texts[one], texts[other]));
  const ranks = new Float64Array(texts.length);
  order.forEach((index, place) => {
    const same = place > 0 && texts[order[place - 1]] === texts[index];
    ranks[index] = texts[index] === "" ? NaN : same ? ranks[order[place - 1]] : place;
  });
  return ranks;
}

function compareTexts(one, other) {
  return one < other ? -1 : one > other ? 1 : 0;
}
