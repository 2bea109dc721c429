// What is selected on a page of two sides, and its address. Bounds are {sides: bounds of each page, layers, heads: what at
// least one side has, opening, length: units of the heatmaps}.
globalThis.reportgen ??= {};

/**
 * @typedef {object} PairState
 * @property {number} layer @property {number} head
 * @property {[number, number]} queries positions that read, in A and in B
 * @property {string} scale of weights @property {boolean} withFirst @property {boolean} renormalised as on a page
 * @property {boolean} linked whether the positions that read go together
 * @property {[number, number] | null} range of units that heatmaps show
 */
reportgen.pair = (() => {
  "use strict";

  const { state: states, numbers } = reportgen;
  const NAMES = ["a", "b"];
  const SCALES = Object.keys(numbers.show);

  const clamp = (value, count) => Math.min(Math.max(value, 0), count - 1);

  function makeBounds(sides, opening, length) {
    const union = (of) => [...new Set(sides.flatMap(of))].sort((a, b) => a - b);
    return { sides, opening, length, layers: union(({ layers }) => layers), heads: union(({ heads }) => heads) };
  }

  /** The number that a side shows for one that it may lack: the nearest, of two the lower. */
  function nearest(list, wanted) {
    return list.reduce((best, one) => (Math.abs(one - wanted) < Math.abs(best - wanted) ? one : best));
  }

  /** The state a page opens with. */
  function initial({ opening: { layer, head, queries } }) {
    return { layer, head, queries, scale: SCALES[0], ...states.FIRST.in, linked: true, range: null };
  }

  /** The position of one side that stands where another side's does: as far from the end of the prompt. */
  function follow(queryPos, from, to) {
    return clamp(queryPos - from.numPromptTokens + to.numPromptTokens, to.numTokens);
  }

  /** The change to a position of one side that reads; the other follows where they are linked. */
  function setQuery(state, side, queryPos, { sides }) {
    const own = clamp(queryPos, sides[side].numTokens);
    const queries = state.queries.map((other, i) => {
      if (i === side) return own;
      return state.linked ? follow(own, sides[side], sides[i]) : other;
    });
    return { queries };
  }

  /** The change of going `by` layers, heads or positions further; the ends hold. */
  function move(state, what, by, bounds, side = 0) {
    const along = (list, value) => list[clamp(list.indexOf(value) + by, list.length)];
    if (what === "layer") return { layer: along(bounds.layers, state.layer) };
    if (what === "head") return { head: along(bounds.heads, state.head) };
    return setQuery(state, side, state.queries[side] + by, bounds);
  }

  /** The change to the next scale. */
  const cycleScale = ({ scale }) => ({ scale: SCALES[(SCALES.indexOf(scale) + 1) % SCALES.length] });

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
    if (SCALES.includes(given.get("scale"))) state.scale = given.get("scale");
    if (Object.hasOwn(states.FIRST, given.get("first") ?? "")) Object.assign(state, states.FIRST[given.get("first")]);
    if (given.get("linked") === "no") state.linked = false;
    state.range = states.parseRange(given.get("tokens") ?? "", { numTokens: bounds.length });
    return state;
  }

  /** The address of a state. */
  function format(state) {
    const { layer, head, queries, scale, linked, range } = state;
    const given = new URLSearchParams({ layer, head });
    queries.forEach((query, i) => {
      given.set(NAMES[i], query);
    });
    if (scale !== SCALES[0]) given.set("scale", scale);
    if (!state.withFirst) given.set("first", states.firstOf(state));
    if (!linked) given.set("linked", "no");
    if (range) given.set("tokens", range.join("-"));
    return `#${given}`;
  }

  /** The state of one side, as the views of a page take it. */
  function sideOf({ layer, head, queries, scale, withFirst, renormalised }, side, { sides }) {
    const bounds = sides[side];
    return {
      ...states.initial(bounds),
      ...{ layer: nearest(bounds.layers, layer), head: nearest(bounds.heads, head) },
      ...{ queryPos: queries[side], scale, withFirst, renormalised },
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

  return { NAMES, makeBounds, nearest, initial, follow, setQuery, move, cycleScale, parse, format, sideOf, sayStandIn };
})();

if (typeof module !== "undefined") module.exports = reportgen.pair;
