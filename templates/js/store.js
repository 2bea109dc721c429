// The codes of a capture, layer by layer, each decoded when it is first looked at.
globalThis.reportgen ??= {};

reportgen.store = (() => {
  "use strict";

  /** Layers are decoded ahead as long as all of them together take no more than this. */
  const AHEAD_BYTES = 96e6;
  /** Of layers that were looked at, the last ones are kept as long as they take no more than this. */
  const KEPT_BYTES = 192e6;

  const idle = () => new Promise((done) => (globalThis.requestIdleCallback ?? setTimeout)(done));

  /**
   * @param {object} content what describe_capture wrote, with `opening`
   * @param {Uint8Array | Uint16Array} openingCodes codes of the head that the page opens on
   * @param {(layer: number) => Promise<Uint8Array | Uint16Array>} readLayer
   */
  function makeStore(content, openingCodes, readLayer) {
    const n = content.tokens.length;
    const layerBytes = content.heads.length * reportgen.pattern.triangleSize(n) * openingCodes.BYTES_PER_ELEMENT;
    const numKept = Math.max(3, Math.floor(KEPT_BYTES / layerBytes));
    /** By layer, those that were looked at last at the end. */
    const pending = new Map();
    const ready = new Set();

    function layerCodes(layer) {
      const codes = pending.get(layer) ?? readLayer(layer);
      if (!pending.has(layer)) codes.then(() => ready.add(layer));
      pending.delete(layer);
      pending.set(layer, codes);
      if (pending.size > numKept) forget(pending.keys().next().value);
      return codes;
    }

    function forget(layer) {
      pending.delete(layer);
      ready.delete(layer);
    }

    /** Codes of one head; the opening one is there before its layer is. */
    async function headCodes(layer, head) {
      const [openingLayer, openingHead] = content.opening;
      if (!ready.has(layer) && layer === openingLayer && head === openingHead) return openingCodes;
      return reportgen.pattern.headOf(await layerCodes(layer), content.heads.indexOf(head), n);
    }

    /** Decode in order of nearness to a layer, one after the other and in idle moments: what is asked for comes first. */
    async function readAhead(layer) {
      const near = [...content.layers].sort((a, b) => Math.abs(a - layer) - Math.abs(b - layer));
      const all = content.layers.length * layerBytes;
      for (const other of all <= AHEAD_BYTES ? near : near.slice(0, 3)) {
        await idle();
        await layerCodes(other);
      }
    }

    return { layerCodes, headCodes, readAhead };
  }

  return { makeStore };
})();

if (typeof module !== "undefined") module.exports = reportgen.store;
