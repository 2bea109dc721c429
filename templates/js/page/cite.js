// How a view is cited: a line of text, an entry of a bibliography, and what makes the page again.
globalThis.reportgen ??= {};

reportgen.cite = (() => {
  "use strict";

  /** What a setting that matters for the numbers is called on the page. */
  const MATTERS = ["revision", "adapter", "dtype and device", "seed", "torch", "transformers"];
  const TEX = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}" };

  function escapeTex(said) {
    return said.replace(/[\\{}%&#_$~^]/g, (character) => TEX[character] ?? `\\${character}`);
  }

  /** The selection in words: what a heatmap is of. */
  function sayPlace({ state, bounds }) {
    const { layer, head, queryPos, step } = state;
    const forStep = reportgen.state.readsForStep(state, bounds);
    return `layer ${layer}, head ${head}, ${forStep ? `token ${step + 1}` : `position ${queryPos}`}`;
  }

  /**
   * @param {{title: string, model: string, slug: string, place: string, link: string, generator: string, day: string,
   *   settings: Map<string, string>}} view `day` as 2026-01-31; `settings` by the names that the page gives them
   * @returns {{text: string, bibtex: string}}
   */
  function format({ title, model, slug, place, link, generator, day, settings }) {
    const made = MATTERS.filter((name) => settings.has(name)).map((name) =>
      name === "dtype and device" ? settings.get(name) : `${name} ${settings.get(name)}`,
    );
    const what = `${title.replace(/\s+/g, " ")}: attention of ${model}, ${place}`;
    const note = [generator, ...made].join(", ");
    return {
      text: `${what}. Page made with ${note}. ${link} (seen ${day}).`,
      bibtex: [
        `@misc{attention-${slug},`,
        `  title = {${escapeTex(what)}},`,
        `  note = {Page made with ${escapeTex(note)}},`,
        `  url = {${link}},`,
        `  urldate = {${day}}`,
        "}",
      ].join("\n"),
    };
  }

  /** What stands on paper instead of the controls. */
  function sayOnPaper(scene) {
    return `Selected: ${sayPlace(scene)} · shown: ${reportgen.shows.KINDS[scene.state.show].label} · ${location.href}`;
  }

  /** Settings by name; where the sides of a comparison differ, both. */
  function gather(settings) {
    const all = new Map();
    for (const [name, value] of settings) all.set(name, [...new Set([...(all.get(name) ?? []), value])]);
    return new Map([...all].map(([name, values]) => [name, values.join(" and ")]));
  }

  /** Fill the dialog for what is selected now, which `place` says in words. */
  function fill(place, { title, model, slug }) {
    const byId = (id) => document.getElementById(id);
    const rows = document.querySelectorAll(".settings > div");
    const { text, bibtex } = format({
      ...{ title, model, slug },
      place,
      link: location.href,
      generator: document.querySelector("[name=generator]").content,
      day: new Date().toISOString().slice(0, 10),
      settings: gather([...rows].map(({ children: [name, value] }) => [name.textContent, value.textContent])),
    });
    byId("cite-link").value = location.href;
    byId("cite-text").value = text;
    byId("cite-bibtex").value = bibtex;
    byId("cite-recipe").value = byId("recipe").textContent;
  }

  return { escapeTex, sayPlace, format, sayOnPaper, fill };
})();

if (typeof module !== "undefined") module.exports = reportgen.cite;
