// The page's address: it holds the selection, so that a view can be linked and the back button works.
globalThis.reportgen ??= {};

reportgen.address = (() => {
  "use strict";

  /** Browsers refuse to take more than a few addresses a second; a held key asks for thirty. */
  const REST_MILLISECONDS = 150;

  let pending = null;
  let timer = null;

  /** Write what waits to be written. */
  function flush() {
    clearTimeout(timer);
    if (pending !== null && pending !== location.hash) history.replaceState(null, "", pending);
    pending = null;
  }

  /**
   * Make a hash the page's address.
   * @param {string} hash
   * @param {boolean} replace whether it takes the place of the current one, once no other follows; else back leads there
   */
  function write(hash, replace) {
    clearTimeout(timer);
    if (replace) {
      pending = hash;
      timer = setTimeout(flush, REST_MILLISECONDS);
      return;
    }
    flush();
    if (hash !== location.hash) history.pushState(null, "", hash);
  }

  /** Call back when the reader goes back or forward, or edits the address. */
  function onChange(callback) {
    addEventListener("hashchange", () => {
      clearTimeout(timer);
      pending = null;
      callback();
    });
  }

  return { write, flush, onChange };
})();

if (typeof module !== "undefined") module.exports = reportgen.address;
