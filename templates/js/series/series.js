// The page of a series: the line of the chosen head among those that change most, its pattern at one member, and a table
// of every head.
globalThis.reportgen ??= {};

reportgen.series = (() => {
  "use strict";

  const { payload, triangles, ramps, pattern, numbers, kinds: layerKinds, colors, theme } = reportgen;
  const { keys, address, statistics, choice: choices } = reportgen;
  const byId = (id) => document.getElementById(id);
  const LETTERS = "ABCDEFGHIJKL";
  const AT_ONCE = 60;
  const PLAY_MILLISECONDS = 900;
  /** Layers of members that stay decoded. */
  const MOST_KEPT = 48;
  const LABEL_CHARACTERS = 12;
  const LABEL_PIXELS = 14;

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
    made.append(...children);
    return made;
  }

  const nameOf = ([layer, head]) => `L${layer} H${head}`;
  const textOf = (id) => byId(`block-${id}`).textContent;

  /** Keeps what a function gave for each key; of too many, the oldest go. */
  function remember(read, most) {
    const known = new Map();
    return (key) => {
      if (!known.has(key)) {
        if (known.size >= most) known.delete(known.keys().next().value);
        known.set(key, read(key));
      }
      return known.get(key);
    };
  }

  function makePage(content) {
    const { kinds, heads, members, plot, precision } = content;
    const palettes = ramps.decode(content.palettes);
    const readNumber = remember(async (name) => {
      const bytes = await payload.decodeBytes(textOf(`number-${name}`));
      return new Float32Array(bytes.buffer);
    }, kinds.length);
    const readLayer = remember(async (key) => {
      const [member] = key.split("-");
      return triangles.unpack(await payload.decodeBytes(textOf(key)), members[member].tokens.length, precision);
    }, MOST_KEPT);
    let choice = choices.parse(location.hash, content);
    /** The kind that is shown, its values, changes and the order of the heads. */
    let shown = null;
    /** The weights that are shown: of which member, its codes and what they stand for. */
    let drawn = null;
    let timer = null;

    const format = (value, options) => statistics.format(value, shown.kind, options);
    const numberOf = (member, head) => shown.values[member * heads.length + head];
    const lineOf = (head) => members.map((_, member) => numberOf(member, head));
    const nameMember = (member) => `${LETTERS[member]} ${members[member].name}`;

    async function gather() {
      const kind = kinds.find(({ name }) => name === choice.number);
      const values = await readNumber(choice.number);
      const change = choices.measureChanges(values, heads.length);
      const columns = { change };
      for (const member of members.keys())
        columns[member] = values.subarray(member * heads.length, (member + 1) * heads.length);
      const order = statistics.sortHeads(heads.length, columns, choice, { lowest_first: false });
      return { kind, values, change, order };
    }

    function drawLines() {
      for (const { name } of kinds) byId(`lines-${name}`).toggleAttribute("hidden", name !== choice.number);
      const picture = byId(`lines-${choice.number}`);
      const scale = { low: Number(picture.dataset.low), high: Number(picture.dataset.high) };
      const places = choices.place(lineOf(choice.head), plot, scale);
      for (const line of picture.querySelectorAll("[data-head]"))
        line.classList.toggle("chosen", Number(line.dataset.head) === choice.head);
      const isListed = picture.querySelector(`[data-head="${choice.head}"]`) !== null;
      const own = picture.querySelector("g.chosen:not([data-head])");
      own.querySelector("path").setAttribute("d", choices.draw(places));
      const last = places.findLast(Boolean);
      const label = own.querySelector("text");
      label.textContent = isListed || !last ? "" : nameOf(heads[choice.head]);
      if (last) {
        label.setAttribute("x", String(last[0] - 4));
        label.setAttribute("y", String(Math.max(last[1] - 7, plot.top + 10)));
        label.setAttribute("text-anchor", "end");
      }
      const [x] = choices.place(Array(members.length).fill(scale.low), plot, scale)[choice.member];
      picture.querySelector(".here").setAttribute("d", `M${x} ${plot.top}V${plot.bottom}`);
      byId("lines-title").textContent = shown.kind.title;
      byId("definition").replaceChildren(
        element("strong", {}, `${shown.kind.title}.`),
        ` ${shown.kind.definition} `,
        element("span", { class: "hint" }, shown.kind.source),
      );
    }

    function makeRow(head) {
      const cells = [
        element("td", { class: "number" }, format(shown.change[head], { signed: false })),
        ...members.map((_, member) =>
          element("td", { class: "number", "data-member": member }, format(numberOf(member, head))),
        ),
      ];
      const button = element("button", { type: "button", class: "chip", "data-head": head }, nameOf(heads[head]));
      return element("tr", { "data-row": head }, element("th", { scope: "row" }, button), ...cells);
    }

    /** Put so many more heads into the table. */
    function grow() {
      const rows = byId("rows");
      const from = rows.children.length;
      rows.append(...shown.order.slice(from, from + AT_ONCE).map(makeRow));
      const left = shown.order.length - rows.children.length;
      byId("more").hidden = left <= 0;
      byId("more").textContent = `Show ${Math.min(left, AT_ONCE)} more of ${left.toLocaleString("en")}`;
      markRows();
    }

    function markRows() {
      for (const row of byId("rows").children) {
        row.classList.toggle("chosen", Number(row.dataset.row) === choice.head);
        for (const cell of row.querySelectorAll("[data-member]"))
          cell.classList.toggle("here", Number(cell.dataset.member) === choice.member);
      }
    }

    function drawTable() {
      byId("rows").replaceChildren();
      grow();
      for (const column of document.querySelectorAll("[data-column]")) {
        const isSorted = column.dataset.column === choice.sort;
        const falls = (choice.sort === "head") === choice.reverse;
        column.setAttribute("aria-sort", isSorted ? (falls ? "descending" : "ascending") : "none");
      }
    }

    function drawControls() {
      byId("number").value = choice.number;
      byId("member").value = String(choice.member);
      byId("member").setAttribute("aria-valuetext", nameMember(choice.member));
      byId("member-name").textContent = nameMember(choice.member);
    }

    /** Labels along an axis, as many as have room. */
    function label(axis, tokens, pixels, side) {
      const n = tokens.length;
      const shownAt = numbers.thin(0, n - 1, pixels, LABEL_PIXELS);
      axis.replaceChildren(
        ...shownAt.map((at) => {
          const made = element("span", {}, element("bdi", {}, numbers.cut(tokens[at], LABEL_CHARACTERS)));
          made.style[side] = `${(100 * (at + 0.5)) / n}%`;
          return made;
        }),
      );
    }

    async function drawPattern() {
      const { head, member } = choice;
      const { tokens, layers, heads: own, href, layer_types: types } = members[member];
      const [layer, number] = heads[head];
      const codes = pattern.headOf(await readLayer(`${member}-layer-${layer}`), own.indexOf(number), tokens.length);
      if (choice.head !== head || choice.member !== member) return;
      const n = tokens.length;
      const first = layerKinds.firstKeys(types[layers.indexOf(layer)], n);
      const values = pattern.weightsOf(codes);
      const side = Math.min(n, 512);
      const image = pattern.crop({ codes, first }, numbers.displayOf("sqrt", values), true, 0, n - 1, side);
      const ramp = { palette: palettes[theme.isDark() ? "dark" : "light"], low: 0, high: 1 };
      const canvas = colors.paint({ values: image, rows: side, columns: side }, ramp);
      const figure = byId("figure-pattern");
      figure.style.setProperty("--rows", String(n));
      figure.style.setProperty("--columns", String(n));
      figure.classList.remove("flat");
      figure.classList.toggle("hatched", first !== null);
      const says = `${nameOf(heads[head])} in ${nameMember(member)}`;
      canvas.setAttribute("role", "img");
      canvas.setAttribute(
        "aria-label",
        `Attention weights of ${says}: a row a token that reads, a column a token read`,
      );
      figure.querySelector(".still").replaceChildren(canvas);
      const { width, height } = figure.querySelector(".cells").getBoundingClientRect();
      label(figure.querySelector(".columns"), tokens, width, "left");
      label(figure.querySelector(".rows"), tokens, height, "top");
      byId("chosen-title").textContent = says;
      byId("member-page").setAttribute("href", `${href}#${new URLSearchParams({ layer, head: number })}`);
      drawn = { n, tokens, codes, values, first };
    }

    /** What the cell under the pointer is. @param {any} event */
    function point({ clientX, clientY }) {
      const tooltip = byId("tooltip");
      tooltip.hidden = true;
      if (!drawn) return;
      const { left, top, width, height } = byId("figure-pattern").querySelector(".cells").getBoundingClientRect();
      const keyPos = Math.floor(((clientX - left) / width) * drawn.n);
      const queryPos = Math.floor(((clientY - top) / height) * drawn.n);
      const isInside = keyPos >= (drawn.first?.[queryPos] ?? 0) && keyPos <= queryPos && queryPos < drawn.n;
      if (!isInside) return;
      const weight = drawn.values[pattern.rowOf(drawn.codes, queryPos)[keyPos]];
      tooltip.textContent = `${drawn.tokens[queryPos]} reads ${drawn.tokens[keyPos]}: ${numbers.formatWeight(weight)}`;
      tooltip.hidden = false;
      tooltip.style.left = `${Math.max(4, Math.min(clientX + 8, innerWidth - tooltip.offsetWidth - 4))}px`;
      tooltip.style.top = `${clientY + 14}px`;
    }

    async function draw() {
      const asked = choice;
      const gathered = await gather();
      if (choice !== asked) return;
      shown = gathered;
      drawControls();
      drawLines();
      drawTable();
      await drawPattern();
    }

    /** @param {object} change */
    async function choose(change, { walk = false } = {}) {
      const changed = { ...choice, ...change };
      const isSame = ["number", "sort", "reverse"].every((name) => changed[name] === choice[name]);
      choice = changed;
      address.write(choices.write(choice, content), walk);
      if (!isSame) return draw();
      drawControls();
      drawLines();
      markRows();
      await drawPattern();
    }

    function sortBy(sort) {
      choose({ sort, reverse: choice.sort === sort ? !choice.reverse : false });
    }

    function goTo(member) {
      if (member >= 0 && member < members.length) choose({ member }, { walk: true });
    }

    /** The next head of the table, or the one before it. */
    function walkBy(by) {
      const at = shown.order.indexOf(choice.head) + by;
      if (at < 0 || at >= shown.order.length) return;
      while (at >= byId("rows").children.length) grow();
      choose({ head: shown.order[at] }, { walk: true });
    }

    function play(on) {
      clearInterval(timer);
      timer = null;
      byId("play").setAttribute("aria-pressed", String(on));
      byId("play").textContent = on ? "❚❚" : "▶";
      if (!on) return;
      if (choice.member === members.length - 1) goTo(0);
      timer = setInterval(() => {
        if (choice.member + 1 < members.length) goTo(choice.member + 1);
        else play(false);
      }, PLAY_MILLISECONDS);
    }

    const toggle = () => play(timer === null);
    const KEYS = {
      j: () => walkBy(1),
      k: () => walkBy(-1),
      ArrowLeft: () => goTo(choice.member - 1),
      ArrowRight: () => goTo(choice.member + 1),
      " ": toggle,
    };

    /** @param {any} event */
    function onClick({ target }) {
      const chip = target.closest("[data-layer]");
      const chosen = target.closest("[data-head]");
      const sort = target.closest("[data-sort]")?.dataset.sort;
      if (chip) {
        const at = heads.findIndex((place) => nameOf(place) === `L${chip.dataset.layer} H${chip.dataset.head}`);
        choose({ head: at, number: kinds[0].name });
      } else if (chosen) choose({ head: Number(chosen.dataset.head) });
      else if (sort) sortBy(sort);
    }

    function listen() {
      const on = (id, kind, callback) => byId(id).addEventListener(kind, callback);
      on("number", "change", ({ target }) => choose({ number: target.value }));
      on("member", "input", ({ target }) => goTo(Number(target.value)));
      on("play", "click", toggle);
      on("choice", "submit", (event) => event.preventDefault());
      on("main", "click", onClick);
      on("more", "click", grow);
      on("theme", "click", () => {
        theme.toggle();
        drawPattern();
      });
      matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawPattern);
      on("figure-pattern", "pointermove", point);
      on("figure-pattern", "pointerleave", () => {
        byId("tooltip").hidden = true;
      });
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
        choice = choices.parse(location.hash, content);
        draw();
      });
      let width = innerWidth;
      addEventListener("resize", () => {
        if (innerWidth !== width) drawPattern();
        width = innerWidth;
      });
    }

    return { draw, listen };
  }

  /** The blocks stand last in the file: wait until all of it has been read. */
  async function open() {
    if (document.readyState === "loading") {
      await new Promise((done) => document.addEventListener("DOMContentLoaded", done, { once: true }));
    }
    const content = await payload.decodeJson(textOf("content"));
    if (content.kinds.length) {
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

reportgen.series.open();
