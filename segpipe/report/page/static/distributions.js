// The distribution of a column of numbers, all together and by group.

const BARS = 30;
const MOST_GROUPS = 24;

// Columns whose values are few enough to make groups of.
function groupColumns() {
  const fits = ({ kind, words }) => kind === "codes" && words > 1 && words <= MOST_GROUPS;
  return page.columns.filter(fits).map((one) => one.name).filter((name) => name !== "image_id");
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
