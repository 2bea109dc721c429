// Lines over the text, from the selected query to the keys that it reads most.
globalThis.reportgen ??= {};

reportgen.lines = (() => {
  "use strict";

  const { pattern, words } = reportgen;
  const SVG = "http://www.w3.org/2000/svg";
  const MOST = 12;
  /** Of the strongest: weaker keys get no line. */
  const LEAST = 0.02;
  const LOWEST_ARC = 9;
  const HIGHEST_ARC = 30;

  /**
   * A curve between two boxes `{x, top, bottom}`: an arch over the text where both stand in one line of it, else from one
   * line to the other.
   */
  function pathOf(from, to) {
    if (from.top === to.top) {
      const height = Math.min(HIGHEST_ARC, LOWEST_ARC + Math.abs(from.x - to.x) / 12);
      if (from.x === to.x) {
        const [left, right] = [from.x - 10, from.x + 10];
        return `M${from.x} ${from.top}C${left} ${from.top - 22} ${right} ${from.top - 22} ${to.x} ${to.top}`;
      }
      // A cubic curve rises to three quarters of its handles.
      const up = from.top - height / 0.75;
      return `M${from.x} ${from.top}C${from.x} ${up} ${to.x} ${up} ${to.x} ${to.top}`;
    }
    const [start, end] = from.top > to.top ? [from.top, to.bottom] : [from.bottom, to.top];
    const middle = (start + end) / 2;
    return `M${from.x} ${start}C${from.x} ${middle} ${to.x} ${middle} ${to.x} ${end}`;
  }

  /** The keys that get a line, strongest first, with the share of the strongest that each has. */
  function keysOf(row, withFirst) {
    const keys = pattern.strongestKeys(row, MOST, withFirst);
    const most = Math.abs(keys[0]?.value ?? 0);
    return keys
      .map(({ keyPos, value }) => ({ keyPos, value, share: most && Math.abs(value) / most }))
      .filter(({ share }) => share >= LEAST);
  }

  function boxOf(strip, units, unit) {
    const [first, last] = [units.first(unit), units.last(unit)].map((position) =>
      strip.querySelector(`[data-position="${position}"]`),
    );
    // A word that is cut at the end of a line is met where it begins.
    const tokens = last.offsetTop === first.offsetTop ? [first, last] : [first];
    const left = Math.min(...tokens.map(({ offsetLeft }) => offsetLeft));
    const right = Math.max(...tokens.map(({ offsetLeft, offsetWidth }) => offsetLeft + offsetWidth));
    const top = first.offsetTop + 1;
    return { x: Math.round((left + right) / 2), top, bottom: top + first.offsetHeight - 5 };
  }

  /** Draw over the text what a row says; nothing where lines are not asked for. */
  function draw(strip, scene, row) {
    strip.classList.toggle("lined", scene.state.lines);
    strip.querySelector("svg")?.remove();
    if (!scene.state.lines || !row) return;
    const svg = strip.appendChild(document.createElementNS(SVG, "svg"));
    svg.setAttribute("aria-hidden", "true");
    const units = words.units(scene);
    const from = boxOf(strip, units, units.of(scene.state.queryPos));
    const extent = { width: strip.clientWidth, height: strip.scrollHeight };
    for (const [name, value] of Object.entries(extent)) svg.setAttribute(name, value);
    for (const { keyPos, value, share } of keysOf(row, units.seesFirst(scene.state)).reverse()) {
      const path = svg.appendChild(document.createElementNS(SVG, "path"));
      path.setAttribute("d", pathOf(from, boxOf(strip, units, keyPos)));
      path.setAttribute("class", value < 0 ? "against" : "for");
      path.style.setProperty("--share", share.toFixed(3));
    }
  }

  return { pathOf, keysOf, draw };
})();

if (typeof module !== "undefined") module.exports = reportgen.lines;
