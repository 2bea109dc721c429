// Heatmaps of whole patterns side by side: the heads of a layer, or a head in every layer.
globalThis.reportgen ??= {};

reportgen.tiles = (() => {
  "use strict";

  const { kinds, pattern, scale, shows, words } = reportgen;
  const { color, sayRange, keyOf, nameHead } = reportgen.heatmaps;
  const SMALLEST_TILE = 140;

  /** How many of `count` tiles to put in a row of at most `most`, so that all rows are about as long. */
  function balance(count, most) {
    return Math.ceil(count / Math.ceil(count / most));
  }

  /**
   * Patterns side by side.
   * @param {(scene) => {layer, head, label}[]} listTiles which heads
   */
  function tiles(figure, { select, hover, preview }, listTiles) {
    const GAP = 0.06;
    const TITLE_PIXELS = 24;
    let grid = { columns: 1, title: 0, shown: [] };

    async function draw(scene, isCurrent) {
      const { state, evidence } = scene;
      const shown = listTiles(scene);
      const forms = await Promise.all(shown.map(({ layer, head }) => evidence.form(state.show, layer, head, state)));
      if (!isCurrent()) return;
      const units = words.units(scene);
      const { n } = units;
      const columns = balance(shown.length, Math.max(2, Math.floor(figure.width / SMALLEST_TILE)));
      const pixels = Math.min(240, (figure.width - 10) / columns);
      grid = { columns, title: TITLE_PIXELS / pixels, shown };
      const side = sideOf(n, pixels);
      const kind = shows.KINDS[state.show];
      const high = color(figure, scene, kind.signed, () =>
        Math.max(...forms.map((form) => pattern.strongest(form, n, units.seesFirst(state)))),
      );
      figure.say(`Shown: ${kind.label}, ${sayRange(kind, high)}.`);
      figure.setImages(keyOf(state, side, columns, ...shown.map(nameHead)), () => {
        const imageOf = ({ codes, values, first }) =>
          pattern.square(codes, n, scale.displayOf(state.scale, values), side, units.seesFirst(state), first);
        return forms.map((form, i) => ({ values: imageOf(form), rows: side, columns: side, ...box(i) }));
      });
      figure.setShade(forms.map(({ first }, i) => kinds.outline(first).map(([x, y]) => inside(box(i), x, y, n))));
      const height = Math.ceil(shown.length / columns) * rowHeight();
      figure.setFrameSize(pixels * columns, pixels * height, [0, columns], [height, 0]);
      figure.model("labels").data = {
        x: shown.map((_, i) => box(i).x),
        y: shown.map((_, i) => box(i).y - 4 / pixels),
        text: shown.map(({ label }) => label),
      };
      figure.setFrames(
        shown.flatMap((tile, i) => (tile.layer === state.layer && tile.head === state.head ? [box(i)] : [])),
      );
      for (const note of figure.element.parentElement.querySelectorAll(".pooled")) note.hidden = side >= n;
    }

    /** Cells along the side of a tile: those of the pattern, as long as each has a pixel of its own. */
    function sideOf(n, pixels) {
      return Math.min(n, Math.floor(pixels * (1 - GAP) * figure.pixelRatio));
    }

    /** A tile is one unit wide, its gap to the next one included; its title stands above it. */
    function rowHeight() {
      return 1 + grid.title;
    }

    function box(i) {
      const [row, column] = [Math.floor(i / grid.columns), i % grid.columns];
      return { x: column, y: row * rowHeight() + grid.title, width: 1 - GAP, height: 1 - GAP };
    }

    /** A place of a pattern, in positions, inside its tile. */
    function inside({ x: left, y: top, width, height }, x, y, n) {
      return [left + ((x + 0.5) / n) * width, top + ((y + 0.5) / n) * height];
    }

    function at(x, y) {
      return grid.shown.findIndex((_, i) => {
        const { x: left, y: top, width, height } = box(i);
        return x >= left && x < left + width && y >= top && y < top + height;
      });
    }

    function cell(x, y, i, n) {
      const { x: left, y: top, width, height } = box(i);
      return [Math.floor(((y - top) / height) * n), Math.floor(((x - left) / width) * n)];
    }

    function headAt(x, y) {
      const tile = grid.shown[at(x, y)];
      return tile ? { layer: tile.layer, head: tile.head } : null;
    }

    figure.onPointer({
      move: (x, y) => {
        preview(() => headAt(x, y));
        hover((scene) => {
          const i = at(x, y);
          if (i < 0) return null;
          const units = words.units(scene);
          const [query, key] = cell(x, y, i, units.n);
          const place = nameHead(grid.shown[i]);
          if (key > query || (key === 0 && !units.seesFirst(scene.state))) return place;
          return { ...grid.shown[i], place, queryPos: units.last(query), keyPos: units.first(key) };
        });
      },
      leave: () => {
        preview(null);
        hover(null);
      },
      tap: (x, y) => select(() => headAt(x, y)),
    });
    return { draw };
  }

  return { tiles };
})();
