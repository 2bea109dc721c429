// Light or dark: what the reader chose, else what the system says, and the colours that come of it.
globalThis.reportgen ??= {};

reportgen.theme = (() => {
  "use strict";

  const NAMES = ["ink", "muted", "line", "card", "hatch", "generated"];

  function isDark() {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  function toggle() {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  }

  /** Colours as the browser resolves them, for pictures that know no variables. */
  function readColors() {
    const probe = document.body.appendChild(document.createElement("span"));
    probe.style.forcedColorAdjust = "none";
    const colors = {};
    for (const name of NAMES) {
      probe.style.color = `var(--${name})`;
      colors[name] = getComputedStyle(probe).color;
    }
    probe.remove();
    return colors;
  }

  return { isDark, toggle, readColors };
})();
