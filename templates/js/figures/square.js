// Patterns: a row for each position that reads, a column for each token read. The selected head, the pinned one, their
// difference, several heads as one, rollout.
globalThis.reportgen ??= {};

reportgen.square = (() => {
  "use strict";

  const { axis, colors, forms, kinds, numbers, pattern, scores, sets, shows, text, words } = reportgen;
  const byId = (id) => document.getElementById(id);
  const nameHead = ({ layer, head }) => `L${layer} H${head}`;
  const LISTED = 8;

  /**
   * @param {object} what `load(scene, isCurrent)` a form or null, `kindOf(state)` as `shows.KINDS`, `keyOf(state)` what the
   *   image depends on, `headOf(state)` the head that the pattern is of, if of one, `lines(cell, scene)` what the tooltip
   *   says beyond that, `hasSink(content)` whether there is a column for learned sinks, `lead` how many units at the
   *   beginning are only read and have no row
   */
  function square(figure, what) {
    let [units, span, form, values, sink] = [null, [0, 0], null, null, null];
    /** The unit of the first row. */
    const top = () => Math.max(span[0], what.lead ?? 0);

    async function draw(scene, isCurrent) {
      const { state, content } = scene;
      form = await what.load(scene, isCurrent);
      if (!form || !isCurrent()) return;
      units = axis.unitsOf(scene);
      span = axis.spanOf(scene, units);
      const [from, to] = span;
      const n = to + 1 - from;
      const skipped = top() - from;
      const { signed, unit } = what.kindOf(state);
      const seesFirst = units.seesFirst(state);
      const high = signed ? pattern.strongest(form, units.n, seesFirst) : 1;
      sink =
        what.hasSink?.(content) && !state.range && form.sink ? { values: form.sink, width: Math.max(1, n / 24) } : null;
      const label = (unit, selected) => ({ text: units.shown(unit), selected });
      const query = units.of(state.queryPos);
      const key = state.keyPos === null ? -1 : units.of(state.keyPos);
      const all = Array.from({ length: n }, (_, i) => from + i);
      const border = axis.borderOf(scene, units, all);
      const across = n + (sink ? sink.width * 1.5 : 0);
      figure.element.classList.toggle("hatched", Boolean(form.first));
      figure.draw({
        key: [what.keyOf(state), state.scale, state.withFirst, from, to].join(" "),
        rows: n - skipped,
        columns: across,
        makeImages: () => {
          values = pattern.crop(form, signed ? form.values : colors.shown(scene, form.values), seesFirst, from, to);
          const image = { values: values.subarray(skipped * n), rows: n - skipped, columns: n };
          if (!sink) return [image];
          const taken = colors.shown(scene, Float32Array.from(sink.values));
          return [image, { values: taken, rows: n, columns: 1, x: n + sink.width / 2, width: sink.width }];
        },
        colors: signed ? colors.ofEffects(scene, high) : colors.ofWeights(scene),
        rowLabels: all.slice(skipped).map((unit) => label(unit, unit === query)),
        columnLabels: all.map((unit) => label(unit, unit === key)),
        frames: query < top() || query > to ? [] : [[0, query - top(), query + 1 - from, 1]],
        dividers: border === null ? [] : divide(border, border - skipped, n - skipped),
        marks: state.marks
          ? forms
              .strongestByRow(form, units.n, seesFirst)
              .flatMap((unit, row) =>
                unit === null || row < top() || row > to || unit < from ? [] : [[unit - from, row - top()]],
              )
          : [],
        say: sink ? undefined : (row, column) => sayCell(row + top(), column + from, signed, unit),
      });
      what.drawBeside?.(form, scene, units);
    }

    /** Lines where the prompt ends: down from a place among the columns, and left of it. */
    const divide = (x, y, bottom) => {
      const corner = [x, y];
      return [
        [corner, [x, bottom]],
        [[0, y], corner],
      ];
    };

    const readValue = (query, key) => form.values[pattern.rowOf(form.codes, query)[key]];

    function sayCell(query, key, signed, unit) {
      const value = readValue(query, key);
      if (signed && unit === "logits") return numbers.formatEffect(value);
      return (signed ? numbers.formatSigned(value, 2) : numbers.formatShare(value)).replace("0.", ".");
    }

    function at(x, y, { state }) {
      const [query, key] = [top() + Math.floor(y), span[0] + Math.floor(x)];
      if (query > span[1]) return null;
      const cell = { ...what.headOf?.(state), queryPos: units.last(query), keyPos: null };
      if (sink && x >= span[1] + 1 - span[0]) return { ...cell, sink: sink.values[query] };
      const isSeen = key <= query && (key > 0 || units.seesFirst(state));
      return isSeen ? { ...cell, keyPos: units.first(key) } : cell;
    }

    const selectOf = (cell, { bounds }) => reportgen.state.selectQuery(cell.queryPos, bounds);

    function brushOf(cell) {
      if (!units) return [];
      const n = span[1] + 1 - span[0];
      const inside = (unit) => unit >= span[0] && unit <= span[1];
      const [query, key] = [cell.queryPos, cell.keyPos].map((position) => (position == null ? -1 : units.of(position)));
      const below = Math.max(0, key - top());
      return [
        ...(inside(query) && cell.layer === undefined ? [[0, query - top(), query + 1 - span[0], 1]] : []),
        ...(inside(key) ? [[key - span[0], below, 1, n + span[0] - top() - below]] : []),
      ];
    }

    function rangeOf({ x0, x1, y0, y1 }) {
      const places = [x0, x1, y0 + top() - span[0], y1 + top() - span[0]].map((place) => span[0] + Math.floor(place));
      const [from, to] = [Math.max(span[0], Math.min(...places)), Math.min(span[1], Math.max(...places))];
      return from < to ? [units.first(from), units.last(to)] : null;
    }

    function table() {
      const all = Array.from({ length: span[1] + 1 - span[0] }, (_, i) => span[0] + i);
      const name = (unit) => `${units.place(unit)} ${units.shown(unit)}`;
      return {
        columns: all.map(name),
        rows: all.slice(top() - span[0]).map((query) => ({
          name: name(query),
          values: all.map((key) => (key <= query ? readValue(query, key) : Number.NaN)),
        })),
      };
    }

    return { draw, at, selectOf, brushOf, rangeOf, table, lines: what.lines };
  }

  const stateKey = ({ show, renormalised, words }) => [show, renormalised, words].join(" ");
  const kindOf = ({ show }) => shows.KINDS[show];

  /** The selected head. */
  function head(figure) {
    return square(figure, {
      load: ({ state, evidence }) => evidence.form(state.show, state.layer, state.head, state),
      kindOf,
      keyOf: (state) => [stateKey(state), nameHead(state)].join(" "),
      headOf: ({ layer, head }) => ({ layer, head }),
      hasSink: (content) => content.layer_types.some((kind) => kind.has_sink),
      drawBeside: (_, { content, state }) => sayHead(content, state),
    });
  }

  /** What is special about the selected head. */
  function sayHead(content, { layer, head }) {
    const named = content.score_kinds.length ? scores.labelsOf(content, layer, head) : [];
    byId("head-kind").textContent = [...named, ...kinds.describeHead(content, layer, head)].join(" · ");
    const hides = kinds.firstKey(kinds.kindOf(content, layer), content.tokens.length - 1) > 0;
    document.documentElement.toggleAttribute("data-hides", hides);
  }

  const pinnedOf = ({ pin }) => ({ layer: pin[0], head: pin[1] });

  /** The head that was pinned. */
  function pinned(figure) {
    return square(figure, {
      load: async ({ state, evidence }) => state.pin && evidence.form(state.show, ...state.pin, state),
      kindOf,
      keyOf: (state) => [stateKey(state), state.pin].join(" "),
      headOf: pinnedOf,
    });
  }

  /** The selected head minus the pinned one. */
  function difference(figure) {
    let pair = [];
    return square(figure, {
      load: async ({ state, evidence }) => {
        if (!state.pin) return null;
        pair = await Promise.all(
          [state, pinnedOf(state)].map(({ layer, head }) => evidence.form(state.show, layer, head, state)),
        );
        return forms.subtract(...pair);
      },
      kindOf: (state) => ({ ...kindOf(state), signed: true }),
      keyOf: (state) => [stateKey(state), nameHead(state), state.pin].join(" "),
      lines: (cell, scene) => {
        const units = axis.unitsOf(scene);
        const [query, key] = [cell.queryPos, cell.keyPos].map(units.of);
        const [one, other] = pair.map((form) => forms.rowOf(form, query)[key]);
        return [
          `${nameHead(scene.state)} ${numbers.formatFine(one)}`,
          `${nameHead(pinnedOf(scene.state))} ${numbers.formatFine(other)}`,
          `difference ${numbers.formatSigned(one - other)}`,
        ];
      },
    });
  }

  /** The tokens with the largest shares of a row, in a table of three columns. */
  function drawShares(table, row, units, withFirst) {
    const keys = pattern.strongestKeys(row, LISTED, withFirst);
    const largest = Math.abs(keys[0]?.value) || 1;
    table.tBodies[0].replaceChildren(
      ...keys.map(({ keyPos, value }) =>
        text.element(
          "tr",
          {},
          text.element("td", {}, text.tok(units.shown(keyPos)), text.bar(value / largest, value < 0 ? "against" : "")),
          text.element("td", { class: "number" }, units.place(keyPos)),
          text.element("td", { class: "number" }, value < 0 ? numbers.formatSigned(value) : numbers.formatFine(value)),
        ),
      ),
    );
  }

  /** The mean or the maximum of a set of heads. */
  function aggregate(figure) {
    let made = { key: "", form: null };
    // A set that names layers and heads by number stays as it is when another head is selected.
    const here = ({ over, layer, head }) => [over.layers === "this" && layer, over.heads === "this" && head].join(" ");
    const setKey = (state) => [stateKey(state), sets.format(state.over), here(state)].join(" ");
    return square(figure, {
      load: async (scene, isCurrent) => {
        const { state, bounds, evidence } = scene;
        if (made.key === setKey(state)) return made.form;
        const gathered = forms.gather(state.over.way);
        for (const { layer, head } of sets.headsOf(state.over, bounds, state)) {
          gathered.add(await evidence.form(state.show, layer, head, state));
          if (!isCurrent()) return null;
        }
        made = { key: setKey(state), form: gathered.result(kindOf(state).signed) };
        return made.form;
      },
      kindOf,
      keyOf: setKey,
      drawBeside: (form, { state, bounds }, units) => {
        byId("aggregate-name").textContent = `${sets.name(state.over, bounds, state)}.`;
        byId("aggregate-unit").textContent = kindOf(state).label;
        drawShares(byId("aggregate-keys"), forms.rowOf(form, units.of(state.queryPos)), units, units.seesFirst(state));
      },
      lines: (cell, scene) => {
        const units = axis.unitsOf(scene);
        const value = forms.rowOf(made.form, units.of(cell.queryPos))[units.of(cell.keyPos)];
        const { signed, label } = kindOf(scene.state);
        const shown = signed ? numbers.formatSigned(value) : numbers.formatFine(value);
        return [`${scene.state.over.way} ${label} ${shown}`];
      },
    });
  }

  /** Attention rollout. */
  function rollout(figure) {
    let triangle = new Float32Array();
    const rowOf = (queryPos, { content, state }) => {
      const units = words.unitsOf(content, state.words);
      const rows = units.positions(units.of(queryPos)).map((position) => {
        const row = pattern.rowOf(triangle, position);
        if (state.renormalised) return forms.renormaliseRow(row);
        return units.n < content.tokens.length && !state.withFirst ? row.slice().fill(Number.NaN, 0, 1) : row;
      });
      return units.n < content.tokens.length ? forms.sumRow(rows, units) : rows[0];
    };
    return square(figure, {
      load: async (scene) => {
        const { state, content, evidence } = scene;
        const n = content.tokens.length;
        triangle = await evidence.rollout();
        const units = axis.unitsOf(scene);
        drawShares(byId("rollout-keys"), rowOf(state.queryPos, scene), units, units.seesFirst(state));
        let form = shows.formOfTriangle(triangle, n, state.withFirst);
        if (state.renormalised) form = forms.renormalise(form, n);
        return units.n < n ? forms.sumWords(form, units, false, state.withFirst) : form;
      },
      kindOf: () => ({ signed: false }),
      keyOf: (state) => stateKey({ ...state, show: "rollout" }),
      lines: (cell, scene) => {
        const key = axis.unitsOf(scene).of(cell.keyPos);
        return [`rollout ${numbers.formatFine(rowOf(cell.queryPos, scene)[key])}`];
      },
    });
  }

  return { square, head, pinned, difference, aggregate, rollout };
})();
