// What is seen of one step: its context by head and by layer, and the log-probabilities of all steps.
globalThis.reportgen ??= {};

reportgen.steps = (() => {
  "use strict";

  const { forms, pattern, scale, shows, words } = reportgen;
  const { SMALLEST_FRAME, UPWARD, unitLabels, longest, color, sayRange, keyOf, nameHead } = reportgen.heatmaps;
  /** Most pixels across for one token of the context, and for one step. */
  const CELL_PIXELS = 64;
  const BAR_PIXELS = 96;

  /**
   * What one query reads: the context across, a row for each head of a layer or each layer of a head.
   * @param {(scene) => {layer, head, label}[]} listRows which heads
   */
  function rows(figure, { select, hover }, listRows) {
    let shown = [];
    let values = [];
    let units = null;

    async function draw(scene, isCurrent) {
      const { state, bounds, evidence } = scene;
      const listed = listRows(scene);
      const found = await Promise.all(listed.map(({ layer, head }) => evidence.form(state.show, layer, head, state)));
      if (!isCurrent()) return;
      shown = listed;
      units = words.units(scene);
      const query = units.of(state.queryPos);
      values = found.map((form) => forms.rowOf(form, query));
      const columns = query + 1;
      const kind = shows.KINDS[state.show];
      const high = color(figure, scene, kind.signed, () =>
        Math.max(...values.map((row) => pattern.largest(row.subarray(units.seesFirst(state) ? 0 : 1)))),
      );
      figure.say(`${kind.label}, ${sayRange(kind, high)}`);
      figure.setImages(keyOf(state, query, ...shown.map(nameHead)), () => [
        {
          values: stack(state, columns),
          rows: shown.length,
          columns,
          x: -0.5,
          y: -0.5,
          width: columns,
          height: shown.length,
        },
      ]);
      figure.setShade(found.map(({ first }, row) => unseen(first?.[query] ?? 0, row)));
      resize(columns, unitLabels(units, figure.width).slice(0, columns), state, bounds);
    }

    /** Outline of the keys of a row that its query cannot see. */
    function unseen(first, row) {
      const [left, right, top, bottom] = [-0.5, first - 0.5, row - 0.5, row + 0.5];
      return first
        ? [
            [left, top],
            [right, top],
            [right, bottom],
            [left, bottom],
          ]
        : [];
    }

    function stack(state, columns) {
      const image = new Float32Array(shown.length * columns);
      values.forEach((row, i) => {
        image.set(scale.displayOf(state.scale, row), i * columns);
        if (!units.seesFirst(state)) image[i * columns] = Number.NaN;
      });
      return image;
    }

    function resize(columns, labels, state, bounds) {
      const height = shown.length * Math.max(11, Math.min(26, 320 / shown.length));
      const width = Math.max(SMALLEST_FRAME, figure.width - 62);
      figure.setFrameSize(
        Math.min(width, columns * CELL_PIXELS),
        height,
        [-0.5, columns - 0.5],
        [shown.length - 0.5, -0.5],
      );
      figure.model("x_axis").major_label_orientation = UPWARD;
      figure.setLabels("x", labels);
      figure.setLabels(
        "y",
        shown.map(({ label }) => label),
      );
      const selected = shown.findIndex(({ layer, head }) => layer === state.layer && head === state.head);
      figure.setFrames([{ x: -0.5, y: selected - 0.5, width: columns, height: 1 }]);
      const border = units.of(bounds.numPromptTokens) - 0.5;
      figure.setDividers(
        columns - 0.5 > border
          ? [
              [
                [border, -0.5],
                [border, shown.length - 0.5],
              ],
            ]
          : [],
      );
    }

    figure.onPointer({
      move: (x, y) =>
        hover((scene) => {
          const [row, key] = [Math.round(y), Math.round(x)];
          if (!shown[row] || values[row][key] === undefined) return null;
          if (key === 0 && !units.seesFirst(scene.state)) return nameHead(shown[row]);
          const { queryPos } = scene.state;
          return { ...shown[row], place: nameHead(shown[row]), queryPos, keyPos: units.first(key) };
        }),
      leave: () => hover(null),
      tap: (_, y) =>
        select(() =>
          shown[Math.round(y)] ? { layer: shown[Math.round(y)].layer, head: shown[Math.round(y)].head } : null,
        ),
    });
    return { draw };
  }

  /** The log-probability of the chosen token by step. */
  function logprobs(figure, { select, hover }) {
    const floor = (logprob) => logprob ?? 0;

    function draw({ state, bounds, content, theme }) {
      const raw = content.steps.map((step) => floor(step.raw.logprob));
      const filtered = content.steps.map((step) => floor((step.filtered ?? step.raw).logprob));
      const chosen = reportgen.state.stepOf(state.queryPos, bounds);
      const steps = raw.map((_, step) => step);
      figure.model("bars").data = {
        step: steps,
        logprob: raw,
        color: steps.map((step) => (step === chosen ? theme["bar-chosen"] : theme.bar)),
      };
      const differs = steps.filter((step) => Math.abs(raw[step] - filtered[step]) > 1e-4);
      figure.model("marks").data = { step: differs, logprob: differs.map((step) => filtered[step]) };
      const lowest = Math.min(-0.1, ...raw, ...filtered) * 1.06;
      const width = Math.max(SMALLEST_FRAME, figure.width - 72);
      figure.setFrameSize(
        Math.min(width, Math.max(260, steps.length * BAR_PIXELS)),
        120,
        [-0.6, steps.length - 0.4],
        [lowest, 0],
      );
      const generated = unitLabels(words.unitsOf(content), figure.width).slice(bounds.numPromptTokens);
      const labels = generated.map((label, step) => `${step} ${label}`);
      const upward = longest(labels) * steps.length > figure.plot.frame_width;
      figure.model("x_axis").major_label_orientation = upward ? UPWARD : 0;
      figure.setLabels("x", labels);
    }

    const stepAt = (x, { content }) => (content.steps[Math.round(x)] ? Math.round(x) : null);
    figure.onPointer({
      move: (x) =>
        hover((scene) => {
          const step = stepAt(x, scene);
          if (step === null) return null;
          const { raw, filtered } = scene.content.steps[step];
          const shown = scene.content.tokens[scene.bounds.numPromptTokens + step][1];
          const after = filtered
            ? `${scale.formatPercent(filtered.logprob)} after sampling filters`
            : "chosen by beam search";
          return `step ${step}: \u2068${shown}\u2069\n${scale.formatPercent(raw.logprob)} by the model, ${after}`;
        }),
      leave: () => hover(null),
      tap: (x) =>
        select((scene) => {
          const step = stepAt(x, scene);
          return step === null ? null : { queryPos: reportgen.state.queryPosOfStep(step, scene.bounds) };
        }),
    });
    return { draw };
  }

  return { rows, logprobs };
})();
