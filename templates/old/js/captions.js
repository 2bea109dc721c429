// What the controls and the titles say of the selection.
globalThis.reportgen ??= {};

reportgen.captions = (() => {
  "use strict";

  const { kinds, sets, shows, state: states, text } = reportgen;
  const byId = (id) => document.getElementById(id);

  /** What a row of a heatmap is, and what its colours mean, by what is shown. */
  const HINTS = {
    weight: "a row is one query",
    weighted: "what the head writes from each key, as a share of its row",
    attribution:
      "what the head wrote from each key towards the token that the step chose, in logits; rows of steps alone",
  };

  function draw({ state, bounds, content }) {
    drawControls(state, content);
    byId("aggregate-name").textContent = sets.name(state.over, bounds, state);
    drawNames(state, content);
    const step = states.stepOf(state.queryPos, bounds);
    if (!byId("generation-of")) return;
    if (step === null) byId("generation-of").textContent = "the selected query is not a step; the buttons lead to one";
    else {
      const chosen = text.quote(content.tokens[state.queryPos + 1][1]);
      const where = `step ${step} of ${states.numSteps(bounds)}`;
      text.write(byId("generation-of"), `${where}: which context the choice of ${chosen} could read`);
    }
  }

  function sentence(parts) {
    const text = parts.join(" · ");
    return text.charAt(0).toUpperCase() + text.slice(1);
  }

  function drawControls(state, content) {
    const { queryPos } = state;
    byId("layer").value = state.layer;
    byId("head").value = state.head;
    byId("query").value = queryPos;
    byId("query").setAttribute("aria-valuetext", `position ${queryPos}, ${content.tokens[queryPos][1]}`);
    byId("scale").value = state.scale;
    byId("first").value = states.firstOf(state);
    for (const name of ["words", "lines", "marks"]) byId(name).checked = state[name];
    // Where every token is a word there is nothing to choose.
    byId("words").parentElement.hidden = content.words.length === content.tokens.length;
    drawPin(state);
    drawSet(state.over);
    if (document.activeElement !== byId("range")) byId("range").value = state.range ? state.range.join("–") : "";
    byId("by").value = state.by;
    if (byId("measure")) byId("measure").value = state.measure;
    for (const button of document.querySelectorAll("[name=show]")) button.checked = button.value === state.show;
  }

  function drawPin({ layer, head, pin }) {
    const isPinned = pin?.[0] === layer && pin[1] === head;
    byId("pin").setAttribute("aria-pressed", String(isPinned));
    byId("pin").textContent = isPinned ? "Pinned" : "Pin";
    byId("pinned").hidden = pin === null;
    if (pin === null) return;
    const [chosen, pinned] = [`L${layer} H${head}`, `L${pin[0]} H${pin[1]}`];
    byId("pinned-name").textContent = chosen;
    byId("pinned-beside").textContent = pinned;
    byId("pinned-head").textContent = pinned;
    byId("difference-of").textContent = isPinned ? "Choose another head to compare" : `${chosen} less ${pinned}`;
  }

  function drawSet({ way, layers, heads }) {
    byId("way").value = way;
    byId("over-layers").value = layers;
    byId("over-heads").value = heads;
  }

  function drawNames({ layer, head, show, renormalised }, content) {
    byId("head-name").textContent = `L${layer} H${head}`;
    byId("head-kind").textContent = sentence(kinds.describeHead(content, layer, head));
    byId("layer-name").textContent = kinds.nameLayer(content, layer);
    byId("head-number").textContent = `Head ${head}`;
    for (const name of document.querySelectorAll("[data-name]")) {
      name.textContent = name.dataset.name === "layer" ? kinds.nameLayer(content, layer) : head;
    }
    byId("head-shown").textContent = shows.KINDS[show].title;
    const divided = renormalised && show !== "attribution" ? ", without the first token, divided by the rest" : "";
    byId("head-hint").textContent = `${HINTS[show]}${divided}`;
    byId("strip-shown").textContent = shows.KINDS[show].title.toLowerCase();
    document.documentElement.dataset.show = show;
    const hides = kinds.firstKey(kinds.kindOf(content, layer), content.tokens.length - 1) > 0;
    document.documentElement.toggleAttribute("data-hides", hides);
  }

  return { draw, drawNames };
})();
