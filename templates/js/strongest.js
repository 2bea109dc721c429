// The table of the keys that the selected query reads most, with all that is known of each.
globalThis.reportgen ??= {};

reportgen.strongest = (() => {
  "use strict";

  const { kinds, pattern, scale, shows, words } = reportgen;
  const { element, tokenCode } = reportgen.text;
  const LISTED = 6;
  const SINK = "learned sink";
  const DROPPED = "weak keys left out";
  const FORMATS = {
    weight: scale.formatWeight,
    weighted: scale.formatWeight,
    attribution: (v) => scale.formatSigned(v),
  };

  /**
   * @param {HTMLTableElement} table
   * @param {HTMLElement} caption
   * @param {object} scene
   * @param {object} row values of the query by what a heatmap can show; null, or not there, where it is not known
   */
  function draw(table, caption, scene, row) {
    const { state, content } = scene;
    const units = words.units(scene);
    const by = row[state.show] ? state.show : "weight";
    caption.textContent = `for query “${units.shown(units.of(state.queryPos))}”, by ${shows.KINDS[by].label}`;
    const keys = pattern.strongestKeys(row[by], LISTED, state.withFirst);
    const largest = shows.KINDS[by].signed ? Math.abs(keys[0]?.value) || 1 : 1;
    table.tBodies[0].replaceChildren(
      ...keys.map(({ keyPos, value }) => {
        const bar = {
          class: value < 0 ? "bar against" : shows.KINDS[by].signed ? "bar for" : "bar",
          style: { "--share": Math.abs(value) / largest },
        };
        return element(
          "tr",
          {},
          element("td", {}, tokenCode(units.shown(keyPos)), element("span", bar)),
          element("td", { class: "number" }, units.place(keyPos)),
          ...content.heatmap_modes.map((name) => {
            const known = row[name] && !Number.isNaN(row[name][keyPos]);
            return element("td", { class: "number" }, known ? FORMATS[name](row[name][keyPos]) : "");
          }),
        );
      }),
      ...(row.sink === null ? [] : [lineOf(SINK, "none", row.sink, content.heatmap_modes)]),
      ...(row.dropped === null ? [] : [lineOf(DROPPED, "many", row.dropped, content.heatmap_modes)]),
    );
  }

  /** A line of what no one key has. */
  function lineOf(what, place, taken, names) {
    const bar = { class: "bar", style: { "--share": taken } };
    return element(
      "tr",
      {},
      element("td", { class: "nowrap" }, what, element("span", bar)),
      element("td", { class: "number" }, place),
      element("td", { class: "number" }, scale.formatWeight(taken)),
      ...names.slice(1).map(() => element("td")),
    );
  }

  /** The keys with the largest shares of a row, and the shares, in a table of three columns. */
  function drawShares(table, row, scene, count) {
    const units = words.units(scene);
    const keys = pattern.strongestKeys(row, count, scene.state.withFirst);
    const largest = keys[0]?.value || 1;
    table.tBodies[0].replaceChildren(
      ...keys.map(({ keyPos, value }) => {
        const bar = { class: value < 0 ? "bar against" : "bar", style: { "--share": Math.abs(value / largest) } };
        return element(
          "tr",
          {},
          element("td", {}, tokenCode(units.shown(keyPos)), element("span", bar)),
          element("td", { class: "number" }, units.place(keyPos)),
          element("td", { class: "number" }, value < 0 ? scale.formatSigned(value) : scale.formatFine(value)),
        );
      }),
    );
  }

  /** What is known of one key, a token or a word, line by line. */
  function describe(row, keyPos, kind) {
    if (keyPos < row.first) return [kinds.sayOutside(kind)];
    const sink = row.sink === null ? [] : [`${SINK}, no token: ${scale.formatWeight(row.sink)} of this row`];
    const dropped = row.dropped ? [`${DROPPED}: ${scale.formatWeight(row.dropped)} of this row`] : [];
    return [...describeKey(row, keyPos), ...sink, ...dropped];
  }

  function describeKey(row, keyPos) {
    return Object.keys(FORMATS)
      .filter((name) => row[name] && !Number.isNaN(row[name][keyPos]))
      .map((name) => {
        const { label, unit, signed } = shows.KINDS[name];
        return `${label} ${FORMATS[name](row[name][keyPos])}${signed ? ` ${unit}` : ""}`;
      });
  }

  return { draw, drawShares, describe };
})();
