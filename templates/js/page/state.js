// What is selected, and its address; reportgen/records/address.py has the same keys. Bounds say what there is: {layers, heads, numTokens, numPromptTokens, opening, scores,
// heatmap_modes, grid_metrics, contrasts}.
globalThis.reportgen ??= {};

/**
 * @typedef {object} State
 * @property {number} layer
 * @property {number} head
 * @property {number | null} step whose token effects are on; null where nothing was generated
 * @property {number} queryPos position that reads
 * @property {number | null} keyPos token read that is marked in every figure
 * @property {string} scale of weights: sqrt, linear, log
 * @property {boolean} withFirst whether the first token is shown as one that is read
 * @property {boolean} renormalised whether rows are divided by what is left without it
 * @property {boolean} words @property {boolean} lines @property {boolean} marks
 * @property {[number, number] | null} range of tokens that figures show
 * @property {[number, number] | null} pin layer and head that the selected one is compared with
 * @property {object} over heads that are averaged
 * @property {string} by what the map of all heads shows
 * @property {string} show what patterns show
 * @property {string} contrast what whole effects are against
 * @property {string} measure what the figure of all heads and MLPs shows: a contrast, or an ablation
 * @property {string} shading of the text: effect, weight
 * @property {string} layout of the panels: rows, patterns
 * @property {string[]} all figures that show all of their rows, and "columns"
 */
