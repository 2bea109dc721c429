// The first script of a page: it brings in those that the page carries deflated, BokehJS and its own.
globalThis.reportgen ??= {};

reportgen.boot = (() => {
  "use strict";

  /** Run a script out of its block. */
  async function run(block) {
    const script = document.createElement("script");
    script.textContent = await reportgen.payload.decodeText(block.textContent);
    document.head.append(script);
  }

  /** Say in place of the heatmaps that there will be none. */
  function fail(error) {
    const note = document.createElement("p");
    note.className = "wait error";
    note.textContent = `The page shows its first view alone: ${error.message}.`;
    document.querySelector("main").prepend(note);
    delete document.documentElement.dataset.waits;
    throw error;
  }

  /** Until the first view is painted; a page that nobody sees is not painted at all. */
  const painted = document.hidden
    ? Promise.resolve()
    : new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  // Reading it takes longest, so the first view is shown before; who needs it waits for it. Where the site shares it, it has
  // run already.
  const carried = document.getElementById("block-bokeh");
  const bokeh = carried ? painted.then(() => run(carried)) : Promise.resolve();
  bokeh.catch(() => {});
  return { run, fail, bokeh, painted };
})();

reportgen.boot.painted.then(() => reportgen.boot.run(document.getElementById("block-script"))).catch(reportgen.boot.fail);
