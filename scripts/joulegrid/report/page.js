"use strict";
// Column arrays: `data.values[key][row]`; rows are numbers of rows in them.
const data = JSON.parse(document.getElementById("data").textContent);
const specs = JSON.parse(document.getElementById("specs").textContent);
// Rows of each table until one asks for all: so many that the page opens at once
const FIRST = Math.max(5, Math.floor(600 / data.places.length));
const CANVAS = 2000; // points of a chart that SVG still draws quickly
const J_PER_KWH = 3.6e6;
const element = id => document.getElementById(id);
const state = { w: data.weight, sort: "rank", down: 0, zone: "", pue: "", hide: "", all: 0, chosen: "" };
for (const limit of data.limits) state[limit.id] = "";
for (const column of Object.values(data.values)) column.forEach((v, n) => { if (v === "inf") column[n] = Infinity; });
for (const axis of Object.keys(data.filters)) state["f-" + axis] = "";
state.hide = data.columns.filter(c => !c.brief).map(c => c.key).join("|");
const initial = { ...state };

function readHash() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const key of Object.keys(state)) {
    const text = given.get(key);
    state[key] = text === null ? initial[key] : typeof initial[key] === "number" ? Number(text) : text;
  }
  state.w = nearest(state.w);
  if (!data.columns.some(c => c.key === state.sort)) state.sort = "rank";
  if (!(state.zone in data.zones)) state.zone = "";
  for (const [axis, labels] of Object.entries(data.filters))
    if (!labels.includes(state["f-" + axis])) state["f-" + axis] = "";
}

function writeHash() {
  const given = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) if (value !== initial[key]) given.set(key, value);
  const hash = given.toString();
  try {
    history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
  } catch { /* a page without an address of its own, as in a viewer */ }
}

function nearest(weight) {
  return data.weights.reduce((best, w) => (Math.abs(w - weight) < Math.abs(best - weight) ? w : best));
}

// What a row shows in a column: some depend on the weight, the zone and the PUE that are chosen.
function value(key, row) {
  const at = data.weights.indexOf(state.w);
  if (key === "rank") return data.ranks[at][row];
  if (key === "best_probability") return data.best[at][row];
  if (key === "score") {
    const [phi, rho] = data.terms.map(name => data.values[name][row]);
    if (state.w === 1) return phi;
    return phi === null || rho === null ? null : state.w * phi + (1 - state.w) * rho;
  }
  if (key === "grams") {
    const joules = data.values.all_energy_per_token[row];
    if (joules === null || !(state.zone in data.zones)) return null;
    const pue = state.pue === "" ? data.values.pue[row] : Number(state.pue);
    return (joules * 1e6 / J_PER_KWH) * pue * data.zones[state.zone];
  }
  return data.values[key]?.[row] ?? null;
}

function format(column, number) {
  if (number === null || number === undefined || number === "") return "–";
  if (!column.digits) return String(number);
  if (number === Infinity) return "never";
  const scaled = number / column.scale;
  if (column.digits.endsWith("%")) return (100 * scaled).toFixed(0) + " %";
  const sign = column.digits.startsWith("+") && scaled >= 0 ? "+" : "";
  const count = Number(column.digits.match(/\.(\d+)/)[1]);
  if (column.digits.endsWith("f")) return sign + scaled.toFixed(count);
  const text = scaled !== 0 && (Math.abs(scaled) >= 10 ** Math.max(count, 5) || Math.abs(scaled) < 1e-4)
    ? scaled.toExponential(count - 1) : Number(scaled.toPrecision(count)).toString();
  return sign + text;
}

function passes(row) {
  for (const limit of data.limits) {
    if (state[limit.id] === "") continue;
    const number = value(limit.key, row);
    const shown = number === null ? null : limit.key === "quality" ? 100 * (1 + number) : number / limit.scale;
    if (shown === null || (limit.least ? shown < Number(state[limit.id]) : shown > Number(state[limit.id]))) return false;
  }
  return Object.keys(data.filters).every(axis => !state["f-" + axis] || data.values[axis][row] === state["f-" + axis]);
}

function ordered(rows) {
  const sign = state.down ? -1 : 1;
  const empty = v => v === null || v === "";
  return rows.slice().sort((a, b) => {
    const [x, y] = [value(state.sort, a), value(state.sort, b)];
    if (empty(x) || empty(y)) return empty(x) - empty(y);
    const less = typeof x === "string" ? x.localeCompare(y) : x - y;
    return sign * less || (value("score", b) ?? -Infinity) - (value("score", a) ?? -Infinity);
  });
}

function shownColumns() {
  const hidden = new Set(state.hide.split("|").filter(Boolean));
  return data.columns.filter(c => !hidden.has(c.key) && (c.key !== "grams" || state.zone));
}

function make(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, text] of Object.entries(attributes)) node.setAttribute(key, text);
  node.append(...children);
  return node;
}

