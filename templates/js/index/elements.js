// What stands for a card: in the list of cards as in index.html.jinja2, in the table, and among the failures.
globalThis.reportgen ??= {};

reportgen.elements = (() => {
  "use strict";

  const { element, tok } = reportgen.text;
  const hrefOf = ({ slug }) => `${slug}.html`;
  const parts = (...children) => children.filter(Boolean);

  /** A prompt and what the model answered. */
  function answered({ text = "", completion }) {
    return parts(`${text} `, completion && element("b", { class: "completion" }, completion));
  }

  /** A sentence, as `sentences.to_json` writes it. */
  function say(sentence = []) {
    return sentence.flatMap((part) => {
      if (typeof part === "string") return [part];
      const [kind, first, second, marked] = part;
      if (kind === "head") return [element("span", { class: "nowrap" }, `L${first} H${second}`)];
      if (kind === "strong") return [element("strong", {}, first)];
      return parts(tok(first), marked && element("sub", {}, String(second)));
    });
  }

  function makeFacts({ tags = [], model, shown }) {
    const buttons = tags.flatMap((tag) => [
      element("button", { type: "button", class: "link", "data-tag": tag }, element("bdi", {}, tag)),
      " · ",
    ]);
    return element("p", { class: "hint facts" }, ...buttons, element("span", {}, `${model} · ${shown.tokens} tokens`));
  }

  const makeSide = (title, i) =>
    element("span", {}, element("b", { class: "side" }, "AB"[i]), " ", element("bdi", {}, title));

  function makePrompt(card) {
    if (card.compares) return element("p", { class: "both" }, ...card.compares.flatMap((title, i) => [makeSide(title, i), " "]));
    return card.own && element("p", { class: "answered", dir: "auto" }, ...answered(card));
  }

  function makeCard(card, picture) {
    const title = card.own || card.compares ? [card.own ?? card.title] : answered(card);
    const label = card.compares && element("small", {}, "comparison");
    const head = element("h2", { dir: "auto" }, element("a", { href: hrefOf(card) }, ...title), ...parts(label && " ", label));
    const said = element("p", { class: "said" }, ...say(card.said));
    const body = element("div", {}, ...parts(head, makePrompt(card), said, makeFacts(card)));
    const image = picture && element("img", { src: picture, width: 78, height: 104, alt: "" });
    return element("li", { class: "card" }, ...parts(image, body));
  }

  function makeFailure({ title, place, error, earlier }) {
    const kept = earlier && [" ", element("a", { href: earlier }, "The page of an earlier run"), " is kept."];
    return element(
      "li",
      {},
      element("b", { dir: "auto" }, title),
      " ",
      ...(place ? [element("code", {}, place), " "] : []),
      element("span", { class: "reason" }, error),
      ...(kept || []),
    );
  }

  /** What a column of the table shows of a card. */
  const CELLS = {
    title: (card) => [element("a", { href: hrefOf(card), dir: "auto" }, card.title)],
    text: (card) => (card.compares ? card.compares.flatMap((title, i) => [makeSide(title, i), " "]) : answered(card)),
    through: ({ through }) => parts(through && tok(through)),
  };

  /** @param {string[]} columns their names, in order */
  function makeRow(card, columns) {
    const box = element("input", { type: "checkbox", "aria-label": `compare ${card.title}` });
    const cells = columns.map((name) => {
      const number = card.shown[name];
      if (number !== undefined) return element("td", { class: "number" }, number);
      return element("td", { class: name }, element("div", { dir: "auto" }, ...(CELLS[name]?.(card) ?? [card[name] ?? ""])));
    });
    return element("tr", {}, element("td", {}, ...(card.compares ? [] : [box])), ...cells);
  }

  return { makeCard, makeFailure, makeRow };
})();
