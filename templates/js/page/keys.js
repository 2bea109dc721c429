// The keyboard: which key presses are the page's own.
globalThis.reportgen ??= {};

reportgen.keys = (() => {
  "use strict";

  /** Where keys keep the meaning that the browser gives them. */
  const OWN_KEYS = "input:not([type=checkbox]), select, textarea";
  const PRESSED_BY_SPACE = "button, input, summary, a, .bk-OnOffButton, .bk-ClickButton";

  /**
   * Find what a key press means here.
   * @param {KeyboardEvent} event
   * @param {Record<string, () => void>} actions by key
   * @param {Record<string, Record<string, () => void>>} within further actions by id of the element in focus
   * @returns {(() => void) | undefined} undefined where the key is left to the browser
   */
  function actionOf(event, actions, within = {}) {
    const { key } = event;
    // The event itself names the host of a shadow root; tools of a figure stand inside one.
    const target = event.composedPath?.()[0] ?? event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return undefined;
    const inside = (selector) => Boolean(target.matches?.(selector));
    if (inside(OWN_KEYS) || (key === " " && inside(PRESSED_BY_SPACE))) return undefined;
    return within[target.id]?.[key] ?? actions[key];
  }

  return { actionOf };
})();

if (typeof module !== "undefined") module.exports = reportgen.keys;
