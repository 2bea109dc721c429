// Blocks to bytes, text and values: the mirror of reportgen/pages/encoding.py.
globalThis.reportgen = globalThis.reportgen || {};

reportgen.payload = (() => {
  "use strict";

  /** Bytes in base64; browsers before 2025 have no function of their own for them. */
  function decodeBase64(text) {
    if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
    return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  }

  /** @param {string} block zlib in base64 @returns {Promise<Uint8Array>} */
  async function decodeBytes(block) {
    // Written and read by hand: a blob's stream would take its way through other processes, and between the tasks of a
    // response the browser would parse what stands behind in the file, while the page waits for this.
    const { writable, readable } = new DecompressionStream("deflate");
    const writer = writable.getWriter();
    const [parts] = await Promise.all([
      collect(readable.getReader()),
      writer.write(decodeBase64(block)),
      writer.close(),
    ]);
    const inflated = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
    let end = 0;
    for (const part of parts) {
      inflated.set(part, end);
      end += part.length;
    }
    return inflated;
  }

  /** All parts that a reader of a stream gives. */
  async function collect(reader) {
    const parts = [];
    for (let next = await reader.read(); !next.done; next = await reader.read()) parts.push(next.value);
    return parts;
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
