// What stands beside the weights, decoded when it is first looked at: the mirror of reportgen/pages/evidence_blocks.py.
globalThis.reportgen ??= {};

reportgen.evidence = (() => {
  "use strict";

  const { forms: made, kinds, ledger, pattern, shows, spanSums, words } = reportgen;
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
    const foils = content.foils ?? [];
    const numSteps = n - numPromptTokens;
    const places = shows.placesOf(
      numSteps,
      foils.map((foil) => foil.at(-1)),
      numPromptTokens,
    );

    /** Where the effects of a step stand, against what a contrast compares it with. */
    const placeOf = (step, contrast) => {
      const foil = ledger.foilAt(foils, contrast, step);
      return places[foil === null ? step : numSteps + foil];
    };

    /** What is looked up: parts of every sum, the lens, the scales of the arrays. */
    const facts = () => json("evidence");

    async function normsOf(layer, head) {
      const start = (layers.indexOf(layer) * heads.length + heads.indexOf(head)) * n;
      return (await squares("norms")).subarray(start, start + n);
    }

    async function sourcesOf(layer, head) {
      const all = await bytes(`sources-${layer}`);
      const size = all.length / heads.length;
      return new Int8Array(all.buffer, all.byteOffset + heads.indexOf(head) * size, size);
    }

    /**
     * Sums of each query's row of a head, measured before weak weights were left out; null where none are.
     * @param {string} name `dropped`: the weights left out; `rest`: the weights without the first key; `written` and
     *   `written-rest`: weights times norms, of all keys and without the first
     */
    async function sumsOf(name, layer, head) {
      if (!content.min_weight) return null;
      const start = (layers.indexOf(layer) * heads.length + heads.indexOf(head)) * n;
      return (await squares(`row-${name}`)).subarray(start, start + n);
    }

    /** What a learned sink takes of each query's row; null where the layer has none. */
    async function sinkOf(layer, head) {
      if (!kinds.kindOf(content, layer).has_sink) return null;
      const start = (layers.indexOf(layer) * heads.length + heads.indexOf(head)) * n;
      return Float32Array.from((await bytes("sinks")).subarray(start, start + n), pattern.weightOf);
    }

    /**
     * What a heatmap shows of a head, as `{codes, values, first, sink}`: the first key of each query, what a sink takes.
     * @param {object} look a state, of which it is asked whether rows are of words, and `renormalised`, and what effects are against
     */
    function form(show, layer, head, look = {}) {
      const divided = Boolean(look.renormalised) && !shows.KINDS[show].signed;
      const withFirst = look.withFirst ?? true;
      // Only the word that holds the first token looks different without it; of tokens, views leave out a column.
      const against = show === "attribution" ? look.contrast : "";
      const name = [show, layer, head, Boolean(look.words), divided, look.words ? withFirst : "", against].join(" ");
      if (!forms.has(name)) {
        if (forms.size >= KEPT) forms.delete(forms.keys().next().value);
        forms.set(name, makeForm(show, layer, head, words.unitsOf(content, look.words), divided, withFirst, against));
      }
      return forms.get(name);
    }

    /** First what concerns single tokens, then their sums. */
    async function makeForm(show, layer, head, units, divided, withFirst, against) {
      const [read, sink, rests] = await Promise.all([
        readForm(show, layer, head, against),
        show === "weight" ? sinkOf(layer, head) : null,
        divided ? restsOf(show, layer, head) : null,
      ]);
      let form = { ...read, first: kinds.firstKeys(kinds.kindOf(content, layer), n), sink };
      if (divided) form = made.renormalise(form, n, rests);
      return units.n < n ? made.sumWords(form, units, shows.KINDS[show].signed, withFirst) : form;
    }

    /** What each query's row has without its first key, of what is shown; null where the page has all of it. */
    async function restsOf(show, layer, head) {
      if (show === "weight") return sumsOf("rest", layer, head);
      const [whole, rest] = await Promise.all([sumsOf("written", layer, head), sumsOf("written-rest", layer, head)]);
      return whole && rest.map((value, queryPos) => (whole[queryPos] ? value / whole[queryPos] : 0));
    }

    async function readForm(show, layer, head, against) {
      if (show === "attribution") {
        const [sources, { source_scales: scales }] = await Promise.all([sourcesOf(layer, head), facts()]);
        const rows = Array.from({ length: numSteps }, (_, step) => placeOf(step, against));
        return shows.formOfSources(sources, scales, n, rows);
      }
      const codes = await store.headCodes(layer, head);
      if (show !== "weighted") return shows.formOfWeights(codes);
      const [norms, written] = await Promise.all([normsOf(layer, head), sumsOf("written", layer, head)]);
      return made.encode(shows.allSharesOf(codes, norms, n, written), 1);
    }

    /** Weights of one query of a head, as `row` has them: all that a view needs that shows many heads, from blocks read early. */
    async function weights(layer, head, queryPos, look = {}) {
      const units = words.unitsOf(content, look.words);
      const rows = await Promise.all(
        units.positions(units.of(queryPos)).map((position) => weightsOfToken(layer, head, position, look)),
      );
      return units.n === n ? rows[0] : made.sumRow(rows, units);
    }

    async function weightsOfToken(layer, head, queryPos, look) {
      const [codes, rests] = await Promise.all([
        store.rowCodes(layer, head, queryPos),
        look.renormalised ? restsOf("weight", layer, head) : null,
      ]);
      const first = kinds.firstKey(kinds.kindOf(content, layer), queryPos);
      const seen = shows.weightsOf(codes).fill(Number.NaN, 0, first);
      const row = look.renormalised ? made.renormaliseRow(seen, rests?.[queryPos]) : seen;
      return look.words && look.withFirst === false ? row.fill(Number.NaN, 0, 1) : row;
    }

    /**
     * All that is known of one query of a head, by what a heatmap can show, null where that is not known and NaN where the
     * query cannot see the key; with the first key that it sees and what a learned sink takes. Keys are words where `look`,
     * a state, asks for words, and the row is that of the query's word. `left` is what of the row is on keys that the page
     * leaves out for being weak, and `slack` how much of that each word can have at most, by what a heatmap can show;
     * null where the page has all.
     */
    async function row(layer, head, queryPos, asked = content.heatmap_modes, look = {}) {
      const units = words.unitsOf(content, look.words);
      const positions = units.positions(units.of(queryPos));
      const rows = await Promise.all(positions.map((position) => rowOfToken(layer, head, position, asked, look)));
      const whole = { ...rows[0], first: units.of(rows[0].first) };
      const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
      if (whole.sink !== null) whole.sink = mean(rows.map(({ sink }) => sink));
      for (const name of Object.keys(whole.left ?? {})) whole.left[name] = mean(rows.map(({ left }) => left[name]));
      if (units.n === n) return { ...whole, slack: null };
      for (const name of Object.keys(shows.KINDS)) {
        const known = rows.map((row) => row[name]).filter(Boolean);
        if (known.length) whole[name] = made.sumRow(known, units);
        if (whole.slack?.[name]) {
          const most = made.sumRow(
            rows.map(({ slack }) => slack[name]),
            units,
          );
          whole.slack[name] = most.map((value) => Math.min(value, whole.left[name]));
        }
      }
      return whole;
    }

    async function rowOfToken(layer, head, queryPos, asked, look) {
      const codes = await store.rowCodes(layer, head, queryPos);
      const step = queryPos - numPromptTokens + 1;
      const isStep = step >= 0 && step < n - numPromptTokens;
      const weighted = asked.includes("weighted");
      const [sink, dropped, written, rests, restsWritten, norms, sources, known] = await Promise.all([
        sinkOf(layer, head),
        sumsOf("dropped", layer, head),
        weighted ? sumsOf("written", layer, head) : null,
        look.renormalised ? restsOf("weight", layer, head) : null,
        look.renormalised && weighted ? restsOf("weighted", layer, head) : null,
        weighted ? normsOf(layer, head) : null,
        asked.includes("attribution") && isStep ? sourcesOf(layer, head) : null,
        asked.includes("attribution") && isStep ? facts() : null,
      ]);
      const first = kinds.firstKey(kinds.kindOf(content, layer), queryPos);
      const seen = (values) => values?.fill(Number.NaN, 0, first) ?? null;
      const row = {
        weight: seen(shows.weightsOf(codes)),
        weighted: seen(norms && shows.sharesOf(codes, norms, written?.[queryPos])),
        attribution: seen(sources && shows.attributionOf(sources, known.source_scales, placeOf(step, look.contrast))),
      };
      const left = dropped && { weight: dropped[queryPos], ...(norms && { weighted: missingOf(row.weighted) }) };
      const slack = dropped && {
        weight: mostOf(row.weight, () => content.min_weight),
        ...(norms && {
          weighted: mostOf(row.weighted, (k) => (content.min_weight * norms[k]) / written[queryPos]),
        }),
      };
      for (const [name, all] of look.renormalised
        ? [
            ["weight", rests],
            ["weighted", restsWritten],
          ]
        : []) {
        if (!row[name]) continue;
        const rest = all?.[queryPos];
        row[name] = made.renormaliseRow(row[name], rest);
        if (left) left[name] = missingOf(row[name]);
        if (slack) slack[name] = slack[name].map((value) => value / rest);
      }
      const withoutFirst = (values) => values?.fill(Number.NaN, 0, 1);
      if (look.words && look.withFirst === false)
        for (const values of [row.weight, row.weighted, row.attribution, slack?.weight, slack?.weighted])
          withoutFirst(values);
      return { ...row, first, left, slack, sink: sink === null ? null : sink[queryPos] };
    }

    /** What shares lack of their sum. */
    const missingOf = (shares) => Math.max(0, 1 - shares.reduce((sum, share) => sum + (share || 0), 0));

    /** How much each key can have at most that the page leaves out. */
    const mostOf = (values, least) => values.map((value, keyPos) => (value === 0 ? least(keyPos) : value * 0));

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

    /** The 16-bit codes of a block, as what `toValue` makes of their shares of the largest code. */
    async function sharesOf(name, toValue) {
      const all = await bytes(name);
      const codes = new Uint16Array(all.buffer, all.byteOffset, all.length / 2);
      const values = new Float32Array(codes.length);
      for (let i = 0; i < codes.length; i++) values[i] = toValue(codes[i] / 65535);
      return values;
    }

    /** The 16-bit codes of a block, as squares of shares: of rollout a lower triangle. */
    const squares = once((name) => sharesOf(name, (root) => root ** 2));

    /** A kind's own numbers, shares of its `largest`. */
    const numbers = once(async (name) => {
      const { [name]: known } = await facts();
      return sharesOf(name, (share) => share * known.largest);
    });

    const floats = once(async (name) => {
      const all = await bytes(name);
      return new Float32Array(all.buffer, all.byteOffset, all.length / 4);
    });

    /** A function of step and contrast: what attention of all heads read for the token, in logits by token read. */
    async function read() {
      const all = await floats("read");
      return (step, contrast) => {
        const { start, length } = placeOf(step, contrast);
        return all.subarray(start, start + length);
      };
    }

    /** What is said of what attention read for the token of a step, against what a contrast compares it with. */
    async function readsOf() {
      const { answers: said, foil_reads: foilReads } = await answers();
      return (step, contrast) => {
        const foil = ledger.foilAt(foils, contrast, step);
        return foil === null ? said[step].read : foilReads[foil];
      };
    }

    /**
     * Who reads whom: `block` of a head and `mean` of all, a row for each span that reads, and the `effects` of the head
     * and what all heads `read` at a step, by span; null where they are not known. The last column is the rest.
     */
    async function spans(layer, head, step) {
      const { spans: known } = await facts();
      const { names } = known;
      const hasEffects = known.has_effects && step !== null;
      const [sums, effects, all] = await Promise.all([
        floats("span-weights"),
        hasEffects ? floats("span-effects") : null,
        hasEffects ? floats("span-read") : null,
      ]);
      const place = layers.indexOf(layer) * heads.length + heads.indexOf(head);
      const numHeads = layers.length * heads.length;
      const count = names.length;
      return {
        names,
        block: spanSums.ofHead(sums, place, count),
        mean: spanSums.mean(sums, count),
        effects: effects && spanSums.effectsOf(effects, step, place, numHeads, count),
        read: all && spanSums.effectsOf(all, step, 0, 1, count),
      };
    }

    /** What the page says of each step, and the titles of its folds. */
    const answers = () => json("answers");

    const rollout = () => squares("rollout");
    const hasRead = Boolean(content.has_read);
    return { facts, form, row, weights, grid, numbers, read, readsOf, spans, answers, rollout, hasRead };
  }

  return { makeEvidence };
})();

if (typeof module !== "undefined") module.exports = reportgen.evidence;
