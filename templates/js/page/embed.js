// One figure alone, for a frame in another page: `?embed=head` leaves of the page what that figure needs.
globalThis.reportgen ??= {};

reportgen.embed = (() => {
  "use strict";

  const { text } = reportgen;
  /** Where it says what is selected; null on a whole page. */
  let place = null;

  /** The figure that the address asks for; null for the whole page. */
  function asked() {
    return new URLSearchParams(location.search).get("embed");
  }

  /** Hide what stands beside an element and its parents, but for headings and what is said of the figure. */
  function hideOthers(element) {
    for (let inner = element; !inner.matches("main"); inner = inner.parentElement) {
      inner.classList.add("alone");
      if (inner.matches("details")) inner.open = true;
      for (const other of inner.parentElement.children) {
        const stays = other === inner || other.matches("header, h3, .card > .hint, summary, main > h2");
        other.classList.toggle("beyond", !stays);
      }
    }
  }

  /** A line that says what page the figure is of, and leads to it. */
  function makeSource(title, model) {
    const link = text.element("a", { target: "_blank", rel: "noopener" }, text.element("bdi", {}, title));
    const lead = () => (link.href = location.pathname + location.hash);
    lead();
    addEventListener("hashchange", lead);
    // The selection moves on without a word.
    for (const name of ["pointerdown", "focus"]) link.addEventListener(name, lead);
    place = text.element("span");
    return text.element("p", { class: "hint source" }, link, ` · ${model} · `, place);
  }

  /** Say in that line what is selected, and tell the page around how high the figure is. */
  function say(selected) {
    if (!place) return;
    place.textContent = selected;
    parent.postMessage({ reportgen: location.href, height: document.documentElement.offsetHeight }, "*");
  }

  /**
   * Leave a figure alone on the page.
   * @param {string} name of the figure
   * @param {{title: string, model: string}} card
   * @returns {boolean} false where there is no such figure, which the page then says
   */
  function show(name, { title, model }) {
    const main = document.querySelector("main");
    document.documentElement.dataset.embed = "";
    const figures = [...document.querySelectorAll(".heatmap")];
    const element = figures.find(({ dataset }) => dataset.figure === name);
    if (element) {
      const part = element.closest(".rail");
      if (part) main.prepend(part.querySelector("h2"), element);
      hideOthers(element);
      main.append(makeSource(title, model));
      return true;
    }
    const there = figures.map(({ dataset }) => dataset.figure).join(", ");
    for (const part of main.children) part.classList.add("beyond");
    const said = `There is no figure “${name}” on this page; it has ${there}.`;
    main.append(text.element("p", { class: "wait error", role: "alert" }, said));
    return false;
  }

  return { asked, show, say };
})();
