// Dialogs: what opens and closes them, and the buttons that copy what stands in them.
globalThis.reportgen ??= {};

reportgen.dialogs = (() => {
  "use strict";

  const SAID_MILLISECONDS = 1600;
  const find = (id) => document.getElementById(id);

  /** @param {Record<string, () => void>} fillers what is to be done before a dialog opens, by its id */
  function listen(fillers) {
    const open = (id) => {
      fillers[id]?.();
      find(id).showModal();
    };
    for (const button of document.querySelectorAll("[data-opens]")) {
      button.addEventListener("click", () => open(button.dataset.opens));
    }
    for (const dialog of document.querySelectorAll("dialog")) {
      // A click on the dialog itself is one beside what stands in it.
      dialog.addEventListener("click", ({ target }) => target.matches("dialog, [data-closes]") && dialog.close());
    }
    for (const button of document.querySelectorAll("[data-copies]")) {
      button.addEventListener("click", () => copy(button, find(button.dataset.copies)));
    }
    return { open };
  }

  async function copy(button, field) {
    // What is marked can be copied by hand where the browser does not let us.
    field.select();
    button.textContent = (await reportgen.save.copy(field.value)) ? "Copied" : "Press Ctrl+C";
    setTimeout(() => (button.textContent = "Copy"), SAID_MILLISECONDS);
  }

  return { listen };
})();
