// The blocks that the page carries, read as they arrive, and the scene that is made of them.
globalThis.reportgen ??= {};

reportgen.blocks = (() => {
  "use strict";

  const { boot, payload, pattern, triangles, state: states, store: stores, evidence: evidences } = reportgen;
  const readBytes = async (name) => payload.decodeBytes(await boot.read(name));
  const readJson = async (name) => payload.decodeJson(await boot.read(name));

  /** Wait for BokehJS. */
  async function startBokeh() {
    await boot.bokeh;
    if (!globalThis.Bokeh) throw new Error("BokehJS is missing; the folder assets must stand beside this page");
  }

  function makeBounds(content) {
    return {
      layers: content.layers,
      heads: content.heads,
      numTokens: content.tokens.length,
      numPromptTokens: content.num_prompt_tokens,
      opening: content.opening,
      scores: Object.keys(content.scores),
      heatmap_modes: content.heatmap_modes,
      grid_metrics: content.grid_metrics,
      contrasts: content.contrasts,
      foils: content.foils ?? [],
    };
  }

  /** A function that is called once, whoever asks. */
  function once(make) {
    let made = null;
    return () => {
      made ??= make();
      return made;
    };
  }

  /**
   * All that is known of a capture, as the views take it; what is not needed to begin is read when it is looked at.
   * @param {string} name of what is saved of it
   * @param {string} prefix of the names of its blocks
   */
  async function readCapture(name, prefix = "") {
    const [bytesOf, jsonOf] = [readBytes, readJson].map((read) => (block) => read(prefix + block));
    const content = await jsonOf("content");
    const rows = content.has_rows ? await bytesOf("opening-rows") : null;
    const trianglesOf = async (block) =>
      triangles.unpack(await bytesOf(block), content.tokens.length, content.precision);
    const opening = {
      head: once(() => trianglesOf("opening-head")),
      rows: rows && content.precision === 16 ? new Uint16Array(rows.buffer) : rows,
    };
    const store = stores.makeStore(content, opening, (layer) => trianglesOf(`layer-${layer}`));
    const overview = once(() => (content.has_overview ? bytesOf("overview") : shrinkAll(content, store)));
    const evidence = evidences.makeEvidence(content, store, bytesOf, jsonOf);
    return { name, content, bounds: makeBounds(content), store, overview, evidence };
  }

  /** The overview of a text so short that a page does without its block: codes `[layer, head, row, column]`. */
  async function shrinkAll({ layers, heads, tokens, thumbnail_side: side }, store) {
    const n = tokens.length;
    let codes = null;
    for (const [at, layer] of layers.entries()) {
      const all = await store.layerCodes(layer);
      codes ??= new all.constructor(layers.length * heads.length * side * side);
      for (const head of heads.keys()) {
        const shrunk = pattern.shrink(pattern.headOf(all, head, n), n, side);
        codes.set(shrunk, (at * heads.length + head) * side * side);
      }
    }
    return codes;
  }

  /** What the page needs to begin: the JSON item of its figures, and its scene. */
  async function readScene(name) {
    const [capture, item] = await Promise.all([readCapture(name), readJson("figure"), startBokeh()]);
    return { item, scene: { ...capture, state: states.parse(location.hash, capture.bounds) } };
  }

  return { readBytes, readJson, startBokeh, readCapture, readScene };
})();
