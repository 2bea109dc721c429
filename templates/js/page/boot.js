// The first script of a page: it brings in those that the page carries deflated, BokehJS and its own. It is written for older
// browsers than the others, so that it can say which of them the page needs.
globalThis.reportgen = globalThis.reportgen || {};

reportgen.boot = (() => {
  "use strict";

  /** What the page needs of a browser: whether it is there, by name. */
  const NEEDED = {
    DecompressionStream: () => "DecompressionStream" in globalThis,
    popovers: () => "popover" in HTMLElement.prototype,
    "light-dark()": () => CSS.supports("color", "light-dark(black, white)"),
  };

  /** How long at most to wait until the first view is painted: what is out of sight, as in a frame, is not painted at all. */
  const LONGEST_WAIT_MILLISECONDS = 300;
  const painted = new Promise((done) => {
    requestAnimationFrame(() => setTimeout(done));
    setTimeout(done, LONGEST_WAIT_MILLISECONDS);
  });

  /** Run a script out of its block. */
  async function run(name) {
    const script = document.createElement("script");
    script.textContent = await reportgen.payload.decodeText(document.getElementById(name).textContent);
    document.head.append(script);
  }

  /** Say above the first view that it is all there will be. */
  function fail(error) {
    const note = document.createElement("p");
    note.className = "wait error";
    note.textContent = `The page shows its first view alone: ${error.message}.`;
    document.querySelector("main").prepend(note);
    delete document.documentElement.dataset.waits;
    throw error;
  }

  // Reading it takes longest, so the first view is shown before; who needs it waits for it. Where the site shares it, it has
  // run already.
  const bokeh = document.getElementById("block-bokeh") ? painted.then(() => run("block-bokeh")) : Promise.resolve();
  bokeh.catch(() => {});

  async function start() {
    await painted;
    const lacks = Object.keys(NEEDED).filter((name) => !NEEDED[name]());
    if (lacks.length) {
      throw new Error(
        `this browser has no ${lacks.join(", no ")}; take Chrome 123, Firefox 125, Safari 17.5 or a newer one`,
      );
    }
    await run("block-script");
  }

  return { start, fail, bokeh };
})();

reportgen.boot.start().catch(reportgen.boot.fail);
