// Playing the generation, step by step.
globalThis.reportgen ??= {};

reportgen.player = (() => {
  "use strict";

  const { state: states } = reportgen;
  const MILLISECONDS = 900;

  /**
   * @param {HTMLButtonElement[]} buttons that start and pause
   * @param {object} scene
   * @param {(queryPos: number) => void} go
   */
  function makePlayer(buttons, scene, go) {
    let timer = null;

    function play(on) {
      clearInterval(timer);
      timer = null;
      for (const button of buttons) {
        button.setAttribute("aria-pressed", String(on));
        button.textContent = on ? "Pause" : "Play";
      }
      if (!on) return;
      if (currentStep() === null || currentStep() === states.numSteps(scene.bounds) - 1) goToStep(0);
      timer = setInterval(next, MILLISECONDS);
    }

    const currentStep = () => states.stepOf(scene.state.queryPos, scene.bounds);
    const goToStep = (step) => go(states.queryPosOfStep(step, scene.bounds));

    function next() {
      const step = currentStep();
      const following = step === null ? 0 : step + 1;
      if (following >= states.numSteps(scene.bounds)) play(false);
      else goToStep(following);
    }

    const toggle = () => play(timer === null);
    for (const button of buttons) button.addEventListener("click", toggle);
    return { toggle };
  }

  return { makePlayer };
})();
