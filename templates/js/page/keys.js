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

  /**
   * Listen to the keyboard. Enter and space press a token, and the focus goes along its text with the selection.
   * @param {(event: any) => [object, object]} actionsAt what `actionOf` takes, for a key press
   */
  function listen(actionsAt) {
    document.addEventListener("keydown", (event) => {
      if (document.querySelector("dialog[open]")) return;
      const token = event.target.matches?.(".token") ? event.target : null;
      if (token && ["Enter", " "].includes(event.key)) {
        event.preventDefault();
        token.click();
        return;
      }
      const action = actionOf(event, ...actionsAt(event));
      if (!action) return;
      event.preventDefault();
      const strip = token?.closest(".strip");
      action();
      strip?.querySelector('.token[tabindex="0"]').focus();
    });
  }

  return { actionOf, listen };
})();

if (typeof module !== "undefined") module.exports = reportgen.keys;
