// Distributions by group, and one measure against another.

const BARS = 30;
const MOST_GROUPS = 24;

// Columns whose values are few enough to make groups of.
function groupColumns() {
  const fits = ({ kind, words }) => kind === "codes" && words > 1 && words <= MOST_GROUPS;
  return page.columns.filter(fits).map((one) => one.name).filter((name) => name !== "image_id");
}

function numericColumns() {
  return page.columns.filter((one) => one.kind === "number").map((one) => one.name);
}

async function startDistributions() {
  const value = document.getElementById("box-value");
  const group = document.getElementById("box-group");
  fillOptions(value, numericColumns(), "miou");
  const groups = ["", ...groupColumns()];
  const say = (name) => name || words("scores.nothing");
  fillOptions(group, groups, groups.find((name) => name === "fold" || name === "site") ?? "", say);
  const state = { values: null };
  const bars = keepDrawn(document.getElementById("histogram"), (width) => state.values && drawHistogram(state, width));
  const boxes = keepDrawn(document.getElementById("boxes"), (width) => state.values && drawBoxes(state, width));
  const update = async () => {
    Object.assign(state, await groupedValues(value.value, group.value));
    bars();
    boxes();
    fillGroupTable(state);
  };
  value.addEventListener("change", update);
  group.addEventListener("change", update);
  onLanguage(() => {
    fillOptions(group, groups, group.value, say);
    fillGroupTable(state);
  });
  await update();
}

// Sorted values of each group, groups by name; { name, by, values, groups: [[name, values]] }.
async function groupedValues(name, by) {
  const [column, group] = await Promise.all([loadColumn(name), by ? loadColumn(by) : null]);
  const found = new Map();
  for (let row = 0; row < page.rows; row++) {
    const value = column.number(row);
    if (Number.isNaN(value)) continue;
    const key = group ? group.text(row) || "–" : "";
    if (!found.has(key)) found.set(key, []);
    found.get(key).push(value);
  }
  const groups = [...found].sort(([one], [other]) => compareTexts(one, other));
  const sorted = groups.map(([key, values]) => [key, Float64Array.from(values).sort()]);
  return { name, by, groups: sorted, values: Float64Array.from(sorted.flatMap(([, values]) => [...values])) };
}

function drawHistogram({ name, values }, width) {
  const [low, high] = values.length ? [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))] : [0, 1];
  const size = (high - low || 1) / BARS;
  const counts = new Array(BARS).fill(0);
  for (const value of values) counts[Math.min(BARS - 1, Math.floor((value - low) / size))]++;
  const middles = counts.map((_, index) => low + (index + 0.5) * size);
  const series = { fill: colour("--accent"), width: 0, paths: uPlot.paths.bars({ size: [0.92, 100] }), points: { show: false } };
  plot(document.getElementById("histogram"), words("scores.histogram_label", { value: name, n: values.length }), width, {
    axes: [axis(name), axis(words("scores.count_images"), { size: 52 })],
    scales: { x: { time: false, range: [low - size / 2, high + size / 2] }, y: { range: (_, __, most) => [0, most * 1.05 || 1] } },
    series: [{}, series], cursor: { show: false },
  }, [middles, counts]);
}

function drawBoxes({ name, by, groups, values }, width) {
  const places = groups.map((_, index) => index);
  const names = groups.map(([key]) => key || words("scores.nothing"));
  const lows = groups.map(([, sorted]) => sorted[0]);
  const highs = groups.map(([, sorted]) => sorted[sorted.length - 1]);
  const range = values.length ? padded(Math.min(...lows), Math.max(...highs)) : [0, 1];
  plot(document.getElementById("boxes"), words("scores.boxes_label", { value: name, group: by || "–" }), width, {
    axes: [
      axis(by, { splits: () => places, values: () => names.map((one) => shortened(one, width / groups.length / 8)), grid: { show: false } }),
      axis(name, { size: 58 }),
    ],
    scales: { x: { time: false, range: [-0.6, groups.length - 0.4] }, y: { range } },
    series: [{}, { paths: () => null, points: { show: false } }], cursor: { show: false },
    hooks: { draw: [(chart) => groups.forEach(([, sorted], place) => drawBox(chart, place, sorted))] },
  }, [places, lows]);
}

function drawBox(chart, place, sorted) {
  const context = chart.ctx;
  const x = chart.valToPos(place, "x", true);
  const half = Math.min(26 * devicePixelRatio, (chart.valToPos(1, "x", true) - chart.valToPos(0, "x", true)) * 0.3);
  const [q1, q2, q3] = [0.25, 0.5, 0.75].map((share) => quantile(sorted, share));
  const inside = sorted.filter((value) => value >= q1 - 1.5 * (q3 - q1) && value <= q3 + 1.5 * (q3 - q1));
  const y = (value) => chart.valToPos(value, "y", true);
  context.save();
  context.strokeStyle = context.fillStyle = colour("--ink");
  context.lineWidth = 1.3 * devicePixelRatio;
  context.beginPath();
  context.moveTo(x, y(inside[0]));
  context.lineTo(x, y(inside[inside.length - 1]));
  context.stroke();
  outliers(sorted, inside).forEach((value) => context.fillRect(x - devicePixelRatio, y(value) - devicePixelRatio, 2.5 * devicePixelRatio, 2.5 * devicePixelRatio));
  context.fillStyle = colour("--accent");
  context.fillRect(x - half, y(q3), 2 * half, Math.max(1, y(q1) - y(q3)));
  context.strokeStyle = colour("--card");
  context.lineWidth = 2.5 * devicePixelRatio;
  context.beginPath();
  context.moveTo(x - half, y(q2));
  context.lineTo(x + half, y(q2));
  context.stroke();
  context.restore();
}

