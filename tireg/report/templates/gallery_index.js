// The first page: what is asked for stands in the address behind "#", so a view can be sent on.
"use strict";

(() => {
  const { el, fold, label } = tireg;
  const PAGE = 60;
  const MOST_PICKED = 4;
  const SELECTS = ["kind", "family", "base", "license"];
  const get = (id) => document.getElementById(id);

  const fresh = () => ({
    q: "", kind: "", family: "", base: "", license: "", unknown: false,
    tags: [], limits: new Map(), sort: "new", page: 1, pick: [], view: "",
  });
  let state = fresh();
  let metricNames = [];

  const read = () => {
    const asked = new URLSearchParams(location.hash.slice(1));
    const next = fresh();
    for (const name of ["q", "sort", "view", ...SELECTS]) next[name] = asked.get(name) || next[name];
    next.unknown = asked.get("unknown") === "1";
    next.tags = asked.getAll("tag").slice(0, 20);
    next.page = Math.max(1, Number.parseInt(asked.get("page") || "1", 10) || 1);
    next.pick = (asked.get("pick") || "").split(",").filter((id) => /^[0-9a-f]{20}$/.test(id)).slice(0, MOST_PICKED);
    for (const [key, value] of asked) {
      const found = /^(min|max)\.(.+)$/.exec(key);
      if (found && value !== "" && Number.isFinite(Number(value))) {
        const limit = next.limits.get(found[2]) || {};
        limit[found[1]] = Number(value);
        next.limits.set(found[2], limit);
      }
    }
    return next;
  };

  const write = () => {
    const told = new URLSearchParams();
    for (const name of ["q", ...SELECTS]) if (state[name]) told.set(name, state[name]);
    if (state.unknown) told.set("unknown", "1");
    for (const tag of state.tags) told.append("tag", tag);
    for (const [name, limit] of state.limits) {
      for (const end of ["min", "max"]) if (limit[end] !== undefined) told.set(`${end}.${name}`, limit[end]);
    }
    if (state.sort !== "new") told.set("sort", state.sort);
    if (state.page > 1) told.set("page", state.page);
    if (state.pick.length) told.set("pick", state.pick.join(","));
    if (state.view) told.set("view", state.view);
    return `#${told}`;
  };
  const note = () => {
    history.replaceState(null, "", write());
    tireg.remember(write());
  };

  // What a word is searched by, made when it is first needed.
  const words = (row) => {
    row.words ??= fold([row.n, row.t, row.k, row.w, row.b, row.a, row.l, row.x, ...row.f, ...row.g,
      ...row.p.map((p) => p[4])].filter(Boolean).join("\n"));
    return row.words;
  };

  const tests = () => {
    const list = [];
    const base = state.base ? tireg.head.bases.indexOf(state.base) : -1;
    if (state.kind) list.push((row) => row.k === state.kind);
    if (state.family) list.push((row) => row.f.includes(state.family));
    if (state.license) list.push((row) => row.l === state.license);
    for (const tag of state.tags) list.push((row) => row.g.includes(tag));
    if (state.base) {
      const least = state.unknown ? 1 : 2;
      const good = tireg.head.groups.map((group) => group.some(([b, sure]) => b === base && sure >= least));
      list.push((row) => good[row.o]);
    }
    for (const [name, { min = -Infinity, max = Infinity }] of state.limits) {
      const metric = metricNames.indexOf(name);
      list.push((row) => {
        const score = tireg.scoreOf(row, metric);
        return score !== undefined && score[1] >= min && score[1] <= max;
      });
    }
    for (const term of fold(state.q).split(/\s+/).filter(Boolean)) list.push((row) => words(row).includes(term));
    return list;
  };

  const orders = () => {
    if (state.sort === "name") return (a, b) => (a.n < b.n ? -1 : a.n > b.n ? 1 : 0);
    if (state.sort === "old") return (a, b) => b.place - a.place;
    const metric = metricNames.indexOf(state.sort);
    if (metric < 0) return null;
    const { d, t } = tireg.head.metrics[metric];
    const badness = (row) => {
      const score = tireg.scoreOf(row, metric);
      if (!score) return Infinity;
      if (d === "lower") return score[1];
      return d === "target" && t !== undefined ? Math.abs(score[1] - t) : -score[1];
    };
    return (a, b) => { const x = badness(a), y = badness(b); return x < y ? -1 : x > y ? 1 : a.place - b.place; };
  };

  const found = () => {
    const all = tests();
    const rows = tireg.rows.filter((row) => all.every((test) => test(row)));
    const order = orders();
    return order ? rows.sort(order) : rows;
  };

  const change = (changes, { keepPage = false } = {}) => {
    Object.assign(state, changes);
    if (!keepPage) state.page = 1;
    note();
    draw();
  };

  const pick = (id, box) => {
    const chosen = state.pick.includes(id) ? state.pick.filter((other) => other !== id) : [...state.pick, id];
    if (chosen.length > MOST_PICKED) {
      box.checked = false;
      tireg.say(`${MOST_PICKED} words are compared at most`);
      return;
    }
    state.pick = chosen;
    note();
    drawDock();
  };
  const addTag = (tag) => { if (tag && !state.tags.includes(tag)) change({ tags: [...state.tags, tag] }); };

  const count = (n) => n.toLocaleString("en");
  const drawPager = (total) => {
    const pages = Math.max(1, Math.ceil(total / PAGE));
    state.page = Math.min(state.page, pages);
    const pager = get("pager");
    pager.hidden = pages < 2;
    const go = (text, page, where) => {
      const button = el("button", { type: "button", disabled: page < 1 || page > pages, "aria-label": where }, text);
      button.addEventListener("click", () => {
        change({ page }, { keepPage: true });
        get("count").scrollIntoView({ block: "start" });
        get("cards").querySelector("h2 a")?.focus({ preventScroll: true });
      });
      return button;
    };
    pager.replaceChildren(go("«", state.page > 1 ? 1 : 0, "First page"), go("‹", state.page - 1, "Page before"),
      el("span", {}, `page ${count(state.page)} of ${count(pages)}`),
      go("›", state.page + 1, "Next page"), go("»", state.page < pages ? pages : pages + 1, "Last page"));
  };

  const drawChips = () => {
    const chips = state.tags.map((tag) => {
      const button = el("button", { type: "button", "aria-label": `Without the tag ${tag}` }, el("bdi", {}, tag), " ×");
      button.addEventListener("click", () => change({ tags: state.tags.filter((other) => other !== tag) }));
      return el("li", {}, button);
    });
    get("chips").replaceChildren(...chips);
    const asked = SELECTS.filter((name) => state[name]).length + state.tags.length + state.limits.size;
    get("asked").textContent = asked ? ` (${asked})` : "";
    get("reset").hidden = !asked && !state.q;
  };

  const drawDock = () => {
    const dock = get("dock");
    dock.hidden = state.view === "compare" || !state.pick.length;
    const names = state.pick.map((id) => tireg.byId.get(id)?.n).filter(Boolean);
    get("picked").replaceChildren(...names.flatMap((name, i) => [i ? ", " : "", el("bdi", {}, name)]));
    get("compare-them").disabled = names.length < 2;
    document.body.classList.toggle("docked", !dock.hidden);
  };

  const draw = () => {
    if (!tireg.head || !tireg.rows.length && tireg.head.total) return;
    const comparing = state.view === "compare";
    get("browse").hidden = comparing;
    get("search").hidden = comparing;
    get("compare").hidden = !comparing;
    drawDock();
    if (comparing) {
      tireg.drawCompare(state.pick, get("compare"));
      return;
    }
    const rows = found();
    drawPager(rows.length);
    drawChips();
    const first = (state.page - 1) * PAGE;
    const cards = rows.slice(first, first + PAGE).map((row, i) => tireg.card(row, {
      picked: state.pick.includes(row.i), onPick: pick, onTag: addTag, lazy: i >= 8,
    }));
    get("cards").replaceChildren(...cards);
    get("none").hidden = rows.length > 0;
    const { total } = tireg.head;
    const still = tireg.rows.length < total ? `, ${count(total - tireg.rows.length)} still loading` : "";
    get("count").textContent = `${count(rows.length)} of ${count(total)} words${still}`;
  };

  // Fields show what the address says.
  const showFields = () => {
    get("q").value = state.q;
    for (const name of SELECTS) get(name).value = state[name];
    get("unknown").checked = state.unknown;
    get("sort").value = state.sort;
    for (const field of document.querySelectorAll("#limits input")) {
      const value = state.limits.get(field.dataset.metric)?.[field.dataset.end];
      field.value = value === undefined ? "" : String(value);
    }
  };

  const addMetrics = () => {
    metricNames = tireg.head.metrics.map((metric) => metric.n);
    const ways = { higher: "highest first", lower: "lowest first", target: "nearest to its target first" };
    tireg.head.metrics.forEach((metric) => {
      get("sort").append(el("option", { value: metric.n }, `${label(metric.n)}, ${ways[metric.d] || "highest first"}`));
      const field = (end, text) => {
        const input = el("input", { type: "number", step: "any", "data-metric": metric.n, "data-end": end,
          placeholder: text, "aria-label": `${label(metric.n)}, ${end === "min" ? "at least" : "at most"}` });
        input.addEventListener("input", () => {
          const limit = { ...state.limits.get(metric.n) };
          if (input.value === "") delete limit[end]; else limit[end] = Number(input.value);
          const limits = new Map(state.limits);
          if (Object.keys(limit).length) limits.set(metric.n, limit); else limits.delete(metric.n);
          change({ limits });
        });
        return input;
      };
      get("limits").append(el("div", { class: "limit", title: metric.x ? `bad: ${metric.x}` : null },
        el("span", {}, label(metric.n)), field("min", "min"), field("max", "max")));
    });
    get("ranges").hidden = !metricNames.length;
  };

  const listen = () => {
    get("search").addEventListener("submit", (event) => event.preventDefault());
    get("q").addEventListener("input", () => change({ q: get("q").value }));
    for (const name of [...SELECTS, "sort"]) get(name).addEventListener("change", () => change({ [name]: get(name).value }));
    get("unknown").addEventListener("change", () => change({ unknown: get("unknown").checked }));
    const tag = get("tag");
    tag.addEventListener("change", () => { addTag(tag.value.trim()); tag.value = ""; });
    tag.addEventListener("keydown", (event) => {
      if (event.key === "Enter") { event.preventDefault(); addTag(tag.value.trim()); tag.value = ""; }
    });
    get("reset").addEventListener("click", () => {
      state = { ...fresh(), pick: state.pick, sort: state.sort };
      note(); showFields(); draw(); get("q").focus();
    });
    get("clear").addEventListener("click", () => { state.pick = []; note(); draw(); });
    get("compare-them").addEventListener("click", () => {
      state.view = "compare";
      location.hash = write();
      tireg.remember(write());
      draw();
      get("compare").querySelector("h2")?.focus();
    });
    self.addEventListener("hashchange", () => {
      if (location.hash === write()) return;
      state = read(); showFields(); draw();
    });
    document.addEventListener("keydown", (event) => {
      const typing = event.target instanceof Element && event.target.closest("input:not([type=checkbox]), select, textarea");
      if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey && !get("browse").hidden) {
        event.preventDefault();
        get("q").focus();
      } else if (event.key === "Escape" && document.activeElement === get("q") && state.q) {
        event.preventDefault();
        get("q").value = "";
        change({ q: "" });
      } else if (event.key === "Escape" && state.view === "compare") {
        tireg.leaveCompare();
      }
    });
  };

  tireg.leaveCompare = () => { state.view = ""; location.hash = write(); tireg.remember(write()); draw(); get("q").focus(); };
  tireg.unpick = (id) => {
    state.pick = state.pick.filter((other) => other !== id);
    if (state.pick.length < 2) state.view = "";
    note(); showFields(); draw();
  };

  state = read();
  addMetrics();
  if (self.matchMedia("(min-width: 60rem)").matches) get("filters").open = true;
  listen();
  showFields();
  draw();
  tireg.remember(write());
  let waiting = false;
  tireg.whenMore(() => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; draw(); });
  });
})();
