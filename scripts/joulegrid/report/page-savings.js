// The savings calculator: a year of requests by one cell and by another, from the energies of this study, beside
// factors that others published.
const DAYS = 365;
const MOST_CHOICES = 200; // cells that can be chosen at once
const SAVINGS = { requests: "1000", "prompt-tokens": "200", "answer-tokens": "200", price: "", now: "", then: "" };

const nameOf = row => [data.values.configuration[row], data.values.place[row]].filter(text => text !== "all").join(" · ");
const numberOf = (key, row) => data.values[key]?.[row] ?? null;

const isBaseline = row => Object.entries(data.baseline).every(([axis, label]) => data.values[axis][row] === label);

const isMeasured = row => numberOf("e_token", row) !== null;
const measured = place => ordered(place.rows.filter(passes)).filter(isMeasured);

// Cells that can be chosen: the best of what is shown, and those that are chosen already
function choices() {
  const chosen = [state.now, state.then].filter(text => text !== "").map(Number).filter(isMeasured);
  return [...new Set([...chosen, ...data.places.flatMap(measured).slice(0, MOST_CHOICES)])];
}

// Where nobody chose: the baseline now, of a place where another cell is better, and then the best other one of the
// same place, whose workload is the same
function preselected(id, rows) {
  const isBeaten = row => isBaseline(row) && !isBaseline(measured(data.places.find(place => place.rows.includes(row)))[0]);
  if (id === "now") return rows.find(isBeaten) ?? rows.find(isBaseline) ?? rows[0];
  const now = Number(state.now);
  return measured(data.places.find(place => place.rows.includes(now))).find(row => row !== now) ?? now;
}

function fillChoices() {
  const rows = choices();
  for (const id of ["now", "then"]) {
    if (document.activeElement === element(id)) continue;
    element(id).replaceChildren(...rows.map(row => make("option", { value: row }, nameOf(row))));
    if (rows.length && (state[id] === "" || !rows.includes(Number(state[id]))))
      state[id] = initial[id] = String(preselected(id, rows));
  }
}

// J of a request at the machine and the half width of its 95 % interval. Those of prompt and answer are added: they
// come from the same sessions, and the sum is the widest that the interval can be.
function perRequest(row, phases) {
  const [prompt, answer] = [Number(state["prompt-tokens"]), Number(state["answer-tokens"])];
  const parts = phases
    ? [[prompt, "e_prompt"], [Math.max(answer - 1, 0), "e_decoded"]]
    : [[answer, "e_token"]];
  const sum = ending => parts.reduce((all, [count, key]) => {
    const one = numberOf(key + ending, row);
    return all === null || one === null ? null : all + count * one;
  }, 0);
  return { joules: sum(""), half: sum("_ci95") };
}

// kWh, kg of CO₂e and money of a year, each with its half width; null where something is not known
function yearly(row, phases) {
  const { joules, half } = perRequest(row, phases);
  const pue = state.pue === "" ? numberOf("pue", row) : Number(state.pue);
  const kwh = joule => joule === null ? null : joule * Number(state.requests) * DAYS * pue / J_PER_KWH;
  return inAll(kwh(joules), kwh(half));
}

function inAll(kwh, half) {
  const times = factor => ({ value: kwh === null ? null : kwh * factor, half: half === null ? null : half * factor });
  return {
    kwh: times(1),
    kg: state.zone in data.zones ? times(data.zones[state.zone] / 1000) : null,
    money: state.price === "" ? null : times(Number(state.price)),
  };
}

// The interval of a difference from those of its parts (Zou and Donner 2008, doi:10.1002/sim.3095), as if they were
// independent
function difference(now, then) {
  const kwh = now.kwh.value === null || then.kwh.value === null ? null : now.kwh.value - then.kwh.value;
  const half = now.kwh.half === null || then.kwh.half === null ? null : Math.hypot(now.kwh.half, then.kwh.half);
  return inAll(kwh, half);
}

function amount(number, digits = 4) {
  if (number === null) return "–";
  return Math.abs(number) >= 1e6 || (number !== 0 && Math.abs(number) < 1e-3)
    ? number.toExponential(digits - 1) : Number(number.toPrecision(digits)).toString();
}

function basis(row) {
  const share = numberOf("estimated_share", row);
  return share ? `this study, ${Math.round(100 * share)} % of it estimated` : "this study, measured";
}

function savingsLine(title, found, told) {
  const cells = ["kwh", "kg", "money"].filter(key => found[key]).map(key => {
    const { value, half } = found[key];
    return make("td", { class: "n" }, half === null ? amount(value) : `${amount(value)} ± ${amount(half, 2)}`);
  });
  return make("tr", {}, make("th", { scope: "row" }, title), ...cells, make("td", { class: "long" }, told));
}

function drawSavings() {
  if (!element("savings")) return; // nothing is measured yet
  fillChoices();
  if (state.now === "" || state.then === "") return;
  const [now, then] = [Number(state.now), Number(state.then)];
  const phases = [now, then].every(row => numberOf("e_prompt", row) !== null && numberOf("e_decoded", row) !== null);
  const [before, after] = [yearly(now, phases), yearly(then, phases)];
  const saved = difference(before, after);
  const heads = ["in a year", "kWh", ...(before.kg ? [`kg CO₂e in ${state.zone}`] : []), ...(before.money ? ["money"] : []), "basis"];
  const head = make("thead", {}, make("tr", {}, ...heads.map((text, n) => make("th", { scope: "col", class: n && n < heads.length - 1 ? "n" : "" }, text))));
  const share = before.kwh.value ? ` (${Math.round(100 * saved.kwh.value / before.kwh.value)} %)` : "";
  const lines = [savingsLine("now: " + nameOf(now), before, basis(now)), savingsLine("then: " + nameOf(then), after, basis(then)),
    savingsLine("saved" + share, saved, saved.kwh.half === null ? "this study; one session has no interval" : "this study; 95 % interval as if both were independent")];
  for (const { change, factor, source } of data.factors)
    if (before.kwh.value !== null)
      lines.push(savingsLine(`${change}: now × ${factor}`, inAll(before.kwh.value * factor, null), `published, not measured here: ${source}`));
  const caption = make("caption", {}, `${amount(Number(state.requests))} requests a day, each of ${state["prompt-tokens"]} prompt and ${state["answer-tokens"]} answer tokens`);
  element("savings").replaceChildren(caption, head, make("tbody", {}, ...lines));
  element("savings-basis").textContent = phases
    ? "Prompt and answer tokens have the energies that were measured for prefill and decode."
    : "Prefill was not measured apart: each answer token has the energy that it had in the workload, with "
      + `${[...new Set([now, then].map(row => amount(numberOf("read_per_written", row))))].join(" and ")} prompt tokens to each; other lengths of prompts are not accounted for.`;
}
