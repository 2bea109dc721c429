// What attention read for each token: a row for each generated token, a column for each token read, all heads together.
globalThis.reportgen ??= {};

reportgen.read = (() => {
  "use strict";

  const { axis, colors, numbers, pattern, state: states, text } = reportgen;
  const MOST_STEPS = 6;
  const INVISIBLE = [];

  /** The steps that have a row: at most six around the selected one, or all. */
  function stepsOf({ state, bounds }) {
    const count = states.numSteps(bounds);
    const all = Array.from({ length: count }, (_, step) => step);
    if (count <= MOST_STEPS || state.all.includes("steps")) return all;
    const first = Math.max(0, Math.min((state.step ?? 0) - 2, count - MOST_STEPS));
    return all.slice(first, first + MOST_STEPS);
  }

  /** The largest value of a row, its first token left out where it has another one. */
  function scaleOf(row) {
    return pattern.largest(row.subarray(1)) || pattern.largest(row) || 1;
  }

  function read(figure) {
    let [steps, rows, scales, columns, units] = [[], [], [], [], null];

    async function draw(scene, isCurrent) {
      const { state, bounds, content, evidence } = scene;
      const [all, foundAt] = await Promise.all([evidence.read(), evidence.readsOf()]);
      if (!isCurrent()) return;
      units = axis.unitsOf({ ...scene, state: { ...state, words: false } });
      steps = stepsOf(scene);
      scales = steps.map((step) => scaleOf(all(step, state.contrast)));
      rows = steps.map((step, i) => all(step, state.contrast).map((value) => value / scales[i]));
      columns = axis.chooseColumns(scene, units, rows);
      const selected = steps.indexOf(state.step);
      const border = axis.borderOf(scene, units, columns);
      figure.draw({
        key: [steps.join(" "), columns.join(" "), state.contrast].join(" | "),
        rows: steps.length,
        columns: columns.length,
        makeImages: () => [{ values: stack(), rows: steps.length, columns: columns.length }],
        colors: { ...colors.ofEffects(scene, 1), of: "the largest of its row" },
        rowLabels: steps.map((step) => ({
          text: content.tokens[bounds.numPromptTokens + step][1],
          note: numbers.formatRound(content.steps[step].raw.logprob),
          selected: step === state.step,
        })),
        columnLabels: axis.labelColumns(scene, units, columns),
        frames: selected < 0 ? INVISIBLE : [[0, selected, columns.length, 1]],
        dividers: axis.dividersAt(border, steps.length),
        notes: steps.map((step) => noteOf(foundAt(step, state.contrast), content)),
        say: (row, column) => numbers.formatEffect(rows[row][columns[column]] * scales[row]),
      });
      document.getElementById("read-over").textContent = state.contrast.startsWith("foil")
        ? "its foil where it has one, otherwise its alternatives"
        : "its alternatives";
      const button = document.querySelector('[data-all="steps"]');
      if (button)
        button.textContent = state.all.includes("steps") ? "show fewer" : `show all ${states.numSteps(bounds)} tokens`;
    }

    function stack() {
      const image = new Float32Array(steps.length * columns.length).fill(Number.NaN);
      rows.forEach((row, i) => {
        columns.forEach((unit, k) => {
          if (unit < row.length) image[i * columns.length + k] = Math.max(-1, Math.min(1, row[unit]));
        });
      });
      return image;
    }

    function noteOf(found, { tokens }) {
      if (!found) return ["n/a"];
      const chip = found.head
        ? [
            text.element(
              "span",
              { class: "chip", "data-layer": found.head[0], "data-head": found.head[1] },
              `L${found.head[0]} H${found.head[1]} ${numbers.formatEffect(found.through)}`,
            ),
          ]
        : [];
      return [
        ...text.tokAt(tokens[found.key_pos][1], found.key_pos),
        text.element("b", {}, numbers.formatEffect(found.effect)),
        ...chip,
      ];
    }

    function at(x, y, { bounds }) {
      const [step, unit] = [steps[Math.floor(y)], columns[Math.floor(x)]];
      if (step === undefined) return null;
      const queryPos = states.queryPosOfStep(step, bounds);
      return { step, queryPos, keyPos: unit <= queryPos ? unit : null };
    }

    const selectOf = ({ step, keyPos }, { bounds }) => ({ ...states.selectStep(step, bounds), keyPos });

    function brushOf({ keyPos }) {
      const column = keyPos == null ? -1 : columns.indexOf(keyPos);
      return column < 0 ? [] : [[column, 0, 1, steps.length]];
    }

    async function lines({ step, keyPos }, { state, evidence, content, bounds }) {
      const row = (await evidence.read())(step, state.contrast);
      const found = (await evidence.readsOf())(step, state.contrast);
      const written = text.quote(content.tokens[bounds.numPromptTokens + step][1]);
      return [
        `through attention ${numbers.formatSigned(row[keyPos], 2)} logits for ${written}`,
        ...(found
          ? [`attention ${numbers.formatEffect(found.attention)}, MLPs ${numbers.formatEffect(found.mlps)} in all`]
          : []),
      ];
    }

    const table = () => ({
      columns: columns.map((unit) => `${unit} ${units.shown(unit)}`),
      rows: rows.map((row, i) => ({
        name: `token ${steps[i] + 1}`,
        values: columns.map((unit) => (row[unit] ?? Number.NaN) * scales[i]),
      })),
    });

    return { draw, at, selectOf, brushOf, lines, table };
  }

  return { read, stepsOf, scaleOf };
})();
