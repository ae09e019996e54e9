// The report's columns: unpacked when they are first needed (segpipe/report/page/packed.py says what is inside).

const page = JSON.parse(document.getElementById("page-data").textContent);
const columnIndex = new Map(page.columns.map((column, index) => [column.name, index]));
const unpacking = new Map();
const MISSING = -(2 ** 31);

// A column with text(row) for people and, where it holds numbers, number(row); Promise.
function loadColumn(name) {
  if (!unpacking.has(name)) {
    unpacking.set(name, unpackColumn(page.columns[columnIndex.get(name)], columnIndex.get(name)));
  }
  return unpacking.get(name);
}

function loadColumns(names) {
  return Promise.all(names.map(loadColumn));
}

async function unpackColumn(about, index) {
  const bytes = await inflate(document.getElementById(`column-${index}`).textContent);
  if (about.kind === "number") return numberColumn(about, bytes);
  if (about.kind === "codes") return codesColumn(about, bytes);
  const texts = JSON.parse(new TextDecoder().decode(bytes));
  return { ...about, text: (row) => texts[row] };
}

function numberColumn(about, bytes) {
  const whole = new Int32Array(joinPlanes(bytes, 4).buffer);
  const scale = 10 ** about.decimals;
  const number = (row) => (whole[row] === MISSING ? NaN : whole[row] / scale);
  const text = (row) => (whole[row] === MISSING ? "" : (whole[row] / scale).toFixed(about.decimals));
  return { ...about, number, text };
}

function codesColumn(about, bytes) {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  const words = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const codes = new Uint16Array(joinPlanes(bytes.subarray(4 + length), 2).buffer);
  return { ...about, texts: words, code: (row) => codes[row], text: (row) => words[codes[row]] };
}

// The lowest bytes of all numbers come first; a number's bytes belong together (little-endian, as all browsers are).
function joinPlanes(bytes, width) {
  const count = bytes.length / width;
  const joined = new Uint8Array(bytes.length);
  for (let plane = 0; plane < width; plane++) {
    const start = plane * count;
    for (let row = 0, to = plane; row < count; row++, to += width) joined[to] = bytes[start + row];
  }
  return joined;
}

async function inflate(base64) {
  const packed = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function isNumeric(name) {
  return page.columns[columnIndex.get(name)].kind === "number";
}

// Few digits for tables; the file and the export have more.
function shownNumber(value) {
  if (Number.isNaN(value)) return "";
  if (Number.isInteger(value)) return String(value);
  return Math.abs(value) < 10 ? value.toFixed(3) : value.toPrecision(5);
}

function shownText(column, row) {
  return column.number ? shownNumber(column.number(row)) : column.text(row);
}
