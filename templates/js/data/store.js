// The codes of a capture, layer by layer, each decoded when it is first looked at.
globalThis.reportgen ??= {};

reportgen.store = (() => {
  "use strict";

  /** Layers are decoded ahead as long as all of them together take no more than this. */
  const AHEAD_BYTES = 160e6;
  /** Of layers that were looked at, the last ones are kept as long as they take no more than this. */
  const KEPT_BYTES = 192e6;
  /** A page that is never idle, since it plays, decodes all the same. */
  const LONGEST_WAIT_MILLISECONDS = 200;

  const idle = () =>
    new Promise((done) =>
      globalThis.requestIdleCallback
        ? requestIdleCallback(done, { timeout: LONGEST_WAIT_MILLISECONDS })
        : setTimeout(done),
    );

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
    /** By layer, what to call with its codes: those that wait to be decoded, that asked for last at the end. */
    const waiting = new Map();
    const ready = new Set();
    let working = false;
    let preferred = null;

    function layerCodes(layer) {
      const codes = pending.get(layer) ?? new Promise((done) => waiting.set(layer, done));
      moveToEnd(pending, layer, codes);
      if (waiting.has(layer)) moveToEnd(waiting, layer, waiting.get(layer));
      if (!working) work();
      return codes;
    }

    function moveToEnd(map, key, value) {
      map.delete(key);
      map.set(key, value);
    }

    /** Say which layer is decoded before all others, whenever it is asked for. */
    function prefer(layer) {
      preferred = layer;
    }

    /** Decode one layer at a time: that preferred, then that asked for last, which is what somebody looks at now. */
    async function work() {
      working = true;
      while (waiting.size > 0) {
        // Decoding keeps the page from answering: what was asked for in the meantime goes before what is only near.
        if (!waiting.has(preferred)) await idle();
        const layer = waiting.has(preferred) ? preferred : [...waiting.keys()].at(-1);
        const codes = readLayer(layer);
        waiting.get(layer)(codes);
        waiting.delete(layer);
        await codes.then(
          () => keep(layer),
          () => {}, // who asked hears of it
        );
      }
      working = false;
    }

    /** Keep a layer that has been decoded; of too many, that which was asked for longest ago goes. */
    function keep(layer) {
      ready.add(layer);
      if (ready.size <= numKept) return;
      const oldest = [...pending.keys()].find((other) => ready.has(other));
      pending.delete(oldest);
      ready.delete(oldest);
    }

    /** Codes of one head; the opening one is there before its layer is. */
    async function headCodes(layer, head) {
      const { opening } = content;
      if (!ready.has(layer) && layer === opening.layer && head === opening.head) return openingCodes;
      return reportgen.pattern.headOf(await layerCodes(layer), content.heads.indexOf(head), n);
    }

    /** Decode in order of nearness to a layer, one after the other: what is asked for comes first. */
    async function readAhead(layer) {
      const near = [...content.layers].sort((a, b) => Math.abs(a - layer) - Math.abs(b - layer));
      const all = content.layers.length * layerBytes;
      for (const other of all <= AHEAD_BYTES ? near : near.slice(0, 3)) await layerCodes(other);
    }

    return { layerCodes, headCodes, prefer, readAhead };
  }

  return { makeStore };
})();

if (typeof module !== "undefined") module.exports = reportgen.store;
