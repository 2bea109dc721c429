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
  function wordsOf({ title, text, completion, model, tags = [], head, through, compares = [] }) {
    const said = [title, text, completion, model, ...tags, head, through, ...compares];
    return said.filter(Boolean).join(" ").toLowerCase();
  }

  /** Whether a page or a failure, with its `words`, is asked for. */
  function matches(card, { words, tag, model }) {
    const query = words.trim().toLowerCase().split(/\s+/);
    const found = (!tag || card.tags?.includes(tag)) && (!model || card.model === model);
    return Boolean(found) && query.every((word) => card.words.includes(word));
  }

  /**
   * Find the pages that are asked for.
   * @param {object[]} cards as describe_card wrote them, each with its `words`
   * @returns {number[]} their numbers, in the order to show them; cards that lack what is sorted by come last
   */
  function choose(cards, choice) {
    const { sort, reverse } = choice;
    const found = [...cards.keys()].filter((i) => matches(cards[i], choice));
    if (sort === "order") return reverse ? found.reverse() : found;
    const sign = reverse ? -1 : 1;
    const order = (a, b) => (typeof a === "number" ? a - b : compare(a, b));
    const has = found.filter((i) => cards[i][sort] !== undefined);
    const lacks = found.filter((i) => cards[i][sort] === undefined);
    return [...has.sort((i, k) => sign * order(cards[i][sort], cards[k][sort]) || i - k), ...lacks];
  }

  /** How many there are, in words. */
  function count(shown, all, failed) {
    const number = (value) => value.toLocaleString("en");
    const pages = `${number(all)} ${all === 1 ? "page" : "pages"}${failed ? `, ${number(failed)} failed` : ""}`;
    return shown === all ? pages : `${number(shown)} of ${pages}`;
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
    return cards.find(({ sides }) => sides?.length === 2 && slugs.every((slug) => sides.includes(slug)));
  }

  return { wordsOf, matches, choose, count, parse, format, sortBy, cycleSort, findComparison };
})();

if (typeof module !== "undefined") module.exports = reportgen.listing;
