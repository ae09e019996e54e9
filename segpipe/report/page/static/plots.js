// What all charts share: size, axes in the page's colours, redrawing when the page changes.

const drawings = [];

// Draw now, and again when theme, language or width change; `draw(width)` fills the element again.
function keepDrawn(element, draw) {
  let width = 0;
  const again = () => draw(Math.max(200, element.clientWidth));
  drawings.push(again);
  new ResizeObserver(() => {
    if (Math.abs(element.clientWidth - width) < 2) return;
    width = element.clientWidth;
    again();
  }).observe(element);
  return again;
}

function numericColumns() {
  return page.columns.filter((one) => one.kind === "number").map((one) => one.name);
}

function redrawAll() {
  drawings.forEach((again) => again());
}

function plot(element, label, width, options, data) {
  element.replaceChildren();
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", label);
  return new uPlot({ width, height: 290, legend: { show: false }, ...options }, data, element);
}

function axis(label, extra = {}) {
  const line = { stroke: colour("--line"), width: 1 };
  return {
    label, labelFont: "13px system-ui, sans-serif", labelSize: 20, font: "12px system-ui, sans-serif",
    stroke: colour("--quiet"), grid: line, ticks: { ...line, size: 4 }, size: 32, ...extra,
  };
}

function quantile(sorted, share) {
  const place = (sorted.length - 1) * share;
  const low = Math.floor(place);
  const high = Math.min(sorted.length - 1, low + 1);
  return sorted[low] + (sorted[high] - sorted[low]) * (place - low);
}

function padded(low, high) {
  const space = (high - low || Math.abs(high) || 1) * 0.04;
  return [low - space, high + space];
}
