// Elements, tokens and sentences, and what the tooltip says of a cell.
globalThis.reportgen ??= {};

reportgen.text = (() => {
  "use strict";

  const { words } = reportgen;

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name === "style") for (const [key, given] of Object.entries(value)) made.style.setProperty(key, given);
      else made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  /** A token. */
  const tok = (shown) => element("bdi", { class: "tok" }, shown);

  /** A token, and where it stands. */
  const tokAt = (shown, place) => [tok(shown), element("sub", {}, String(place))];

  /** A bar as long as a share of the largest, of the kind that its class names. */
  const bar = (share, kind = "") =>
    element("span", { class: `bar-line ${kind}`.trim(), style: { "--share": Math.min(1, Math.abs(share) || 0) } });

  /** The class of a number by its sign; none where it is printed as 0. */
  const signOf = (said) => (said.startsWith("−") ? "against" : said.startsWith("+") ? "for" : "");

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

  /** Put a sentence of parts, as the page's data have them, into an element: heads and tokens in it select. */
  function say(place, parts, { selects = true } = {}) {
    place.replaceChildren(...parts.flatMap((part) => partOf(part, selects)));
  }

  function partOf(part, selects) {
    if (typeof part === "string") return part;
    const [kind, first, second, marked] = part;
    if (kind === "head" && !selects) return `L${first} H${second}`;
    if (kind === "head") {
      const attributes = { type: "button", class: "chip", "data-layer": first, "data-head": second };
      return element("button", attributes, `L${first} H${second}`);
    }
    if (kind === "token") {
      const place = marked ? [element("sub", {}, String(second))] : [];
      if (second === null || !selects) return [tok(first), ...place];
      return element("span", { class: "tok", "data-key": second }, element("bdi", {}, first), ...place);
    }
    return element("strong", {}, first);
  }

  /** A sentence of parts as plain text. */
  const plain = (parts) =>
    parts
      .map((part) => (typeof part === "string" ? part : part[0] === "head" ? `L${part[1]} H${part[2]}` : part[1]))
      .join("");

  /** The prediction of the token after a position, `{raw, filtered}`, or null where nothing follows. */
  function predictionAfter(queryPos, { content, bounds }) {
    const step = reportgen.state.stepOf(queryPos, bounds);
    if (step !== null) return content.steps[step];
    const raw = content.prompt_predictions[queryPos];
    return raw ? { raw, filtered: null } : null;
  }

  /** What the tooltip says of a cell: `name` of what it is of, the token that reads, the one read, and `lines`. */
  function describeCell({ name, queryPos, keyPos, lines }, scene) {
    const units = words.units(scene);
    const said = (what, position) => {
      const unit = units.of(position);
      return [`${what} `, element("b", {}, element("bdi", {}, units.shown(unit))), ` at ${units.place(unit)}\n`];
    };
    return [
      ...(name ? [`${name}\n`] : []),
      ...(queryPos === undefined ? [] : said("from", queryPos)),
      ...(keyPos == null ? [] : said("reads", keyPos)),
      ...nodesOf(lines.join("\n")),
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

  return {
    element,
    tok,
    tokAt,
    bar,
    signOf,
    quote,
    nodesOf,
    write,
    say,
    plain,
    predictionAfter,
    describeCell,
    drawTooltip,
  };
})();
