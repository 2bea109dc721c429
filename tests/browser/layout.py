"""What runs over on a page: texts and boxes that leave their cards, are cut, or lie on each other."""

from __future__ import annotations

from browser.reader import Reader

_FIND = r"""() => {
  const found = new Set();
  const paper = matchMedia("print").matches;
  const styles = new Map();
  const css = (one) => styles.get(one) ?? styles.set(one, getComputedStyle(one)).get(one);
  const name = (one) => one.id || (one.closest("[id]")?.id ?? "") + " " + (one.className.baseVal ?? one.className);
  const tell = (what, one, said) => found.add(`${what}: ${name(one)} “${said.trim().slice(0, 30)}”`);
  const texts = [];
  const look = (box, element, said) => {
    const seen = { left: box.left, right: box.right, top: box.top, bottom: box.bottom };
    for (let one = element; one !== document.body; one = one.parentElement) {
      const { overflowX, overflowY, textOverflow } = css(one);
      const edge = one.getBoundingClientRect();
      const scrolls = /auto|scroll/.test(overflowX + overflowY) && !paper;
      if (overflowX !== "visible") {
        const out = Math.max(edge.left - seen.left, seen.right - edge.right);
        if (out > 2 && !scrolls && textOverflow !== "ellipsis") tell("cut", element, said);
        [seen.left, seen.right] = [Math.max(seen.left, edge.left), Math.min(seen.right, edge.right)];
      }
      if (overflowY !== "visible") {
        const out = Math.max(edge.top - seen.top, seen.bottom - edge.bottom);
        if (out > 4 && !scrolls && textOverflow !== "ellipsis") tell("cut", element, said);
        [seen.top, seen.bottom] = [Math.max(seen.top, edge.top), Math.min(seen.bottom, edge.bottom)];
      }
      if (one.matches(".card, .bar, .masthead, .rail")) {
        const across = Math.max(edge.left - seen.left, seen.right - edge.right);
        const out = Math.max(across, edge.top - seen.top, seen.bottom - edge.bottom);
        if (out > 1) tell("leaves its card", element, said);
        break;
      }
    }
    return seen;
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    const unseen = "script, style, noscript, option, .unseen, .skip, [popover]:not(.rail)";
    if (!node.data.trim() || element.closest(unseen)) continue;
    if (!element.checkVisibility({ visibilityProperty: true })) continue;
    range.selectNodeContents(node);
    for (const box of range.getClientRects()) {
      if (box.width < 1) continue;
      const seen = look(box, element, node.data);
      const trim = (box.bottom - box.top) * 0.22;
      const upright = !/vertical/.test(css(element).writingMode);
      const top = Math.max(seen.top, box.top + trim * upright);
      const bottom = Math.min(seen.bottom, box.bottom - trim * upright);
      const aside = [Math.max(seen.left, box.left + 2 * !upright), Math.min(seen.right, box.right - 2 * !upright)];
      const fixed = element.closest(".bar, .rail, thead") ?? null;
      if (bottom - top > 2) texts.push({ left: aside[0], right: aside[1], top, bottom, node, element, fixed });
    }
  }
  for (const box of document.querySelectorAll("table, .cells, button, select, input")) {
    const isSeen = box.checkVisibility({ visibilityProperty: true });
    const isApart = box.closest("[popover]:not(.rail), .switch");
    if (isSeen && !isApart) look(box.getBoundingClientRect(), box, box.textContent);
  }
  texts.sort((a, b) => a.top - b.top);
  for (let i = 0; i < texts.length; i++) {
    for (let j = i + 1; j < texts.length && texts[j].top < texts[i].bottom - 2; j++) {
      const [a, b] = [texts[i], texts[j]];
      if (a.node === b.node || a.fixed !== b.fixed) continue;
      const across = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const down = Math.min(a.bottom, b.bottom) - b.top;
      if (across > 2 && down > 2) tell("overlaps", a.element, `${a.node.data.trim().slice(0, 14)} / ${b.node.data}`);
    }
  }
  const { scrollWidth } = document.documentElement;
  if (scrollWidth > innerWidth) found.add(`scrolls sideways by ${scrollWidth - innerWidth}`);
  return [...found];
}"""


def find_faults(reader: Reader) -> list[str]:
    """Return a line for each text or box that is wider or higher than its place, in the page as it is now."""
    return reader.page.evaluate(_FIND)
