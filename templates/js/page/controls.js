// The controls of a page: what each changes of the selection, and what it shows of it.
globalThis.reportgen ??= {};

reportgen.controls = (() => {
  "use strict";

  const { kinds, legends, sets, state: states, text } = reportgen;
  const byId = (id) => document.getElementById(id);
  const CHOICES = ["scale", "by", "measure", "contrast", "shading"];
  const SWITCHES = ["words", "lines", "marks"];
  const RADIOS = ["show", "layout"];

  /**
   * @param {() => object} sceneOf the scene
   * @param {(change: object, how?: object) => void} select
   * @param {(what: string, by: number) => void} go
   */
  function listen(sceneOf, select, go) {
    const on = (id, event, callback) => byId(id)?.addEventListener(event, callback);
    for (const button of document.querySelectorAll("[data-move]"))
      button.addEventListener("click", () => go(button.dataset.move, Number(button.dataset.by)));
    for (const name of CHOICES) on(name, "change", ({ target }) => select(choose(name, target.value)));
    for (const name of SWITCHES) on(name, "change", ({ target }) => select({ [name]: target.checked }));
    for (const name of RADIOS)
      for (const button of document.querySelectorAll(`[name=${name}]`))
        button.addEventListener("change", ({ target }) => select({ [name]: target.value }));
    for (const button of document.querySelectorAll("[data-all]"))
      button.addEventListener("click", () => select(states.toggleAll(sceneOf().state, button.dataset.all)));
    on("first", "change", ({ target }) => select(states.FIRST[target.value]));
    on("range", "change", ({ target }) => takeRange(target, sceneOf(), select));
    on("pin", "click", () => select(states.pin(sceneOf().state)));
    on("unpin", "click", () => select({ pin: null }));
    on("way", "change", () => takeSet(sceneOf(), select));
    on("over", "submit", (event) => {
      event.preventDefault();
      takeSet(sceneOf(), select);
    });
    for (const form of document.querySelectorAll("#controls, #view, #save"))
      form.addEventListener("submit", (event) => event.preventDefault());
  }

  /** What is chosen for whole heads' effects holds for the figure of all heads too. */
  const choose = (name, value) => (name === "contrast" ? { contrast: value, measure: value } : { [name]: value });

  /** A range of tokens: taken where it can be read, told otherwise. */
  function takeRange(field, { bounds }, select) {
    const range = states.parseRange(field.value, bounds);
    const isRead = range !== null || field.value.trim() === "";
    field.setAttribute("aria-invalid", String(!isRead));
    byId("range-error").textContent = isRead
      ? ""
      : `“${field.value}” is no range of these tokens; write from–to, such as 0–${Math.min(9, bounds.numTokens - 1)}.`;
    if (isRead) select({ range });
  }

  /** The set of heads that are put together: taken where it can be read, told otherwise. */
  function takeSet({ bounds }, select) {
    const fields = [byId("over-layers"), byId("over-heads")];
    const written = [byId("way").value, ...fields.map((field) => field.value || "all")].join(":");
    const over = sets.parse(written, bounds);
    byId("over-error").textContent = over
      ? ""
      : `No head is in “${fields.map(({ value }) => value).join("” and “")}”; write this, all, or numbers from 0 to ${bounds.layers.at(-1)} and ${bounds.heads.at(-1)}, such as 0-4,7.`;
    if (over) select({ over });
  }

  /** Show the selection in controls, titles and contents. */
  function draw({ state, bounds, content, palette, diverging }) {
    for (const name of CHOICES) if (byId(name)) byId(name).value = state[name];
    for (const name of SWITCHES) byId(name).checked = state[name];
    for (const name of RADIOS)
      for (const button of document.querySelectorAll(`[name=${name}]`)) button.checked = button.value === state[name];
    // Where every token is a word there is nothing to choose.
    byId("words").parentElement.hidden = content.words.length === content.tokens.length;
    byId("first").value = states.firstOf(state);
    if (document.activeElement !== byId("range")) byId("range").value = state.range ? state.range.join("–") : "";
    for (const button of document.querySelectorAll('[data-all="columns"]'))
      button.textContent = state.all.includes("columns") ? "show fewer columns" : "show all columns";
    drawNames(state, bounds, content);
    legends.draw({ weight: palette, effect: diverging }, state.scale);
    drawPin(state);
    const { way, layers, heads } = state.over;
    Object.assign(byId("way"), { value: way });
    Object.assign(byId("over-layers"), { value: layers });
    Object.assign(byId("over-heads"), { value: heads });
  }

  function drawNames(state, bounds, content) {
    const { layer, head, queryPos, step } = state;
    const name = `L${layer} H${head}`;
    byId("head-name").textContent = `${name} ▾`;
    byId("query-name").replaceChildren(...text.tokAt(content.tokens[queryPos][1], queryPos));
    const forStep = states.readsForStep(state, bounds);
    byId("query-says").textContent = forStep ? "predicting from" : "reading at";
    if (byId("step-name")) byId("step-name").textContent = `${step + 1} of ${states.numSteps(bounds)}`;
    const when = forStep
      ? ["when it predicts ", text.tok(content.tokens[queryPos + 1][1])]
      : ["at ", ...text.tokAt(content.tokens[queryPos][1], queryPos)];
    for (const place of document.querySelectorAll("[data-name]")) {
      const said = { layer: [capital(kinds.nameLayer(content, layer))], head: [`Head ${head}`], both: [name], when };
      place.replaceChildren(
        ...said[place.dataset.name].map((node) => (typeof node === "string" ? node : node.cloneNode(true))),
      );
    }
    const divided =
      state.renormalised && state.show !== "attribution"
        ? " The first token is left out, rows are divided by the rest."
        : "";
    const rows =
      state.show === "attribution"
        ? "Effect through each token on the token written, in logits; rows of tokens behind the prompt alone."
        : "One row a token that reads, one column a token read.";
    byId("head-hint").textContent = `${rows}${divided}`;
    if (byId("chosen-name")) byId("chosen-name").textContent = name;
    if (byId("over-prompts")) pointTo(byId("over-prompts"), { layer, head });
  }

  /** Let the link to the page of all heads lead to the selected one. */
  function pointTo(link, { layer, head }) {
    const [file, hash] = link.getAttribute("href").split("#");
    const given = new URLSearchParams(hash);
    given.set("layer", layer);
    given.set("head", head);
    link.setAttribute("href", `${file}#${given}`);
  }

  const capital = (said) => said.charAt(0).toUpperCase() + said.slice(1);

  function drawPin({ layer, head, pin }) {
    const isPinned = pin?.[0] === layer && pin[1] === head;
    byId("pin").setAttribute("aria-pressed", String(isPinned));
    byId("pin").textContent = isPinned ? "Select another head" : "Compare with another head";
    byId("pinned").hidden = byId("less").hidden = pin === null;
    document.querySelector(".heads").classList.toggle("pinned", pin !== null);
    if (pin === null) return;
    const [chosen, pinned] = [`L${layer} H${head}`, `L${pin[0]} H${pin[1]}`];
    byId("pinned-name").textContent = pinned;
    byId("difference-name").textContent = isPinned ? "Select another head to compare" : `${chosen} − ${pinned}`;
  }

  return { listen, draw };
})();
