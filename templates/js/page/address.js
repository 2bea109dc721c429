// The page's address: it holds the selection, so that a view can be linked and the back button works.
globalThis.reportgen ??= {};

reportgen.address = (() => {
  "use strict";

  /** Browsers refuse to take more than a few addresses a second; a held key asks for thirty. */
  const REST_MILLISECONDS = 150;

  let pending = null;
  let timer = null;
  /** Whether the current entry of the history is a walk, which its next step may replace. */
  let walking = false;

  /** The whole address: in a frame that a notebook fills, a hash alone would be that of the notebook. */
  const whole = (hash) => location.href.replace(/#.*/, "") + hash;

  /** Write what waits to be written. */
  function flush() {
    clearTimeout(timer);
    if (pending !== null && pending !== location.hash) history.replaceState(null, "", whole(pending));
    pending = null;
  }

  /**
   * Make a hash the page's address.
   * @param {string} hash
   * @param {boolean} walk whether it is one of many small steps: the first is an entry of its own, so that back leads to
   *   what was chosen before; those that follow take its place, once no other follows
   */
  function write(hash, walk) {
    clearTimeout(timer);
    if (walk && walking) {
      pending = hash;
      timer = setTimeout(flush, REST_MILLISECONDS);
      return;
    }
    flush();
    walking = walk;
    if (hash !== location.hash) history.pushState(null, "", whole(hash));
  }

  /** Call back when the reader goes back or forward, or edits the address. */
  function onChange(callback) {
    addEventListener("hashchange", () => {
      clearTimeout(timer);
      pending = null;
      walking = false;
      callback();
    });
  }

  return { write, flush, onChange };
})();

if (typeof module !== "undefined") module.exports = reportgen.address;