function outliers(sorted, inside) {
  const beyond = sorted.filter((value) => value < inside[0] || value > inside[inside.length - 1]);
  return beyond.length > 400 ? beyond.filter((_, index) => index % Math.ceil(beyond.length / 400) === 0) : beyond;
}

function shortened(text, letters) {
  const most = Math.max(3, Math.floor(letters));
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

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

async function startDots() {
  const across = document.getElementById("dots-x");
  const up = document.getElementById("dots-y");
  const names = numericColumns();
  const first = names.find((name) => name.startsWith("mask_share_")) ?? names.find((name) => name === "spacing_row_mm");
  fillOptions(across, names, first);
  fillOptions(up, names, "miou");
  const state = { rows: null };
  const draw = keepDrawn(document.getElementById("dots"), (width) => state.rows && drawDots(state, width));
  const update = async () => {
    Object.assign(state, await pairs(across.value, up.value));
    draw();
    sayDots(state);
  };
  across.addEventListener("change", update);
  up.addEventListener("change", update);
  onLanguage(() => sayDots(state));
  document.getElementById("dots").addEventListener("click", (event) => openNearest(state, event));
  await update();
}

async function pairs(x, y) {
  const [across, up] = await loadColumns([x, y]);
  const rows = [];
  for (let row = 0; row < page.rows; row++) {
    if (!Number.isNaN(across.number(row)) && !Number.isNaN(up.number(row))) rows.push(row);
  }
  rows.sort((one, other) => across.number(one) - across.number(other));
  return { x, y, rows, xs: rows.map((row) => across.number(row)), ys: rows.map((row) => up.number(row)) };
}

function drawDots(state, width) {
  const { x, y, xs, ys } = state;
  const low = ys.reduce((a, b) => Math.min(a, b), Infinity);
  const high = ys.reduce((a, b) => Math.max(a, b), -Infinity);
  const size = xs.length > 5000 ? 2 : xs.length > 500 ? 4 : 6;
  const fill = `color-mix(in srgb, ${colour("--accent")} ${xs.length > 5000 ? 35 : 70}%, transparent)`;
  const points = { show: true, size, width: 0, fill, stroke: fill };
  state.chart = plot(document.getElementById("dots"), words("scores.dots_label", { x, y }), width, {
    axes: [axis(x), axis(y, { size: 58 })],
    scales: { x: { time: false, range: xs.length ? padded(xs[0], xs[xs.length - 1]) : [0, 1] }, y: { range: xs.length ? padded(low, high) : [0, 1] } },
    series: [{}, { paths: () => null, points }], cursor: { show: false },
  }, [xs, ys]);
}

function openNearest({ chart, rows, xs, ys }, event) {
  const frame = chart.over.getBoundingClientRect();
  const [left, top] = [event.clientX - frame.left, event.clientY - frame.top];
  let nearest = -1;
  let least = 15 ** 2;
  for (let index = 0; index < rows.length; index++) {
    const apart = (chart.valToPos(xs[index], "x") - left) ** 2 + (chart.valToPos(ys[index], "y") - top) ** 2;
    if (apart < least) [nearest, least] = [index, apart];
  }
  if (nearest >= 0) openCase(view.ids.text(rows[nearest]));
}

function sayDots({ xs, ys }) {
  const rho = spearman(xs, ys);
  const text = Number.isFinite(rho) ? rho.toFixed(2) : "–";
  document.getElementById("dots-note").textContent = words("scores.dots_note", { n: xs.length, rho: text });
}

function spearman(xs, ys) {
  const [one, other] = [ranks(xs), ranks(ys)];
  const middle = (xs.length - 1) / 2;
  let [both, first, second] = [0, 0, 0];
  for (let index = 0; index < xs.length; index++) {
    both += (one[index] - middle) * (other[index] - middle);
    first += (one[index] - middle) ** 2;
    second += (other[index] - middle) ** 2;
  }
  return both / Math.sqrt(first * second);
}

// Ranks from 0, equal values share the mean of theirs.
function ranks(values) {
  const order = values.map((_, index) => index).sort((one, other) => values[one] - values[other]);
  const found = new Float64Array(values.length);
  for (let start = 0, end = 0; start < order.length; start = end) {
    while (end < order.length && values[order[end]] === values[order[start]]) end++;
    for (let place = start; place < end; place++) found[order[place]] = (start + end - 1) / 2;
  }
  return found;
}
