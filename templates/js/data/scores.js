// Head scores: how a head stands among all, which heads stand out, what a head is called.
globalThis.reportgen ??= {};

reportgen.scores = (() => {
  "use strict";

  /** The score of a head; null where it is undefined. */
  function scoreOf({ scores, layers, heads }, name, layer, head) {
    return scores[name][layers.indexOf(layer)][heads.indexOf(head)];
  }

  /** Every head with its scores: `{layer, head, values}`, values by name. */
  function listHeads({ scores, layers, heads }) {
    const names = Object.keys(scores);
    return layers.flatMap((layer, row) =>
      heads.map((head, column) => ({
        layer,
        head,
        values: Object.fromEntries(names.map((name) => [name, scores[name][row][column]])),
      })),
    );
  }

  /** Place of a head among all that have the score, 1 for the largest, with their number; null where it has none. */
  function rankOf(content, name, layer, head) {
    const value = scoreOf(content, name, layer, head);
    if (value === null) return null;
    const all = content.scores[name].flat().filter((other) => other !== null);
    return { rank: 1 + all.filter((other) => other > value).length, count: all.length };
  }

  /** Largest value of a score over all heads; 0 where no head has it. */
  function largest(content, name) {
    return content.scores[name].flat().reduce((most, value) => Math.max(most, value ?? 0), 0);
  }

  /** Heads in order of a score, or of their place where `name` is empty; those without the score come last. */
  function sortHeads(rows, name, descending) {
    if (name === "") return descending ? [...rows].reverse() : [...rows];
    const has = rows.filter(({ values }) => values[name] !== null);
    const lacks = rows.filter(({ values }) => values[name] === null);
    const sign = descending ? -1 : 1;
    return [...has.sort((a, b) => sign * (a.values[name] - b.values[name])), ...lacks];
  }

  /** What a head is called: a label for every score that earns one. */
  function labelsOf(content, layer, head) {
    return content.score_kinds
      .filter(({ label, name }) => label && (scoreOf(content, name, layer, head) ?? 0) >= content.label_from)
      .map(({ label }) => label);
  }

  /** A score as a reader sees it: three decimals of a share, one of a number of tokens. */
  function format(value, { is_share: isShare }) {
    return value === null ? "n/a" : value.toFixed(isShare ? 3 : 1);
  }

  return { scoreOf, listHeads, rankOf, largest, sortHeads, labelsOf, format };
})();

if (typeof module !== "undefined") module.exports = reportgen.scores;
