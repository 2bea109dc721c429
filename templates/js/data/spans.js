// Weights and effects by span: the mirror of reportgen/evidence/kinds/spans.py.
globalThis.reportgen ??= {};

reportgen.spanSums = (() => {
  "use strict";

  /** Numbers as so many rows of the same length. */
  const rowsOf = (values, width) =>
    Array.from({ length: values.length / width }, (_, row) => values.subarray(row * width, (row + 1) * width));

  /**
   * The block of one head, a row for each span that reads.
   * @param {Float32Array} weights `[head of all layers, span, span + 1]`
   * @param {number} head its place among the heads of all layers
   * @param {number} count number of spans
   */
  function ofHead(weights, head, count) {
    const size = count * (count + 1);
    return rowsOf(weights.subarray(head * size, (head + 1) * size), count + 1);
  }

  /** The mean of the blocks of all heads. */
  function mean(weights, count) {
    const size = count * (count + 1);
    const numHeads = weights.length / size;
    const sums = new Float64Array(size);
    for (let i = 0; i < weights.length; i++) sums[i % size] += weights[i];
    return rowsOf(
      sums.map((sum) => sum / numHeads),
      count + 1,
    );
  }

  /** The effects of one head at a step, of `[step, head of all layers, span + 1]`. */
  function effectsOf(effects, step, head, numHeads, count) {
    const start = (step * numHeads + head) * (count + 1);
    return effects.subarray(start, start + count + 1);
  }

  return { ofHead, mean, effectsOf };
})();

if (typeof module !== "undefined") module.exports = reportgen.spanSums;
