// The ground of every page of a gallery: making elements, copying, the words that were loaded.
// Text only ever becomes text: elements are made one by one, and nothing here parses markup.
"use strict";

(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const ID = /^[0-9a-f]{20}$/;
  const PICTURE = /^[0-9a-f]{32}\.(webp|jpg)$/;

  const listeners = [];
  const tireg = {
    head: null,
    rows: [],
    byId: new Map(),
  };

  // Called by the data files: text is JSON.
  tireg.add = (text) => {
    const data = JSON.parse(text);
    if (data.rows) {
      for (const row of data.rows) {
        if (!ID.test(row.i) || tireg.byId.has(row.i)) continue;
        row.p = (row.p || []).filter((p) => PICTURE.test(p[0]) && PICTURE.test(p[3]));
        row.s = row.s || [];
        row.place = tireg.rows.length;
        tireg.rows.push(row);
        tireg.byId.set(row.i, row);
      }
    } else {
      tireg.head = data;
    }
    for (const call of listeners) call();
  };
  tireg.whenMore = (call) => listeners.push(call);

  const fill = (node, attributes, children) => {
    for (const [name, value] of Object.entries(attributes)) {
      if (value === null || value === undefined || value === false) continue;
      node.setAttribute(name, value === true ? "" : String(value));
    }
    for (const child of children) {
      if (child !== null && child !== undefined && child !== false) node.append(child);
    }
    return node;
  };
  tireg.el = (tag, attributes = {}, ...children) =>
    fill(document.createElement(tag), attributes, children);
  tireg.svg = (tag, attributes = {}, ...children) =>
    fill(document.createElementNS(SVG, tag), attributes, children);

  tireg.fold = (text) => text.normalize("NFKD").replace(/\p{M}+/gu, "").toLowerCase();

  tireg.number = (value, digits = 3) => {
    if (value === null || value === undefined) return "–";
    const text = value.toFixed(digits);
    return (Number(text) === 0 ? (0).toFixed(digits) : text).replace("-", "−");
  };
  tireg.label = (name) => name.replaceAll("_", " ");

  const fallback = (text) => {
    const area = tireg.el("textarea", { class: "visually-hidden", "aria-hidden": "true" });
    area.value = text;
    const before = document.activeElement;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (before instanceof HTMLElement) before.focus();
    return done;
  };
  const copy = async (text) => {
    if (navigator.clipboard) {
      try {
        await navigator.clipboard.writeText(text);
        return true;
      } catch {
        // Not allowed here; the older way may be.
      }
    }
    return fallback(text);
  };

  let timer = 0;
  const say = (text) => {
    const place = document.getElementById("said");
    if (!place) return;
    place.textContent = text;
    clearTimeout(timer);
    timer = setTimeout(() => { place.textContent = ""; }, 2500);
  };
  tireg.say = say;

  // One listener serves every button that has something to copy, however many pages are drawn.
  document.addEventListener("click", async (event) => {
    const button = event.target instanceof Element ? event.target.closest("button[data-copy]") : null;
    if (!button) return;
    const done = await copy(button.getAttribute("data-copy"));
    say(done ? "copied" : "copying is not allowed here: select the text instead");
    button.classList.toggle("done", done);
    setTimeout(() => button.classList.remove("done"), 1200);
  });

  tireg.copyButton = (text, what) =>
    tireg.el(
      "button",
      { type: "button", class: "copy", "data-copy": text, "aria-label": `Copy ${what}`, title: `Copy ${what}` },
      tireg.svg("svg", { viewBox: "0 0 16 16", width: 16, height: 16, "aria-hidden": "true" },
        tireg.svg("rect", { x: 5.5, y: 5.5, width: 8, height: 8, rx: 1.5, class: "pen" }),
        tireg.svg("path", { d: "M10.5 3V2.5h-8v8H3", class: "pen" })),
    );

  // The view one came from, so that a word's page leads back to it. Some browsers keep nothing
  // for files; then the way back is the first page.
  tireg.remember = (hash) => {
    try {
      sessionStorage.setItem(`tireg ${tireg.place}`, hash);
    } catch {
      tireg.last = hash;
    }
  };
  tireg.remembered = () => {
    try {
      return sessionStorage.getItem(`tireg ${tireg.place}`) || "";
    } catch {
      return tireg.last || "";
    }
  };
  tireg.place = location.pathname.replace(/(?:words\/)?[^/]*$/, "");

  document.documentElement.classList.add("js");
  self.tireg = tireg;
})();
