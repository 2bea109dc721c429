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
   * @param {object} opening what is known before any layer is decoded: `head()`, the codes of the head that the page opens
   *   on, and `rows`, those of the position that it opens on in every head, `[layer, head, key_pos]`; null where a page has none
   * @param {(layer: number) => Promise<Uint8Array | Uint16Array>} readLayer
   */
  function makeStore(content, opening, readLayer) {
    const n = content.tokens.length;
    const { layers, heads } = content;
    const layerBytes = (heads.length * reportgen.pattern.triangleSize(n) * content.precision) / 8;
    const numKept = Math.max(3, Math.floor(KEPT_BYTES / layerBytes));
    /** By layer, those that were looked at last at the end. */
    const pending = new Map();
    /** By layer, what to call with its codes: those that wait to be decoded, that asked for last at the end. */
    const waiting = new Map();
    /** Those that somebody looks at; the others of `waiting` are only near. */
    const wanted = new Set();
    const ready = new Set();
    let working = false;
    let preferred = null;

    function layerCodes(layer) {
      if (!ready.has(layer)) wanted.add(layer);
      return ask(layer);
    }

    function ask(layer) {
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

    /** That preferred, then that asked for last by whoever looks at it; undefined where none of those waits. */
    const nextWanted = () =>
      waiting.has(preferred) ? preferred : [...waiting.keys()].findLast((layer) => wanted.has(layer));

    /** Decode one layer at a time. Decoding keeps the page from answering: what is only near waits until the page is idle. */
    async function work() {
      working = true;
      while (waiting.size > 0) {
        // Whoever asks asks for several.
        await null;
        if (nextWanted() === undefined) await idle();
        const layer = nextWanted() ?? [...waiting.keys()].at(-1);
        const codes = readLayer(layer);
        waiting.get(layer)(codes);
        waiting.delete(layer);
        await codes.then(
          () => keep(layer),
          () => {}, // who asked hears of it
        );
        wanted.delete(layer);
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
      if (!ready.has(layer) && layer === content.opening.layer && head === content.opening.head) return opening.head();
      return reportgen.pattern.headOf(await layerCodes(layer), heads.indexOf(head), n);
    }

    /** Codes of one query of a head; of the opening one they are there before any layer is. */
    async function rowCodes(layer, head, queryPos) {
      if (ready.has(layer) || !opening.rows || queryPos !== content.opening.query_pos)
        return reportgen.pattern.rowOf(await headCodes(layer, head), queryPos);
      const start = (layers.indexOf(layer) * heads.length + heads.indexOf(head)) * (queryPos + 1);
      return opening.rows.subarray(start, start + queryPos + 1);
    }

    /** Decode in order of nearness to a layer, one after the other: what is asked for comes first. */
    async function readAhead(layer) {
      const near = [...layers].sort((a, b) => Math.abs(a - layer) - Math.abs(b - layer));
      const all = layers.length * layerBytes;
      for (const other of all <= AHEAD_BYTES ? near : near.slice(0, 3)) await ask(other);
    }

    return { layerCodes, headCodes, rowCodes, prefer, readAhead };
  }

  return { makeStore };
})();

if (typeof module !== "undefined") module.exports = reportgen.store;
