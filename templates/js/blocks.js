// The blocks that the page carries, read as they arrive, and the scene that is made of them.
globalThis.reportgen ??= {};

reportgen.blocks = (() => {
  "use strict";

  const { payload, state: states, store: stores, evidence: evidences } = reportgen;
  const find = (name) => document.getElementById(`block-${name}`);
  const frame = () => new Promise((done) => requestAnimationFrame(done));

  /** Text of a block; those of layers stand at the end and may not have arrived yet. */
  async function read(name) {
    while (!find(name) && document.readyState === "loading") await frame();
    // A block that the parser is still inside of is whole once something stands after it, or all is read.
    while (!find(name).nextSibling && document.readyState === "loading") await frame();
    return find(name).textContent;
  }

  const readBytes = async (name) => payload.decodeBytes(await read(name));
  const readJson = async (name) => payload.decodeJson(await read(name));

  /** Run BokehJS out of its block; where the site shares it, it has run already. */
  async function startBokeh() {
    if (find("bokeh")) {
      const script = document.createElement("script");
      script.textContent = await payload.decodeText(await read("bokeh"));
      document.head.append(script);
    }
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
      shows: content.shows,
      measures: content.measures,
    };
  }

  /** What the page needs to begin: JSON items of its figures, and its scene; the rest is read when it is looked at. */
  async function readScene(name) {
    const [content, items, overviewCodes, openingCodes] = await Promise.all([
      readJson("content"),
      readJson("figures"),
      readBytes("overview"),
      readBytes("opening"),
      startBokeh(),
    ]);
    const bounds = makeBounds(content);
    const store = stores.makeStore(content, openingCodes, (layer) => readBytes(`layer-${layer}`));
    const evidence = evidences.makeEvidence(content, store, readBytes, readJson);
    const state = states.parse(location.hash, bounds);
    return { items, scene: { name, content, bounds, overviewCodes, store, evidence, state } };
  }

  return { read, readBytes, readJson, startBokeh, makeBounds, readScene };
})();
