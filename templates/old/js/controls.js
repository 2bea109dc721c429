// The controls of the page: each tells what it changes of the selection.
globalThis.reportgen ??= {};

reportgen.controls = (() => {
  "use strict";

  const { sets, state: states } = reportgen;
  const byId = (id) => document.getElementById(id);
  const UNREADABLE = "Write this, all, or numbers that there are, such as 0-4,7.";

  /**
   * @param {object} scene
   * @param {(change: object, how?: object) => void} select
   * @param {(what: string, by: number) => void} go
   */
  function listen(scene, select, go) {
    for (const button of document.querySelectorAll("[data-move]")) {
      button.addEventListener("click", () => go(button.dataset.move, Number(button.dataset.by)));
    }
    for (const name of ["layer", "head"]) {
      byId(name).addEventListener("change", (event) => select({ [name]: Number(event.target.value) }));
    }
    for (const name of ["scale", "by", "measure"]) {
      byId(name)?.addEventListener("change", (event) => select({ [name]: event.target.value }));
    }
    for (const name of ["words", "lines", "marks"]) {
      byId(name).addEventListener("change", (event) => select({ [name]: event.target.checked }));
    }
    for (const button of document.querySelectorAll("[name=show]")) {
      button.addEventListener("change", (event) => select({ show: event.target.value }));
    }
    byId("query").addEventListener("input", (event) =>
      select({ queryPos: Number(event.target.value) }, { replace: true }),
    );
    byId("first").addEventListener("change", (event) => select(states.FIRST[event.target.value]));
    byId("range").addEventListener("change", (event) =>
      select({ range: states.parseRange(event.target.value, scene.bounds) }),
    );
    byId("pin").addEventListener("click", () => select(states.pin(scene.state)));
    byId("unpin").addEventListener("click", () => select({ pin: null }));
    listenToSet(scene, select);
  }

  /** The set of heads that are put together: taken when it can be read, told otherwise. */
  function listenToSet(scene, select) {
    const fields = [byId("over-layers"), byId("over-heads")];
    function take() {
      const text = [byId("way").value, ...fields.map((field) => field.value || "all")].join(":");
      const over = sets.parse(text, scene.bounds);
      fields[0].setCustomValidity(over ? "" : UNREADABLE);
      fields[0].reportValidity();
      if (over) select({ over });
    }
    byId("way").addEventListener("change", take);
    byId("over").addEventListener("submit", (event) => {
      event.preventDefault();
      take();
    });
  }

  return { listen };
})();
