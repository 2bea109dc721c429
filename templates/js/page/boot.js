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
    // The frame after the next follows one that is painted. A message comes soon after it; a timer would wait until all that
    // has arrived of the file is parsed.
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = done;
    requestAnimationFrame(() => requestAnimationFrame(() => port2.postMessage(null)));
    setTimeout(done, LONGEST_WAIT_MILLISECONDS);
  });

  const isRead = () => document.readyState !== "loading";

  /** Text of a block, once it has arrived, which it has as a whole when something stands after it. */
  async function read(name) {
    const find = () => document.getElementById(`block-${name}`);
    while (!find()?.nextSibling && !isRead()) await new Promise((done) => setTimeout(done));
    if (!find()) throw new Error(`the file ends before its block ${name}`);
    return find().textContent;
  }

  function run(source) {
    const script = document.createElement("script");
    script.textContent = source;
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

  /** @type {(value?: any) => void} */
  let end = () => {};
  const bokeh = new Promise((done) => {
    end = done;
  });

  /** Run the page's script, then BokehJS, which takes longest, unless the site shares it. */
  async function start() {
    await painted;
    const lacks = Object.keys(NEEDED).filter((name) => !NEEDED[name]());
    if (lacks.length) {
      throw new Error(
        `this browser has no ${lacks.join(", no ")}; take Chrome 123, Firefox 125, Safari 17.5 or a newer one`,
      );
    }
    run(await reportgen.payload.decodeText(await read("script")));
    const carried = globalThis.Bokeh ? null : await read("bokeh").catch(() => null);
    if (carried) run(await reportgen.payload.decodeText(carried));
    end();
  }

  return { start, fail, read, bokeh };
})();

reportgen.boot.start().catch(reportgen.boot.fail);
