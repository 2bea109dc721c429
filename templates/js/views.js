// How each figure of the page is made into a view.
globalThis.reportgen ??= {};

reportgen.views = (() => {
  "use strict";

  const { overview, head } = reportgen.heatmaps;
  const { tiles } = reportgen.tiles;
  const { rows, logprobs } = reportgen.steps;
  const { grid } = reportgen.grid;
  const { lens } = reportgen.lens;
  const { rollout } = reportgen.rollout;

  const headsOfLayer = ({ state, bounds }, label) =>
    bounds.heads.map((head) => ({ layer: state.layer, head, label: label(head) }));
  const layersOfHead = ({ state, bounds }, label) =>
    bounds.layers.map((layer) => ({ layer, head: state.head, label: label(layer) }));

  /** By the name of the figure. */
  const VIEWS = {
    overview,
    head,
    layer_tiles: (figure, on) => tiles(figure, on, (scene) => headsOfLayer(scene, (head) => `head ${head}`)),
    head_tiles: (figure, on) => tiles(figure, on, (scene) => layersOfHead(scene, (layer) => `layer ${layer}`)),
    step_heads: (figure, on) => rows(figure, on, (scene) => headsOfLayer(scene, String)),
    step_layers: (figure, on) => rows(figure, on, (scene) => layersOfHead(scene, String)),
    logprobs,
    grid,
    lens,
    rollout,
  };

  return { VIEWS };
})();
