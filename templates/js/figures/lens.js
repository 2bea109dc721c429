// The logit lens: how probable the written token is after each layer, and what would be said there instead.
globalThis.reportgen ??= {};

reportgen.lens = (() => {
  "use strict";

  const { colors, ledger, numbers, state: states, text } = reportgen;

  /** Layers from the last at the top, a column for each generated token. */
  function lens(figure) {
    let facts = null;
    let rows = [];
    /** The step of a foil is its last item. */
    let foils = [];

    async function draw(scene, isCurrent) {
      const { state, bounds, content, evidence } = scene;
      foils = bounds.foils;
      const { lens: found } = await evidence.facts();
      if (!isCurrent()) return;
      facts = found;
      rows = facts.layers.map((_, row) => row).reverse();
      const columns = states.numSteps(bounds);
      const probs = Float32Array.from(
        rows.flatMap((row) => facts.logprobs[row]),
        (logprob) => Math.exp(logprob ?? -Infinity),
      );
      figure.draw({
        key: state.scale,
        rows: rows.length,
        columns,
        makeImages: () => [{ values: colors.shown(scene, probs), rows: rows.length, columns }],
        colors: colors.ofWeights(scene),
        rowLabels: rows.map((row) => ({ text: String(facts.layers[row]) })),
        columnLabels: content.tokens
          .slice(bounds.numPromptTokens)
          .map(([, shown], step) => ({ text: shown, selected: step === state.step })),
        frames: [[state.step, 0, 1, rows.length]],
      });
      drawTable(document.getElementById("lens-layers"), state.step);
    }

    /** What each layer would say at the step, and how it ranks the token that was written. */
    function drawTable(table, step) {
      const { layers, logprobs, ranks, best, best_logprobs: bests, foil_logprobs: others } = facts;
      const compared = [...foils.keys()].filter((foil) => foils[foil].at(-1) === step);
      for (const head of table.querySelectorAll("[data-foil]")) head.hidden = Number(head.dataset.foil) !== step;
      const settled = ledger.settledFrom(ranks.map((row) => row[step]));
      const number = (said) => text.element("td", { class: "number" }, said);
      table.tBodies[0].replaceChildren(
        ...rows.map((row) =>
          text.element(
            "tr",
            row === settled ? { class: "chosen" } : {},
            number(String(layers[row])),
            text.element("td", {}, text.tok(best[row][step][1])),
            number(numbers.formatPercent(bests[row][step])),
            number(numbers.formatPercent(logprobs[row][step])),
            number(String(ranks[row][step])),
            ...compared.map((foil) => number(numbers.formatSigned(logprobs[row][step] - others[row][foil], 2))),
          ),
        ),
      );
    }

    function at(x, y, { bounds }) {
      const [row, step] = [rows[Math.floor(y)], Math.floor(x)];
      return row === undefined || step < 0 || step >= states.numSteps(bounds) ? null : { row, step };
    }

    function lines({ row, step }, { content, bounds }) {
      const written = content.tokens[bounds.numPromptTokens + step][1];
      return [
        `after layer ${facts.layers[row]}`,
        `best ${text.quote(facts.best[row][step][1])}, ${numbers.formatPercent(facts.best_logprobs[row][step])}`,
        `written ${text.quote(written)}, ${numbers.formatPercent(facts.logprobs[row][step])}, rank ${facts.ranks[row][step]}`,
      ];
    }

    const table = () => ({
      columns: facts.logprobs[0].map((_, step) => `token ${step + 1}`),
      rows: rows.map((row) => ({
        name: `layer ${facts.layers[row]}`,
        values: facts.logprobs[row].map((value) => value ?? -Infinity),
      })),
    });

    return { draw, at, lines, selectOf: ({ step }, { bounds }) => states.selectStep(step, bounds), table };
  }

  return { lens };
})();
