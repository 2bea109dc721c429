// Beside the pattern: the tokens that the selected position reads most, with all that is known of each, and what comes next.
globalThis.reportgen ??= {};

reportgen.side = (() => {
  "use strict";

  const { kinds, pattern, numbers, shows, text, words } = reportgen;
  const { element, tok, bar } = text;
  const LISTED = 6;
  /** Most alternatives that a prediction lists. */
  const ALTERNATIVES = 10;
  const FORMATS = {
    weight: numbers.formatWeight,
    weighted: numbers.formatWeight,
    attribution: (value) => numbers.formatSigned(value, 2),
  };

  /** @param {object} row values of the position by what a pattern can show; null, or not there, where it is not known */
  function drawStrongest(table, caption, scene, row) {
    const { state, content } = scene;
    const units = words.units(scene);
    const by = row[state.show] ? state.show : "weight";
    text.write(caption, `from ${text.quote(units.shown(units.of(state.queryPos)))}`);
    const keys = pattern.strongestKeys(row[by], LISTED, units.seesFirst(state));
    const { signed } = shows.KINDS[by];
    const largest = signed ? Math.abs(keys[0]?.value) || 1 : 1;
    const kindOf = (value) => (value < 0 ? "against" : signed ? "for" : "");
    table.tBodies[0].replaceChildren(
      ...keys.map(({ keyPos, value }) =>
        element(
          "tr",
          {},
          element("td", {}, tok(units.shown(keyPos)), bar(value / largest, kindOf(value))),
          element("td", { class: "number" }, units.place(keyPos)),
          ...content.heatmap_modes.map((name) => {
            const known = row[name] && !Number.isNaN(row[name][keyPos]);
            return element("td", { class: "number" }, known ? formatOf(row, name, keyPos) : "");
          }),
        ),
      ),
      ...(row.sink === null ? [] : [lineOf("learned sink", { weight: row.sink }, content.heatmap_modes)]),
      ...(row.left ? [lineOf(sayLeft(content), row.left, content.heatmap_modes)] : []),
    );
  }

  const sayLeft = ({ min_weight: least }) => `the rest (below ${numbers.formatFine(least)})`;

  /** What a row has on a token, as text; a word also with how much more it can have on tokens that the page leaves out. */
  function formatOf(row, name, keyPos) {
    const [value, slack] = [FORMATS[name](row[name][keyPos]), row.slack?.[name]?.[keyPos]];
    return slack > 0 ? `${value} ± ${numbers.formatFine(slack)}` : value;
  }

  /** A line of what no one token has. */
  function lineOf(what, taken, names) {
    return element(
      "tr",
      {},
      element("td", { colspan: 2 }, what, bar(taken.weight)),
      ...names.map((name) =>
        element("td", { class: "number" }, name in taken ? numbers.formatWeight(taken[name]) : ""),
      ),
    );
  }

  /** What is known of one token read, or of a word, line by line. */
  function describe(row, keyPos, kind, { min_weight: least }) {
    if (keyPos < row.first) return [kinds.sayOutside(kind)];
    const sink = row.sink === null ? [] : [`learned sink, no token: ${numbers.formatWeight(row.sink)} of this row`];
    const left = row.left?.weight
      ? [`${sayLeft({ min_weight: least })}: ${numbers.formatWeight(row.left.weight)} of this row`]
      : [];
    const known = Object.keys(FORMATS)
      .filter((name) => row[name] && !Number.isNaN(row[name][keyPos]))
      .map((name) => {
        const { label, unit, signed } = shows.KINDS[name];
        return `${label} ${formatOf(row, name, keyPos)}${signed ? ` ${unit}` : ""}`;
      });
    return [...known, ...sink, ...left];
  }

  /** The tokens that could follow the selected position. */
  function drawNext(table, caption, note, scene) {
    const { state, content, bounds } = scene;
    const prediction = text.predictionAfter(state.queryPos, scene);
    const step = reportgen.state.stepOf(state.queryPos, bounds);
    if (!prediction) {
      caption.textContent = state.queryPos + 1 < bounds.numTokens ? "left out by “without”" : "nothing follows";
      table.tBodies[0].replaceChildren();
      note.textContent = "";
      return;
    }
    const where = content.is_forecast
      ? "would be written"
      : `token ${step + 1} of ${bounds.numTokens - bounds.numPromptTokens}`;
    caption.textContent = step === null ? "in the prompt" : where;
    const { raw, filtered } = prediction;
    const [chosenId, chosenShown] = content.tokens[state.queryPos + 1];
    const listed = raw.alternatives.some(([id]) => id === chosenId);
    const rows = listed ? raw.alternatives : [...raw.alternatives, [chosenId, chosenShown, raw.logprob]];
    const after = filtered && filteredLogprobs(filtered, chosenId);
    const differs = ([id, , logprob]) => Math.abs(Math.exp(after(id) ?? -Infinity) - Math.exp(logprob)) > 1e-4;
    const filters = filtered !== null && rows.some(differs);
    const largest = Math.max(raw.alternatives[0][2], filters ? filtered.alternatives[0][2] : -Infinity);
    table.tBodies[0].replaceChildren(
      ...rows.map(([id, shown, logprob]) =>
        nextRow(shown, [logprob, ...(filters ? [after(id)] : [])], id === chosenId, largest),
      ),
    );
    note.textContent = `About ${sayCount(Math.exp(raw.entropy))} equally likely tokens (entropy ${raw.entropy.toFixed(2)} nats).${filters ? " Thin bars: after sampling filters." : ""}`;
  }

  const sayCount = (count) => (count < 10 ? count.toFixed(1) : count.toFixed(0));

  /** Log-probability of a token after sampling filters: null where it was ruled out, undefined where it is not known. */
  function filteredLogprobs({ alternatives, logprob }, chosenId) {
    const known = new Map([...alternatives.map(([id, , value]) => [id, value]), [chosenId, logprob]]);
    // A full list leaves tokens out that have some probability; a short one names all that have any.
    const others = alternatives.length < ALTERNATIVES ? null : undefined;
    return (id) => (known.has(id) ? known.get(id) : others);
  }

  /** One token of the list; bars are as long as its log-probabilities, raw and filtered, are beside the `largest` one. */
  function nextRow(shown, logprobs, chosen, largest) {
    const share = (logprob) => (logprob == null ? 0 : Math.exp(logprob - largest));
    const percent = (logprob) => (logprob === undefined ? "n/a" : numbers.formatPercent(logprob));
    return element(
      "tr",
      chosen ? { class: "chosen", "aria-label": "chosen" } : {},
      element("td", {}, tok(shown)),
      element("td", {}, ...logprobs.map((logprob, i) => bar(share(logprob), i ? "filtered" : ""))),
      element(
        "td",
        { class: "number" },
        ...logprobs.flatMap((logprob, i) => [...(i ? [element("br")] : []), percent(logprob)]),
      ),
    );
  }

  return { drawStrongest, drawNext, describe };
})();
