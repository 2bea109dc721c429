// One view alone, for a frame in another page: `?embed=head` leaves of the page what that view needs.
globalThis.reportgen ??= {};

reportgen.embed = (() => {
  "use strict";

  const { text } = reportgen;
  /** Where it says what is selected; null on a whole page. */
  let place = null;

  /** The view that the address asks for; null for the whole page. */
  function asked() {
    return new URLSearchParams(location.search).get("embed");
  }

  /** Hide what stands beside an element and its parents, but for headings and what is said of the figure. */
  function hideOthers(element) {
    for (let inner = element; !inner.matches(".page"); inner = inner.parentElement) {
      inner.classList.add("alone");
      for (const other of inner.parentElement.children) {
        const stays = other === inner || other.matches(".card > header, h3, .card > .hint, .pair .hint, #sentence");
        other.classList.toggle("beyond", !stays);
      }
    }
  }

  /** A line that says what page the view is of, and leads to it. */
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

  /** Say in that line what is selected. */
  function say(selected) {
    if (place) place.textContent = selected;
  }

  /**
   * Leave a view alone on the page.
   * @param {string} name of the view
   * @param {{title: string, model: string}} card
   * @returns {boolean} false where there is no such view, which the page then says
   */
  function show(name, { title, model }) {
    const page = document.querySelector(".page");
    document.documentElement.dataset.embed = "";
    const views = [...document.querySelectorAll("[data-figure]")];
    const element = views.find(({ dataset }) => dataset.figure === name);
    if (element) {
      hideOthers(element);
      page.append(makeSource(title, model));
      return true;
    }
    const there = views.map(({ dataset }) => dataset.figure).join(", ");
    const said = `There is no view “${name}” on this page; it has ${there}.`;
    for (const part of page.children) part.classList.add("beyond");
    page.append(text.element("p", { class: "wait error", role: "alert" }, said));
    return false;
  }

  /** Of the figures that a page has, the one that stands alone: none where that is the text. */
  function only(items, name) {
    return name in items ? { [name]: items[name] } : {};
  }

  return { asked, show, say, only };
})();
