// What a comparison lists beside its figures: the selection in words, next tokens, scores, the row of the selected head.
globalThis.reportgen ??= {};

reportgen.lists = (() => {
  "use strict";

  const { kinds, numbers, pair, scores, state: states, text } = reportgen;
  const { element, tok, bar } = text;
  const byId = (id) => document.getElementById(id);

  const SCALES = {
    sqrt: "0 · .1 · .5 · 1 (square root)",
    linear: "0 · .25 · .5 · .75 · 1 (linear)",
    log: "≤.0001 · .001 · .01 · .1 · 1 (logarithmic)",
  };

  const tokensOf = (sides) =>
    sides.map(({ full: { content, state } }) => [content.tokens[state.queryPos][1], state.queryPos]);

  /** Tokens that read: one where they look alike. */
  function nameQueries(sides) {
    const named = tokensOf(sides);
    const alike = named[0][0] === named[1][0];
    return (alike ? named.slice(0, 1) : named).flatMap(([shown], i) => [...(i ? [" | "] : []), tok(shown)]);
  }

  /** The selection in words, for captions and citations. */
  function sayPlace({ layer, head }, sides) {
    const [first, second] = tokensOf(sides).map(([shown, position], i) => `“${shown}” at ${position} in ${"AB"[i]}`);
    return `layer ${layer}, head ${head}, reading from ${first} and ${second}`;
  }

  /** Titles, controls and the list of heads. */
  function drawNames(state, sides, bounds) {
    const name = `L${state.layer} H${state.head}`;
    byId("head-name").textContent = `${name} ▾`;
    byId("query-name").replaceChildren(...nameQueries(sides));
    for (const place of document.querySelectorAll("[data-name]")) place.textContent = name;
    for (const row of document.querySelectorAll("[data-row]"))
      row.classList.toggle("chosen", row.dataset.row === `${state.layer} ${state.head}`);
    byId("scale").value = state.scale;
    byId("first").value = states.firstOf(state);
    byId("linked").checked = state.linked;
    byId("whole").hidden = state.range === null;
    byId("stand-in").textContent = sides
      .map((_, i) => pair.sayStandIn(state, i, bounds))
      .filter(Boolean)
      .join(" ");
    document.querySelector('[data-legend="weight"] small').textContent = SCALES[state.scale];
    const said = sides.map(({ full: { content, state: own } }) =>
      kinds.describeHead(content, own.layer, own.head).join(" · "),
    );
    byId("head-kind").textContent =
      said[0] === said[1] ? said[0] && `· ${said[0]}` : `· A: ${said[0] || "–"}; B: ${said[1] || "–"}`;
  }

  /** The tokens that could follow: after the prompts, or after the generated tokens that read. */
  function drawNext(sides, next) {
    if (!next.length) return;
    const found = sides
      .map(({ full: { state, bounds } }) => states.stepOf(state.queryPos, bounds))
      .find((step) => step !== null);
    const step = found ?? 0;
    byId("next-of").textContent = step ? `token ${step + 1} of ${next.length}` : "after the prompts";
    byId("next-rows").replaceChildren(
      ...next[step].map(([shown, shares, probs]) =>
        element(
          "tr",
          {},
          element("td", {}, bar(shares[0], "side-a")),
          element("td", { class: "number" }, probs[0]),
          element("td", {}, tok(shown)),
          element("td", { class: "number" }, probs[1]),
          element("td", {}, bar(shares[1], "side-b")),
        ),
      ),
    );
  }

  /** Scores of the selected head on both sides. */
  function drawScores(sides, known) {
    for (const line of document.querySelectorAll("[data-score]")) {
      const kind = known.find(({ name }) => name === line.dataset.score);
      const values = sides.map(({ full: { content, state } }) =>
        scores.scoreOf(content, kind.name, state.layer, state.head),
      );
      const gap = values.includes(null) ? null : values[0] - values[1];
      const shown = [
        ...values.map((value) => scores.format(value, kind)),
        numbers.formatSigned(gap, kind.is_share ? 3 : 1),
      ];
      shown.forEach((value, i) => {
        line.cells[i + 1].textContent = value;
      });
    }
  }

  return { sayPlace, drawNames, drawNext, drawScores };
})();
