// Blocks to bytes, text and values: the mirror of reportgen/pages/payload.py.
globalThis.reportgen ??= {};

reportgen.payload = (() => {
  "use strict";

  /** @param {string} block septets of zlib @returns {Promise<Uint8Array>} */
  async function decodeBytes(block) {
    const deflated = new Blob([reportgen.septets.decode(block)]).stream();
    const inflated = deflated.pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(inflated).arrayBuffer());
  }

  /** @param {string} block @returns {Promise<string>} */
  async function decodeText(block) {
    return new TextDecoder().decode(await decodeBytes(block));
  }

  /** @param {string} block @returns {Promise<any>} */
  async function decodeJson(block) {
    return JSON.parse(await decodeText(block));
  }

  return { decodeBytes, decodeText, decodeJson };
})();

if (typeof module !== "undefined") module.exports = reportgen.payload;
