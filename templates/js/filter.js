// The index's filter box.
globalThis.reportgen ??= {};

reportgen.filter = (() => {
  "use strict";

  /** Whether every word of a query stands in a text; both in lower case. */
  function matches(query, words) {
    return query.split(/\s+/).every((word) => words.includes(word));
  }

  function start() {
    const box = document.getElementById("filter");
    const cards = [...document.querySelectorAll("#cards > li")];
    const update = () => {
      const query = box.value.trim().toLowerCase();
      for (const card of cards) card.hidden = !matches(query, card.dataset.words);
      const shown = cards.filter((card) => !card.hidden).length;
      const all = `${cards.length} ${cards.length === 1 ? "prompt" : "prompts"}`;
      document.getElementById("count").textContent = shown === cards.length ? all : `${shown} of ${all}`;
    };
    document.getElementById("search").addEventListener("submit", (event) => event.preventDefault());
    box.addEventListener("input", update);
    update();
  }

  return { matches, start };
})();

if (typeof module !== "undefined") module.exports = reportgen.filter;
if (typeof document !== "undefined") reportgen.filter.start();
