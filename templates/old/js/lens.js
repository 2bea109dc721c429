// The logit lens: how probable the chosen token is after each layer, and what would be said there instead.
globalThis.reportgen ??= {};

reportgen.lens = (() => {
  "use strict";

  const { ledger, scale } = reportgen;
  const { SMALLEST_FRAME, UPWARD, barRoom, color, drawBar, longest, unitLabels } = reportgen.heatmaps;
  const { element, quote, tokenCode, write } = reportgen.text;
  /** For the numbers of the layers and what stands beside them. */
  const LABEL_ROOM = 16;
  const CELL_PIXELS = 56;
  const KIND = { signed: false, unit: "probability" };

  /** Layers down, steps across. */
  function lens(figure, { select, hover }) {
    let facts = null;

    async function draw(scene, isCurrent) {
      const { state, bounds, evidence } = scene;
      const { lens: found } = await evidence.facts();
      if (!isCurrent()) return;
      facts = found;
      const [rows, columns] = [facts.layers.length, reportgen.state.numSteps(bounds)];
      drawBar(figure, scene, KIND, color(figure, { ...scene, state: { ...state, withFirst: true } }, false));
      figure.setImages(state.scale, () => {
        const probs = Float32Array.from(facts.logprobs.flat(), (logprob) => (logprob === null ? 0 : Math.exp(logprob)));
        const values = scale.displayOf(state.scale, probs);
        return [{ values, rows, columns, x: 0, y: 0, width: columns, height: rows }];
      });
      resize(scene, rows, columns);
      drawTable(document.getElementById("lens-layers"), document.getElementById("lens-of"), scene, facts);
    }

    function resize({ state, bounds, content }, rows, columns) {
      const cell = Math.min(
        CELL_PIXELS,
        Math.max(SMALLEST_FRAME, figure.width - barRoom(figure) - LABEL_ROOM) / columns,
      );
      const width = Math.max(SMALLEST_FRAME, cell * columns);
      figure.setFrameSize(width, rows * Math.max(9, Math.min(26, 480 / rows)), [0, columns], [rows, 0]);
      const labels = unitLabels(reportgen.words.unitsOf(content), figure.width).slice(bounds.numPromptTokens);
      const numbered = labels.map((label, step) => `${step} ${label}`);
      figure.model("x_axis").major_label_orientation = longest(numbered) * columns > width ? UPWARD : 0;
      figure.setLabels("x", numbered, (i) => i + 0.5);
      figure.setLabels("y", facts.layers.map(String), (i) => i + 0.5);
      const step = reportgen.state.stepOf(state.queryPos, bounds);
      figure.setFrames(step === null ? [] : [{ x: step, y: 0, width: 1, height: rows }]);
    }

    function describe(row, step, { bounds, content }) {
      if (facts?.logprobs[row]?.[step] === undefined) return null;
      const [, best] = facts.best[row][step];
      const [, chosen] = content.tokens[bounds.numPromptTokens + step];
      return (
        `after layer ${facts.layers[row]}, step ${step}\nbest ${quote(best)}, ${scale.formatPercent(facts.best_logprobs[row][step])}\n` +
        `chosen ${quote(chosen)}, ${scale.formatPercent(facts.logprobs[row][step])}, rank ${facts.ranks[row][step]}`
      );
    }

    figure.onPointer({
      move: (x, y) => hover((scene) => describe(Math.floor(y), Math.floor(x), scene)),
      leave: () => hover(null),
      tap: (x) =>
        select(({ bounds }) => {
          const step = Math.floor(x);
          const there = step >= 0 && step < reportgen.state.numSteps(bounds);
          return there ? { queryPos: reportgen.state.queryPosOfStep(step, bounds) } : null;
        }),
    });
    return { draw };
  }

  /** What each layer would say at the chosen step, and how it ranks the token that was chosen. */
  function drawTable(
    table,
    caption,
    { state, bounds, content },
    { layers, logprobs, ranks, best, best_logprobs: bests },
  ) {
    const step = reportgen.state.stepOf(state.queryPos, bounds);
    table.hidden = step === null;
    if (step === null) {
      caption.textContent = "The selected query is not a step; select one.";
      return;
    }
    const settled = ledger.settledFrom(ranks.map((row) => row[step]));
    const chosen = content.tokens[bounds.numPromptTokens + step][1];
    const found = settled < 0 ? "not the best after the last layer" : `the best from layer ${layers[settled]} on`;
    write(caption, `${quote(chosen)} at step ${step}: ${found}`);
    table.tBodies[0].replaceChildren(
      ...layers.map((layer, row) =>
        element(
          "tr",
          row === settled ? { class: "chosen" } : {},
          element("td", { class: "number" }, String(layer)),
          element("td", {}, tokenCode(best[row][step][1])),
          element("td", { class: "number" }, scale.formatPercent(bests[row][step])),
          element("td", { class: "number" }, scale.formatPercent(logprobs[row][step])),
          element("td", { class: "number" }, String(ranks[row][step])),
        ),
      ),
    );
    const box = table.parentElement;
    const row = table.tBodies[0].rows[settled < 0 ? layers.length - 1 : settled];
    box.scrollTop = row.offsetTop - box.clientHeight / 2;
  }

  return { lens };
})();
