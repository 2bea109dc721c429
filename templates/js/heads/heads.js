// The page of all heads: a line for each head over all prompts, and what is to be said of the chosen one.
globalThis.reportgen ??= {};

reportgen.heads = (() => {
  "use strict";

  const { payload, ramps, colors, statistics, address, keys, theme } = reportgen;
  const byId = (id) => document.getElementById(id);
  const AT_ONCE = 60;
  /** Columns with more prompts have no numbers above them. */
  const MOST_NUMBERED = 40;

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
    made.append(...children);
    return made;
  }

  const nameOf = ([layer, head]) => `L${layer} H${head}`;

  /** Reads the numbers of a table once, when they are first asked for. */
  function makeReader({ tables, has_cells: hasCells }) {
    const read = new Map();

    async function decode(model, number) {
      const { tags, heads, pages } = tables[model];
      const bytes = (name) => payload.decodeBytes(byId(`block-${name}-${model}-${number}`).textContent);
      const groups = statistics.decodeStatistics(await bytes("statistics"), 1 + tags.length, heads.length);
      const cells = hasCells ? statistics.decodeCells(await bytes("cells")) : null;
      return { groups, rowOf: (head) => cells?.subarray(head * pages.length, (head + 1) * pages.length) };
    }

    return (model, number) => {
      const key = `${model} ${number}`;
      if (!read.has(key)) read.set(key, decode(model, number));
      return read.get(key);
    };
  }

  function makePage(content) {
    const { tables, kinds, has_cells: hasCells } = content;
    const readNumber = makeReader(content);
    const palettes = { plain: ramps.decode(content.palettes), signed: ramps.decode(content.diverging) };
    let choice = statistics.parse(location.hash, content);
    /** What is shown: the table, the kind, its statistics and the order of the heads. */
    let shown = null;

    /** Gather what the choice asks for. */
    async function gather() {
      const table = tables[choice.model];
      const kind = kinds.find(({ name }) => name === choice.number);
      const { groups, rowOf } = await readNumber(choice.model, choice.number);
      const tag = table.tags.indexOf(choice.tag);
      const columns = { ...groups[1 + tag] };
      const pages = [...table.pages.keys()].filter((page) => tag < 0 || table.pages[page][3].includes(tag));
      const valuesOf = (head) => (hasCells ? pages.map((page) => rowOf(head)[page]) : []);
      const places = [...table.heads.keys()];
      const counted = places.map((head) => statistics.countHolding(valuesOf(head), choice));
      columns.holds = counted.map((count, head) => (columns.count[head] && hasCells ? count : Number.NaN));
      const order = statistics.sortHeads(places.length, columns, choice, kind);
      if (choice.head === null) choice.head = order[0];
      return { table, kind, groups, columns, pages, valuesOf, order, ramp: rampOf(kind, columns) };
    }

    function rampOf({ unit }, { lowest, highest }) {
      const known = [...lowest, ...highest].filter((value) => !Number.isNaN(value));
      const most = known.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
      const name = theme.isDark() ? "dark" : "light";
      if (unit === "logits" || unit === "nats") return colors.ofEffects({ diverging: palettes.signed[name] }, most);
      return { palette: palettes.plain[name], low: 0, high: unit === "share" ? 1 : most || 1 };
    }

    const format = (value, options) => statistics.format(value, shown.kind, options);
    const linkTo = (page, head) => statistics.addressOf(shown.table.pages[page], shown.table.heads[head]);
    const titleLink = (page, head) =>
      element("a", { href: linkTo(page, head) }, element("bdi", {}, shown.table.pages[page][1]));

    /** The cells of a head, one pixel a prompt. The link follows the pointer, so that the browser's own clicks work. */
    function makeCells(head) {
      const values = shown.valuesOf(head);
      const canvas = colors.paint({ values, rows: 1, columns: values.length }, shown.ramp);
      const hidden = { "aria-hidden": true, tabindex: -1 }; // the list of prompts has the same links as text
      const link = element("a", { class: "prompt-cells", href: linkTo(shown.pages[0], head), ...hidden }, canvas);
      link.style.setProperty("--columns", String(values.length));
      /** @param {any} event */
      const point = ({ clientX }) => {
        const { left, width } = canvas.getBoundingClientRect();
        const at = Math.min(values.length - 1, Math.max(0, Math.floor(((clientX - left) / width) * values.length)));
        link.setAttribute("href", linkTo(shown.pages[at], head));
        showTooltip(canvas, clientX, `${shown.table.pages[shown.pages[at]][1]}: ${format(values[at])}`);
      };
      for (const kind of ["pointermove", "pointerdown"]) link.addEventListener(kind, point);
      link.addEventListener("pointerleave", () => {
        byId("tooltip").hidden = true;
      });
      return link;
    }

    function showTooltip(canvas, x, says) {
      const tooltip = byId("tooltip");
      tooltip.textContent = says;
      tooltip.hidden = false;
      const { bottom } = canvas.getBoundingClientRect();
      tooltip.style.left = `${Math.max(4, Math.min(x + 8, innerWidth - tooltip.offsetWidth - 4))}px`;
      tooltip.style.top = `${bottom + 6}px`;
    }

    function makeRow(head) {
      const { columns, table } = shown;
      const cell = (text, kind = "number") => element("td", { class: kind }, text);
      const extreme = (name) => {
        const value = columns[name][head];
        const says = Number.isNaN(value)
          ? "n/a"
          : element("a", { href: linkTo(columns[`${name}Page`][head], head) }, format(value));
        return cell(says, "number extreme");
      };
      const button = element("button", { type: "button", class: "chip", "data-head": head }, nameOf(table.heads[head]));
      const holding = Number.isNaN(columns.holds[head]) ? "" : `${columns.holds[head]} of ${columns.count[head]}`;
      return element(
        "tr",
        { "data-head": head, class: head === choice.head ? "chosen" : "" },
        element("th", { scope: "row" }, button),
        cell(format(columns.mean[head])),
        cell(format(columns.deviation[head], { signed: false })),
        cell(columns.count[head].toLocaleString("en")),
        extreme("lowest"),
        extreme("highest"),
        ...(hasCells ? [cell(holding), element("td", { class: "across" }, makeCells(head))] : []),
      );
    }

    /** Put so many more heads into the table. */
    function grow() {
      const rows = byId("rows");
      const from = rows.children.length;
      rows.append(...shown.order.slice(from, from + AT_ONCE).map(makeRow));
      const left = shown.order.length - rows.children.length;
      byId("more").hidden = left <= 0;
      byId("more").textContent = `Show ${Math.min(left, AT_ONCE)} more of ${left.toLocaleString("en")}`;
    }

    function drawControls() {
      const { table, kind } = shown;
      for (const [id, value] of Object.entries({
        model: choice.model,
        number: choice.number,
        tag: choice.tag,
        side: choice.side,
        bound: choice.bound,
      }))
        if (byId(id) && document.activeElement !== byId(id)) byId(id).value = String(value);
      for (const option of byId("number").options)
        option.hidden = option.disabled = !table.numbers.includes(option.value);
      if (byId("tag"))
        for (const option of byId("tag").options)
          option.hidden = option.disabled = option.value !== "" && !table.tags.includes(option.value);
      for (const column of document.querySelectorAll("[data-column]")) {
        const sorted = column.dataset.column === choice.sort;
        const falls = choice.sort !== "head" && !kind.lowest_first !== choice.reverse;
        column.setAttribute("aria-sort", sorted ? (falls ? "descending" : "ascending") : "none");
      }
      const signed = ["logits", "nats"].includes(kind.unit);
      byId("legend-plain").hidden = signed;
      byId("legend-signed").hidden = !signed;
      const { low, high } = shown.ramp;
      const between = signed ? `${format(low)} · 0` : "0";
      byId("scale").textContent = kind.unit === "share" ? "0 · 1" : `${between} · ${format(high)} ${kind.unit}`;
      byId("definition").replaceChildren(
        element("strong", {}, `${kind.title}.`),
        ` ${kind.definition} `,
        element("span", { class: "hint" }, kind.source),
      );
      drawColumns();
    }

    /** What the heads are counted for, and the number of each prompt above its cells, where there is room for it. */
    function drawColumns() {
      if (!hasCells) return;
      document.querySelector('[data-sort="holds"]').textContent =
        `${choice.side === "below" ? "<" : ">"} ${choice.bound} on`;
      const numbered = shown.pages.length > MOST_NUMBERED ? [] : shown.pages;
      byId("columns").style.setProperty("--columns", String(shown.pages.length));
      byId("columns").replaceChildren(...numbered.map((page) => element("span", {}, String(page + 1))));
    }

    /** What is said of the chosen head. */
    function drawChosen() {
      const { table, kind, columns, pages } = shown;
      const { head } = choice;
      const count = columns.count[head];
      byId("chosen-title").textContent = `${nameOf(table.heads[head])}: ${kind.title}`;
      const holding = Number.isNaN(columns.holds[head]) ? null : columns.holds[head];
      const says = statistics.sayHolds(
        { name: nameOf(table.heads[head]), count, numPages: pages.length, holding },
        kind,
        choice,
      );
      const worst = choice.side === "below" ? "highest" : "lowest";
      const page = columns[`${worst}Page`][head];
      const tail = count ? [`; ${worst}: `, titleLink(page, head), ` (${format(columns[worst][head])}).`] : ["."];
      byId("holds").replaceChildren(says, ...tail);
      byId("spread").textContent = count ? saySpread(head) : "";
      drawHere(head);
      drawTags(head);
      drawPrompts(head);
      for (const row of byId("rows").children) row.classList.toggle("chosen", Number(row.dataset.head) === head);
    }

    function saySpread(head) {
      const { columns, kind } = shown;
      const values = columns.mean.filter((value) => !Number.isNaN(value));
      const before = values.filter((value) =>
        kind.lowest_first ? value < columns.mean[head] : value > columns.mean[head],
      ).length;
      const spread =
        columns.count[head] > 1
          ? `, standard deviation ${format(columns.deviation[head], { signed: false })}, over ${columns.count[head].toLocaleString("en")} prompts`
          : " on one prompt, which shows nothing of the others";
      return `Mean ${format(columns.mean[head])}${spread}; rank ${before + 1} of ${values.length.toLocaleString("en")} heads by the mean.`;
    }

    /** Where the reader came from a page: how the head stands there among all prompts. */
    function drawHere(head) {
      const { table, pages, valuesOf, kind } = shown;
      const at = pages.findIndex((page) => table.pages[page][0] === choice.page);
      byId("here").hidden = at < 0 || !hasCells;
      if (byId("here").hidden) return;
      const values = valuesOf(head);
      const others = values.filter((value, i) => i !== at && !Number.isNaN(value));
      const beyond = others.filter((value) => (kind.lowest_first ? value > values[at] : value < values[at])).length;
      const stands = Number.isNaN(values[at])
        ? ""
        : `, ${kind.lowest_first ? "lower" : "higher"} than on ${beyond} of ${others.length} other ${others.length === 1 ? "prompt" : "prompts"}`;
      byId("here").replaceChildren("On ", titleLink(pages[at], head), `: ${format(values[at])}${stands}.`);
    }

    function drawTags(head) {
      const { table, groups } = shown;
      byId("tags").hidden = !table.tags.length;
      byId("tags").tBodies[0].replaceChildren(
        ...table.tags.map((tag, i) => {
          const { mean, deviation, count } = groups[1 + i];
          const cells = [
            format(mean[head]),
            format(deviation[head], { signed: false }),
            count[head].toLocaleString("en"),
          ];
          const name = element("th", { scope: "row" }, element("bdi", {}, tag));
          return element("tr", {}, name, ...cells.map((text) => element("td", { class: "number" }, text)));
        }),
      );
    }

    /** Every prompt with the value of the head, the largest first. */
    function drawPrompts(head) {
      byId("prompts").hidden = !hasCells;
      if (!hasCells) return;
      const { pages, table, ramp, kind } = shown;
      const values = shown.valuesOf(head);
      const order = statistics.sortHeads(pages.length, { mean: values }, { sort: "mean", reverse: false }, kind);
      const most = Math.max(Math.abs(ramp.low), Math.abs(ramp.high));
      byId("prompts").tBodies[0].replaceChildren(
        ...order.map((i) => {
          const share = Number.isNaN(values[i]) ? 0 : Math.min(1, Math.abs(values[i]) / most);
          const sign = ramp.low < 0 ? (values[i] < 0 ? " against" : " for") : "";
          const bar = element("span", { class: `bar-line${sign}` });
          bar.style.setProperty("--share", String(share));
          const here = table.pages[pages[i]][0] === choice.page ? "chosen" : "";
          return element(
            "tr",
            { class: here },
            element("td", { class: "number" }, format(values[i])),
            element("td", { class: "bar-cell" }, share ? bar : ""),
            element("td", { class: "number" }, element("small", {}, String(pages[i] + 1))),
            element("th", { scope: "row" }, titleLink(pages[i], head)),
          );
        }),
      );
    }

    async function draw() {
      const asked = choice;
      const gathered = await gather();
      if (choice !== asked) return;
      shown = gathered;
      byId("rows").replaceChildren();
      drawControls();
      grow();
      drawChosen();
    }

    /** @param {object} change */
    async function choose(change, { walk = false } = {}) {
      const changed = { ...choice, ...change };
      const isSame = ["model", "number", "tag", "side", "bound", "sort", "reverse"].every(
        (name) => changed[name] === choice[name],
      );
      choice = changed;
      if (isSame) drawChosen();
      else await draw();
      address.write(statistics.write(choice, content), walk);
    }

    /** Another number has a bound of its own; another model has heads of its own. */
    function chooseNumber(number) {
      const kind = kinds.find(({ name }) => name === number);
      choose({ number, bound: kind.bound, side: kind.lowest_first ? "below" : "above" });
    }

    function chooseModel(model) {
      follow(`#${new URLSearchParams({ model: tables[model].name, number: choice.number })}`);
    }

    /** Choose what an address says. */
    async function follow(hash) {
      choice = statistics.parse(hash, content);
      await draw();
      address.write(statistics.write(choice, content), false);
    }

    function sortBy(sort) {
      choose({ sort, reverse: choice.sort === sort ? !choice.reverse : false });
    }

    /** The next head of the table, or the one before it. */
    function walkBy(by) {
      const at = shown.order.indexOf(choice.head) + by;
      if (at < 0 || at >= shown.order.length) return;
      while (at >= byId("rows").children.length) grow();
      choose({ head: shown.order[at] }, { walk: true });
      byId("rows").children[at].scrollIntoView({ block: "nearest" });
    }

    const KEYS = {
      j: () => walkBy(1),
      k: () => walkBy(-1),
      r: () => choose({ reverse: !choice.reverse }),
    };

    /** @param {any} event */
    function onClick(event) {
      const { target } = event;
      const link = target.closest('a[href^="#"]');
      if (link) {
        event.preventDefault(); // an address that waits to be written would take the place of the link's
        follow(link.getAttribute("href"));
      }
      const { head, sort } = target.closest("button[data-head], [data-sort]")?.dataset ?? {};
      if (head !== undefined) choose({ head: Number(head) });
      else if (sort) sortBy(sort);
    }

    function listen() {
      const on = (id, kind, callback) => byId(id)?.addEventListener(kind, callback);
      on("model", "change", ({ target }) => chooseModel(Number(target.value)));
      on("number", "change", ({ target }) => chooseNumber(target.value));
      on("tag", "change", ({ target }) => choose({ tag: target.value }));
      on("side", "change", ({ target }) => choose({ side: target.value }));
      on("bound", "input", ({ target }) => {
        const bound = statistics.parseBound(target.value);
        target.setAttribute("aria-invalid", String(bound === null));
        if (bound !== null) choose({ bound }, { walk: true });
      });
      on("choice", "submit", (event) => event.preventDefault());
      on("main", "click", onClick);
      on("more", "click", grow);
      on("theme", "click", () => {
        theme.toggle();
        draw();
      });
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
      // Its address would take the place of the choice.
      document.querySelector(".skip").addEventListener("click", (event) => {
        event.preventDefault();
        byId("main").tabIndex = -1;
        byId("main").focus();
      });
      document.addEventListener("keydown", (event) => {
        const action = keys.actionOf(event, KEYS);
        if (!action) return;
        event.preventDefault();
        action();
      });
      address.onChange(() => {
        choice = statistics.parse(location.hash, content);
        draw();
      });
      const sight = new IntersectionObserver(([{ isIntersecting }]) => isIntersecting && shown && grow(), {
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
    const content = await payload.decodeJson(byId("block-content").textContent);
    if (content.tables.length) {
      const page = makePage(content);
      await page.draw();
      page.listen();
    } else {
      byId("theme").addEventListener("click", theme.toggle);
    }
    document.documentElement.dataset.ready = "true";
  }

  return { open };
})();

reportgen.heads.open();
