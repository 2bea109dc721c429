// The table of the keys that the selected query reads most, with all that is known of each.
globalThis.reportgen ??= {};

reportgen.strongest = (() => {
  "use strict";

  const { kinds, pattern, scale, shows, words } = reportgen;
  const { element, quote, tokenCode, write } = reportgen.text;
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
    write(caption, `for query ${quote(units.shown(units.of(state.queryPos)))}, by ${shows.KINDS[by].label}`);
    const keys = pattern.strongestKeys(row[by], LISTED, units.seesFirst(state));
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
            return element("td", { class: "number" }, known ? formatOf(row, name, keyPos) : "");
          }),
        );
      }),
      ...(row.sink === null ? [] : [lineOf(SINK, "none", { weight: row.sink }, content.heatmap_modes)]),
      ...(row.left ? [lineOf(DROPPED, "many", row.left, content.heatmap_modes)] : []),
    );
  }

  /** What a row has on a key, as text; a word also with how much more it can have on tokens that the page leaves out. */
  function formatOf(row, name, keyPos) {
    const [value, slack] = [FORMATS[name](row[name][keyPos]), row.slack?.[name]?.[keyPos]];
    return slack > 0 ? `${value} ± ${scale.formatFine(slack)}` : value;
  }

  /** A line of what no one key has. */
  function lineOf(what, place, taken, names) {
    const bar = { class: "bar", style: { "--share": taken.weight } };
    return element(
      "tr",
      {},
      element("td", { class: "nowrap" }, what, element("span", bar)),
      element("td", { class: "number" }, place),
      ...names.map((name) => element("td", { class: "number" }, name in taken ? scale.formatWeight(taken[name]) : "")),
    );
  }

  /** The keys with the largest shares of a row, and the shares, in a table of three columns. */
  function drawShares(table, row, scene, count) {
    const units = words.units(scene);
    const keys = pattern.strongestKeys(row, count, units.seesFirst(scene.state));
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
    const left = row.left?.weight ? [`${DROPPED}: ${scale.formatWeight(row.left.weight)} of this row`] : [];
    return [...describeKey(row, keyPos), ...sink, ...left];
  }

  function describeKey(row, keyPos) {
    return Object.keys(FORMATS)
      .filter((name) => row[name] && !Number.isNaN(row[name][keyPos]))
      .map((name) => {
        const { label, unit, signed } = shows.KINDS[name];
        return `${label} ${formatOf(row, name, keyPos)}${signed ? ` ${unit}` : ""}`;
      });
  }

  return { draw, drawShares, describe };
})();
