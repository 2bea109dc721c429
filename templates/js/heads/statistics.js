// Numbers of heads over prompts: decoded, counted against a bound, put in order and into words. A choice is {model,
// number, layer, head, tag, side, bound, sort, reverse, page}; a table and a kind are those of reportgen/pages/heads.py.
globalThis.reportgen ??= {};

reportgen.statistics = (() => {
  "use strict";

  const { numbers } = reportgen;
  const FIELDS = ["mean", "deviation", "lowest", "highest", "count", "lowestPage", "highestPage"];
  /** What heads are sorted by; "head" is their place in the model. */
  const SORTS = ["head", "mean", "deviation", "count", "lowest", "highest", "holds"];

  /** The number that 16 bits stand for (IEEE 754 binary16). */
  function decodeHalf(code) {
    const [exponent, fraction] = [(code >> 10) & 31, code & 1023];
    const sign = code & 0x8000 ? -1 : 1;
    if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
  }

  /** Numbers of which first the high bytes stand there and then the low ones. @param {Uint8Array} bytes */
  function decodeCells(bytes) {
    const count = bytes.length / 2;
    const known = new Map();
    return Float32Array.from({ length: count }, (_, i) => {
      const code = (bytes[i] << 8) | bytes[count + i];
      if (!known.has(code)) known.set(code, decodeHalf(code));
      return known.get(code);
    });
  }

  /**
   * Statistics of each group of prompts: all of them, and then those of each tag.
   * @param {Uint8Array} bytes field after field, `[group][head]` each
   * @returns {object[]} by group, each with an array over the heads for every field
   */
  function decodeStatistics(bytes, numGroups, numHeads) {
    const size = numGroups * numHeads;
    const whole = FIELDS.map((_, i) => {
      const part = bytes.slice(4 * size * i, 4 * size * (i + 1)).buffer;
      return i < 4 ? new Float32Array(part) : new Uint32Array(part);
    });
    return Array.from({ length: numGroups }, (_, group) =>
      Object.fromEntries(FIELDS.map((name, i) => [name, whole[i].subarray(group * numHeads, (group + 1) * numHeads)])),
    );
  }

  /** Whether a value is on the side of the bound that is asked for; never where it is undefined. */
  const holds = (value, { side, bound }) => (side === "below" ? value < bound : value > bound);

  /** On how many of some values the bound holds. */
  const countHolding = (values, choice) => values.reduce((sum, value) => sum + Number(holds(value, choice)), 0);

  /**
   * The heads in order; those without a value come last.
   * @param {object} columns a value for each head, by the names of SORTS but "head"
   */
  function sortHeads(numHeads, columns, { sort, reverse }, { lowest_first: lowestFirst }) {
    const all = [...Array(numHeads).keys()];
    const largestFirst = sort !== "head" && !(lowestFirst && ["mean", "lowest", "highest"].includes(sort));
    const sign = largestFirst === !reverse ? -1 : 1;
    if (sort === "head") return reverse ? all.reverse() : all;
    const values = columns[sort];
    const has = all.filter((head) => !Number.isNaN(values[head]));
    const lacks = all.filter((head) => Number.isNaN(values[head]));
    return [...has.sort((a, b) => sign * (values[a] - values[b]) || a - b), ...lacks];
  }

  /** A number of its kind; with a sign where it can be below 0, but for a spread. */
  function format(value, { unit }, { signed = true } = {}) {
    if (Number.isNaN(value)) return "n/a";
    if (unit === "share") return value.toFixed(3);
    if (unit === "tokens") return value.toFixed(1);
    return signed ? numbers.formatSigned(value, 2) : value.toFixed(2);
  }

  /** A bound as it was written. */
  const formatBound = (bound) => String(bound).replace("-", "−");

  const plural = (count, word) => `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

  /**
   * What holds of a head, as "L5 H1 is above 0.5 on 14 of 15 prompts"; what was not counted is said without a bound.
   * @param {{name: string, count: number, numPages: number, holding: number | null}} head
   */
  function sayHolds({ name, count, numPages, holding }, kind, { side, bound }) {
    if (!count) return `${kind.title} of ${name} is n/a on ${numPages === 1 ? "this prompt" : "all of these prompts"}`;
    const undefinedOn = numPages === count ? "" : ` (n/a on ${(numPages - count).toLocaleString("en")} more)`;
    if (holding === null) return `${name} has a value on ${plural(count, "prompt")}${undefinedOn}`;
    const of = `${holding.toLocaleString("en")} of ${plural(count, "prompt")}`;
    return `${name} is ${side} ${formatBound(bound)} on ${of}${undefinedOn}`;
  }

  /** The view of a head on a page. */
  function addressOf([slug, , step], [layer, head]) {
    const given = new URLSearchParams({ layer, head });
    if (step !== null) given.set("step", step);
    return `${slug}.html#${given}`;
  }

  /** The choice of an address; what it does not say is chosen by what there is, `null` for the head with the first value. */
  function parse(hash, { tables, kinds }) {
    const given = new URLSearchParams(hash.replace(/^#/, ""));
    const page = given.get("page") ?? "";
    const named = tables.findIndex(({ name }) => name === given.get("model"));
    const holding = tables.findIndex(({ pages }) => pages.some(([slug]) => slug === page));
    const table = tables[Math.max(0, named >= 0 ? named : holding)];
    const number = table.numbers.includes(given.get("number")) ? given.get("number") : table.numbers[0];
    const kind = kinds.find(({ name }) => name === number);
    const place = table.heads.findIndex(([layer, head]) =>
      [String(layer), String(head)].every((value, i) => value === given.get(["layer", "head"][i])),
    );
    const opening = { side: kind.lowest_first ? "below" : "above", bound: kind.bound };
    const side = ["above", "below"].find((name) => parseBound(given.get(name)) !== null);
    return {
      model: tables.indexOf(table),
      number,
      head: place < 0 ? null : place,
      tag: table.tags.includes(given.get("tag")) ? given.get("tag") : "",
      ...(side ? { side, bound: parseBound(given.get(side)) } : opening),
      sort: SORTS.includes(given.get("sort")) ? given.get("sort") : "mean",
      reverse: given.has("reverse"),
      page: table.pages.some(([slug]) => slug === page) ? page : "",
    };
  }

  /** The number that is written there; null where it is none. */
  function parseBound(text) {
    const written = (text ?? "").trim().replace("−", "-");
    return written !== "" && Number.isFinite(Number(written)) ? Number(written) : null;
  }

  /** The address of a choice. */
  function write({ model, number, head, tag, side, bound, sort, reverse, page }, { tables, kinds }) {
    const table = tables[model];
    const kind = kinds.find(({ name }) => name === number);
    const given = new URLSearchParams();
    if (tables.length > 1) given.set("model", table.name);
    given.set("number", number);
    if (head !== null) {
      given.set("layer", table.heads[head][0]);
      given.set("head", table.heads[head][1]);
    }
    if (tag) given.set("tag", tag);
    if (bound !== kind.bound || side !== (kind.lowest_first ? "below" : "above")) given.set(side, String(bound));
    if (sort !== "mean") given.set("sort", sort);
    if (reverse) given.set("reverse", "");
    if (page) given.set("page", page);
    return `#${given}`;
  }

  return {
    decodeCells,
    decodeStatistics,
    holds,
    countHolding,
    sortHeads,
    format,
    sayHolds,
    addressOf,
    parseBound,
    parse,
    write,
  };
})();

if (typeof module !== "undefined") module.exports = reportgen.statistics;
