// The story: a step at a time, each with a view of the page; and a view as a step, to be pasted into a prompt file.
globalThis.reportgen ??= {};

reportgen.story = (() => {
  "use strict";

  /** Figures that a story can show, and what of an address only the page draws in each: reportgen/records/story.py. */
  const UNDRAWN = {
    head: { show: ["weighted", "attribution"], words: ["on"] },
    heads: { layout: ["patterns"], words: ["on"] },
    layers: { layout: ["patterns"], words: ["on"] },
    read: {},
    effect: {},
    map: { by: ["pattern"] },
  };
  const ADDRESS = /^#?story=(\d{1,4})$/;

  /** The number of the step that an address asks for, from 1; 0 for none. */
  const numberOf = (hash) => Number(ADDRESS.exec(hash)?.[1] ?? 0);

  /** An address in which a step of the story is the view that it shows; `views` are those of the steps. */
  const resolve = (hash, views) => (numberOf(hash) ? `#${views[numberOf(hash) - 1] ?? ""}` : hash);

  /**
   * A view as a step of a story, in YAML, and what of it a still does not show.
   * @param {string} figure its name
   * @param {string} hash address of the view
   * @param {string} said caption to begin with
   */
  function format(figure, hash, said) {
    if (!Object.hasOwn(UNDRAWN, figure))
      throw new Error(`a story shows ${Object.keys(UNDRAWN).join(", ")}; choose one of them`);
    const given = new URLSearchParams(hash.replace(/^#/, ""));
    const left = Object.entries(UNDRAWN[figure]).filter(([key, words]) => words.includes(given.get(key)));
    const dropped = left.map(([key]) => `${key}=${given.get(key)}`);
    for (const [key] of left) given.delete(key);
    const quoted = [String(given), said].map((text) => JSON.stringify(text));
    return { yaml: `- {view: ${quoted[0]}, figure: ${figure}, text: ${quoted[1]}}`, dropped };
  }

  const steps = () => [...document.querySelectorAll("#story li")];

  /** The views of the steps on this page. */
  const listViews = () => steps().map(({ dataset }) => dataset.view);

  /** Show one step of the story, from 1; the others are there as captions. */
  function show(number) {
    const all = steps();
    for (const [i, step] of all.entries()) step.classList.toggle("current", i === number - 1);
    const at = document.getElementById("story-at");
    if (at) at.textContent = `${number} of ${all.length}`;
    for (const [id, end] of Object.entries({ "story-back": 1, "story-on": all.length })) {
      const button = document.getElementById(id);
      if (button) button.setAttribute("aria-disabled", String(number === end));
    }
  }

  /** @param {() => void} follow what to do once the address has changed */
  function listen(follow) {
    const all = steps();
    if (!all.length) return;
    const current = () => all.findIndex((step) => step.classList.contains("current")) + 1;
    const go = (number) => {
      if (number < 1 || number > all.length) return;
      reportgen.address.write(`#story=${number}`, false);
      follow();
    };
    document.getElementById("story-back")?.addEventListener("click", () => go(current() - 1));
    document.getElementById("story-on")?.addEventListener("click", () => go(current() + 1));
    show(Math.min(numberOf(location.hash) || 1, all.length));
  }

  return { UNDRAWN, numberOf, resolve, format, listViews, show, listen };
})();

if (typeof module !== "undefined") module.exports = reportgen.story;
