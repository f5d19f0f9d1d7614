// The limits: a number field each, and a slider beside it that steps through the values that cells have. At one of its
// ends, the left one of a floor and the right one of a ceiling, it asks for nothing. A limit that could leave out no
// cell is not offered, and one of many alike only while the table shows its column.
const MOST_MARKS = 100;
const marks = {}; // limit -> texts that its slider can set, ascending

// What a row has in a limit's unit
function shownOf(limit, row) {
  const number = value(limit.key, row);
  if (number === null) return null;
  return limit.key === "quality" ? 100 * (1 + number) : number / limit.scale;
}

function isWithin(limit, row) {
  if (state[limit.id] === "") return true;
  const shown = shownOf(limit, row);
  return shown !== null && (limit.least ? shown >= Number(state[limit.id]) : shown <= Number(state[limit.id]));
}

// Four digits, rounded so that the cell whose value it is passes
function outward(limit, number) {
  if (number === 0) return "0";
  const unit = 10 ** (Math.floor(Math.log10(Math.abs(number))) - 3);
  return String(Number(((limit.least ? Math.floor : Math.ceil)(number / unit) * unit).toPrecision(4)));
}

function findMarks() {
  const rows = [...data.values.quality.keys()];
  for (const limit of data.limits) {
    const shown = rows.map(row => shownOf(limit, row)).filter(Number.isFinite).sort((a, b) => a - b);
    const all = [...new Set(shown.map(number => outward(limit, number)))];
    const count = Math.min(all.length, MOST_MARKS), step = (all.length - 1) / Math.max(count - 1, 1);
    marks[limit.id] = Array.from({ length: count }, (_, n) => all[Math.round(n * step)]);
  }
}

const sliders = () => document.querySelectorAll("input[data-limit]");
const limitOf = slider => data.limits.find(limit => limit.id === slider.dataset.limit);
const loosest = limit => (limit.least ? 0 : marks[limit.id].length);

function isOffered(limit, columns) {
  const isAsked = state[limit.id] !== "" || document.activeElement === element(limit.id);
  const isShown = !limit.with_column || columns.some(column => column.key === limit.key);
  return isAsked || (isShown && marks[limit.id].length > 1);
}

function fillSliders() {
  const columns = shownColumns();
  for (const slider of sliders()) {
    const limit = limitOf(slider), asked = state[limit.id], known = marks[limit.id];
    slider.closest("label").hidden = !isOffered(limit, columns);
    const below = known.filter(mark => Number(mark) < Number(asked)).length;
    slider.max = known.length;
    slider.value = asked === "" ? loosest(limit) : limit.least ? below + 1 : below;
    slider.setAttribute("aria-valuetext", asked === "" ? "no limit" : asked);
  }
}

function listenToSliders() {
  for (const slider of sliders())
    slider.addEventListener("input", () => {
      const limit = limitOf(slider), at = Number(slider.value);
      state[limit.id] = at === loosest(limit) ? "" : marks[limit.id][limit.least ? at - 1 : at];
      update();
    });
}
