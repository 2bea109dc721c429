// The parts of a page that are text: the strip, the sentence, the tables beside the figures and the tooltip.
globalThis.reportgen ??= {};

reportgen.text = (() => {
  "use strict";

  const { kinds, pattern, scale, words } = reportgen;
  /** Most alternatives that a prediction lists. */
  const ALTERNATIVES = 10;

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "style") for (const [key, given] of Object.entries(value)) made.style.setProperty(key, given);
      else made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  function tokenCode(shown) {
    return element("code", {}, element("bdi", {}, shown));
  }

  /** A token in a sentence: isolated, so that its direction moves nothing around it. No token shows these characters. */
  const quote = (shown) => `“\u2068${shown}\u2069”`;

  /** The nodes of a sentence; what is isolated in it stands in an element of its own. */
  function nodesOf(sentence) {
    return sentence.split(/\u2068(.*?)\u2069/s).map((part, i) => (i % 2 ? element("bdi", {}, part) : part));
  }

  /** Put a sentence into an element. */
  function write(place, sentence) {
    place.replaceChildren(...nodesOf(sentence));
  }

  /** The prediction of the token after a query, `{raw, filtered}`, or null where nothing follows. */
  function predictionAfter(queryPos, { content, bounds }) {
    const step = reportgen.state.stepOf(queryPos, bounds);
    if (step !== null) return content.steps[step];
    const raw = content.prompt_predictions[queryPos];
    return raw ? { raw, filtered: null } : null;
  }

  /** Shade every token by a value of the selected query: a share, or one with a sign, as far as the strongest is. */
  function drawStrip(strip, scene, row, signed) {
    const { state, bounds, content } = scene;
    const units = words.units(scene);
    const query = units.of(state.queryPos);
    const shown = units.seesFirst(state) ? row : row.subarray(1);
    const high = (signed && pattern.largest(shown)) || 1;
    document.getElementById("strip-range").textContent = signed
      ? `, up to ${scale.formatSigned(high).slice(1)} logits`
      : "";
    const first = kinds.firstKey(kinds.kindOf(content, state.layer), state.queryPos);
    const selected = strip.querySelector('[aria-pressed="true"]');
    for (const token of strip.querySelectorAll(".token")) {
      const position = Number(token.dataset.position);
      const unit = units.of(position);
      const seen = unit <= query && (unit > 0 || units.seesFirst(state));
      const value = seen && !Number.isNaN(row[unit]) ? row[unit] : 0;
      const weight = Math.sqrt(Math.abs(value) / high).toFixed(2);
      token.classList.toggle("against", value < 0);
      token.classList.toggle("outside", position < first);
      // Most weights are near 0 and stay so; a style that is set anew costs time even where it is the same.
      if (token.style.getPropertyValue("--weight") !== weight) token.style.setProperty("--weight", weight);
      token.classList.toggle("next", position === state.queryPos + 1 && position < bounds.numTokens);
    }
    const chosen = strip.querySelector(`[data-position="${state.queryPos}"]`);
    if (chosen === selected) return;
    for (const [token, pressed] of [
      [selected, false],
      [chosen, true],
    ]) {
      token?.setAttribute("aria-pressed", String(pressed));
      if (token) token.tabIndex = pressed ? 0 : -1;
    }
    reveal(strip, chosen);
  }

  /** Scroll a box, and nothing around it, until a child is in view. */
  function reveal(box, child) {
    const top = child.offsetTop;
    if (top < box.scrollTop) box.scrollTop = top - 8;
    else if (top + child.offsetHeight > box.scrollTop + box.clientHeight) {
      box.scrollTop = top + child.offsetHeight - box.clientHeight + 8;
    }
  }

  function drawSentence(paragraph, scene) {
    const { state, bounds, content } = scene;
    const quoteAt = (position) => quote(content.tokens[position][1]);
    const step = reportgen.state.stepOf(state.queryPos, bounds);
    const where = `Query ${quoteAt(state.queryPos)} at position ${state.queryPos}`;
    const prediction = predictionAfter(state.queryPos, scene);
    if (!prediction) {
      write(paragraph, `${where}, the last token: nothing follows.`);
      return;
    }
    const { raw } = prediction;
    const what = step === null ? "The text goes on" : `Step ${step} chose`;
    const link = step === null ? " with" : "";
    const [, guess, guessLogprob] = raw.alternatives[0];
    const rest =
      raw.rank === 1
        ? "the model's first choice"
        : `the model's choice number ${raw.rank}; its first is ${quote(guess)}, ${scale.formatPercent(guessLogprob)}`;
    const chosen = `${quoteAt(state.queryPos + 1)}, ${scale.formatPercent(raw.logprob)}`;
    write(paragraph, `${where}. ${what}${link} ${chosen}, ${rest}.`);
  }

  function drawNext(table, caption, note, scene) {
    const { state, content, bounds } = scene;
    const prediction = predictionAfter(state.queryPos, scene);
    const step = reportgen.state.stepOf(state.queryPos, bounds);
    caption.textContent =
      step === null ? "in the prompt" : `step ${step} of ${bounds.numTokens - bounds.numPromptTokens}`;
    if (!prediction) {
      caption.textContent = "nothing follows";
      table.tBodies[0].replaceChildren();
      note.textContent = "";
      return;
    }
    const { raw, filtered } = prediction;
    const [chosenId, chosenShown] = content.tokens[state.queryPos + 1];
    const listed = raw.alternatives.some(([id]) => id === chosenId);
    const rows = listed ? raw.alternatives : [...raw.alternatives, [chosenId, chosenShown, raw.logprob]];
    const after = filtered && filteredLogprobs(filtered, chosenId);
    const differs = ([id, , logprob]) => Math.abs(Math.exp(after(id) ?? -Infinity) - Math.exp(logprob)) > 1e-4;
    const filters = filtered !== null && rows.some(differs);
    const largest = Math.max(raw.alternatives[0][2], filters ? filtered.alternatives[0][2] : -Infinity);
    table.tBodies[0].replaceChildren(
      ...rows.map(([id, shown, logprob]) =>
        nextRow(shown, [logprob, ...(filters ? [after(id)] : [])], id === chosenId, largest),
      ),
    );
    note.textContent = `Entropy ${raw.entropy.toFixed(2)} nats.${filters ? " Thin bars: after sampling filters." : ""}`;
  }

  /** Log-probability of a token after sampling filters: null where it was ruled out, undefined where it is not known. */
  function filteredLogprobs({ alternatives, logprob }, chosenId) {
    const known = new Map([...alternatives.map(([id, , value]) => [id, value]), [chosenId, logprob]]);
    // A full list leaves tokens out that have some probability; a short one names all that have any.
    const others = alternatives.length < ALTERNATIVES ? null : undefined;
    return (id) => (known.has(id) ? known.get(id) : others);
  }

  /** One token of the list; bars are as long as its log-probabilities, raw and filtered, are beside the `largest` one. */
  function nextRow(shown, logprobs, chosen, largest) {
    const share = (logprob) => ({ "--share": logprob == null ? 0 : Math.exp(logprob - largest) });
    const percent = (logprob) => (logprob === undefined ? "n/a" : scale.formatPercent(logprob));
    return element(
      "tr",
      chosen ? { class: "chosen", "aria-label": "chosen" } : {},
      element("td", {}, tokenCode(shown)),
      element(
        "td",
        {},
        ...logprobs.map((logprob, i) => element("span", { class: i ? "bar filtered" : "bar", style: share(logprob) })),
      ),
      element(
        "td",
        { class: "number" },
        ...logprobs.flatMap((logprob, i) => [...(i ? [element("br")] : []), percent(logprob)]),
      ),
    );
  }

  /** What the tooltip says of a cell: `{place, queryPos, keyPos, lines}`, or a text. */
  function describeCell(cell, scene) {
    if (typeof cell === "string") return nodesOf(cell);
    const units = words.units(scene);
    const [query, key] = [units.of(cell.queryPos), units.of(cell.keyPos)];
    const name = (unit) => element("b", {}, element("bdi", {}, units.shown(unit)));
    const place = cell.place ? [`${cell.place}\n`] : [];
    return [
      ...place,
      "query ",
      name(query),
      ` at ${units.place(query)}\nkey `,
      name(key),
      ...nodesOf(` at ${units.place(key)}\n${cell.lines.join("\n")}`),
    ];
  }

  /** Show or hide the tooltip beside the pointer, inside the window. */
  function drawTooltip(box, parts, pointer) {
    box.hidden = parts === null;
    if (parts === null) return;
    box.replaceChildren(...parts);
    const { width, height } = box.getBoundingClientRect();
    const left = pointer.x + 14 + width > innerWidth ? pointer.x - 14 - width : pointer.x + 14;
    const top = pointer.y + 14 + height > innerHeight ? pointer.y - 14 - height : pointer.y + 14;
    box.style.left = `${Math.max(4, left)}px`;
    box.style.top = `${Math.max(4, top)}px`;
  }

  return { element, tokenCode, quote, nodesOf, write, drawStrip, drawSentence, drawNext, describeCell, drawTooltip };
})();
