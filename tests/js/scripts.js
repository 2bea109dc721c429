// The page's scripts, loaded in the order in which a page joins them, and the payload that the Python tests wrote.
const { readFileSync } = require("node:fs");
const { join } = require("node:path");

const SCRIPTS = join(__dirname, "../../templates/js");
const PURE = [
  "payload",
  "triangles",
  "ramps",
  "pattern",
  "scale",
  "scores",
  "sets",
  "state",
  "store",
  "shows",
  "kinds",
  "words",
  "forms",
  "evidence",
  "ledger",
  "lines",
  "difference",
  "beside",
];
for (const name of [...PURE, "address", "keys", "cite", "listing"]) {
  require(join(SCRIPTS, `${name}.js`));
}

const golden = JSON.parse(readFileSync(join(__dirname, "../golden/payload.json"), "utf-8"));

module.exports = { golden, ...globalThis.reportgen };
