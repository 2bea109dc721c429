// What the axes are made of: the tokens, or the words that they are pieces of.
globalThis.reportgen ??= {};

reportgen.words = (() => {
  "use strict";

  const made = new WeakMap();

  function asTokens({ tokens, places }) {
    return {
      n: tokens.length,
      of: (position) => position,
      first: (position) => position,
      last: (position) => position,
      positions: (position) => [position],
      shown: (position) => tokens[position][1],
      place: (position) => places?.[position] ?? String(position),
      seesFirst: ({ withFirst }) => withFirst,
    };
  }

  function asWords({ tokens, words: starts, word_labels: labels }) {
    const wordOf = new Uint32Array(tokens.length);
    for (let word = 0; word < starts.length; word++) wordOf.fill(word, starts[word]);
    const first = (word) => starts[word];
    const last = (word) => (starts[word + 1] ?? tokens.length) - 1;
    return {
      n: starts.length,
      of: (position) => wordOf[position],
      first,
      last,
      positions: (word) => Array.from({ length: last(word) - first(word) + 1 }, (_, i) => first(word) + i),
      shown: (word) => labels[word],
      place: (word) => (first(word) === last(word) ? String(first(word)) : `${first(word)}–${last(word)}`),
      seesFirst: () => true,
    };
  }

  /**
   * @returns {object} `n` units; `of` a position the unit; `first`, `last` and all `positions` of a unit; `shown` its
   *   text; `place` its position or positions; `seesFirst(state)` whether unit 0 is shown: where the first token is left
   *   out, the word that it is part of keeps its other tokens
   */
  function unitsOf(content, asked) {
    const both = made.get(content) ?? { tokens: asTokens(content), words: content.words ? asWords(content) : null };
    made.set(content, both);
    return (asked && both.words) || both.tokens;
  }

  /** Those of what is selected. */
  const units = ({ content, state }) => unitsOf(content, state.words);

  return { unitsOf, units };
})();

if (typeof module !== "undefined") module.exports = reportgen.words;
