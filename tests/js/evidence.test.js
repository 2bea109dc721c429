const assert = require("node:assert/strict");
const { test } = require("node:test");
const { golden, payload, triangles, pattern, store, evidence, forms } = require("./scripts.js");

const { content, blocks, facts } = golden;
const n = content.tokens.length;
/** No row is known before its layer is. */
const NOTHING_KNOWN = {
  head: async () => triangles.unpack(await payload.decodeBytes(blocks["opening-head"]), n),
  rows: null,
};
const NUM_STEPS = n - content.num_prompt_tokens;

/** The evidence of the golden capture, and the names of the blocks that it asked for. */
function makeEvidence(more = {}) {
  const asked = [];
  const reader = (decode) => async (name) => {
    asked.push(name);
    return decode(blocks[name]);
  };
  const bytes = reader(payload.decodeBytes);
  const weights = store.makeStore(content, NOTHING_KNOWN, async (layer) =>
    triangles.unpack(await bytes(`layer-${layer}`), content.tokens.length),
  );
  const made = { ...content, ...more };
  return { ...evidence.makeEvidence(made, weights, bytes, reader(payload.decodeJson)), asked, content: made };
}

const isClose = (found, expected, least, where) =>
  expected === null
    ? assert.ok(Number.isNaN(found), where)
    : assert.ok(Math.abs(found - expected) <= least, `${where}: ${found}, not ${expected}`);

test("what is looked up arrives as Python sent it", async () => {
  assert.deepEqual(await makeEvidence().facts(), facts);
});

test("every number of every grid is as close as its sixteen bits allow", async () => {
  const { grid } = makeEvidence();
  for (const measure of content.grid_metrics) {
    for (let step = 0; step < NUM_STEPS; step++) {
      const found = await grid(measure, step);
      const expected = golden.grids[measure][step].flat();
      assert.equal(found.length, expected.length);
      for (const [i, value] of expected.entries()) {
        isClose(found[i], value, facts.grid_scales[measure][step] / 32767 + 2e-6, `${measure} ${step} ${i}`);
      }
    }
  }
});

test("weighted attention is the share that weights and norms make", async () => {
  const { row } = makeEvidence();
  for (const [layerIndex, layer] of content.layers.entries()) {
    for (const [headIndex, head] of content.heads.entries()) {
      for (const queryPos of [0, 13, n - 1]) {
        const start = pattern.triangleSize(queryPos);
        const weights = golden.weights[layerIndex][headIndex].slice(start, start + queryPos + 1);
        const lengths = weights.map((weight, keyPos) => weight * golden.norms[layerIndex][headIndex][keyPos]);
        const whole = lengths.reduce((a, b) => a + b, 0);
        const { weighted } = await row(layer, head, queryPos);
        for (const [keyPos, length] of lengths.entries()) {
          isClose(weighted[keyPos], whole ? length / whole : 0, 0.02, `L${layer} H${head} ${queryPos} ${keyPos}`);
        }
      }
    }
  }
});

test("every source has its sign and is as close as its byte allows", async () => {
  const { row } = makeEvidence();
  for (const [layerIndex, layer] of content.layers.entries()) {
    for (const [headIndex, head] of content.heads.entries()) {
      let cell = 0;
      for (let step = 0; step < NUM_STEPS; step++) {
        const queryPos = content.num_prompt_tokens - 1 + step;
        const scale = facts.source_scales[step];
        for (const value of (await row(layer, head, queryPos)).attribution) {
          const expected = golden.sources[layerIndex][headIndex][cell++];
          const root = Math.sqrt(Math.abs(expected ?? 0) / scale);
          const least = (root / 127 + 1 / 254 ** 2 + golden.source_floor) * scale + 2e-6;
          isClose(value, expected, least, `L${layer} H${head} ${step}`);
          if (Math.abs(expected ?? 0) > golden.source_floor * scale)
            assert.equal(Math.sign(value), Math.sign(expected));
        }
      }
    }
  }
});

