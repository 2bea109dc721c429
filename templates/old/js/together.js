// Heads beside one another in one figure: many as one, and the pinned head with its difference to the chosen one.
globalThis.reportgen ??= {};

reportgen.together = (() => {
  "use strict";

  const { forms, scale, sets, shows, strongest, text, words } = reportgen;
  const { rowOf } = forms;
  const { keyOf, nameHead, square } = reportgen.heatmaps;
  const LISTED = 8;
  const byId = (id) => document.getElementById(id);
  const kindOf = ({ show }) => shows.KINDS[show];

  const format = (value, { signed, unit }) =>
    signed ? `${scale.formatSigned(value)} ${unit}` : scale.formatFine(value);

  /** The mean or the maximum of a set of heads. */
  function aggregate(figure, on) {
    let made = { key: "", form: null };
    const setKey = (state) => keyOf({ ...state, scale: "", withFirst: "" }, sets.format(state.over), here(state));
    // A set that names layers and heads by number stays as it is when another head is chosen.
    const here = ({ over, layer, head }) => [over.layers === "this" && layer, over.heads === "this" && head].join(" ");

    async function load(scene, isCurrent) {
      const { state, bounds, evidence } = scene;
      if (made.key !== setKey(state)) {
        const gathered = forms.gather(state.over.way);
        for (const { layer, head } of sets.headsOf(state.over, bounds, state)) {
          gathered.add(await evidence.form(state.show, layer, head, state));
          if (!isCurrent()) return null;
        }
        made = { key: setKey(state), form: gathered.result(kindOf(state).signed) };
      }
      const units = words.units(scene);
      const query = units.of(state.queryPos);
      text.write(byId("aggregate-of"), `for query ${text.quote(units.shown(query))}`);
      byId("aggregate-unit").textContent = kindOf(state).label;
      strongest.drawShares(byId("aggregate-keys"), rowOf(made.form, query), scene, LISTED);
      return made.form;
    }

    return square(figure, on, {
      load,
      kindOf,
      keyOf: (state) => keyOf(state, setKey(state)),
      describe: (cell, scene) => {
        const units = words.units(scene);
        const value = rowOf(made.form, units.of(cell.queryPos))[units.of(cell.keyPos)];
        const kind = kindOf(scene.state);
        return { ...cell, lines: [`${scene.state.over.way} ${kind.label} ${format(value, kind)}`] };
      },
    });
  }

  const pinnedOf = ({ pin }) => ({ layer: pin[0], head: pin[1] });

  /** The head that was pinned. */
  function pinned(figure, on) {
    return square(figure, on, {
      load: async ({ state, evidence }) => state.pin && evidence.form(state.show, state.pin[0], state.pin[1], state),
      kindOf,
      keyOf: (state) => keyOf(state, state.pin),
      describe: (cell, { state }) => ({ ...cell, ...pinnedOf(state), place: nameHead(pinnedOf(state)) }),
    });
  }

  /** The chosen head less the pinned one. */
  function difference(figure, on) {
    const ofState = ({ show }) => ({
      ...shows.KINDS[show],
      signed: true,
      unit: `${shows.KINDS[show].unit}, difference`,
    });
    let rows = () => [];
    return square(figure, on, {
      load: async ({ state, evidence }) => {
        if (!state.pin) return null;
        const [chosen, other] = await Promise.all([
          evidence.form(state.show, state.layer, state.head, state),
          evidence.form(state.show, ...state.pin, state),
        ]);
        rows = (unit) => [rowOf(chosen, unit), rowOf(other, unit)];
        return forms.subtract(chosen, other);
      },
      kindOf: ofState,
      keyOf: (state) => keyOf(state, state.layer, state.head, state.pin),
      describe: (cell, scene) => {
        const units = words.units(scene);
        const kind = kindOf(scene.state);
        const key = units.of(cell.keyPos);
        const [one, other] = rows(units.of(cell.queryPos)).map((row) => row[key]);
        const lines = [
          `${nameHead(scene.state)} ${format(one, kind)}`,
          `${nameHead(pinnedOf(scene.state))} ${format(other, kind)}`,
          `difference ${scale.formatSigned(one - other)}`,
        ];
        return { ...cell, lines };
      },
    });
  }

  return { aggregate, pinned, difference };
})();
