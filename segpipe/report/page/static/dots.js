// One measure against another, a dot for each image.

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
