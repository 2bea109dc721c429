// Sets of layers and heads that are looked at as one. A set is {way, layers, heads}: the layers and heads as written, such
// as `0-4,7`, `all`, or `this` for the chosen one.
globalThis.reportgen ??= {};

reportgen.sets = (() => {
  "use strict";

  const WAYS = ["mean", "max"];
  const OPENING = { way: "mean", layers: "this", heads: "all" };
  const PART = /^(\d{1,7})(?:[-–](\d{1,7}))?$/;

  /** The numbers of a list such as `0-4,7`, in the order of those that there are; null where it is no list, or none of them. */
  function list(text, there, chosen) {
    if (text === "all") return there;
    if (text === "this") return [chosen];
    const parts = text.split(",").map((part) => PART.exec(part.trim()));
    if (parts.includes(null)) return null;
    const isIn = (number) => parts.some(([, from, to]) => number >= Number(from) && number <= Number(to ?? from));
    const found = there.filter(isIn);
    return found.length ? found : null;
  }

  /** Text as a set is written; null where no head is in it. */
  function parse(text, { layers, heads }) {
    const [way, ...parts] = text.split(":").map((part) => part.trim().toLowerCase());
    if (!WAYS.includes(way) || parts.length !== 2) return null;
    const set = { way, layers: parts[0].replaceAll(" ", ""), heads: parts[1].replaceAll(" ", "") };
    return list(set.layers, layers, layers[0]) && list(set.heads, heads, heads[0]) && set;
  }

  const format = ({ way, layers, heads }) => `${way}:${layers}:${heads}`;

  /** The heads of a set, as `{layer, head}`. */
  function headsOf(set, { layers, heads }, chosen) {
    const numbers = list(set.heads, heads, chosen.head);
    return list(set.layers, layers, chosen.layer).flatMap((layer) => numbers.map((head) => ({ layer, head })));
  }

  /** `mean of 9 heads: layer 3, all heads`. */
  function name(set, bounds, chosen) {
    const count = headsOf(set, bounds, chosen).length;
    const part = (text, what, number) => {
      if (text === "all") return `all ${what}s`;
      if (text === "this") return `${what} ${number}`;
      return `${what}${/[-–,]/.test(text) ? "s" : ""} ${text.replaceAll("-", "–").replaceAll(",", ", ")}`;
    };
    const where = `${part(set.layers, "layer", chosen.layer)}, ${part(set.heads, "head", chosen.head)}`;
    return `${set.way === "mean" ? "Mean" : "Maximum"} of ${count} head${count === 1 ? "" : "s"}: ${where}`;
  }

  return { WAYS, OPENING, parse, format, headsOf, name };
})();

if (typeof module !== "undefined") module.exports = reportgen.sets;
