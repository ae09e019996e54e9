// How training went: a line per model.

const LINES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

function startCurves() {
  const choice = document.getElementById("curve-value");
  const models = Object.entries(page.curves);
  if (!choice || !models.length) return;
  const names = [...new Set(models.flatMap(([, history]) => Object.keys(history)))].filter((name) => name !== "epoch");
  fillOptions(choice, names, names.find((name) => name === "val_miou") ?? names.find((name) => name.includes("miou")));
  const draw = keepDrawn(document.getElementById("curves"), (width) => drawCurves(models, choice.value, width));
  choice.addEventListener("change", draw);
  draw();
}

function drawCurves(models, name, width) {
  const longest = Math.max(...models.map(([, history]) => (history[name] ?? []).length));
  const epochs = Array.from({ length: longest }, (_, index) => index + 1);
  const lines = models.map(([model], index) => ({
    label: model, stroke: LINES[index % LINES.length], width: 2, dash: index < LINES.length ? [] : [6, 4],
    points: { show: longest < 3, size: 6 },
  }));
  plot(document.getElementById("curves"), words("scores.curves_label", { value: name }), width, {
    axes: [axis(words("scores.epoch")), axis(name, { size: 62 })],
    scales: { x: { time: false } }, legend: { show: true, live: false }, cursor: { show: false },
    series: [{ label: words("scores.epoch") }, ...lines],
  }, [epochs, ...models.map(([, history]) => epochs.map((_, index) => history[name]?.[index] ?? null))]);
}