test("a query that is no step has no attribution", async () => {
  const { row, asked } = makeEvidence();
  for (const queryPos of [0, n - 1]) assert.equal((await row(3, 1, queryPos)).attribution, null);
  assert.deepEqual(
    asked.filter((name) => name.startsWith("sources")),
    [],
  );
});

test("what is not asked for is not read", async () => {
  const { row, form, asked } = makeEvidence();
  const known = await row(3, 1, 25, ["weight"]);
  await form("weight", 3, 2);
  assert.deepEqual([known.weighted, known.attribution], [null, null]);
  assert.deepEqual(asked, ["layer-3"]);
});

test("a block is read once", async () => {
  const { row, form, rollout, asked } = makeEvidence();
  await Promise.all([
    row(0, 1, 24),
    row(0, 2, 25),
    form("attribution", 0, 1),
    form("weighted", 0, 1),
    rollout(),
    rollout(),
  ]);
  assert.deepEqual(asked.toSorted(), ["evidence", "layer-0", "norms", "rollout", "sources-0"]);
});

test("a form is made once and shows what the row says", async () => {
  const { row, form } = makeEvidence();
  const made = await form("weighted", 3, 1);
  assert.equal(await form("weighted", 3, 1), made);
  const { weighted } = await row(3, 1, 20);
  pattern.rowOf(made.codes, 20).forEach((code, keyPos) => {
    isClose(made.values[code], weighted[keyPos], 0.004, `key ${keyPos}`);
  });
});

test("rollout comes back to a part in ten thousand", async () => {
  const found = await makeEvidence().rollout();
  for (const [i, value] of golden.rollout.entries()) isClose(found[i], value, 4e-5, `cell ${i}`);
});

test("what attention read adds up to its part, at every step, and is nothing where the step is withheld", async () => {
  const read = await makeEvidence().read();
  const { heads, other_heads: others } = facts.attribution;
  const rows = Array.from({ length: NUM_STEPS }, (_, step) => read(step));
  const lengths = rows.map((row) => row.length);
  assert.deepEqual(lengths, [24, 25, 26]);
  assert.deepEqual(
    lengths.map((length) => length - content.num_prompt_tokens),
    [0, 1, 2],
  );
  for (const step of [0, 1]) isClose(sumOf([...rows[step]]), heads[0][step] + others[0][step], 1e-5, `step ${step}`);
  for (const value of rows[2]) assert.ok(Number.isNaN(value));
  for (const [cell, value] of rows.flatMap((row) => [...row]).entries()) isClose(value, golden.read[cell], 1e-6, cell);
});

test("whether there is anything read is known before it is asked for", () => {
  assert.equal(makeEvidence().hasRead, true);
  assert.equal(makeEvidence({ has_read: undefined }).hasRead, false);
});

/** The same with the weak weights left out, as on a page that would be too large with them. */
function makeThinned() {
  const made = makeEvidence({ min_weight: golden.min_weight, words: WORDS });
  const bytes = async (name) => payload.decodeBytes(blocks[name]);
  const weights = store.makeStore(made.content, NOTHING_KNOWN, async (layer) =>
    triangles.unpack(await bytes(`thin-${layer}`), n),
  );
  return { ...evidence.makeEvidence(made.content, weights, bytes, async (name) => payload.decodeJson(blocks[name])) };
}

const WORDS = [0, 2, 3, 6, 7, 9, 12, 15, 18, 20, 24];

/** Each query of each head, with its weights and what it writes as they were measured. */
function* eachRow() {
  for (const [layerIndex, layer] of content.layers.entries()) {
    for (const [headIndex, head] of content.heads.entries()) {
      for (let queryPos = 0; queryPos < n; queryPos++) {
        const start = pattern.triangleSize(queryPos);
        const weights = golden.weights[layerIndex][headIndex].slice(start, start + queryPos + 1);
        const written = weights.map((weight, keyPos) => weight * golden.norms[layerIndex][headIndex][keyPos]);
        yield { layer, head, queryPos, layerIndex, headIndex, true: { weight: weights, weighted: written } };
      }
    }
  }
}

const sumOf = (values) => values.reduce((sum, value) => sum + value, 0);
/** How far a share can be from the truth for two codes of eight bits, each a square root. */
const bound = (share) => 2 * (2 * Math.sqrt(share) + 1 / 255) * (1 / 255) + 2e-4;

