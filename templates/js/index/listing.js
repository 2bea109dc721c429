// Which cards an index shows, and in which order. A choice is {words, sort, reverse, failed}.
globalThis.reportgen ??= {};

reportgen.listing = (() => {
  "use strict";

  /** What cards are sorted by: texts as people sort them, or numbers. */
  const SORTS = {
    order: null,
    title: ({ title }) => title,
    model: ({ model }) => model,
    tag: ({ tags }) => tags?.join(" "),
    tokens: ({ tokens }) => tokens,
    prompt: ({ prompt }) => prompt,
    generated: ({ generated }) => generated,
  };
  const INITIAL = { words: "", sort: "order", reverse: false, failed: false };
  const { compare } = new Intl.Collator("en", { numeric: true });

  /** What the filter box searches, in lower case. */
  function wordsOf({ title, text = "", model, tags = [], error = "" }) {
    return [title, text, model, ...tags, error].join(" ").toLowerCase();
  }

  /** Whether every word of a query stands in a text; both in lower case. */
  function matches(query, words) {
    return query.split(/\s+/).every((word) => words.includes(word));
  }

  /**
   * Find the cards that are asked for.
   * @param {object[]} cards as describe_card wrote them, each with its `words`
   * @returns {number[]} their places, in the order to show them; cards that lack what is sorted by come last
   */
  function choose(cards, { words, sort, reverse, failed }) {
    const query = words.trim().toLowerCase();
    const found = [...cards.keys()].filter(
      (i) => (!failed || cards[i].error !== undefined) && matches(query, cards[i].words),
    );
    const keyOf = SORTS[sort];
    if (!keyOf) return reverse ? found.reverse() : found;
    const sign = reverse ? -1 : 1;
    const order = (a, b) => (typeof a === "number" ? a - b : compare(a, b));
    const has = found.filter((i) => keyOf(cards[i]) !== undefined);
    const lacks = found.filter((i) => keyOf(cards[i]) === undefined);
    return [...has.sort((i, k) => sign * order(keyOf(cards[i]), keyOf(cards[k])) || i - k), ...lacks];
  }

  /** How many there are, in words. */
  function count(shown, cards) {
    const number = (value) => value.toLocaleString("en");
    const failures = cards.filter(({ error }) => error !== undefined).length;
    const all = `${number(cards.length)} ${cards.length === 1 ? "report" : "reports"}`;
    const some = shown === cards.length ? all : `${number(shown)} of ${all}`;
    return failures ? `${some}, ${number(failures)} failed.` : `${some}.`;
  }

  /** The choice of an address; whatever it does not say, or says wrongly, is as at the beginning. */
  function parse(hash) {
    const given = new URLSearchParams(hash.replace(/^#/, ""));
    const sort = given.get("sort");
    return {
      words: given.get("filter") ?? "",
      sort: Object.hasOwn(SORTS, sort) ? sort : INITIAL.sort,
      reverse: given.has("reverse"),
      failed: given.has("failed"),
    };
  }

  /** The address of a choice; empty where everything is as at the beginning. */
  function format({ words, sort, reverse, failed }) {
    const given = new URLSearchParams();
    if (words.trim()) given.set("filter", words.trim());
    if (sort !== INITIAL.sort) given.set("sort", sort);
    if (reverse) given.set("reverse", "");
    if (failed) given.set("failed", "");
    return given.size ? `#${given}` : "";
  }

  /** The choice that sorts by what comes next. */
  function cycleSort(choice) {
    const names = Object.keys(SORTS);
    return { ...choice, sort: names[(names.indexOf(choice.sort) + 1) % names.length] };
  }

  return { wordsOf, matches, choose, count, parse, format, cycleSort };
})();

if (typeof module !== "undefined") module.exports = reportgen.listing;
