// The page's scripts, loaded in the order in which a page joins them, and the payload that the Python tests wrote.
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const SCRIPTS = join(__dirname, "../../templates/js");
const PURE = [
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
  "data/evidence",
  "data/ledger",
  "page/lines",
  "data/alignment",
  "page/address",
  "page/keys",
  "page/cite",
  "index/listing",
];
for (const name of PURE) require(join(SCRIPTS, `${name}.js`));

const golden = JSON.parse(readFileSync(join(__dirname, "../golden/payload.json"), "utf-8"));

module.exports = { golden, ...globalThis.reportgen };
