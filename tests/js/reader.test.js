const assert = require("node:assert/strict");
const { afterEach, beforeEach, mock, test } = require("node:test");
const { address, keys } = require("./scripts.js");

let written;

beforeEach(() => {
  written = [];
  mock.timers.enable({ apis: ["setTimeout"] });
  globalThis.location = {
    hash: "#old",
    get href() {
      return `file:///cat.html?embed=head${this.hash}`;
    },
  };
  const write = (kind) => (_, __, url) => {
    const { href, hash } = new URL(url);
    assert.equal(href, `file:///cat.html?embed=head${hash}`);
    written.push([kind, hash]);
    globalThis.location.hash = hash;
  };
  globalThis.history = { pushState: write("push"), replaceState: write("replace") };
  address.write("#old", false); // whoever walked before has stopped
});

afterEach(() => {
  address.flush();
  mock.timers.reset();
});

test("a choice is an entry in the history at once, and the same one is none", () => {
  address.write("#a", false);
  address.write("#a", false);
  assert.deepEqual(written, [["push", "#a"]]);
});

test("a held key is an entry of its own at once, and written once more when it rests", () => {
  for (const hash of ["#a", "#b", "#c"]) {
    address.write(hash, true);
    mock.timers.tick(100);
  }
  assert.deepEqual(written, [["push", "#a"]]);
  mock.timers.tick(100);
  assert.deepEqual(written, [
    ["push", "#a"],
    ["replace", "#c"],
  ]);
});

test("what waits is written before the next choice, so that back leads there", () => {
  address.write("#a", true);
  address.write("#b", true);
  address.write("#c", false);
  mock.timers.tick(1000);
  assert.deepEqual(written, [
    ["push", "#a"],
    ["replace", "#b"],
    ["push", "#c"],
  ]);
});

test("going back drops what waits", () => {
  let listener;
  globalThis.addEventListener = (name, given) => {
    assert.equal(name, "hashchange");
    listener = given;
  };
  let called = 0;
  address.onChange(() => called++);
  address.write("#a", true);
  address.write("#b", true);
  listener();
  mock.timers.tick(1000);
  assert.deepEqual([called, written], [1, [["push", "#a"]]]);
});

/** A key press on an element of the given tag. */
function press(key, { tag = "body", id = "", ...rest } = {}) {
  const matches = (selector) => selector.split(",").some((one) => one.trim().split(":")[0] === tag);
  return { key, target: { id, matches }, ...rest };
}

const actions = { j: () => "layer", ArrowLeft: () => "query", " ": () => "play" };
const within = { overview: { ArrowLeft: () => "head" } };
const meaning = (event) => keys.actionOf(event, actions, within)?.();

test("keys mean what the page says", () => {
  assert.equal(meaning(press("j")), "layer");
  assert.equal(meaning(press("x")), undefined);
  assert.equal(meaning(press("ArrowLeft")), "query");
  assert.equal(meaning(press("ArrowLeft", { id: "overview" })), "head");
  assert.equal(meaning(press("j", { id: "overview" })), "layer");
});

test("keys are left to the browser where it needs them", () => {
  for (const held of ["ctrlKey", "metaKey", "altKey", "defaultPrevented"]) {
    assert.equal(meaning(press("j", { [held]: true })), undefined, held);
  }
  for (const tag of ["input", "select", "textarea"]) assert.equal(meaning(press("j", { tag })), undefined, tag);
  assert.equal(meaning(press(" ", { tag: "button" })), undefined);
  assert.equal(meaning(press("j", { tag: "button" })), "layer");
  assert.equal(meaning(press(" ")), "play");
  const tool = press(" ", { tag: "button" }).target;
  assert.equal(meaning({ ...press(" "), composedPath: () => [tool] }), undefined);
});
