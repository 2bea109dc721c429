// The index: filters and sorts its cards, and makes those that do not stand in the page as the reader comes to them.
globalThis.reportgen ??= {};

reportgen.index = (() => {
  "use strict";

  const { payload, listing, address, keys } = reportgen;
  const byId = (id) => document.getElementById(id);
  /** How far out of sight the end of the list may be and is made longer all the same. */
  const MARGIN = "800px";

  /** An element for each card: the ones of the page, and those that were made since. */
  function makeElements(cards) {
    const made = [...byId("cards").children];
    const pictures = byId("block-pictures").textContent.split("\n");
    const first = made.length;

    function make(card, picture) {
      const kind = card.error === undefined ? "page-card" : "failure-card";
      const element = byId(kind).content.firstElementChild.cloneNode(true);
      const part = (selector) => element.querySelector(selector);
      part(".hint").textContent = card.facts;
      if (card.error !== undefined) {
        part("h2").textContent = card.title;
        part(".error").textContent = card.error;
        if (card.earlier_page) part(".error").before(makeEarlier(card.earlier_page));
        return element;
      }
      part("a").textContent = card.title;
      part("a").setAttribute("href", card.href);
      part("img").src = picture;
      part(".excerpt").textContent = card.text ?? "";
      part(".tags").append(...(card.tags ?? []).flatMap((tag) => [makeTag(tag), " "]));
      return element;
    }

    return (i) => {
      made[i] ??= make(cards[i], pictures[i - first]);
      return made[i];
    };
  }

  /** A line that leads to what an earlier run made of a prompt that failed. */
  function makeEarlier(href) {
    const [line, link] = ["p", "a"].map((name) => document.createElement(name));
    line.className = "earlier";
    link.textContent = "The page of an earlier run";
    link.setAttribute("href", href);
    line.append(link, " is kept.");
    return line;
  }

  function makeTag(tag) {
    const element = document.createElement("span");
    element.className = "tag";
    element.textContent = tag;
    return element;
  }

  function makeIndex(cards) {
    const elementOf = makeElements(cards);
    const list = byId("cards");
    const atOnce = Math.max(1, list.children.length);
    let choice = listing.parse(location.hash);
    let chosen = [];

    /** Put so many more of the chosen cards on the page. */
    function grow() {
      const from = list.children.length;
      list.append(...chosen.slice(from, from + atOnce).map(elementOf));
      const left = chosen.length - list.children.length;
      byId("more").hidden = left === 0;
      byId("more").textContent = `Show ${Math.min(left, atOnce)} more of ${left.toLocaleString("en")}`;
    }

    function draw() {
      chosen = listing.choose(cards, choice);
      list.replaceChildren();
      grow();
      if (byId("filter").value.trim() !== choice.words.trim()) byId("filter").value = choice.words;
      byId("sort").value = choice.sort;
      byId("reverse").setAttribute("aria-pressed", String(choice.reverse));
      if (byId("failed")) byId("failed").checked = choice.failed;
      byId("count").textContent = listing.count(chosen.length, cards);
      if (cards.length) byId("nothing").hidden = chosen.length > 0;
    }

    function choose(change, { walk = false } = {}) {
      choice = { ...choice, ...change };
      address.write(listing.format(choice), walk);
      draw();
    }

    /** What of a card the keyboard goes to: its link, or the failure itself. */
    const stopOf = (card) => card.querySelector("a") ?? card;

    /** Go so many cards on from the one in focus. */
    function walk(by) {
      const all = [...list.children];
      const at = all.findIndex((card) => card.contains(document.activeElement));
      const next = at < 0 ? 0 : at + by;
      if (next < 0) return byId("filter").focus();
      if (next >= all.length) grow();
      const card = list.children[next];
      if (card) stopOf(card).focus();
    }

    const KEYS = {
      "/": () => byId("filter").select(),
      j: () => walk(1),
      k: () => walk(-1),
      ArrowDown: () => walk(1),
      ArrowUp: () => walk(-1),
      s: () => choose(listing.cycleSort(choice)),
      r: () => choose({ reverse: !choice.reverse }),
    };

    function onKey(event) {
      const action = keys.actionOf(event, KEYS);
      if (!action) return;
      event.preventDefault();
      action();
    }

    function listen() {
      byId("filter").addEventListener("input", ({ target }) => choose({ words: target.value }, { walk: true }));
      byId("sort").addEventListener("change", ({ target }) => choose({ sort: target.value }));
      byId("reverse").addEventListener("click", () => choose({ reverse: !choice.reverse }));
      byId("failed")?.addEventListener("change", ({ target }) => choose({ failed: target.checked }));
      byId("search").addEventListener("submit", (event) => {
        event.preventDefault();
        walk(1);
      });
      byId("more").addEventListener("click", () => {
        const last = list.children.length;
        grow();
        if (list.children[last]) stopOf(list.children[last]).focus();
      });
      document.addEventListener("keydown", onKey);
      address.onChange(() => {
        choice = listing.parse(location.hash);
        draw();
      });
      const sight = new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && grow(), {
        rootMargin: MARGIN,
      });
      sight.observe(byId("more"));
    }

    return { draw, listen };
  }

  /** The blocks stand last in the file: wait until all of it has been read. */
  async function open() {
    if (document.readyState === "loading") {
      await new Promise((done) => document.addEventListener("DOMContentLoaded", done, { once: true }));
    }
    const cards = await payload.decodeJson(byId("block-list").textContent);
    for (const card of cards) card.words = listing.wordsOf(card);
    const index = makeIndex(cards);
    index.draw();
    index.listen();
    document.documentElement.dataset.ready = "true";
  }

  return { open };
})();

reportgen.index.open();
