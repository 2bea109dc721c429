// What is special about layers and heads: which keys a query can see, which heads share one, and how a page says it.
globalThis.reportgen ??= {};

reportgen.kinds = (() => {
  "use strict";

  /** Heads that share a key head are named one by one up to so many. */
  const NAMED = 4;

  /** What differs from a plain layer, as describe_kinds wrote it. */
  function kindOf({ layers, layer_types: types }, layer) {
    return types[layers.indexOf(layer)];
  }

  /** The first position that a query can see. */
  function firstKey({ window, chunk }, queryPos) {
    if (chunk) return queryPos - (queryPos % chunk);
    return window ? Math.max(0, queryPos - window + 1) : 0;
  }

  /** The same for every query; null where all see all that comes before them. */
  function firstKeys(kind, n) {
    return firstKey(kind, n - 1) ? Uint32Array.from({ length: n }, (_, queryPos) => firstKey(kind, queryPos)) : null;
  }

  /** Outline of the cells that come before their query and that it cannot see, in positions; empty where there are none. */
  function outline(first) {
    const from = first ? first.findIndex((keyPos) => keyPos > 0) : -1;
    if (from < 0) return [];
    const steps = Array.from(first.subarray(from), (keyPos, i) => [
      [keyPos - 0.5, from + i - 0.5],
      [keyPos - 0.5, from + i + 0.5],
    ]).flat();
    return [[-0.5, from - 0.5], ...steps, [-0.5, first.length - 0.5]];
  }

  function nameReach({ window, chunk }) {
    if (chunk) return `chunks of ${chunk}`;
    return window ? `window ${window}` : "";
  }

  function nameLayer(content, layer) {
    return [`layer ${layer}`, nameReach(kindOf(content, layer))].filter(Boolean).join(" · ");
  }

  /** What a cell is that a query cannot see. */
  function sayOutside({ window, chunk }) {
    return chunk ? `in an earlier chunk of ${chunk} tokens` : `outside this layer's window of ${window} tokens`;
  }

  /** The key head of a head; null where each has its own. */
  function keyHeadOf(content, layer, head) {
    const size = content.num_heads / kindOf(content, layer).num_kv_heads;
    return size > 1 ? Math.floor(head / size) : null;
  }

  function nameGroup(content, layer, head) {
    const keyHead = keyHeadOf(content, layer, head);
    if (keyHead === null) return "";
    const size = content.num_heads / kindOf(content, layer).num_kv_heads;
    const heads = Array.from({ length: size }, (_, i) => `H${keyHead * size + i}`);
    const others = heads.filter((name) => name !== `H${head}`);
    const whom = size === content.num_heads ? "all heads" : `${heads[0]}–${heads.at(-1)}`;
    return `key head ${keyHead}, shared ${others.length > NAMED ? `by ${whom}` : `with ${others.join(" ")}`}`;
  }

  /** The other half of a head whose weights are subtracted from another's, or the other way round. */
  function namePair({ paired, num_heads: numHeads }, head) {
    if (!paired) return "";
    const half = numHeads / 2;
    return head < half ? `less λ times H${head + half}` : `subtracted, λ times, from H${head - half}`;
  }

  /** All that is special about a head, a few words each. */
  function describeHead(content, layer, head) {
    const { window, chunk, has_sink: hasSink, what, note } = kindOf(content, layer);
    const length = window ?? chunk;
    const reach = chunk ? `chunks of ${chunk} tokens` : window ? `window of ${window} tokens` : "";
    return [
      nameGroup(content, layer, head),
      namePair(content, head),
      reach && `${reach}${length >= content.tokens.length ? ", longer than this text" : ""}`,
      hasSink && "learned sink",
      what && `beside ${what}`,
      note,
    ].filter(Boolean);
  }

  /** Layers without attention that stand between the others, as `describe_kinds` wrote a run of them. */
  function nameGap({ layers: [from, to] }) {
    return from === to ? `${from}` : `${from}–${to}`;
  }

  return {
    kindOf,
    firstKey,
    firstKeys,
    outline,
    nameReach,
    nameLayer,
    sayOutside,
    keyHeadOf,
    nameGroup,
    describeHead,
    nameGap,
  };
})();

if (typeof module !== "undefined") module.exports = reportgen.kinds;
