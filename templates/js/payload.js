// Blocks to bytes, text and values: the mirror of reportgen/pages/payload.py.
globalThis.reportgen ??= {};

reportgen.payload = (() => {
  "use strict";

  /** @param {string} text base64 @returns {Uint8Array} */
  function bytesOfBase64(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    const binary = atob(text);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
    return bytes;
  }

  /** @param {string} block base64 of zlib @returns {Promise<Uint8Array>} */
  async function decodeBytes(block) {
    const deflated = new Blob([bytesOfBase64(block)]).stream();
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
