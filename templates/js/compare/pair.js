// What is selected on a page of two sides, and its address. A state is {layer, head, queries: [a, b], scale, withFirst,
// linked}; bounds are {sides: bounds of each page, layers, heads: what at least one side has}.
globalThis.reportgen ??= {};

reportgen.pair = (() => {
  "use strict";

  const { state: states, scale } = reportgen;
  const NAMES = ["a", "b"];

  const clamp = (value, count) => Math.min(Math.max(value, 0), count - 1);

  function makeBounds(sides) {
    const union = (of) => [...new Set(sides.flatMap(of))].sort((a, b) => a - b);
    return { sides, layers: union(({ layers }) => layers), heads: union(({ heads }) => heads) };
  }

  /** The number that a side shows for one that it may lack: the nearest, of two the lower. */
  function nearest(numbers, wanted) {
    return numbers.reduce((best, one) => (Math.abs(one - wanted) < Math.abs(best - wanted) ? one : best));
  }

  /** The state a page opens with: on each side the query that chose the first token. */
  function initial({ sides }) {
    const [layer, head] = sides[0].default_head;
    const queries = sides.map(({ numPromptTokens }) => numPromptTokens - 1);
    return { layer, head, queries, scale: "sqrt", withFirst: true, linked: true };
  }

  /** The query of one side that stands where another side's does: as far from the end of the prompt. */
  function follow(queryPos, from, to) {
    return clamp(queryPos - from.numPromptTokens + to.numPromptTokens, to.numTokens);
  }

  /** The state with a query of one side; the other follows where they are linked. */
  function setQuery(state, side, queryPos, { sides }) {
    const own = clamp(queryPos, sides[side].numTokens);
    const queries = state.queries.map((other, i) => {
      if (i === side) return own;
      return state.linked ? follow(own, sides[side], sides[i]) : other;
    });
    return { ...state, queries };
  }

  /** The state after going `by` layers, heads or positions further; the ends hold. */
  function move(state, what, by, bounds, side = 0) {
    const along = (list, value) => list[clamp(list.indexOf(value) + by, list.length)];
    if (what === "layer") return { ...state, layer: along(bounds.layers, state.layer) };
    if (what === "head") return { ...state, head: along(bounds.heads, state.head) };
    return setQuery(state, side, state.queries[side] + by, bounds);
  }

  /** The state of an address; whatever it does not say, or says wrongly, is as at the opening. */
  function parse(hash, bounds) {
    const given = new URLSearchParams(hash.replace(/^#/, ""));
    const number = (key) => (/^\d{1,7}$/.test(given.get(key) ?? "") ? Number(given.get(key)) : null);
    const state = initial(bounds);
    if (bounds.layers.includes(number("layer"))) state.layer = number("layer");
    if (bounds.heads.includes(number("head"))) state.head = number("head");
    state.queries = state.queries.map((opening, i) => {
      const query = number(NAMES[i]);
      return query !== null && query < bounds.sides[i].numTokens ? query : opening;
    });
    if (Object.hasOwn(scale.show, given.get("scale"))) state.scale = given.get("scale");
    if (given.get("first") === "out") state.withFirst = false;
    if (given.get("linked") === "no") state.linked = false;
    return state;
  }

  /** The address of a state. */
  function format({ layer, head, queries, scale: name, withFirst, linked }) {
    const given = new URLSearchParams({ layer, head });
    queries.forEach((query, i) => {
      given.set(NAMES[i], query);
    });
    if (name !== "sqrt") given.set("scale", name);
    if (!withFirst) given.set("first", "out");
    if (!linked) given.set("linked", "no");
    return `#${given}`;
  }

  /** The state of one side, as the views of a page take it. */
  function sideOf(state, side, { sides }) {
    const bounds = sides[side];
    return {
      ...states.initial(bounds),
      layer: nearest(bounds.layers, state.layer),
      head: nearest(bounds.heads, state.head),
      queryPos: state.queries[side],
      scale: state.scale,
      withFirst: state.withFirst,
    };
  }

  /** What a side shows instead of what it lacks, in words; empty where it lacks nothing. */
  function sayStandIn(state, side, bounds) {
    const { layer, head } = sideOf(state, side, bounds);
    const lacks = [];
    if (layer !== state.layer) lacks.push(`layer ${state.layer} is not here, layer ${layer} stands in for it`);
    if (head !== state.head) lacks.push(`head ${state.head} is not here, head ${head} stands in for it`);
    return lacks.length ? `${NAMES[side].toUpperCase()}: ${lacks.join("; ")}.` : "";
  }

  return { NAMES, makeBounds, nearest, initial, follow, setQuery, move, parse, format, sideOf, sayStandIn };
})();

if (typeof module !== "undefined") module.exports = reportgen.pair;
