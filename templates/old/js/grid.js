// What every head, and every MLP, wrote towards the token of the chosen step; or what became of it without the head.
globalThis.reportgen ??= {};

reportgen.grid = (() => {
  "use strict";

  const { pattern, ledger, scale, wrote } = reportgen;
  const { SMALLEST_FRAME, barRoom, color, drawBar, keyOf, nameHead } = reportgen.heatmaps;
  /** Between the heads and the MLPs, in cells. */
  const GAP = 0.5;
  /** For the numbers of the layers and what stands beside them. */
  const LABEL_ROOM = 16;
  const CELL_PIXELS = 76;

  /** Layers down, heads across, then a column of MLPs. */
  function grid(figure, { select, hover }) {
    let heads = new Float32Array();
    let mlps = null;

    async function draw(scene, isCurrent) {
      const { state, bounds, content, evidence } = scene;
      const step = reportgen.state.stepOf(state.queryPos, bounds);
      const facts = await evidence.facts();
      const found = step === null ? null : await evidence.grid(state.measure, step);
      if (!isCurrent()) return;
      const why =
        step === null ? "The selected query is not a step; select one." : ledger.withheld(facts, state.measure, step);
      heads = found && !why ? found : new Float32Array(bounds.layers.length * bounds.heads.length).fill(Number.NaN);
      mlps = step === null || why ? null : ledger.mlpsOf(facts, state.measure, step, bounds.layers);
      drawImages(scene, step);
      resize(bounds, state);
      wrote.draw(scene, facts, { step, why, heads, mlps }, select);
      wrote.nameMeasures(facts, content.grid_metrics, step);
    }

    function drawImages(scene, step) {
      const { state, bounds } = scene;
      const [rows, columns] = [bounds.layers.length, bounds.heads.length];
      const kind = { signed: true, unit: ledger.unitOf(state.measure) };
      const high = color(figure, scene, true, () => pattern.largest([...heads, ...(mlps ?? [])]));
      drawBar(figure, scene, kind, high);
      figure.setImages(keyOf(state, state.measure, step), () => {
        const image = (values, x, width) => ({
          values: scale.displayOf(state.scale, Float32Array.from(values)),
          ...{ rows, columns: width, x, y: 0, width, height: rows },
        });
        return [image(heads, 0, columns), ...(mlps ? [image(mlps, columns + GAP, 1)] : [])];
      });
    }

    /** Room for the MLPs is there for every measure that has them, so that the grid stands still from step to step. */
    function resize(bounds, { layer, head, measure }) {
      const [rows, columns] = [bounds.layers.length, bounds.heads.length];
      const withMlps = ledger.contrastOf(measure) !== null;
      const across = columns + (withMlps ? GAP + 1 : 0);
      const cell = Math.min(
        CELL_PIXELS,
        Math.max(SMALLEST_FRAME, figure.width - barRoom(figure) - LABEL_ROOM) / across,
      );
      const height = rows * Math.max(9, Math.min(cell, 520 / rows));
      figure.setFrameSize(cell * across, height, [0, across], [rows, 0]);
      const labels = [...bounds.heads.map(String), ...(withMlps ? ["MLP"] : [])];
      figure.setLabels("x", labels, (i) => (i < columns ? i + 0.5 : columns + GAP + 0.5), columns);
      figure.setLabels("y", bounds.layers.map(String), (i) => i + 0.5);
      figure.setFrames([{ x: bounds.heads.indexOf(head), y: bounds.layers.indexOf(layer), width: 1, height: 1 }]);
    }

    /** What stands at a place: `{layer, head, value}`, `head` null for an MLP. */
    function at(x, y, { layers, heads: numbers }) {
      const [row, column] = [Math.floor(y), Math.floor(x)];
      if (layers[row] === undefined) return null;
      if (numbers[column] !== undefined) {
        return { layer: layers[row], head: numbers[column], value: heads[row * numbers.length + column] };
      }
      return mlps && x >= numbers.length + GAP ? { layer: layers[row], head: null, value: mlps[row] } : null;
    }

    figure.onPointer({
      move: (x, y) =>
        hover(({ bounds, state }) => {
          const part = at(x, y, bounds);
          if (!part) return null;
          const name = part.head === null ? `L${part.layer} MLP` : nameHead(part);
          return `${name}\n${scale.formatSigned(part.value, 3)} ${ledger.unitOf(state.measure)}`;
        }),
      leave: () => hover(null),
      tap: (x, y) =>
        select(({ bounds }) => {
          const part = at(x, y, bounds);
          return part && part.head !== null ? { layer: part.layer, head: part.head } : null;
        }),
    });
    return { draw };
  }

  return { grid };
})();
