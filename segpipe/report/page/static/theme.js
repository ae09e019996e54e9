// Light or dark: as the system has it until the button says otherwise. Charts are drawn anew.

const themeListeners = [];

function onTheme(listener) {
  themeListeners.push(listener);
}

function startTheme() {
  const root = document.documentElement;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const changed = () => themeListeners.forEach((listener) => listener());
  root.dataset.theme = remembered() ?? "auto";
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme === "auto" ? system.matches : root.dataset.theme === "dark";
    root.dataset.theme = dark ? "light" : "dark";
    remember(root.dataset.theme);
    changed();
  });
  system.addEventListener("change", changed);
  matchMedia("print").addEventListener("change", changed);
}

// A page that was opened from a mail or inside another one may be refused a memory.
function remembered() {
  try {
    return localStorage.getItem("segpipe-theme");
  } catch {
    return null;
  }
}

function remember(theme) {
  try {
    localStorage.setItem("segpipe-theme", theme);
  } catch {
    // Then it is chosen again next time.
  }
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