test("on a thinned page every cell that is kept is a share of the whole row, in every mode", async () => {
  const { row, form } = makeThinned();
  let kept = 0;
  for (const { layer, head, queryPos, ...measured } of eachRow()) {
    for (const show of ["weight", "weighted"]) {
      const values = measured.true[show];
      for (const renormalised of [false, true]) {
        const whole = sumOf(renormalised ? values.slice(1) : values);
        if (whole === 0 || (renormalised && whole / sumOf(values) < 0.02)) continue;
        const look = { renormalised };
        const found = await row(layer, head, queryPos, ["weight", "weighted"], look);
        const drawn = forms.rowOf(await form(show, layer, head, look), queryPos);
        for (const [keyPos, value] of values.entries()) {
          if (renormalised && keyPos === 0) assert.ok(Number.isNaN(found[show][0]) && Number.isNaN(drawn[0]));
          else if (found[show][keyPos] > 0) {
            const where = `${show} ${renormalised} L${layer} H${head} ${queryPos} ${keyPos}`;
            isClose(found[show][keyPos], value / whole, bound(value / whole) / (renormalised ? whole : 1), where);
            isClose(drawn[keyPos], found[show][keyPos], 0.005, where);
            kept++;
          }
        }
        if (show === "weight" && !renormalised) continue;
        const listed = sumOf([...found[show]].filter((value) => value > 0));
        isClose(found.left[show] + listed, Math.max(1, listed), 1e-6, `the rest of ${show} ${renormalised}`);
      }
    }
  }
  assert.ok(kept > 500);
});

test("weights alone are those of the whole row, however it is looked at", async () => {
  const { row, weights } = makeThinned();
  const flags = [false, true];
  const looks = flags.flatMap((words) =>
    flags.flatMap((renormalised) => [
      { words, renormalised },
      { words, renormalised, withFirst: false },
    ]),
  );
  for (const { layer, head, queryPos } of eachRow())
    for (const look of looks)
      assert.deepEqual(
        await weights(layer, head, queryPos, look),
        (await row(layer, head, queryPos, ["weight"], look)).weight,
      );
});

test("on a thinned page a word is known up to what is left out of it", async () => {
  const [{ row }, unthinned] = [makeThinned(), makeEvidence({ words: WORDS })];
  let uncertain = 0;
  for (const { layer, head, queryPos } of eachRow()) {
    for (const look of [{ words: true }, { words: true, withFirst: false }]) {
      const [found, whole] = [
        await row(layer, head, queryPos, ["weight", "weighted"], look),
        await unthinned.row(layer, head, queryPos, ["weight", "weighted"], look),
      ];
      for (const show of ["weight", "weighted"]) {
        for (const [word, value] of found[show].entries()) {
          const slack = found.slack[show][word];
          assert.equal(Number.isNaN(value), Number.isNaN(whole[show][word]));
          if (Number.isNaN(value)) continue;
          const least = 3 * bound(whole[show][word]);
          const where = `${show} L${layer} H${head} ${queryPos} ${word}: ${value} ± ${slack}, truly ${whole[show][word]}`;
          assert.ok(whole[show][word] >= value - least && whole[show][word] <= value + slack + least, where);
          uncertain += slack > 0;
        }
      }
    }
  }
  assert.ok(uncertain > 100);
  assert.equal((await row(3, 2, 20)).slack, null); // single tokens are kept as they are, or left out
});

test("sums of whole rows are as close as sixteen bits allow", async () => {
  const { row } = makeThinned();
  for (const { layer, head, queryPos, layerIndex, headIndex } of eachRow())
    isClose(
      (await row(layer, head, queryPos)).left.weight,
      golden.row_sums.dropped[layerIndex][headIndex][queryPos],
      3e-5,
    );
});

test("a page that leaves out nothing says nothing of it", async () => {
  const { row, asked } = makeEvidence();
  assert.equal((await row(3, 2, 20)).left, null);
  assert.ok(!asked.some((name) => name.startsWith("row-")));
});
