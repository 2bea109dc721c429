// Where the pointer is, and when what it points at goes from under it.
globalThis.reportgen ??= {};

reportgen.pointer = (() => {
  "use strict";

  /** Where the page grows above what is in sight, the browser scrolls it so that nothing moves but for a fraction. */
  const STILL_PIXELS = 2;

  /**
   * Follow the pointer.
   * @param {() => void} leave called when what is beneath it moves, and when another window takes over
   * @returns {{x: number, y: number, type: string}} where it is in the window, and what kind it is of
   */
  function follow(leave) {
    const pointer = { x: 0, y: 0, type: "mouse" };
    const passive = { capture: true, passive: true };
    let beneath = document.documentElement;
    let before = beneath.getBoundingClientRect();
    /** @param {any} event */
    const point = ({ clientX: x, clientY: y, pointerType: type, target }) => {
      Object.assign(pointer, { x, y, type });
      beneath = target;
      before = beneath.getBoundingClientRect();
    };
    for (const name of ["pointermove", "pointerdown"]) document.addEventListener(name, point, passive);
    document.addEventListener(
      "scroll",
      () => {
        const now = beneath.getBoundingClientRect();
        if (Math.hypot(now.x - before.x, now.y - before.y) > STILL_PIXELS) leave();
      },
      passive,
    );
    addEventListener("blur", () => leave());
    return pointer;
  }

  return { follow };
})();
