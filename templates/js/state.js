// What is selected, and its address. A state is {layer, head, queryPos, scale, withFirst, by, show, measure}; bounds say
// what there is: {layers, heads, numTokens, numPromptTokens, opening: [layer, head], scores, shows, measures: names}.
globalThis.reportgen ??= {};

reportgen.state = (() => {
  "use strict";

  const SCALES = ["sqrt", "linear"];

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
    const [layer, head] = bounds.opening;
    return {
      layer,
      head,
      queryPos: bounds.numPromptTokens - 1,
      scale: "sqrt",
      withFirst: true,
      by: "pattern",
      show: "weight",
      measure: bounds.measures[0] ?? "",
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
    if (given.get("first") === "out") state.withFirst = false;
    if ([...bounds.scores, ...bounds.measures].includes(given.get("by"))) state.by = given.get("by");
    if (bounds.shows.includes(given.get("show"))) state.show = given.get("show");
    if (bounds.measures.includes(given.get("measure"))) state.measure = given.get("measure");
    return state;
  }

  /** The address of a state. */
  function format(state, bounds) {
    const step = stepOf(state.queryPos, bounds);
    const given = new URLSearchParams({ layer: state.layer, head: state.head });
    if (step === null) given.set("query", state.queryPos);
    else given.set("step", step);
    if (state.scale !== "sqrt") given.set("scale", state.scale);
    if (!state.withFirst) given.set("first", "out");
    if (state.by !== "pattern") given.set("by", state.by);
    if (state.show !== "weight") given.set("show", state.show);
    if (state.measure !== (bounds.measures[0] ?? "")) given.set("measure", state.measure);
    return `#${given}`;
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
  function cycleShow(state, { shows }) {
    return { ...state, show: shows[(shows.indexOf(state.show) + 1) % shows.length] };
  }

  /** The query that a click on a token means: the token itself, or for a generated token the step that chose it. */
  function queryPosOfToken(position, bounds) {
    return position < bounds.numPromptTokens ? position : position - 1;
  }

  function clamp(value, count) {
    return Math.min(Math.max(value, 0), count - 1);
  }

  return { numSteps, queryPosOfStep, stepOf, initial, parse, format, move, cycleShow, queryPosOfToken };
})();

if (typeof module !== "undefined") module.exports = reportgen.state;
