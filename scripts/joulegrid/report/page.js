// What is shown: unpacked data, the state that a link carries, and the controls that change it. Functions of the other
// scripts stand in the same scope.
const J_PER_KWH = 3.6e6;
const element = id => document.getElementById(id);
// Column arrays, `data.values[key][row]`: rows are numbers of rows in them. `state` is what is shown, `initial` what was.
let data, specs, state, initial;

// The text of a script element that was packed as gzip in base64
async function unpacked(id) {
  const bytes = Uint8Array.from(atob(element(id).textContent), sign => sign.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}

function begin() {
  for (const column of Object.values(data.values)) column.forEach((v, n) => { if (v === "inf") column[n] = Infinity; });
  state = { w: data.weight, sort: "rank", down: 0, zone: "", pue: "", hide: "", all: 0, chosen: "", ...SAVINGS };
  for (const limit of data.limits) state[limit.id] = "";
  for (const axis of Object.keys(data.filters)) state["f-" + axis] = "";
  state.hide = data.columns.filter(c => !c.brief).map(c => c.key).join("|");
  initial = { ...state };
  findMarks();
}

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

function make(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, text] of Object.entries(attributes)) node.setAttribute(key, text);
  node.append(...children);
  return node;
}

function fillControls() {
  for (const id of Object.keys(state)) if (element(id) && element(id) !== document.activeElement) element(id).value = state[id];
  element("w-range").value = data.weights.indexOf(state.w);
  element("w-range").setAttribute("aria-valuetext", state.w);
  fillSliders();
  const hidden = new Set(state.hide.split("|").filter(Boolean));
  for (const box of document.querySelectorAll(".picker input")) box.checked = !hidden.has(box.value);
}

function update() {
  drawSavings(); // first, since it chooses cells where nobody did
  writeHash();
  fillControls();
  drawTables();
  showPoints();
}

function listen() {
  for (const id of Object.keys(state))
    element(id)?.addEventListener("input", event => {
      state[id] = typeof initial[id] === "number" ? nearest(Number(event.target.value)) : event.target.value;
      update();
    });
  element("w").addEventListener("change", () => { element("w").value = state.w; });
  element("w-range").addEventListener("input", event => { state.w = data.weights[event.target.value]; update(); });
  listenToSliders();
  for (const box of document.querySelectorAll(".picker input"))
    box.addEventListener("change", () => {
      const hidden = [...document.querySelectorAll(".picker input")].filter(b => !b.checked).map(b => b.value);
      state.hide = hidden.join("|");
      update();
    });
  element("all").addEventListener("click", () => { state.all += 1; update(); });
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

// The tables first: they need neither the charts nor their library
async function start() {
  data = JSON.parse(await unpacked("data"));
  begin();
  readHash();
  listen();
  update();
  dispatchEvent(new Event("shown"));
  specs = JSON.parse(await unpacked("specs"));
  const library = make("script", {}, await unpacked("vega"));
  document.head.append(library); // which runs it
  library.remove();
  await watchCharts();
  drawCharts();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawCharts());
  addEventListener("resize", drawResized);
}

if (globalThis.DecompressionStream) start();
else document.querySelector("main").prepend(make("p", { role: "alert" }, "Tables and charts need a browser of 2023 or later."));
