// Stepping through the generation by itself.
globalThis.reportgen ??= {};

reportgen.player = (() => {
  "use strict";

  const { state: states } = reportgen;
  const MILLISECONDS = 900;

  /**
   * @param {HTMLButtonElement} button that starts and pauses
   * @param {object} scene
   * @param {(step: number) => void} go
   */
  function makePlayer(button, scene, go) {
    let timer = null;

    function play(on) {
      clearInterval(timer);
      timer = null;
      button.setAttribute("aria-pressed", String(on));
      button.textContent = on ? "❚❚" : "▶";
      if (!on) return;
      if (scene.state.step === states.numSteps(scene.bounds) - 1) go(0);
      timer = setInterval(next, MILLISECONDS);
    }

    function next() {
      const following = scene.state.step + 1;
      if (following >= states.numSteps(scene.bounds)) play(false);
      else go(following);
    }

    const toggle = () => play(timer === null);
    button.addEventListener("click", toggle);
    return { toggle };
  }

  return { makePlayer };
})();
