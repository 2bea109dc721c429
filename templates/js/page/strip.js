// The text: each token shaded by what was read of it, the position that reads and the token that was written marked.
globalThis.reportgen ??= {};

reportgen.strip = (() => {
  "use strict";

  const { colors, kinds, read, state: states, words } = reportgen;

  /** What shades the text: values by unit, and whether they are effects. */
  async function load(scene) {
    const { state, bounds, evidence } = scene;
    if (state.shading === "effect" && states.readsForStep(state, bounds) && evidence.hasRead) {
      const row = (await evidence.read())(state.step, state.contrast);
      // Of a step that is withheld only weights are known.
      if (!row.every(Number.isNaN)) return { row, signed: true, high: read.scaleOf(row) };
    }
    const row = await evidence.weights(state.layer, state.head, state.queryPos, state);
    return { row, signed: false, high: 1 };
  }

  /** Shade every token, as `load` says. */
  function draw(strip, scene, { row, signed, high }) {
    const { state, content } = scene;
    // What attention read for a token is known of tokens alone.
    const units = words.unitsOf(content, !signed && state.words);
    const query = units.of(state.queryPos);
    const ramp = signed ? colors.ofEffects(scene, high) : colors.ofWeights(scene);
    const first = kinds.firstKey(kinds.kindOf(content, state.layer), state.queryPos);
    for (const token of strip.querySelectorAll(".token")) {
      const position = Number(token.dataset.position);
      const unit = units.of(position);
      const seen = unit <= query && (signed || unit > 0 || units.seesFirst(state)) && (signed || position >= first);
      const value = seen && !Number.isNaN(row[unit]) ? row[unit] : null;
      const color =
        value === null ? "" : colors.colorOf(ramp, signed ? value : colors.shown(scene, Float32Array.of(value))[0]);
      // A style that is set anew costs time even where it is the same.
      if (token.style.getPropertyValue("--shade") !== color) {
        for (const name of ["--shade", "--shade-dark"]) token.style.setProperty(name, color);
        token.classList.remove("on-dark-shade", "on-light-shade");
        if (color) token.classList.add(colors.classOn(color));
      }
      token.classList.toggle("from", position === state.queryPos);
      token.classList.toggle("key", position === state.keyPos);
      token.classList.toggle("now", state.step !== null && position === scene.bounds.numPromptTokens + state.step);
    }
  }

  let revealed = null;

  /** Move the stop of the keyboard, and scroll the text to what is selected. */
  function select(strip, { queryPos }) {
    const chosen = strip.querySelector(`[data-position="${queryPos}"]`);
    if (chosen === revealed) return;
    revealed = chosen;
    const old = strip.querySelector('.token[tabindex="0"]');
    if (old) old.tabIndex = -1;
    chosen.tabIndex = 0;
    reveal(strip, chosen);
  }

  /** Scroll a box, and nothing around it, until a child is in view. */
  function reveal(box, child) {
    const top = child.offsetTop;
    if (top < box.scrollTop) box.scrollTop = top - 4;
    else if (top + child.offsetHeight > box.scrollTop + box.clientHeight)
      box.scrollTop = top + child.offsetHeight - box.clientHeight + 4;
  }

  /** Tint what is pointed at elsewhere. */
  function brush(strip, cell) {
    for (const token of strip.querySelectorAll(".brushed")) token.classList.remove("brushed");
    if (cell?.keyPos != null) strip.querySelector(`[data-position="${cell.keyPos}"]`)?.classList.add("brushed");
  }

  return { load, draw, select, reveal, brush };
})();
