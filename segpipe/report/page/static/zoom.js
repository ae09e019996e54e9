// Zooming and moving the stage by its viewBox, so that outlines stay sharp.

const window_ = { left: 0, top: 0, width: 1, height: 1, fullWidth: 1, fullHeight: 1 };

function resetZoom(width = window_.fullWidth, height = window_.fullHeight) {
  Object.assign(window_, { left: 0, top: 0, width, height, fullWidth: width, fullHeight: height });
  showWindow();
}

// `factor` above 1 enlarges; `x` and `y` are what stays where it is, in the picture's pixels.
function zoom(factor, x = window_.left + window_.width / 2, y = window_.top + window_.height / 2) {
  const width = Math.min(window_.fullWidth, Math.max(window_.fullWidth / 16, window_.width / factor));
  const scale = width / window_.width;
  window_.left = x - (x - window_.left) * scale;
  window_.top = y - (y - window_.top) * scale;
  window_.width = width;
  window_.height *= scale;
  keepInside();
  showWindow();
}

function keepInside() {
  window_.left = Math.max(0, Math.min(window_.fullWidth - window_.width, window_.left));
  window_.top = Math.max(0, Math.min(window_.fullHeight - window_.height, window_.top));
}

function showWindow() {
  stage.setAttribute("viewBox", `${window_.left} ${window_.top} ${window_.width} ${window_.height}`);
}

function pictureToScreen() {
  const frame = stage.getBoundingClientRect();
  return Math.min(frame.width / window_.width, frame.height / window_.height);
}

function pointInPicture(event) {
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(stage.getScreenCTM().inverse());
  return [point.x, point.y];
}

function startZoom() {
  document.getElementById("zoom-in").addEventListener("click", () => zoom(1.5));
  document.getElementById("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
  document.getElementById("zoom-reset").addEventListener("click", () => resetZoom());
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), ...pointInPicture(event));
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => stage.setPointerCapture(event.pointerId));
  stage.addEventListener("pointermove", (event) => {
    if (!stage.hasPointerCapture(event.pointerId)) return;
    window_.left -= event.movementX / pictureToScreen();
    window_.top -= event.movementY / pictureToScreen();
    keepInside();
    showWindow();
  });
}
