// What stands beside the weights, decoded when it is first looked at: the mirror of reportgen/pages/evidence_blocks.py.
globalThis.reportgen ??= {};

reportgen.evidence = (() => {
  "use strict";

  const { forms: made, kinds, pattern, shows, words } = reportgen;
  /** Forms that are kept: those of all heads that a view has beside one another, and some more. */
  const KEPT = 96;
  const NO_GRID_VALUE = -(2 ** 15);

  /** A function that is called once for each name, whoever asks for it. */
  function once(make) {
    const made = new Map();
    return (name) => {
      if (!made.has(name)) made.set(name, make(name));
      return made.get(name);
    };
  }

  /**
   * @param {object} content what the page reads at its start, with `heatmap_modes` and `grid_metrics`
   * @param {object} store of weights
   * @param {(name: string) => Promise<Uint8Array>} readBytes a block
   * @param {(name: string) => Promise<object>} readJson a block
   */
  function makeEvidence(content, store, readBytes, readJson) {
    const n = content.tokens.length;
    const { layers, heads, num_prompt_tokens: numPromptTokens } = content;
    const bytes = once(readBytes);
    const json = once(readJson);
    const forms = new Map();

    /** What is looked up: parts of every sum, the lens, the scales of the arrays. */
    const facts = () => json("evidence");

    async function normsOf(layer, head) {
      const start = (layers.indexOf(layer) * heads.length + heads.indexOf(head)) * n;
      return (await bytes("norms")).subarray(start, start + n);
    }

    async function sourcesOf(layer, head) {
      const all = await bytes(`sources-${layer}`);
      const size = all.length / heads.length;
      return new Int8Array(all.buffer, all.byteOffset + heads.indexOf(head) * size, size);
    }

    /** What of each query's row is left out for being weak; null where nothing is. */
    async function droppedOf(layer, head) {
      if (!content.min_weight) return null;
      const start = (layers.indexOf(layer) * heads.length + heads.indexOf(head)) * n;
      return Float32Array.from((await bytes("dropped-mass")).subarray(start, start + n), pattern.weightOf);
    }

    /** What a learned sink takes of each query's row; null where the layer has none. */
    async function sinkOf(layer, head) {
      if (!kinds.kindOf(content, layer).has_sink) return null;
      const start = (layers.indexOf(layer) * heads.length + heads.indexOf(head)) * n;
      return Float32Array.from((await bytes("sinks")).subarray(start, start + n), pattern.weightOf);
    }

    /**
     * What a heatmap shows of a head, as `{codes, values, first, sink}`: the first key of each query, what a sink takes.
     * @param {object} look a state, of which it is asked whether rows are of words, and `renormalised`
     */
    function form(show, layer, head, look = {}) {
      const divided = Boolean(look.renormalised) && !shows.KINDS[show].signed;
      const name = [show, layer, head, Boolean(look.words), divided].join(" ");
      if (!forms.has(name)) {
        if (forms.size >= KEPT) forms.delete(forms.keys().next().value);
        forms.set(name, makeForm(show, layer, head, words.unitsOf(content, look.words), divided));
      }
      return forms.get(name);
    }

    async function makeForm(show, layer, head, units, divided) {
      const [read, sink] = await Promise.all([
        readForm(show, layer, head),
        show === "weight" ? sinkOf(layer, head) : null,
      ]);
      let form = { ...read, first: kinds.firstKeys(kinds.kindOf(content, layer), n), sink };
      if (units.n < n) form = made.sumWords(form, units, shows.KINDS[show].signed);
      return divided ? made.renormalise(form, units.n) : form;
    }

    async function readForm(show, layer, head) {
      if (show === "attribution") {
        const [sources, { source_scales: scales }] = await Promise.all([sourcesOf(layer, head), facts()]);
        return shows.formOfSources(sources, scales, n, numPromptTokens);
      }
      const codes = await store.headCodes(layer, head);
      return show === "weighted"
        ? shows.formOfShares(codes, await normsOf(layer, head), n)
        : shows.formOfWeights(codes);
    }

    /**
     * All that is known of one query of a head, by what a heatmap can show, null where that is not known and NaN where the
     * query cannot see the key; with the first key that it sees and what a learned sink takes. Keys are words where `look`,
     * a state, asks for words, and the row is that of the query's word.
     */
    async function row(layer, head, queryPos, asked = content.heatmap_modes, look = {}) {
      const units = words.unitsOf(content, look.words);
      const positions = units.positions(units.of(queryPos));
      const rows = await Promise.all(positions.map((position) => rowOfToken(layer, head, position, asked)));
      const whole = { ...rows[0], first: units.of(rows[0].first) };
      for (const taken of ["sink", "dropped"])
        if (whole[taken] !== null) whole[taken] = rows.reduce((sum, row) => sum + row[taken], 0) / rows.length;
      for (const name of Object.keys(shows.KINDS)) {
        const known = rows.map((one) => one[name]).filter(Boolean);
        if (units.n < n && known.length) whole[name] = made.sumRow(known, units);
        if (look.renormalised && whole[name] && !shows.KINDS[name].signed)
          whole[name] = made.renormaliseRow(whole[name]);
      }
      return whole;
    }

    async function rowOfToken(layer, head, queryPos, asked) {
      const codes = await store.headCodes(layer, head);
      const step = queryPos - numPromptTokens + 1;
      const isStep = step >= 0 && step < n - numPromptTokens;
      const [sink, dropped, norms, sources, known] = await Promise.all([
        sinkOf(layer, head),
        droppedOf(layer, head),
        asked.includes("weighted") ? normsOf(layer, head) : null,
        asked.includes("attribution") && isStep ? sourcesOf(layer, head) : null,
        asked.includes("attribution") && isStep ? facts() : null,
      ]);
      const first = kinds.firstKey(kinds.kindOf(content, layer), queryPos);
      const seen = (values) => values?.fill(Number.NaN, 0, first) ?? null;
      return {
        weight: seen(shows.weightsOf(codes, queryPos)),
        weighted: seen(norms && shows.sharesOf(codes, norms, queryPos)),
        attribution: seen(sources && shows.attributionOf(sources, known.source_scales, step, numPromptTokens)),
        first,
        sink: sink === null ? null : sink[queryPos],
        dropped: dropped === null ? null : dropped[queryPos],
      };
    }

    /** A number for each head at a step, layer by layer; NaN where there is none. */
    async function grid(measure, step) {
      const [all, { grid_scales: scales }] = await Promise.all([bytes("grids"), facts()]);
      const size = layers.length * heads.length;
      const start = (content.grid_metrics.indexOf(measure) * (n - numPromptTokens) + step) * size;
      const high = new Int8Array(all.buffer, all.byteOffset, all.length / 2);
      const low = all.subarray(all.length / 2);
      return Float32Array.from({ length: size }, (_, i) => {
        const code = (high[start + i] << 8) | low[start + i];
        return code === NO_GRID_VALUE ? Number.NaN : (code / 32767) * scales[measure][step];
      });
    }

    /** The 16-bit codes of a block, as shares of the largest code. */
    async function sharesOf(name) {
      const all = await bytes(name);
      const view = new DataView(all.buffer, all.byteOffset, all.length);
      return Float64Array.from({ length: all.length / 2 }, (_, i) => view.getUint16(2 * i, true) / 65535);
    }

    /** Rollout over all layers and heads: a lower triangle of shares. */
    const rollout = once(async (name) => Float32Array.from(await sharesOf(name), (root) => root ** 2));

    /** A kind's own numbers, shares of its `largest`. */
    const numbers = once(async (name) => {
      const [shares, { [name]: known }] = await Promise.all([sharesOf(name), facts()]);
      return Float32Array.from(shares, (share) => share * known.largest);
    });

    return { facts, form, row, grid, numbers, rollout: () => rollout("rollout") };
  }

  return { makeEvidence };
})();

if (typeof module !== "undefined") module.exports = reportgen.evidence;
