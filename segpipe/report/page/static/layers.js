// The layers of the picture on the stage: image, outlines, filled areas, difference.

const SVG = "http://www.w3.org/2000/svg";
const stage = document.getElementById("stage");

function svgElement(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

// Put a picture of the page on the stage; `figure` has its image and outlines.
function drawStage(figure) {
  const film = figure.querySelector("svg");
  stage.replaceChildren(film.querySelector("image").cloneNode(true));
  page.classes.forEach((_, index) => {
    const [reference, prediction] = ["reference", "prediction"].map((kind) =>
      film.querySelector(`path.${kind}.class-${index}`)?.getAttribute("d") ?? "",
    );
    stage.append(classLayers(index, reference, prediction));
  });
  showClasses();
}

function classLayers(index, reference, prediction) {
  const group = svgElement("g", { class: `of-class class-${index}` });
  const fill = svgElement("g", { class: "fill" });
  fill.append(svgElement("path", { d: prediction }));
  group.append(fill, difference(index, reference, prediction));
  group.append(svgElement("path", { class: "prediction", d: prediction }));
  group.append(svgElement("path", { class: "reference", d: reference }));
  return group;
}

// By the even-odd rule both outlines together are where the two differ; each one's own area tells which part is whose.
function difference(index, reference, prediction) {
  const group = svgElement("g", { class: "difference" });
  for (const [kind, own] of [["extra", prediction], ["lost", reference]]) {
    const clip = svgElement("clipPath", { id: `clip-${kind}-${index}` });
    clip.append(svgElement("path", { d: own, "clip-rule": "evenodd" }));
    group.append(clip);
    group.append(svgElement("path", { class: kind, d: reference + prediction, "clip-path": `url(#clip-${kind}-${index})` }));
  }
  return group;
}

function layerTicks() {
  return [...document.querySelectorAll("#layers input[data-layer]")];
}

function showLayers() {
  const shown = layerTicks().filter((tick) => tick.checked).map((tick) => tick.dataset.layer);
  stage.dataset.layers = shown.join(" ");
  stage.style.setProperty("--opacity", document.getElementById("opacity").value / 100);
  document.getElementById("viewer").classList.toggle("differs", shown.includes("difference"));
}

function showClasses() {
  document.querySelectorAll("#layer-classes input").forEach((tick, index) => {
    stage.querySelector(`.of-class.class-${index}`)?.classList.toggle("off", !tick.checked);
  });
}

function startLayers() {
  const classes = page.classes.map((name, index) => {
    const label = document.createElement("label");
    const tick = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
    const swatch = Object.assign(document.createElement("i"), { className: `swatch class-${index}` });
    label.append(tick, " ", swatch, name);
    return label;
  });
  document.getElementById("layer-classes").replaceChildren(...classes);
  document.getElementById("layers").addEventListener("input", () => {
    showLayers();
    showClasses();
  });
  showLayers();
}

function toggleLayer(letter) {
  const names = { i: "image", r: "reference", p: "prediction", f: "fill", d: "difference" };
  const tick = layerTicks().find((one) => one.dataset.layer === names[letter]);
  if (!tick) return false;
  tick.checked = !tick.checked;
  showLayers();
  return true;
}
