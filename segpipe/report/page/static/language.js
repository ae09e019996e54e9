// The page in another language: elements name their text, and what fills its gaps.

const languageListeners = [];

function words(key, gaps = {}) {
  const texts = page.texts[document.documentElement.lang] ?? page.texts.en;
  return Object.entries(gaps).reduce((text, [name, value]) => text.replaceAll(`{${name}}`, value), texts[key] ?? key);
}

function onLanguage(listener) {
  languageListeners.push(listener);
}

function setLanguage(language) {
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-t]")) {
    element.textContent = words(element.dataset.t, JSON.parse(element.dataset.gaps ?? "{}"));
  }
  for (const element of document.querySelectorAll("[data-t-label]")) {
    element.setAttribute("aria-label", words(element.dataset.tLabel));
  }
  for (const element of document.querySelectorAll("[data-t-placeholder]")) {
    element.placeholder = words(element.dataset.tPlaceholder);
  }
  languageListeners.forEach((listener) => listener());
}

function startLanguage() {
  const choice = document.getElementById("language");
  choice.addEventListener("change", () => setLanguage(choice.value));
}
