// What is selected, and its address. A state is {layer, head, queryPos, scale, withFirst, renormalised, words, lines, marks,
// range, pin, over, by, show, measure}; bounds say what there is: {layers, heads, numTokens, numPromptTokens,
// default_head: [layer, head], scores, heatmap_modes, grid_metrics: names}.
globalThis.reportgen ??= {};

reportgen.state = (() => {
  "use strict";

  const SCALES = ["sqrt", "linear", "log"];
  /** What becomes of the first key: the word in the address, and the part of a state that it stands for. */
  const FIRST = {
    in: { withFirst: true, renormalised: false },
    out: { withFirst: false, renormalised: false },
    renormalised: { withFirst: false, renormalised: true },
  };
  /** Switches by their word in the address. */
  const SWITCHES = ["words", "lines", "marks"];

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

  /** The state a page opens with. */
  function initial(bounds) {
    const [layer, head] = bounds.default_head;
    return {
      layer,
      head,
      queryPos: bounds.numPromptTokens - 1,
      scale: "sqrt",
      ...FIRST.in,
      words: false,
      lines: false,
      marks: false,
      range: null,
      pin: null,
      over: reportgen.sets.OPENING,
      by: "pattern",
      show: "weight",
      measure: bounds.grid_metrics[0] ?? "",
    };
  }

  /** The state of an address; whatever it does not say, or says wrongly, is as at the opening. */
  function parse(hash, bounds) {
    const given = new URLSearchParams(hash.replace(/^#/, ""));
    const state = initial(bounds);
    const number = (key) => (/^\d{1,7}$/.test(given.get(key) ?? "") ? Number(given.get(key)) : null);
    if (bounds.layers.includes(number("layer"))) state.layer = number("layer");
    if (bounds.heads.includes(number("head"))) state.head = number("head");
    const step = number("step");
    const position = number("query");
    if (step !== null && step < numSteps(bounds)) state.queryPos = queryPosOfStep(step, bounds);
    else if (position !== null && position < bounds.numTokens) state.queryPos = position;
    if (SCALES.includes(given.get("scale"))) state.scale = given.get("scale");
    Object.assign(state, Object.hasOwn(FIRST, given.get("first") ?? "") ? FIRST[given.get("first")] : {});
    for (const name of SWITCHES) state[name] = given.get(name) === "on";
    state.range = parseRange(given.get("tokens") ?? "", bounds);
    state.pin = parsePin(given.get("pin") ?? "", bounds);
    state.over = reportgen.sets.parse(given.get("over") ?? "", bounds) ?? state.over;
    if ([...bounds.scores, ...bounds.grid_metrics].includes(given.get("by"))) state.by = given.get("by");
    if (bounds.heatmap_modes.includes(given.get("show"))) state.show = given.get("show");
    if (bounds.grid_metrics.includes(given.get("measure"))) state.measure = given.get("measure");
    return state;
  }

  /** The address of a state. */
  function format(state, bounds) {
    const step = stepOf(state.queryPos, bounds);
    const given = new URLSearchParams({ layer: state.layer, head: state.head });
    if (step === null) given.set("query", state.queryPos);
    else given.set("step", step);
    if (state.scale !== "sqrt") given.set("scale", state.scale);
    if (!state.withFirst) given.set("first", firstOf(state));
    for (const name of SWITCHES) if (state[name]) given.set(name, "on");
    if (state.range) given.set("tokens", state.range.join("-"));
    if (state.pin) given.set("pin", state.pin.join("."));
    const over = reportgen.sets.format(state.over);
    if (over !== reportgen.sets.format(reportgen.sets.OPENING)) given.set("over", over);
    if (state.by !== "pattern") given.set("by", state.by);
    if (state.show !== "weight") given.set("show", state.show);
    if (state.measure !== (bounds.grid_metrics[0] ?? "")) given.set("measure", state.measure);
    return `#${given}`;
  }

  /** The word for what becomes of the first key. */
  function firstOf({ withFirst, renormalised }) {
    if (withFirst) return "in";
    return renormalised ? "renormalised" : "out";
  }

  /** The state with the next of what may become of the first key. */
  function cycleFirst(state) {
    const names = Object.keys(FIRST);
    return { ...state, ...FIRST[names[(names.indexOf(firstOf(state)) + 1) % names.length]] };
  }

  /** The state with its head pinned, or with none where that one is. */
  function pin({ layer, head, pin: pinned }) {
    return { pin: pinned?.[0] === layer && pinned[1] === head ? null : [layer, head] };
  }

  /** The state with the next scale of colours. */
  function cycleScale(state) {
    return { ...state, scale: SCALES[(SCALES.indexOf(state.scale) + 1) % SCALES.length] };
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

  /** The state after going `by` layers, heads or positions further; the ends hold. */
  function move(state, what, by, bounds) {
    const along = (list, value) => list[clamp(list.indexOf(value) + by, list.length)];
    if (what === "layer") return { ...state, layer: along(bounds.layers, state.layer) };
    if (what === "head") return { ...state, head: along(bounds.heads, state.head) };
    if (what === "step") return { ...state, queryPos: queryPosOfStep(stepAfter(state.queryPos, by, bounds), bounds) };
    return { ...state, queryPos: clamp(state.queryPos + by, bounds.numTokens) };
  }

  /** The step that a move from a query leads to; from what is no step, to the step that is nearest. */
  function stepAfter(queryPos, by, bounds) {
    const nearest = clamp(queryPos - bounds.numPromptTokens + 1, numSteps(bounds));
    return stepOf(queryPos, bounds) === null ? nearest : clamp(nearest + by, numSteps(bounds));
  }

  /** The state that shows the next of what a heatmap can show; after the last comes the first. */
  function cycleShow(state, { heatmap_modes: modes }) {
    return { ...state, show: modes[(modes.indexOf(state.show) + 1) % modes.length] };
  }

  /** The query that a click on a token means: the token itself, or for a generated token the step that chose it. */
  function queryPosOfToken(position, bounds) {
    return position < bounds.numPromptTokens ? position : position - 1;
  }

  function clamp(value, count) {
    return Math.min(Math.max(value, 0), count - 1);
  }

  return {
    FIRST,
    numSteps,
    queryPosOfStep,
    stepOf,
    initial,
    parse,
    format,
    firstOf,
    cycleFirst,
    cycleScale,
    pin,
    parseRange,
    move,
    cycleShow,
    queryPosOfToken,
  };
})();

if (typeof module !== "undefined") module.exports = reportgen.state;