reportgen.state = (() => {
  "use strict";

  const SCALES = ["sqrt", "linear", "log"];
  /** What becomes of the first token as one that is read: the word in the address, and the part of a state. */
  const FIRST = {
    in: { withFirst: true, renormalised: false },
    out: { withFirst: false, renormalised: false },
    renormalised: { withFirst: false, renormalised: true },
  };
  /** Switches by their word in the address. */
  const SWITCHES = ["words", "lines", "marks"];
  const LAYOUTS = ["rows", "patterns"];
  const SHADINGS = ["effect", "weight"];
  const FOLDABLE = ["steps", "heads", "layers", "columns"];

  /** Steps of a capture: one for each generated token. */
  function numSteps(bounds) {
    return bounds.numTokens - bounds.numPromptTokens;
  }

  /** The position whose attention predicted the token of a step. */
  function queryPosOfStep(step, bounds) {
    return bounds.numPromptTokens - 1 + step;
  }

  /** The step that a query position predicted, or null. */
  function stepOf(queryPos, bounds) {
    const step = queryPos - bounds.numPromptTokens + 1;
    return step >= 0 && step < numSteps(bounds) ? step : null;
  }

  /** Whether the effects of the step are those of what the position reads. */
  function readsForStep({ step, queryPos }, bounds) {
    return step !== null && queryPosOfStep(step, bounds) === queryPos;
  }

  /** What a page offers for each key of the address that takes one of several words. */
  function choicesOf(bounds) {
    const effects = bounds.contrasts.length > 0;
    return {
      scale: SCALES,
      by: [...(effects ? ["effect"] : []), "weight", "pattern", ...bounds.scores],
      show: bounds.heatmap_modes,
      contrast: bounds.contrasts,
      measure: bounds.grid_metrics,
      shading: effects ? SHADINGS : ["weight"],
      layout: LAYOUTS,
    };
  }

  /** The state a page opens with. */
  function initial(bounds) {
    const { layer, head, step, query_pos: queryPos, key_pos: keyPos } = bounds.opening;
    const firsts = Object.entries(choicesOf(bounds)).map(([key, words]) => [key, words[0] ?? ""]);
    return {
      ...{ layer, head, step, queryPos, keyPos, ...FIRST.in },
      ...Object.fromEntries([...SWITCHES.map((name) => [name, false]), ...firsts]),
      ...{ range: null, pin: null, over: reportgen.sets.OPENING, all: [] },
    };
  }

  /** The state of an address; whatever it does not say, or says wrongly, is as at the opening. */
  function parse(hash, bounds) {
    const given = new URLSearchParams(hash.replace(/^#/, ""));
    const state = initial(bounds);
    const number = (key) => (/^\d{1,7}$/.test(given.get(key) ?? "") ? Number(given.get(key)) : null);
    if (bounds.layers.includes(number("layer"))) state.layer = number("layer");
    if (bounds.heads.includes(number("head"))) state.head = number("head");
    const [step, position, key] = ["step", "query", "key"].map(number);
    if (step !== null && step < numSteps(bounds)) Object.assign(state, selectStep(step, bounds));
    if (position !== null && position < bounds.numTokens) state.queryPos = position;
    if (state.queryPos !== initial(bounds).queryPos) state.keyPos = null;
    if (key !== null && key <= state.queryPos) state.keyPos = key;
    Object.assign(state, Object.hasOwn(FIRST, given.get("first") ?? "") ? FIRST[given.get("first")] : {});
    for (const name of SWITCHES) state[name] = given.get(name) === "on";
    state.range = parseRange(given.get("tokens") ?? "", bounds);
    state.pin = parsePin(given.get("pin") ?? "", bounds);
    state.over = reportgen.sets.parse(given.get("over") ?? "", bounds) ?? state.over;
    state.all = (given.get("all") ?? "").split(",").filter((name) => FOLDABLE.includes(name));
    for (const [name, words] of Object.entries(choicesOf(bounds)))
      if (words.includes(given.get(name))) state[name] = given.get(name);
    return state;
  }

  /** The address of a state. */
  function format(state, bounds) {
    const given = new URLSearchParams({ layer: state.layer, head: state.head });
    if (state.step !== null) given.set("step", state.step);
    if (!readsForStep(state, bounds)) given.set("query", state.queryPos);
    if (state.keyPos !== null) given.set("key", state.keyPos);
    if (!state.withFirst) given.set("first", firstOf(state));
    for (const name of SWITCHES) if (state[name]) given.set(name, "on");
    if (state.range) given.set("tokens", state.range.join("-"));
    if (state.pin) given.set("pin", state.pin.join("."));
    const over = reportgen.sets.format(state.over);
    if (over !== reportgen.sets.format(reportgen.sets.OPENING)) given.set("over", over);
    if (state.all.length) given.set("all", state.all.join(","));
    for (const [name, words] of Object.entries(choicesOf(bounds)))
      if (words.length && state[name] !== words[0]) given.set(name, state[name]);
    return `#${given}`;
  }

  /** What changes with a step: the position that predicted its token reads. */
  function selectStep(step, bounds) {
    return { step, queryPos: queryPosOfStep(step, bounds), keyPos: null };
  }

  /** What a click on a token selects: a token of the prompt reads, a generated token is the one that effects are on. */
  function selectToken(position, bounds) {
    return position < bounds.numPromptTokens
      ? { queryPos: position, keyPos: null }
      : selectStep(position - bounds.numPromptTokens, bounds);
  }

  /** What a position that reads selects: with it the step that it predicted, if it predicted one. */
  function selectQuery(queryPos, bounds) {
    const step = stepOf(queryPos, bounds);
    return step === null ? { queryPos, keyPos: null } : selectStep(step, bounds);
  }

  /** The word for what becomes of the first token. */
  function firstOf({ withFirst, renormalised }) {
    if (withFirst) return "in";
    return renormalised ? "renormalised" : "out";
  }

  /** What comes after a word in a list; after the last comes the first. */
  const after = (words, word) => words[(words.indexOf(word) + 1) % words.length];

  /** The change to the next of what may become of the first token. */
  function cycleFirst(state) {
    return FIRST[after(Object.keys(FIRST), firstOf(state))];
  }

  /** The change to the next word of a key that takes one of several. */
  function cycle(state, name, bounds) {
    return { [name]: after(choicesOf(bounds)[name], state[name]) };
  }

  /** The change that pins the head, or none where it is pinned. */
  function pin({ layer, head, pin: pinned }) {
    return { pin: pinned?.[0] === layer && pinned[1] === head ? null : [layer, head] };
  }

  /** The change that shows all of a figure, or no longer all. */
  function toggleAll({ all }, name) {
    return { all: all.includes(name) ? all.filter((other) => other !== name) : [...all, name] };
  }

  /** Positions `from-to` as `[from, to]`, cut to what there is; null where nothing is said, or all. */
  function parseRange(text, { numTokens }) {
    const match = /^\s*(\d{1,7})\s*[-–]\s*(\d{1,7})\s*$/.exec(text);
    if (!match) return null;
    const [from, to] = [Number(match[1]), Math.min(Number(match[2]), numTokens - 1)];
    return from >= to || (from === 0 && to === numTokens - 1) ? null : [from, to];
  }

  /** `layer.head` as `[layer, head]`; null where there is no such head. */
  function parsePin(text, { layers, heads }) {
    const match = /^(\d{1,7})\.(\d{1,7})$/.exec(text);
    if (!match) return null;
    const [layer, head] = [Number(match[1]), Number(match[2])];
    return layers.includes(layer) && heads.includes(head) ? [layer, head] : null;
  }

  /** The change of going `by` layers, heads, steps or positions further; the ends hold. */
  function move(state, what, by, bounds) {
    const along = (list, value) => list[clamp(list.indexOf(value) + by, list.length)];
    if (what === "layer") return { layer: along(bounds.layers, state.layer) };
    if (what === "head") return { head: along(bounds.heads, state.head) };
    if (what === "step")
      return state.step === null ? null : selectStep(clamp(state.step + by, numSteps(bounds)), bounds);
    return selectQuery(clamp(state.queryPos + by, bounds.numTokens), bounds);
  }

  function clamp(value, count) {
    return Math.min(Math.max(value, 0), count - 1);
  }

  return {
    FIRST,
    choicesOf,
    numSteps,
    queryPosOfStep,
    stepOf,
    readsForStep,
    initial,
    parse,
    format,
    selectStep,
    selectToken,
    selectQuery,
    firstOf,
    cycleFirst,
    cycle,
    pin,
    toggleAll,
    parseRange,
    move,
  };
})();

if (typeof module !== "undefined") module.exports = reportgen.state;
