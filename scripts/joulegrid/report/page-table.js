"use strict";
// The tables: what a row shows, which rows pass, their order, and the same as CSV.
const FIRST = 300; // rows of all tables, and so many more each time that one asks for more
const WORDS = new Set(["note", "kernel", "gpu"]); // columns of texts that may be long

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
  return data.limits.every(limit => isWithin(limit, row))
    && Object.keys(data.filters).every(axis => !state["f-" + axis] || data.values[axis][row] === state["f-" + axis]);
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

// A heading in lines of whole quantities, as "± 95 %"
const unbroken = text => text.replaceAll("± ", "±\u00a0").replaceAll(" %", "\u00a0%").replace(/ (?=.$)/u, "\u00a0");

// What breaks where a line is full: a metric behind its task
const breakable = text => text.split(/(?<=\.)/).flatMap((part, number) => number ? [make("wbr", {}), part] : [part]);

// Sorting draws the head anew, and who pressed its button stays on it
function headOf(columns, table) {
  const row = make("tr", {});
  for (const column of columns) {
    const button = make("button", { type: "button", title: column.explanation, "data-key": column.key }, ...breakable(unbroken(column.heading)));
    button.addEventListener("click", () => {
      const same = state.sort === column.key;
      Object.assign(state, { sort: column.key, down: same ? 1 - state.down : 0 });
      update();
      table.querySelector(`button[data-key="${CSS.escape(column.key)}"]`)?.focus();
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
      const cell = make("td", { class: column.digits ? "n" : WORDS.has(column.key) ? "long" : "" }, format(column, value(column.key, row)));
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
  // Rows of each table: so many that the page opens, and follows a slider, at once
  const most = Math.max(5, Math.floor(FIRST / data.places.length)) * (1 + state.all);
  let left = 0;
  data.places.forEach((place, number) => {
    const rows = ordered(place.rows.filter(passes));
    const shown = rows.slice(0, most);
    left += rows.length - shown.length;
    const table = element("table-" + number);
    const caption = make("caption", {}, place.name || "All cells");
    table.replaceChildren(caption, headOf(columns, table), bodyOf(columns, shown));
    element("answer-" + number).textContent = place.answers[data.weights.indexOf(state.w)];
  });
  element("all").hidden = !left;
  element("all").textContent = left > FIRST ? `Show more of ${left} further rows` : `Show ${left} more rows`;
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
