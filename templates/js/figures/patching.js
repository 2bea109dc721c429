// Maps of activation patching: what a head, or the residual stream at a position, changes when it is put into the other run.
globalThis.reportgen ??= {};

reportgen.patching = (() => {
  "use strict";

  const { colors, grid } = reportgen;

  const percent = (share) => `${(100 * share).toFixed(1).replace("-", "−")} %`;
  const say = (share) => (share === null ? "no such head" : `${percent(share)} of the way to the other run`);
  const shadesOf = ({ shares, sign }) => Float32Array.from(shares.flat(), (share) => sign * (share ?? Number.NaN));

  /** Names of the figures, and the map of each: its kind, its shares by row and column. */
  function list(shared) {
    if (!shared) return {};
    const names = Object.keys(shared.shares).flatMap((kind) => shared.into.map((into, i) => [kind, into, i]));
    return Object.fromEntries(
      names.map(([kind, into, i]) => [
        `patch-${kind}-${i}`,
        {
          says: `patching ${into}: ${shared.titles[kind]}`,
          layers: kind === "stream" ? shared.stream_layers : shared.layers,
          tokens: kind === "stream" ? shared.tokens : null,
          shares: shared.shares[kind][i],
          limit: shared.limits[kind],
          // A colour is that of the run that a patch leads to.
          sign: i === 0 ? 1 : -1,
        },
      ]),
    );
  }

  /** What every map draws: shares by layer, the last at the top. */
  const drawing = (patch, now) => ({
    key: "",
    rows: patch.layers.length,
    columns: patch.shares[0].length,
    makeImages: () => [
      {
        values: grid.upsideDown(shadesOf(patch), patch.shares[0].length),
        rows: patch.layers.length,
        columns: patch.shares[0].length,
      },
    ],
    colors: colors.ofEffects(now, patch.limit),
  });

  const table = (patch, columns) => ({
    columns,
    rows: patch.layers.map((layer, i) => ({
      name: `L${layer}`,
      values: patch.shares[i].map((share) => share ?? Number.NaN),
    })),
  });

  function ofHeads(figure, { patch, bounds }) {
    const heads = patch.shares[0].map((_, head) => head);
    const cells = grid.makeGrid({ layers: patch.layers, heads });
    return {
      ...cells,
      draw: (now) => figure.draw({ ...cells.drawing(now), ...drawing(patch, now) }),
      lines: ({ layer, head }) => [say(patch.shares[patch.layers.indexOf(layer)][head])],
      selectOf: ({ layer, head }) =>
        head != null && bounds.layers.includes(layer) && bounds.heads.includes(head) ? { layer, head } : null,
      table: () =>
        table(
          patch,
          heads.map((head) => `H${head}`),
        ),
    };
  }

  function ofStream(figure, { patch }) {
    const rowOf = (y) => patch.layers.length - 1 - Math.floor(y);
    const draw = (now) =>
      figure.draw({
        ...drawing(patch, now),
        rowLabels: [...patch.layers].reverse().map((layer) => ({ text: String(layer) })),
        columnLabels: patch.tokens.map((text) => ({ text })),
        frames: [],
      });
    function at(x, y) {
      const [row, place] = [rowOf(y), Math.floor(x)];
      return patch.layers[row] === undefined || patch.tokens[place] === undefined ? null : { row, place };
    }
    return {
      draw,
      at,
      nameOf: ({ row, place }) => `before layer ${patch.layers[row]}, at ${patch.tokens[place]}`,
      lines: ({ row, place }) => [say(patch.shares[row][place])],
      selectOf: () => null,
      table: () => table(patch, patch.tokens),
    };
  }

  return { list, view: (figure, scene) => (scene.patch.tokens ? ofStream : ofHeads)(figure, scene) };
})();
