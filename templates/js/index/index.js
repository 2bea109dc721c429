// The index: filters and sorts its cards, and makes those that do not stand in the page as the reader comes to them.
globalThis.reportgen ??= {};

reportgen.index = (() => {
  "use strict";

  const { payload, listing, address, keys, theme } = reportgen;
  const byId = (id) => document.getElementById(id);
  const AT_ONCE = 60;
  const CONTROLS = { words: "filter", tag: "tag", model: "model", sort: "sort" };

  /**
   * What makes the element of a page by its number, and keeps it: its card or its row of the table.
   * @param {string[]} html of all rows, then of the cards that do not stand in the page
   */
  function makeMaker(numCards, html) {
    const made = { cards: [...byId("cards").children], table: [] };
    const pictures = byId("block-pictures").textContent.split("\n");
    const first = made.cards.length;

    function make(view, i) {
      const holder = document.createElement("template");
      holder.innerHTML = html[view === "table" ? i : numCards + i - first];
      const element = holder.content.firstElementChild;
      for (const image of element.getElementsByTagName("img")) image.src = pictures[i - first];
      return element;
    }

    return (view, i) => {
      made[view][i] ??= make(view, i);
      return made[view][i];
    };
  }

  function makeIndex(cards, html) {
    const elementOf = makeMaker(cards.length, html);
    const failures = [...byId("failures").children];
    /** The two that are to be compared, by number. */
    const ticked = new Set();
    let choice = listing.parse(location.hash);
    let chosen = [];

    const list = () => byId(choice.view === "table" ? "rows" : "cards");
    /** What of each page in the list the keyboard goes to. */
    const stops = () => [...list().children].map((one) => one.querySelector("a"));

    /** Put so many more of the chosen pages into the list. */
    function grow() {
      const from = list().children.length;
      list().append(...chosen.slice(from, from + AT_ONCE).map((i) => elementOf(choice.view, i)));
      drawTicks();
      const left = chosen.length - list().children.length;
      byId("more").hidden = left <= 0;
      byId("more").textContent = `Show ${Math.min(left, AT_ONCE)} more of ${left.toLocaleString("en")}`;
    }

    /** Tick the boxes of the two in the list, and let them be compared. */
    function drawTicks() {
      for (const [at, one] of [...list().children].entries()) {
        const box = one.querySelector("input");
        if (box) box.checked = ticked.has(chosen[at]);
      }
      byId("compare").disabled = ticked.size !== 2;
    }

    /** Show the failures that are asked for, in their own order. @returns {number} how many these are */
    function drawFailures() {
      for (const one of failures) {
        const card = { words: one.textContent.toLowerCase(), model: one.dataset.model };
        one.hidden = !listing.matches(card, choice);
      }
      const shown = failures.filter(({ hidden }) => !hidden).length;
      byId("failed").hidden = shown === 0;
      byId("failed-title").textContent = `${shown.toLocaleString("en")} failed`;
      return shown;
    }

    function drawControls() {
      for (const [name, id] of Object.entries(CONTROLS)) {
        const control = byId(id);
        if (!control || control.value.trim() === choice[name].trim()) continue;
        control.value = choice[name];
        if (control.value !== choice[name]) control.add(new Option(choice[name], choice[name], true, true));
      }
      byId("reverse").setAttribute("aria-pressed", String(choice.reverse));
      byId(`view-${choice.view}`).checked = true;
      for (const column of document.querySelectorAll("[data-column]")) {
        const order = choice.reverse ? "descending" : "ascending";
        column.setAttribute("aria-sort", column.dataset.column === choice.sort ? order : "none");
      }
    }

    function draw() {
      chosen = listing.choose(cards, choice);
      byId("cards").hidden = choice.view === "table";
      byId("table").hidden = choice.view !== "table" || !chosen.length;
      list().replaceChildren();
      grow();
      drawControls();
      byId("count").textContent = listing.count(chosen.length, cards.length, failures.length);
      byId("nothing").hidden = drawFailures() + chosen.length > 0;
    }

    function choose(change, { walk = false } = {}) {
      const focus = document.activeElement;
      choice = { ...choice, ...change };
      address.write(listing.format(choice), walk);
      draw();
      if (focus.isConnected) focus.focus({ preventScroll: true });
    }

    /** Go so many pages on from the one in focus. */
    function walk(by) {
      const at = stops().findIndex((link) => link.closest("li, tr").contains(document.activeElement));
      const next = at < 0 ? 0 : at + by;
      if (next < 0) return byId("filter").focus();
      if (next >= stops().length) grow();
      stops()[next]?.focus();
    }

    /** A third page takes the place of the first. */
    function tick({ target }) {
      const i = chosen[[...list().children].indexOf(target.closest("li, tr"))];
      if (target.checked) ticked.add(i);
      else ticked.delete(i);
      const [first] = ticked;
      if (ticked.size > 2) ticked.delete(first);
      drawTicks();
      byId("command").hidden = true;
    }

    /** Open the page that compares the two, or say which command makes it. */
    function compare() {
      const slugs = [...ticked].sort((i, k) => i - k).map((i) => cards[i].slug);
      const built = listing.findComparison(cards, slugs);
      if (built) return location.assign(`${built.slug}.html`);
      byId("command").querySelector("code").textContent = `reportgen compare ${slugs.join(" ")}`;
      byId("command").hidden = false;
    }

    const KEYS = {
      "/": () => byId("filter").select(),
      j: () => walk(1),
      k: () => walk(-1),
      ArrowDown: () => walk(1),
      ArrowUp: () => walk(-1),
      s: () => choose(listing.cycleSort(choice)),
      r: () => choose({ reverse: !choice.reverse }),
      t: () => choose({ view: choice.view === "table" ? "cards" : "table" }),
    };

    function onKey(event) {
      const action = keys.actionOf(event, KEYS);
      if (!action) return;
      event.preventDefault();
      action();
    }

    function onClick({ target }) {
      const { tag, sort } = target.closest("[data-tag], [data-sort]")?.dataset ?? {};
      if (tag !== undefined) choose({ tag: tag === choice.tag ? "" : tag });
      else if (sort) choose(listing.sortBy(choice, sort));
    }

    function listen() {
      const on = (id, kind, callback) => byId(id)?.addEventListener(kind, callback);
      on("filter", "input", ({ target }) => choose({ words: target.value }, { walk: true }));
      for (const name of ["tag", "model", "sort"]) on(name, "change", ({ target }) => choose({ [name]: target.value }));
      for (const view of ["cards", "table"]) on(`view-${view}`, "change", () => choose({ view }));
      on("search", "submit", (event) => {
        event.preventDefault();
        walk(1);
      });
      on("reverse", "click", KEYS.r);
      on("compare", "click", compare);
      for (const name of ["rows", "cards"]) on(name, "change", tick);
      on("main", "click", onClick);
      on("theme", "click", theme.toggle);
      on("more", "click", () => {
        const last = stops().length;
        grow();
        stops()[last]?.focus();
      });
      // Its address would take the place of the choice.
      document.querySelector(".skip").addEventListener("click", (event) => {
        event.preventDefault();
        byId("main").tabIndex = -1;
        byId("main").focus();
      });
      document.addEventListener("keydown", onKey);
      address.onChange(() => {
        choice = listing.parse(location.hash);
        draw();
      });
      const sight = new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && grow(), {
        rootMargin: "800px",
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
    const block = (name) => byId(`block-${name}`).textContent;
    const decoded = [payload.decodeJson(block("list")), payload.decodeText(block("elements"))];
    const [cards, html] = await Promise.all(decoded);
    for (const card of cards) card.words = listing.wordsOf(card);
    const index = makeIndex(cards, html.split("\n"));
    index.draw();
    index.listen();
    document.documentElement.dataset.ready = "true";
  }

  return { open };
})();

reportgen.index.open();
