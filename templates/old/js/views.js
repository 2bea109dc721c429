// How each figure of the page is made into a view.
globalThis.reportgen ??= {};

reportgen.views = (() => {
  "use strict";

  const { kinds } = reportgen;
  const { head } = reportgen.heatmaps;
  const { overview } = reportgen.overview;
  const { tiles } = reportgen.tiles;
  const { rows, logprobs } = reportgen.steps;
  const { aggregate, pinned, difference } = reportgen.together;

  const headsOfLayer = ({ state, bounds }, label) =>
    bounds.heads.map((head) => ({ layer: state.layer, head, label: label(head) }));
  const layersOfHead = ({ state, bounds }, label) =>
    bounds.layers.map((layer) => ({ layer, head: state.head, label: label(layer) }));

  function nameTile(content, layer, head) {
    const keyHead = kinds.keyHeadOf(content, layer, head);
    return keyHead === null ? `head ${head}` : `head ${head} · key head ${keyHead}`;
  }

  /** By the name of the figure; those of evidence are elsewhere. */
  const VIEWS = {
    overview,
    head,
    layer_tiles: (figure, on) =>
      tiles(figure, on, (scene) => headsOfLayer(scene, (head) => nameTile(scene.content, scene.state.layer, head))),
    head_tiles: (figure, on) =>
      tiles(figure, on, (scene) => layersOfHead(scene, (layer) => kinds.nameLayer(scene.content, layer))),
    step_heads: (figure, on) => rows(figure, on, (scene) => headsOfLayer(scene, String)),
    step_layers: (figure, on) => rows(figure, on, (scene) => layersOfHead(scene, String)),
    logprobs,
    aggregate,
    pinned,
    difference,
  };

  /** The view of a figure; that of a kind of evidence may have a script of the figure's name. */
  const viewOf = (name) => VIEWS[name] ?? reportgen[name]?.[name] ?? reportgen.headRows.viewOf(name);

  /** Whether a view shows what heads read. */
  const isOfHeads = (name) => name === "text" || name in VIEWS;

  return { viewOf, isOfHeads };
})();
