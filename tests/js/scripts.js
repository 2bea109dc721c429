// The page's scripts, loaded in the order in which a page joins them, and the payload that the Python tests wrote.
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const SCRIPTS = join(__dirname, "../../templates/js");
const NAMES = [
  "data/payload",
  "data/triangles",
  "data/ramps",
  "data/pattern",
  "data/numbers",
  "data/scores",
  "data/sets",
  "page/state",
  "data/store",
  "data/shows",
  "data/kinds",
  "data/words",
  "data/forms",
  "data/spans",
  "data/ledger",
  "data/evidence",
  "figures/colors",
  "page/lines",
  "data/alignment",
  "compare/pair",
  "page/address",
  "page/keys",
  "page/cite",
  "page/story",
  "index/listing",
  "heads/statistics",
  "series/choice",
];
for (const name of NAMES) require(join(SCRIPTS, `${name}.js`));

const golden = JSON.parse(readFileSync(join(__dirname, "../golden/payload.json"), "utf-8"));

module.exports = { golden, ...globalThis.reportgen };