function headOf(columns) {
  const row = make("tr", {});
  for (const column of columns) {
    const button = make("button", { type: "button", title: column.explanation }, column.heading);
    button.addEventListener("click", () => {
      const same = state.sort === column.key;
      Object.assign(state, { sort: column.key, down: same ? 1 - state.down : 0 });
      update();
    });
    const direction = state.sort !== column.key ? "none" : state.down ? "descending" : "ascending";
    row.append(make("th", { scope: "col", "aria-sort": direction, class: column.digits ? "n" : "" }, button));
  }
  return make("thead", {}, row);
}

function bodyOf(columns, rows) {
  const most = Math.max(...rows.map(row => data.values.energy_per_token[row] ?? 0));
  const body = make("tbody", {});
  for (const row of rows) {
    const classes = [data.values.pareto[row] === 1 ? "front" : "", String(row) === state.chosen ? "chosen" : ""];
    const line = make("tr", { class: classes.join(" ").trim(), "data-row": row });
    for (const column of columns) {
      const cell = make("td", { class: column.digits ? "n" : "" }, format(column, value(column.key, row)));
      if (column.key === "energy_per_token" && most > 0) {
        cell.classList.add("bar");
        cell.style.setProperty("--share", (100 * (value(column.key, row) ?? 0)) / most + "%");
      }
      line.append(cell);
    }
    body.append(line);
  }
  return body;
}

function drawTables() {
  const columns = shownColumns();
  let left = 0;
  data.places.forEach((place, number) => {
    const rows = ordered(place.rows.filter(passes));
    const shown = state.all ? rows : rows.slice(0, FIRST);
    left += rows.length - shown.length;
    const table = element("table-" + number);
    const caption = make("caption", {}, place.name || "All cells");
    table.replaceChildren(caption, headOf(columns), bodyOf(columns, shown));
    element("answer-" + number).textContent = place.answers[data.weights.indexOf(state.w)];
  });
  element("all").hidden = !left;
  element("all").textContent = `Show ${left} more rows`;
}

function csv() {
  const columns = shownColumns();
  const quote = text => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  const lines = [["place", ...columns.map(c => c.heading)]];
  for (const place of data.places)
    for (const row of ordered(place.rows.filter(passes)))
      lines.push([place.name, ...columns.map(c => format(c, value(c.key, row)))]);
  return lines.map(line => line.map(quote).join(",")).join("\n") + "\n";
}

function fillControls() {
  for (const id of Object.keys(state)) if (element(id) && element(id) !== document.activeElement) element(id).value = state[id];
  element("w-range").value = data.weights.indexOf(state.w);
  const hidden = new Set(state.hide.split("|").filter(Boolean));
  for (const box of document.querySelectorAll(".picker input")) box.checked = !hidden.has(box.value);
}

function update() {
  writeHash();
  fillControls();
  drawTables();
}

function listen() {
  for (const id of Object.keys(state))
    element(id)?.addEventListener("input", event => {
      state[id] = typeof initial[id] === "number" ? nearest(Number(event.target.value)) : event.target.value;
      update();
    });
  element("w").addEventListener("change", () => { element("w").value = state.w; });
  element("w-range").addEventListener("input", event => { state.w = data.weights[event.target.value]; update(); });
  for (const box of document.querySelectorAll(".picker input"))
    box.addEventListener("change", () => {
      const hidden = [...document.querySelectorAll(".picker input")].filter(b => !b.checked).map(b => b.value);
      state.hide = hidden.join("|");
      update();
    });
  element("all").addEventListener("click", () => { state.all = 1; update(); });
  element("reset").addEventListener("click", () => { Object.assign(state, initial); update(); });
  element("copy").addEventListener("click", () => navigator.clipboard.writeText(csv()));
  element("download").addEventListener("click", () => {
    const link = make("a", { href: URL.createObjectURL(new Blob([csv()], { type: "text/csv" })), download: data.study + ".csv" });
    link.click();
    URL.revokeObjectURL(link.href);
  });
  element("copy").hidden = !navigator.clipboard;
  addEventListener("hashchange", () => { readHash(); update(); });
}

function drawCharts() {
  const style = getComputedStyle(document.documentElement);
  const [ink, line] = ["--ink", "--line"].map(name => style.getPropertyValue(name).trim());
  const config = { background: "transparent", title: { color: ink, subtitleColor: ink },
    style: { "guide-label": { fill: ink }, "guide-title": { fill: ink }, "group-title": { fill: ink } },
    text: { color: ink }, axis: { gridColor: line, domainColor: line, tickColor: line } };
  for (const [name, spec] of Object.entries(specs)) {
    const points = Object.values(spec.datasets ?? {}).reduce((sum, rows) => sum + rows.length, 0);
    const options = { actions: { export: true, source: false, compiled: false, editor: false }, config,
      renderer: points > CANVAS ? "canvas" : "svg" };
    vegaEmbed("#chart-" + name, spec, options).then(({ view }) => {
      view.addEventListener("click", (_, item) => {
        if (item?.datum?.row === undefined) return;
        state.chosen = String(item.datum.row);
        update();
        document.querySelector("tr.chosen")?.scrollIntoView({ block: "center" });
      });
    });
  }
}

readHash();
listen();
update();
setTimeout(drawCharts); // the tables are there first
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);
