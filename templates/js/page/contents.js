// The contents beside the page: they lead to a section without taking the selection out of the address; the one in view is
// marked. Folds open when they are led to.
globalThis.reportgen ??= {};

reportgen.contents = (() => {
  "use strict";

  const byId = (id) => document.getElementById(id);

  function listen() {
    const links = [...document.querySelectorAll(".rail nav a")];
    for (const link of links) {
      link.addEventListener("click", (event) => {
        event.preventDefault();
        const section = byId(link.hash.slice(1));
        if (section.matches("details")) section.open = true;
        section.scrollIntoView();
      });
    }
    const sight = new IntersectionObserver(() => mark(links), { rootMargin: "-19% 0px -79% 0px", threshold: [0, 1] });
    for (const { hash } of links) sight.observe(byId(hash.slice(1)));
    mark(links);
    // The link past all this must not take the place of the selection in the address either.
    document.querySelector(".skip").addEventListener("click", (event) => {
      event.preventDefault();
      byId("main").tabIndex = -1;
      byId("main").focus();
    });
    const bar = byId("controls");
    new ResizeObserver(() => {
      const { style } = document.documentElement;
      const height = `${bar.offsetHeight}px`;
      // Everything is styled anew where it changes.
      if (getComputedStyle(bar).getPropertyValue("--bar-height") !== height) style.setProperty("--bar-height", height);
    }).observe(bar);
    if (byId("unfold")) listenToText(byId("unfold"));
  }

  function mark(links) {
    const above = links.filter(({ hash }) => byId(hash.slice(1)).getBoundingClientRect().top < innerHeight / 5);
    for (const link of links) link.setAttribute("aria-current", String(link === (above.at(-1) ?? links[0])));
  }

  /** A text of more lines than there is room for can be shown whole. */
  function listenToText(button) {
    const strip = byId("strip");
    const box = strip.parentElement;
    const look = () => (button.hidden = !box.matches(".open") && strip.scrollHeight <= strip.clientHeight + 4);
    button.addEventListener("click", () => {
      button.setAttribute("aria-expanded", String(box.classList.toggle("open")));
    });
    new ResizeObserver(look).observe(strip);
  }

  return { listen };
})();
