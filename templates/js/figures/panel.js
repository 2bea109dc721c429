// Every head of the selected layer, and the selected head in every layer: what one position reads, a row for each head;
// or the whole pattern of each.
globalThis.reportgen ??= {};

reportgen.panel = (() => {
  "use strict";

  const { axis, colors, kinds, ledger, numbers, pattern, shows, state: states, text } = reportgen;
  const MOST_ROWS = 16;
  const [SMALLEST_TILE, LARGEST_TILE, TILE_GAP, TITLE_PIXELS] = [110, 240, 0.06, 22];

  const headsOfLayer = ({ state, bounds }) => bounds.heads.map((head) => ({ layer: state.layer, head }));
  const layersOfHead = ({ state, bounds }) =>
    [...bounds.layers].reverse().map((layer) => ({ layer, head: state.head }));
  const nameHead = ({ layer, head }) => `L${layer} H${head}`;
  const isSelected = ({ layer, head }, { state }) => layer === state.layer && head === state.head;

  /** Rows of the position that reads, of the heads of a panel: `{layer, head, row, effect}`. */
  async function readRows(scene, listed) {
    const { state, evidence } = scene;
    const withFirst = axis.unitsOf(scene).seesFirst(state);
    return Promise.all(
      listed.map(async ({ layer, head }) => {
        const row = await evidence.weights(layer, head, state.queryPos, state);
        return { layer, head, row: withFirst ? row : row.fill(Number.NaN, 0, 1) };
      }),
    );
  }

  /** Effects of whole heads on the token of the step, by `layer head`; null where they are not known, or of another position. */
  async function readEffects(scene) {
    const { state, bounds, evidence } = scene;
    if (!bounds.contrasts.length || !states.readsForStep(state, bounds)) return null;
    const contrast = ledger.held(bounds.foils, state.contrast, state.step);
    if (ledger.withheld(await evidence.facts(), contrast, state.step)) return null;
    const grid = await evidence.grid(contrast, state.step);
    return ({ layer, head }) => grid[bounds.layers.indexOf(layer) * bounds.heads.length + bounds.heads.indexOf(head)];
  }

  /** The heads that a panel shows: those with the largest effects, or else the largest weights; the selected one always. */
  function chooseRows(heads, scene, sizeOf, all) {
    if (all || heads.length <= MOST_ROWS) return heads;
    const order = heads.map((head, i) => ({ i, size: sizeOf(head, i) || 0, first: isSelected(head, scene) }));
    order.sort((a, b) => b.first - a.first || b.size - a.size || a.i - b.i);
    return order
      .slice(0, MOST_ROWS)
      .sort((a, b) => a.i - b.i)
      .map(({ i }) => heads[i]);
  }

  /** The heads of a panel, with their rows and effects; `load` may be slow for layers that are not decoded yet. */
  async function list(scene, name) {
    const heads = name === "heads" ? headsOfLayer(scene) : layersOfHead(scene);
    const effectOf = await readEffects(scene);
    const all = scene.state.all.includes(name);
    if (effectOf || all) {
      const chosen = chooseRows(heads, scene, (head) => Math.abs(effectOf?.(head) ?? 0), all);
      return { effectOf, rows: await readRows(scene, chosen), count: heads.length };
    }
    const rows = await readRows(scene, heads);
    const size = (_, i) => pattern.largest(rows[i].row.subarray(1));
    const chosen = chooseRows(heads, scene, size, false);
    return {
      effectOf,
      rows: rows.filter((row) => chosen.some((head) => nameHead(head) === nameHead(row))),
      count: heads.length,
    };
  }

  const listed = new WeakMap();

  /** The rows of both panels, which share their columns: listed once for each selection. */
  function listBoth(scene) {
    const { state } = scene;
    if (!listed.has(state))
      listed.set(
        state,
        Promise.all([list(scene, "heads"), list(scene, "layers")]).then(([heads, layers]) => ({ heads, layers })),
      );
    return listed.get(state);
  }

  /** @param {"heads" | "layers"} name */
  function panel(figure, name) {
    let rows = [];
    let columns = [];
    let units = null;
    let tiles = null;

    async function draw(scene, isCurrent) {
      const isPatterns = scene.state.layout === "patterns";
      if (isPatterns) return drawPatterns(scene, isCurrent);
      const both = await listBoth(scene);
      if (!isCurrent()) return;
      const own = both[name];
      tiles = null;
      figure.element.classList.remove("patterns");
      const hides = ({ layer }) => kinds.firstKey(kinds.kindOf(scene.content, layer), scene.state.queryPos) > 0;
      figure.element.classList.toggle("hatched", own.rows.some(hides));
      rows = own.rows;
      units = axis.unitsOf(scene);
      columns = axis.chooseColumns(
        scene,
        units,
        [...both.heads.rows, ...both.layers.rows].map(({ row }) => row),
      );
      const state = scene.state;
      const selected = rows.findIndex((row) => isSelected(row, scene));
      const border = axis.borderOf(scene, units, columns);
      figure.draw({
        key: [
          "rows",
          state.queryPos,
          state.scale,
          state.withFirst,
          state.renormalised,
          state.words,
          columns.join(" "),
          ...rows.map(nameHead),
        ].join(" "),
        rows: rows.length,
        columns: columns.length,
        makeImages: () => [{ values: stack(scene), rows: rows.length, columns: columns.length }],
        colors: colors.ofWeights(scene),
        rowLabels: rows.map((row) => ({
          text: name === "heads" ? `H${row.head}` : `L${row.layer}`,
          selected: isSelected(row, scene),
        })),
        columnLabels: axis.labelColumns(scene, units, columns),
        frames: selected < 0 ? [] : [[0, selected, columns.length, 1]],
        dividers: axis.dividersAt(border, rows.length),
        marks: state.marks ? rows.flatMap((row, i) => markOf(row, i)) : [],
        notes: rows.map((row) => noteOf(row, own.effectOf)),
        say: (row, column) => numbers.formatShare(rows[row].row[columns[column]]).replace(/^0/, ""),
      });
      nameAll(scene, own);
    }

    function stack(scene) {
      const image = new Float32Array(rows.length * columns.length);
      rows.forEach(({ row }, i) => {
        const shown = Float32Array.from(columns, (unit) => row[unit]);
        image.set(colors.shown(scene, shown), i * columns.length);
      });
      return image;
    }

    const strongestOf = ({ row }) => row.reduce((best, value, i) => (value > (row[best] ?? -1) ? i : best), -1);

    function markOf(row, i) {
      const at = columns.indexOf(strongestOf(row));
      return at < 0 ? [] : [[at, i]];
    }

    function noteOf(row, effectOf) {
      const unit = strongestOf(row);
      const effect = effectOf?.(row);
      return [
        ...(unit < 0 ? ["n/a"] : text.tokAt(units.shown(unit), units.place(unit))),
        text.element("b", {}, unit < 0 ? "" : numbers.formatShare(row.row[unit])),
        ...(effect === undefined || Number.isNaN(effect)
          ? []
          : [text.element("i", { class: text.signOf(numbers.formatEffect(effect)) }, numbers.formatEffect(effect))]),
      ];
    }

    /** The button that shows all rows, or fewer again. */
    function nameAll({ state }, { count }) {
      const button = document.querySelector(`[data-all="${name}"]`);
      const what = name === "heads" ? "heads" : "layers";
      if (button)
        button.textContent = state.all.includes(name) ? "show fewer" : `${rows.length} of ${count} ${what}: show all`;
    }

    /** Whole patterns as tiles of one image each. */
    async function drawPatterns(scene, isCurrent) {
      const { state, evidence } = scene;
      const heads = name === "heads" ? headsOfLayer(scene) : layersOfHead(scene);
      const found = await Promise.all(heads.map(({ layer, head }) => evidence.form(state.show, layer, head, state)));
      if (!isCurrent()) return;
      figure.element.classList.add("patterns");
      units = axis.unitsOf(scene);
      rows = heads;
      const [from, to] = axis.spanOf(scene, units);
      const n = to + 1 - from;
      const width = figure.width;
      const across = balance(heads.length, Math.max(2, Math.floor(width / SMALLEST_TILE)));
      const pixels = Math.min(LARGEST_TILE, width / across);
      const title = TITLE_PIXELS / pixels;
      tiles = { across, title, from, n, down: Math.ceil(heads.length / across) };
      figure.element.style.setProperty("--tiles", `${Math.round(tiles.down * (1 + title) * pixels)}px`);
      const { signed } = shows.KINDS[state.show];
      const high = signed
        ? Math.max(...found.map((form) => pattern.strongest(form, units.n, units.seesFirst(state))))
        : 1;
      const side = Math.min(n, Math.ceil(pixels * Math.min(2, devicePixelRatio)));
      figure.draw({
        key: [
          "patterns",
          width,
          state.show,
          state.contrast,
          state.scale,
          state.withFirst,
          state.renormalised,
          state.words,
          from,
          to,
          ...heads.map(nameHead),
        ].join(" "),
        rows: tiles.down * (1 + title),
        columns: width / pixels,
        makeImages: () =>
          found.map((form, i) => ({
            values: pattern.crop(
              form,
              signed ? form.values : colors.shown(scene, form.values),
              units.seesFirst(state),
              from,
              to,
              side,
            ),
            rows: side,
            columns: side,
            ...boxOf(i),
          })),
        colors: signed ? colors.ofEffects(scene, high) : colors.ofWeights(scene),
        rowLabels: [],
        columnLabels: [],
        frames: heads.flatMap((head, i) => {
          const { x, y, width: across, height } = boxOf(i);
          return isSelected(head, scene) ? [[x, y, across, height]] : [];
        }),
        titles: heads.map((head, i) => ({ x: boxOf(i).x, y: boxOf(i).y - 0.01, text: nameHead(head) })),
      });
    }

    function boxOf(i) {
      const [row, column] = [Math.floor(i / tiles.across), i % tiles.across];
      return { x: column, y: row * (1 + tiles.title) + tiles.title, width: 1 - TILE_GAP, height: 1 - TILE_GAP };
    }

    /** The cell at a place: a head, the token that reads and the token read. */
    function at(x, y, { state }) {
      if (tiles) return inTile(x, y);
      const [row, unit] = [rows[Math.floor(y)], columns[Math.floor(x)]];
      if (!row || unit === undefined) return null;
      const keyPos = unit < row.row.length ? units.first(unit) : null;
      return { layer: row.layer, head: row.head, queryPos: state.queryPos, keyPos };
    }

    function inTile(x, y) {
      const i = rows.findIndex((_, k) => {
        const box = boxOf(k);
        return x >= box.x && x < box.x + box.width && y >= box.y && y < box.y + box.height;
      });
      if (i < 0) return null;
      const box = boxOf(i);
      const place = (share) => tiles.from + Math.floor(share * tiles.n);
      const [query, key] = [place((y - box.y) / box.height), place((x - box.x) / box.width)];
      return { ...rows[i], queryPos: units.last(query), keyPos: key <= query ? units.first(key) : null };
    }

    const selectOf = (cell) => ({ layer: cell.layer, head: cell.head });

    function brushOf(cell) {
      if (tiles || !units) return [];
      const row = rows.findIndex(({ layer, head }) => layer === cell.layer && head === cell.head);
      const column = cell.keyPos == null ? -1 : columns.indexOf(units.of(cell.keyPos));
      return [...(row < 0 ? [] : [[0, row, columns.length, 1]]), ...(column < 0 ? [] : [[column, 0, 1, rows.length]])];
    }

    /** The tokens that a drag from one place to another covers. */
    function rangeOf({ x0, x1 }) {
      if (tiles || columns.length < 2) return null;
      const [first, last] = [Math.min(x0, x1), Math.max(x0, x1)].map(
        (x) => columns[clamp(Math.floor(x), columns.length)],
      );
      return [units.first(first), units.last(last)];
    }

    /** Rows as numbers, for whoever saves them. */
    const table = () => ({
      columns: columns.map((unit) => `${units.place(unit)} ${units.shown(unit)}`),
      rows: rows.map((row) => ({ name: nameHead(row), values: columns.map((unit) => row.row?.[unit] ?? Number.NaN) })),
    });

    return { draw, at, selectOf, brushOf, rangeOf, table };
  }

  const clamp = (value, count) => Math.min(Math.max(value, 0), count - 1);

  /** How many of `count` tiles to put in a row of at most `most`, so that all rows are about as long. */
  function balance(count, most) {
    return Math.ceil(count / Math.ceil(count / most));
  }

  return { panel };
})();
