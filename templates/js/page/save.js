// What a figure can be saved as: a picture, its values, its caption, HTML that shows it in another page.
globalThis.reportgen ??= {};

reportgen.save = (() => {
  "use strict";

  const { text } = reportgen;

  function download(blob, filename) {
    const link = text.element("a", { href: URL.createObjectURL(blob), download: filename });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  }

  /** HTML that shows a figure inside another page, as high as the figure is here. */
  function frameOf(name, title, hash) {
    const address = new URL(location.href);
    address.search = `?embed=${name}`;
    address.hash = hash;
    const height = Math.ceil(document.getElementById(`figure-${name}`).offsetHeight) + 140;
    const frame = text.element("iframe", { src: address.href, title, width: "100%", height });
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
    const list = menu.querySelector("select");
    // In a frame that a notebook fills there is no address that another page could show.
    menu.querySelector("[data-format=embed]").hidden = location.protocol === "about:";

    // A comparison has no story.
    menu.querySelector("[data-format=step]").hidden = !reportgen.story;

    const TAKE = {
      embed: (name) => copyTo(frameOf(name, studio.titleOf(name), studio.hash())),
      caption: (name) => copyTo(studio.captionOf(name)),
      step: (name) => copyStep(name),
      csv: (name) => downloadAs(name, "csv"),
      png: (name) => downloadAs(name, "png"),
      svg: (name) => downloadAs(name, "svg"),
    };

    async function copyStep(name) {
      const { yaml, dropped } = reportgen.story.format(name, studio.hash(), studio.titleOf(name));
      const without = dropped.length ? ` Without ${dropped.join(" and ")}, which a story does not show.` : "";
      return (await copyTo(yaml)) + without;
    }

    const copyTo = async (said) => ((await copy(said)) ? "Copied." : "The browser does not allow copying here.");

    async function downloadAs(name, format) {
      download(await studio.make(name, format), studio.nameFile(name, format));
      return "Saved.";
    }

    async function take(format) {
      status.textContent = "Drawing…";
      try {
        status.textContent = await TAKE[format](list.value);
      } catch (error) {
        status.textContent = `Not saved: ${error.message}.`;
      }
    }

    menu.addEventListener("toggle", () => {
      status.textContent = "";
      const chosen = list.value;
      list.replaceChildren(
        ...studio.listFigures().map((name) => text.element("option", { value: name }, studio.titleOf(name))),
      );
      if (chosen) list.value = chosen;
    });
    for (const button of menu.querySelectorAll("[data-format]"))
      button.addEventListener("click", () => take(button.dataset.format));
  }

  return { listen, copy };
})();
