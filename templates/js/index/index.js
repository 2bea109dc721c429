// The index: filters and sorts its cards, and makes those that do not stand in the page as the reader comes to them.
globalThis.reportgen ??= {};

reportgen.index = (() => {
  "use strict";

  const { payload, listing, elements, address, keys, theme } = reportgen;
  const byId = (id) => document.getElementById(id);
  /** How far out of sight the end of the list may be and is made longer all the same. */
  const MARGIN = "800px";
  const AT_ONCE = 60;
  const CONTROLS = { words: "filter", tag: "tag", model: "model", sort: "sort" };

  const remember = (made, make) => (i) => {
    made[i] ??= make(i);
    return made[i];
  };

  /** What makes, and keeps, the element of a card by its number: a failure, a card or a row of the table. */
  function makeMakers(cards) {
    const [failures, pages] = ["failures", "cards"].map((id) => [...byId(id).children]);
    const numFailed = cards.filter(({ error }) => error !== undefined).length;
    const pictures = byId("block-pictures").textContent.split("\n");
    const columns = [...document.querySelectorAll("[data-column]")].map(({ dataset }) => dataset.column);
    const there = [];
    for (const [i, element] of pages.entries()) there[numFailed + i] = element;
    return {
      failure: remember([...failures], (i) => elements.makeFailure(cards[i])),
      cards: remember(there, (i) => elements.makeCard(cards[i], pictures[i - numFailed - pages.length])),
      table: remember([], (i) => elements.makeRow(cards[i], columns)),
    };
  }

  function makeIndex(cards) {
    const makers = makeMakers(cards);
    const failuresAtOnce = byId("failures").children.length;
    const ticked = new Set();
    let choice = listing.parse(location.hash);
    let pages = [];

    /** Where the pages of a view stand. */
    const listOf = (view) => byId(view === "table" ? "rows" : "cards");
    const elementOf = (i) => makers[choice.view](i);
    /** What of each page in the list the keyboard goes to. */
    const stops = () => [...listOf(choice.view).children].map((one) => one.querySelector("a"));

    /** Put so many more of the chosen pages into the list. */
    function grow() {
      const list = listOf(choice.view);
      const from = list.children.length;
      list.append(...pages.slice(from, from + AT_ONCE).map(elementOf));
      const left = pages.length - list.children.length;
      byId("more").hidden = left === 0;
      byId("more").textContent = `Show ${Math.min(left, AT_ONCE)} more of ${left.toLocaleString("en")}`;
    }

    function drawFailures(failures, most) {
      byId("failures").replaceChildren(...failures.slice(0, most).map(makers.failure));
      byId("failed").hidden = failures.length === 0;
      byId("failed-title").textContent = `${failures.length.toLocaleString("en")} failed`;
      byId("more-failures").hidden = failures.length <= most;
      byId("more-failures").textContent = `Show all ${failures.length.toLocaleString("en")}`;
      byId("more-failures").onclick = () => drawFailures(failures, failures.length);
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
        if (column.dataset.column !== choice.sort) column.removeAttribute("aria-sort");
        else column.setAttribute("aria-sort", choice.reverse ? "descending" : "ascending");
      }
    }

    function draw() {
      const chosen = listing.choose(cards, choice);
      const isFailure = (i) => cards[i].error !== undefined;
      pages = chosen.filter((i) => !isFailure(i));
      drawFailures(chosen.filter(isFailure), failuresAtOnce);
      byId("cards").hidden = choice.view === "table";
      byId("table").hidden = choice.view !== "table" || pages.length === 0;
      byId("compare").hidden = choice.view !== "table";
      listOf(choice.view).replaceChildren();
      grow();
      drawControls();
      byId("count").textContent = listing.count(chosen, cards);
      if (cards.length) byId("nothing").hidden = chosen.length > 0;
    }

    function choose(change, { walk = false } = {}) {
      const focus = document.activeElement;
      choice = { ...choice, ...change };
      address.write(listing.format(choice), walk);
      draw();
      if (focus.isConnected && focus !== document.activeElement) focus.focus({ preventScroll: true });
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
    function tick(row, on) {
      const i = pages[[...byId("rows").children].indexOf(row)];
      if (on) ticked.add(i);
      else ticked.delete(i);
      if (ticked.size > 2) {
        const [first] = ticked;
        ticked.delete(first);
        makers.table(first).querySelector("input").checked = false;
      }
      byId("compare").disabled = ticked.size !== 2;
    }

    /** Open the page that compares the two that are ticked, or say which command makes it. */
    function compare() {
      const slugs = [...ticked].sort((i, k) => i - k).map((i) => cards[i].slug);
      const built = listing.findComparison(cards, slugs);
      if (built) return location.assign(`${built.slug}.html`);
      byId("command-text").value = `reportgen compare ${slugs.join(" ")}`;
      byId("copy").textContent = "Copy";
      byId("command").showModal();
    }

    async function copy() {
      // What is marked can be copied by hand where the browser does not let us.
      byId("command-text").select();
      const said = await navigator.clipboard.writeText(byId("command-text").value).then(
        () => "Copied",
        () => "Press Ctrl+C",
      );
      byId("copy").textContent = said;
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
      const action = byId("command").open ? undefined : keys.actionOf(event, KEYS);
      if (!action) return;
      event.preventDefault();
      action();
    }

    function onClick({ target }) {
      const { tag, sort } = target.closest("[data-tag], [data-sort]")?.dataset ?? {};
      if (tag !== undefined) choose({ tag: tag === choice.tag ? "" : tag });
      else if (sort) choose(listing.sortBy(choice, sort));
    }

    function listenToBar() {
      byId("filter").addEventListener("input", ({ target }) => choose({ words: target.value }, { walk: true }));
      for (const name of ["tag", "model", "sort"]) {
        byId(name)?.addEventListener("change", ({ target }) => choose({ [name]: target.value }));
      }
      byId("reverse").addEventListener("click", KEYS.r);
      for (const view of ["cards", "table"]) byId(`view-${view}`).addEventListener("change", () => choose({ view }));
      byId("compare").addEventListener("click", compare);
      byId("search").addEventListener("submit", (event) => {
        event.preventDefault();
        walk(1);
      });
    }

    function listen() {
      listenToBar();
      byId("theme").addEventListener("click", theme.toggle);
      byId("main").addEventListener("click", onClick);
      byId("rows").addEventListener("change", ({ target }) => tick(target.closest("tr"), target.checked));
      byId("copy").addEventListener("click", copy);
      byId("close").addEventListener("click", () => byId("command").close());
      byId("more").addEventListener("click", () => {
        const last = stops().length;
        grow();
        stops()[last]?.focus();
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
