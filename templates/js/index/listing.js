// Which cards an index shows, and in which order. A choice is {words, tag, model, sort, reverse, view}.
globalThis.reportgen ??= {};

reportgen.listing = (() => {
  "use strict";

  /** What cards are sorted by: texts as people sort them, or numbers. "order" is that of the prompt file. */
  const SORTS = "order title text prob head through effect prompt generated tokens model".split(" ");
  /** Of these, the largest come first. */
  const LARGEST_FIRST = new Set(["prob", "effect"]);
  const INITIAL = { words: "", tag: "", model: "", sort: "order", reverse: false, view: "cards" };
  const { compare } = new Intl.Collator("en", { numeric: true });

  /** What the filter box searches, in lower case. */
  function wordsOf({ title, text, completion, model, tags = [], head, through, compares = [], place, error }) {
    const said = [title, text, completion, model, ...tags, head, through, ...compares, place, error];
    return said.filter(Boolean).join(" ").toLowerCase();
  }

  /** Whether every word of a query stands in a text; both in lower case. */
  function matches(query, words) {
    return query.split(/\s+/).every((word) => words.includes(word));
  }

  /**
   * Find the cards that are asked for.
   * @param {object[]} cards as describe_card wrote them, each with its `words`
   * @returns {number[]} their numbers, in the order to show them; cards that lack what is sorted by come last
   */
  function choose(cards, { words, tag, model, sort, reverse }) {
    const query = words.trim().toLowerCase();
    const found = [...cards.keys()].filter((i) => {
      const card = cards[i];
      return (!tag || card.tags?.includes(tag)) && (!model || card.model === model) && matches(query, card.words);
    });
    if (sort === "order") return reverse ? found.reverse() : found;
    const sign = reverse ? -1 : 1;
    const order = (a, b) => (typeof a === "number" ? a - b : compare(a, b));
    const has = found.filter((i) => cards[i][sort] !== undefined);
    const lacks = found.filter((i) => cards[i][sort] === undefined);
    return [...has.sort((i, k) => sign * order(cards[i][sort], cards[k][sort]) || i - k), ...lacks];
  }

  /** How many there are, in words. */
  function count(chosen, cards) {
    const failed = (card) => card.error !== undefined;
    const [some, all] = [chosen.map((i) => cards[i]), cards].map((list) => list.filter((one) => !failed(one)).length);
    const failures = cards.filter(failed).length;
    const number = (value) => value.toLocaleString("en");
    const pages = `${number(all)} ${all === 1 ? "page" : "pages"}${failures ? `, ${number(failures)} failed` : ""}`;
    return chosen.length === cards.length ? pages : `${number(some)} of ${pages}`;
  }

  /** The choice of an address; whatever it does not say, or says wrongly, is as at the beginning. */
  function parse(hash) {
    const given = new URLSearchParams(hash.replace(/^#/, ""));
    const sort = given.get("sort");
    return {
      words: given.get("filter") ?? "",
      tag: given.get("tag") ?? "",
      model: given.get("model") ?? "",
      sort: SORTS.includes(sort) ? sort : INITIAL.sort,
      reverse: given.has("reverse"),
      view: given.get("view") === "table" ? "table" : INITIAL.view,
    };
  }

  /** The address of a choice; empty where everything is as at the beginning. */
  function format({ words, reverse, ...others }) {
    const given = new URLSearchParams();
    if (words.trim()) given.set("filter", words.trim());
    for (const name of ["tag", "model", "sort", "view"]) {
      if (others[name] !== INITIAL[name]) given.set(name, others[name]);
    }
    if (reverse) given.set("reverse", "");
    return given.size ? `#${given}` : "";
  }

  /** The order that a click on the title of a column asks for: another column, or the same the other way round. */
  function sortBy(choice, sort) {
    return { sort, reverse: choice.sort === sort ? !choice.reverse : LARGEST_FIRST.has(sort) };
  }

  /** The order that comes next. */
  function cycleSort({ sort }) {
    return { sort: SORTS[(SORTS.indexOf(sort) + 1) % SORTS.length] };
  }

  /** The page that compares two others, whichever is A; undefined where none does. */
  function findComparison(cards, slugs) {
    return cards.find(({ sides }) => sides && slugs.every((slug) => sides.includes(slug)));
  }

  return { wordsOf, matches, choose, count, parse, format, sortBy, cycleSort, findComparison };
})();

if (typeof module !== "undefined") module.exports = reportgen.listing;
