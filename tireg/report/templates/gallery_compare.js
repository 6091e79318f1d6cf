// Words side by side. Numbers are only set on one line where they answer one question.
"use strict";

(() => {
  const { el, svg, number, label, copyButton } = tireg;
  const WIDTH = 160;

  const line = (head, cells, kind = "") =>
    el("tr", { class: kind || null }, el("th", { scope: "row" }, head), ...cells.map((cell) => el("td", {}, cell)));
  const text = (value) => (value ? el("bdi", {}, value) : el("span", { class: "faint" }, "–"));

  const bar = (score, least, most) => {
    const at = (value) => 6 + (WIDTH - 12) * (most > least ? (value - least) / (most - least) : 0.5);
    const [, value, low, high] = score;
    return svg("svg", { class: "bar", viewBox: `0 0 ${WIDTH} 14`, width: WIDTH, height: 14, "aria-hidden": "true" },
      svg("line", { class: "rule", x1: 6, x2: WIDTH - 6, y1: 7, y2: 7 }),
      low === null ? null : svg("line", { class: "span", x1: at(low), x2: at(high), y1: 7, y2: 7 }),
      svg("circle", { class: "dot", cx: at(value), cy: 7, r: 4 }));
  };

  const scoreLines = (rows) => {
    const used = [...new Set(rows.flatMap((row) => row.s.map((score) => score[0])))]
      .filter((metric) => tireg.head.metrics[metric]).sort((a, b) => tireg.rank(a) - tireg.rank(b));
    return used.map((metric) => {
      const scores = rows.map((row) => tireg.scoreOf(row, metric));
      const ends = scores.filter(Boolean).flatMap((s) => [s[1], s[2] ?? s[1], s[3] ?? s[1]]);
      const least = Math.min(...ends), most = Math.max(...ends);
      const { n, d, t } = tireg.head.metrics[metric];
      const way = { higher: "higher is better", lower: "lower is better", target: t === undefined ? "" : `best at ${t}` }[d] || "";
      const cells = scores.map((score) => score
        ? el("div", { class: "reading" }, el("strong", {}, number(score[1])),
          score[2] === null ? null : el("span", { class: "faint" }, ` ${number(score[2])} … ${number(score[3])}`),
          bar(score, least, most))
        : el("span", { class: "faint" }, "not scored"));
      return line(el("span", {}, label(n), el("small", {}, way)), cells, "score");
    });
  };

  const shown = (row, shot, large) =>
    el("a", { href: tireg.page(row) },
      tireg.picture(shot, `${row.n}: ${tireg.prompt(row, shot) || "drawn with it"}`, { large, lazy: false }));

  // Pictures of one prompt stand on one line; a word that shares no prompt shows its own.
  const pictureLines = (rows) => {
    const prompts = new Map();
    rows.forEach((row, column) => row.p.forEach((shot) => {
      const cells = prompts.get(shot[4]) || rows.map(() => null);
      cells[column] ??= shot;
      prompts.set(shot[4], cells);
    }));
    const shared = [...prompts].filter(([, shots]) => shots.filter(Boolean).length > 1)
      .sort((a, b) => b[1].filter(Boolean).length - a[1].filter(Boolean).length).slice(0, 4);
    const none = el("span", { class: "faint" }, "–");
    const lines = shared.map(([prompt, shots]) => line(
      el("span", { class: "prompt" }, el("bdi", {}, prompt.replaceAll("{token}", "…") || "no prompt is known")),
      shots.map((shot, i) => (shot ? shown(rows[i], shot, true) : none.cloneNode(true)))));
    const alone = rows.map((row, i) => row.p.length > 0 && !shared.some(([, shots]) => shots[i]));
    if (alone.some(Boolean)) {
      lines.push(line(shared.length ? "other prompts" : "pictures", rows.map((row, i) => (alone[i]
        ? el("div", { class: row.p.length > 1 ? "several" : null }, ...row.p.map((shot) => shown(row, shot, row.p.length === 1)))
        : none.cloneNode(true)))));
    }
    return lines;
  };

  const runsOn = (row) => {
    const group = tireg.head.groups[row.o] || [];
    const names = group.filter(([, sure]) => sure === 2).map(([base]) => tireg.head.bases[base]);
    if (!names.length) return el("span", { class: "faint" }, "not known");
    return el("span", {}, ...names.slice(0, 5).flatMap((name, i) => [i ? ", " : "", el("bdi", {}, name)]),
      names.length > 5 ? ` and ${names.length - 5} more` : "");
  };

  const warning = (rows) => {
    const scored = rows.filter((row) => row.s.length);
    if (scored.length < 2) return null;
    if (new Set(scored.map((row) => row.q)).size === 1) {
      return el("p", { class: "note" }, "All were asked the same prompts, on the same base, drawn in the same way. ",
        "Overlapping intervals do not show a difference; tireg compare tests it, prompt by prompt.");
    }
    return el("p", { class: "note warn" }, "These numbers answer different questions: suite, base or sampler differ. ",
      "They cannot be ranked against each other.");
  };

  // A name that needs quotes is quoted for a shell; one with a quote in it is left to the reader.
  const command = (rows) => {
    const names = rows.slice(0, 2).map((row) => row.n);
    if (rows.length < 2 || names.some((name) => /['⟨]/.test(name))) return null;
    const quoted = names.map((name) => (/^[\w.@%+=:,/-]+$/.test(name) ? name : `'${name}'`));
    return `tireg compare ${quoted.join(" ")}`;
  };

  tireg.drawCompare = (ids, place) => {
    const rows = ids.map((id) => tireg.byId.get(id)).filter(Boolean);
    const back = el("button", { type: "button", class: "plain" }, "← All words");
    back.addEventListener("click", tireg.leaveCompare);
    const heads = rows.map((row) => {
      const away = el("button", { type: "button", class: "copy", "aria-label": `Take ${row.n} out`, title: "Take out" }, "×");
      away.addEventListener("click", () => tireg.unpick(row.i));
      return el("th", { scope: "col" }, el("a", { href: tireg.page(row) }, el("bdi", {}, row.n)), away);
    });
    const typed = command(rows);
    const title = el("h2", { tabindex: -1 }, rows.length < 2 ? "Choose two words to compare" : `${rows.length} words side by side`);
    const facts = [
      ["token", (row) => el("span", { class: "token" }, el("code", {}, el("bdi", {}, row.t)), row.h ? null : copyButton(row.t, `the token of ${row.n}`))],
      ["kind", (row) => text([row.k, row.w].filter(Boolean).join(", "))],
      ["learned on", (row) => text(row.b)],
      ["family", (row) => text(row.f.join(", "))],
      ["runs on", runsOn],
      ["licence", (row) => text(row.l)],
      ["made", (row) => text(row.c)],
      ["tags", (row) => text(row.g.slice(0, 8).join(", "))],
    ];
    place.replaceChildren(back, title, ...[warning(rows)].filter(Boolean),
      el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Comparison" },
        el("table", {},
          el("thead", {}, el("tr", {}, el("td", {}), ...heads)),
          el("tbody", {}, ...pictureLines(rows), ...scoreLines(rows),
            ...facts.map(([name, cell]) => line(name, rows.map(cell)))))),
      ...(typed ? [el("p", { class: "command" }, el("code", {}, typed), copyButton(typed, "the command"))] : []));
  };
})();
