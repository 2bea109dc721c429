// A button at every view that opens what can be taken away of it.
globalThis.reportgen ??= {};

reportgen.save = (() => {
  "use strict";

  const { picture, text } = reportgen;
  const SAID_MILLISECONDS = 4000;

  function download(blob, filename) {
    const link = text.element("a", { href: URL.createObjectURL(blob), download: filename });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  /** HTML that shows a view inside another page. */
  function frameOf(name, title) {
    const address = new URL(location.href);
    address.search = `?embed=${name}`;
    const frame = text.element("iframe", { src: address.href, title, width: "100%", height: "640" });
    frame.style.border = "0";
    return frame.outerHTML;
  }

  /** Put text where it can be pasted from; false where the browser does not let us. */
  async function copy(said) {
    try {
      await navigator.clipboard.writeText(said);
      return true;
    } catch {
      return false;
    }
  }

  /** @param {object} studio as `picture.makeStudio` gives it */
  function listen(menu, studio) {
    const status = menu.querySelector("[role=status]");
    let chosen = null;
    // In a frame that a notebook fills there is no address that another page could show.
    menu.querySelector("[data-format=embed]").hidden = location.protocol === "about:";

    function say(what) {
      status.textContent = what;
      setTimeout(() => (status.textContent = ""), SAID_MILLISECONDS);
    }

    async function take(format) {
      if (format === "embed") {
        const done = await copy(frameOf(chosen.dataset.figure, picture.nameOf(chosen)));
        return say(done ? "Copied" : "The browser does not allow it");
      }
      status.textContent = "Drawing…";
      const name = chosen.dataset.figure;
      download(await studio.make(name, format), studio.nameFile(name, format));
      say("Saved");
    }

    for (const element of document.querySelectorAll("[data-figure]")) {
      const heading = picture.headingOf(element);
      const attributes = { type: "button", class: "save", popovertarget: menu.id };
      const button = text.element(
        "button",
        { ...attributes, "aria-label": `save: ${picture.nameOf(element)}` },
        "Save",
      );
      button.addEventListener("click", () => (chosen = element));
      (heading.matches("h2") ? heading.parentElement : heading).append(button);
    }
    for (const button of menu.querySelectorAll("[data-format]")) {
      button.addEventListener("click", () => take(button.dataset.format));
    }
  }

  return { listen, copy };
})();
