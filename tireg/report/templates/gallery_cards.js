// A word as a card.
"use strict";

(() => {
  const { el, svg, number, label, copyButton } = tireg;
  const HEADLINES = ["concept_fidelity", "prompt_fidelity", "semantic_collapse", "off_token_leakage"];
  const SHORT = {
    concept_fidelity: "concept", prompt_fidelity: "prompt",
    semantic_collapse: "collapse", off_token_leakage: "leakage",
  };
  const ON_CARD = 3;

  tireg.page = (row) => `words/${row.i}.html`;

  tireg.picture = (shot, alt, { large = false, lazy = true } = {}) =>
    el("img", {
      src: `pictures/${large ? shot[3] : shot[0]}`,
      alt,
      width: shot[1],
      height: shot[2],
      loading: lazy ? "lazy" : null,
      decoding: "async",
      class: Math.max(shot[1], shot[2]) <= 128 ? "pixels" : null,
    });

  tireg.prompt = (row, shot) => shot[4].replaceAll("{token}", row.t);

  tireg.blank = () =>
    el("span", { class: "blank", "aria-hidden": "true" },
      svg("svg", { viewBox: "0 0 24 24", width: 40, height: 40 },
        svg("rect", { x: 3, y: 4, width: 18, height: 16, rx: 2, class: "pen" }),
        svg("circle", { cx: 9, cy: 10, r: 1.6, class: "pen" }),
        svg("path", { d: "M4 18l5.5-5 3 2.5L16 12l4 4", class: "pen" })));

  tireg.scoreOf = (row, metric) => row.s.find((score) => score[0] === metric);

  // Where a metric stands: those that say most come first.
  tireg.rank = (metric) => {
    const place = HEADLINES.indexOf(tireg.head.metrics[metric].n);
    return place < 0 ? HEADLINES.length + metric : place;
  };

  const scores = (row) => {
    const metrics = tireg.head.metrics;
    const chosen = row.s.filter((score) => metrics[score[0]])
      .sort((a, b) => tireg.rank(a[0]) - tireg.rank(b[0])).slice(0, ON_CARD);
    if (!chosen.length) return null;
    const list = el("dl", { class: "scores" });
    for (const [metric, value, low, high] of chosen) {
      const name = metrics[metric].n;
      const range = low === null ? "" : `, 95% interval ${number(low)} to ${number(high)}`;
      list.append(el("div", { title: `${label(name)} ${number(value)}${range}` },
        el("dt", {}, SHORT[name] || label(name)), el("dd", {}, number(value, 2))));
    }
    return list;
  };

  const badges = (row) => {
    const list = el("ul", { class: "badges", "aria-label": "Kind and family" });
    const add = (text, kind) => list.append(el("li", { class: kind }, el("bdi", {}, text)));
    if (row.k) add(row.k, `kind ${/^[a-z]+$/.test(row.k) ? row.k : ""}`);
    if (row.z) add("negative", "negative");
    for (const family of row.f.slice(0, 3)) add(family, "family");
    if (row.v > 1) add(`version ${row.v}`, "version");
    return list.childElementCount ? list : null;
  };

  const tags = (row, onTag) => {
    if (!row.g.length) return null;
    const list = el("ul", { class: "tags", "aria-label": "Tags" });
    for (const tag of row.g.slice(0, 4)) {
      const button = el("button", { type: "button", title: `Only with the tag ${tag}` },
        el("bdi", {}, tag));
      button.addEventListener("click", () => onTag(tag));
      list.append(el("li", {}, button));
    }
    return list;
  };

  tireg.card = (row, { picked, onPick, onTag, lazy }) => {
    const box = el("input", { type: "checkbox", "aria-label": `Compare ${row.n}` });
    box.checked = picked;
    box.addEventListener("change", () => onPick(row.i, box));
    const shot = row.p[0];
    return el("li", { class: "card" },
      el("a", { class: "shot", href: tireg.page(row), tabindex: -1, "aria-hidden": "true" },
        shot ? tireg.picture(shot, "", { lazy }) : tireg.blank()),
      el("div", { class: "about" },
        el("h2", {}, el("a", { href: tireg.page(row) }, el("bdi", {}, row.n))),
        el("p", { class: "token" }, el("code", {}, el("bdi", {}, row.t)),
          row.h ? el("span", { class: "warn", title: "It holds characters that cannot be seen, so it is not offered for copying" }, "hidden characters")
            : copyButton(row.t, `the token of ${row.n}`)),
        badges(row),
        scores(row),
        tags(row, onTag),
        el("label", { class: "pick" }, box, el("span", { "aria-hidden": "true" }, "Compare"))));
  };
})();
