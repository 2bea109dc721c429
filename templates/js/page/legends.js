// Legends in the bar: the colours that are drawn, those of the theme or the ones that were chosen, and the scale of weights.
globalThis.reportgen ??= {};

reportgen.legends = (() => {
  "use strict";

  const { text } = reportgen;
  const SCALES = {
    sqrt: "0 · .1 · .5 · 1 (square root)",
    linear: "0 · .25 · .5 · .75 · 1 (linear)",
    log: "≤.0001 · .001 · .01 · .1 · 1 (logarithmic)",
  };

  /** @param {Record<string, string[]>} ramps colours by the name of the legend @param {string} scale of weights */
  function draw(ramps, scale) {
    for (const legend of document.querySelectorAll("[data-legend]")) {
      const place = legend.querySelector("picture, .ramp");
      const background = `linear-gradient(to right, ${ramps[legend.dataset.legend].join()})`;
      if (place.matches(".ramp")) place.style.setProperty("background", background);
      else place.replaceWith(text.element("span", { class: "ramp", style: { background } }));
    }
    document.querySelector('[data-legend="weight"] small').textContent = SCALES[scale];
  }

  return { draw };
})();
