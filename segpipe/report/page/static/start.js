// Everything begins here; whatever the script adds is hidden until it runs.

async function start() {
  document.documentElement.classList.add("scripted");
  startTheme();
  startLanguage();
  startLayers();
  startZoom();
  view.ids = await loadColumn("image_id");
  startBrowser();
  const shown = await defaultColumns();
  startControls(shown);
  startViewer();
  await showColumns(shown);
  await refreshRows();
  followHash();
  await startDistributions();
  await startDots();
  startCurves();
  onTheme(redrawAll);
  onLanguage(redrawAll);
  document.documentElement.dataset.ready = "true";
}

start();
