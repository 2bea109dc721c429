// The text strip as a drawing: the boxes that the browser lays out, as SVG.
globalThis.reportgen ??= {};

reportgen.strip = (() => {
  "use strict";

  const { text } = reportgen;

  /** A colour as every program that reads SVG knows it: `[colour, opacity]`. */
  function plain(color) {
    const context = new OffscreenCanvas(1, 1).getContext("2d");
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b, alpha] = context.getImageData(0, 0, 1, 1).data;
    return [`rgb(${r},${g},${b})`, Number((alpha / 255).toFixed(3))];
  }

  /** Whatever of a token is seen: its ground, its frame, its text, the bar of its probability. */
  function drawToken(token, corner, { svg, theme }) {
    const style = getComputedStyle(token);
    const { left, top, width, height } = token.getBoundingClientRect();
    const [x, y] = [left - corner.left, top - corner.top];
    const box = { x: x + 0.5, y: y + 0.5, width: width - 1, height: height - 4, rx: 3 };
    const isOutside = token.classList.contains("outside");
    const [fill, opacity] = isOutside ? [theme.masked, 1] : plain(style.backgroundColor);
    const [stroke, seen] = plain(style.borderTopColor);
    const dash = style.borderTopStyle === "dashed" ? { "stroke-dasharray": "3 2" } : {};
    const parts = [svg("rect", { ...box, fill, "fill-opacity": opacity, stroke, "stroke-opacity": seen, ...dash })];
    if (isOutside) parts.push(svg("rect", { ...box, fill: "url(#hatch)" }));
    const start = { x: x + Number.parseFloat(style.paddingLeft) + 1, y: y + height * 0.62 };
    const signed = token.classList.contains("against") && Number(token.style.getPropertyValue("--weight")) > 0.1;
    const line = signed ? { "text-decoration": "underline" } : {};
    const slant = style.fontStyle === "italic" ? { "font-style": "italic" } : {};
    parts.push(svg("text", { ...start, fill: plain(style.color)[0], ...slant, ...line }, token.textContent));
    if (token.classList.contains("generated")) {
      const [bar] = plain(getComputedStyle(token, "::after").backgroundColor);
      parts.push(svg("rect", { x: x + 1, y: y + height - 5, width: width - 2, height: 4, rx: 2, fill: bar }));
    }
    return parts;
  }

  /** Lay a strip out on a stage for what is selected, and draw what stands there. */
  async function draw(stage, scene) {
    const { svg } = reportgen.picture;
    const { theme, evidence } = scene;
    const { layer, head, queryPos, show } = scene.state;
    const row = await evidence.row(layer, head, queryPos, [show], scene.state);
    const copy = stage.appendChild(document.getElementById("strip").cloneNode(true));
    copy.removeAttribute("id");
    copy.style.maxHeight = "none";
    text.drawStrip(copy, scene, row[show] ?? new Float32Array(queryPos + 1), show === "attribution");
    const sentence = document.createElement("p");
    text.drawSentence(sentence, scene);
    const corner = copy.getBoundingClientRect();
    const { fontFamily, fontSize } = getComputedStyle(copy);
    const parts = [...copy.querySelectorAll(".token")].flatMap((token) => drawToken(token, corner, { svg, theme }));
    reportgen.lines.draw(copy, scene, row[show]);
    for (const line of copy.querySelectorAll("path")) {
      const { stroke, strokeWidth, strokeOpacity } = getComputedStyle(line);
      const look = { stroke: plain(stroke)[0], "stroke-width": Number.parseFloat(strokeWidth), fill: "none" };
      parts.push(svg("path", { d: line.getAttribute("d"), ...look, "stroke-opacity": strokeOpacity }));
    }
    const border = copy.querySelector(".boundary")?.getBoundingClientRect();
    if (border) {
      const [x, y] = [border.left - corner.left, border.top - corner.top];
      const line = { x1: x, x2: x, y1: y, y2: y + border.height };
      parts.push(svg("line", { ...line, stroke: theme.muted, "stroke-dasharray": "3 2" }));
    }
    const line = svg("line", { y2: 6, stroke: theme.hatch, "stroke-width": 1.5 });
    const turned = { patternUnits: "userSpaceOnUse", patternTransform: "rotate(30)" };
    const hatch = svg("defs", {}, svg("pattern", { id: "hatch", width: 6, height: 6, ...turned }, line));
    const node = svg("g", {}, hatch, svg("g", { "font-family": fontFamily, "font-size": fontSize }, ...parts));
    return { node, width: corner.width, height: corner.height, said: sentence.textContent };
  }

  return { draw };
})();
