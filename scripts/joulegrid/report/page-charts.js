// The charts: Vega-Lite's specifications in the colours and the width of this page. What is near the window is drawn
// first, the rest while nothing else is to be done: the page opens at once, and is printed whole.
const CANVAS = 2000; // points of a chart that SVG still draws quickly
const NARROW = 480; // pixels, below which names at the axes are shortened
const LETTER = 6.5, SYMBOL = 34, FEWEST = 18; // pixels of an entry of a legend; letters that it has room for at least
const TALL = 600; // pixels, above which a chart has a page of its own on paper
const BUTTON = 36; // pixels, with which a chart is saved
const TICK = 110; // pixels between two ticks, for their labels not to be left out
// Okabe and Ito's colours as the specifications have them, lighter where they would be lost on black
const ON_BLACK = ["#56b4e9", "#e69f00", "#2fc79a", "#e9a6cb", "#b9b6ff", "#ff8f4a", "#f0e442", "#ffffff"];
const MIDDLE = "#808a94"; // is seen on white and on black
const ERRORS = 1; // what of Vega's messages the console shows
const NEAR = "50%"; // of the window's height
const views = {}, rooms = {}; // of charts that are drawn: Vega's view, and the width of their place then
const near = new Set(); // names of charts that are in the window or nearly
const waiting = new Map(); // names of those that wait -> what is to be done for them
let isDrawing = false, shownChoice;

const isShared = name => specs[name].data?.name === "cells";

// The rows of the table that have a point, as the specification names them
function points() {
  const shown = Array.from(data.values.quality.keys()).filter(row =>
    data.values.energy_per_token[row] !== null && data.values.quality[row] !== null && passes(row));
  return shown.map(row => {
    const point = { row, chosen: Number(String(row) === state.chosen) };
    for (const key of data.drawn) point[key] = value(key, row);
    return point;
  });
}

const isDark = () => matchMedia("(prefers-color-scheme: dark)").matches;

function colours() {
  document.documentElement.dataset.scheme = isDark() ? "dark" : "light";
  const style = getComputedStyle(document.documentElement);
  const [ink, line] = ["--ink", "--line"].map(name => style.getPropertyValue(name).trim());
  return { background: "transparent", font: getComputedStyle(document.body).fontFamily, title: { color: ink, subtitleColor: ink },
    style: { "guide-label": { fill: ink }, "guide-title": { fill: ink }, "group-title": { fill: ink } },
    rule: { color: MIDDLE }, legend: { symbolBaseFillColor: MIDDLE, symbolBaseStrokeColor: MIDDLE },
    text: { color: ink }, axis: { gridColor: line, domainColor: line, tickColor: line } };
}

// The fields whose values have colours
const coloured = node => Object.entries(node).flatMap(([key, part]) =>
  key === "color" && part.field ? [part.field] : key !== "datasets" && part && typeof part === "object" ? coloured(part) : []);

// How many entries of a legend stand side by side
function legendColumns(spec, rows, room) {
  const names = coloured(spec).flatMap(field => rows.map(row => row[field])).filter(name => typeof name === "string");
  return Math.max(1, Math.floor(room / (LETTER * Math.max(FEWEST, ...new Set(names.map(name => name.length))) + SYMBOL)));
}

// The specification for a width; charts that are repeated for places or metrics, or stand one above another, have a
// width of their own, to which axes and headers come
function fitted(spec, rows, room, inner) {
  const narrow = room < NARROW;
  const config = {
    ...spec.config,
    axisX: { ...spec.config?.axisX, tickCount: Math.max(3, Math.round(room / TICK)) },
    axisY: { ...spec.config?.axisY, ...(narrow ? { labelLimit: room / 3.2 } : {}) },
    legend: { ...spec.config?.legend, columns: legendColumns(spec, rows, room), labelLimit: Math.min(320, room - 40) },
  };
  if (isDark()) config.range = { ...config.range, category: ON_BLACK };
  if (narrow) config.legend.layout = { bottom: { direction: "vertical" } };
  if (narrow) config.title = { ...config.title, fontSize: 13, limit: room - BUTTON };
  const fit = { ...spec, config };
  if (fit.spec) fit.spec = { ...fit.spec, width: inner };
  else if (fit.vconcat) fit.vconcat = fit.vconcat.map(part => ({ ...part, width: inner }));
  else if (fit.width !== "container") fit.width = inner;
  else Object.assign(fit, { width: room, autosize: { type: "fit-x", contains: "padding" } });
  return fit;
}

// Of charts that are repeated only a drawing tells how wide their axes and headers are
async function widen(view, by) {
  const widths = view.getState({ signals: name => ["child_width", "width"].includes(name), data: () => false }).signals;
  const name = "child_width" in widths ? "child_width" : "width"; // of a part that is repeated, or of all alike
  await view.signal(name, widths[name] + by).resize().runAsync();
}

async function drawChart(name) {
  const spec = specs[name], place = element("chart-" + name), room = place.clientWidth;
  const rows = isShared(name) ? points() : Object.values(spec.datasets ?? {}).flat();
  const given = isShared(name) ? { ...spec, datasets: { cells: rows } } : spec;
  const isMany = rows.length > CANVAS; // a canvas tells screen readers nothing, and the table has the same rows
  const options = { actions: { export: true, source: false, compiled: false, editor: false },
    logLevel: ERRORS, config: { ...colours(), aria: !isMany }, renderer: isMany ? "canvas" : "svg" };
  views[name]?.finalize();
  const { view } = await vegaEmbed(place, fitted(given, rows, room, 0.75 * room), options);
  views[name] = view;
  rooms[name] = room;
  const drawn = place.querySelector(".marks").getBoundingClientRect();
  place.classList.toggle("tall", drawn.height > TALL);
  if (spec.width !== "container") await widen(view, Math.floor(room - drawn.width));
  view.addEventListener("click", (_, item) => {
    if (item?.datum?.row === undefined) return;
    state.chosen = String(item.datum.row);
    update();
    document.querySelector("tr.chosen")?.scrollIntoView({ block: "center" });
  });
  place.querySelector("summary")?.setAttribute("aria-label", "Save this chart as a picture");
}

const givePoints = name => views[name].data("cells", points()).runAsync();

// What passes the limits, at the chosen weight; another order of the table, or another zone, changes no point
function showPoints() {
  const { w, chosen, ...others } = state;
  const asked = Object.entries(others).filter(([key]) => key.startsWith("f-") || data.limits.some(limit => limit.id === key));
  const choice = JSON.stringify([w, chosen, asked]);
  if (choice === shownChoice) return;
  shownChoice = choice;
  for (const name of Object.keys(views)) if (isShared(name) && !waiting.has(name)) waiting.set(name, givePoints);
  drawWaiting();
}

function drawCharts(names = Object.keys(specs)) {
  for (const name of names) waiting.set(name, drawChart);
  drawWaiting();
}

const drawResized = () => drawCharts(Object.keys(rooms).filter(name => element("chart-" + name).clientWidth !== rooms[name]));

const pause = isIdle => new Promise(resolve =>
  isIdle && globalThis.requestIdleCallback ? requestIdleCallback(resolve, { timeout: 1000 }) : setTimeout(resolve));
const nextNear = () => [...waiting.keys()].find(name => near.has(name));

async function drawWaiting() {
  if (isDrawing || !waiting.size) return;
  isDrawing = true;
  while (waiting.size) {
    await pause(!nextNear());
    const name = nextNear() ?? waiting.keys().next().value;
    const work = waiting.get(name);
    waiting.delete(name);
    await work(name).catch(error => console.error(name, error)); // the others are drawn all the same
  }
  isDrawing = false;
  document.documentElement.dataset.drawn = "yes";
}

// Keeps `near` right from now on; resolves when it is
function watchCharts() {
  return new Promise(resolve => {
    const watcher = new IntersectionObserver(entries => {
      for (const { target, isIntersecting } of entries)
        near[isIntersecting ? "add" : "delete"](target.id.slice("chart-".length));
      resolve();
    }, { rootMargin: NEAR });
    for (const place of document.querySelectorAll(".chart")) watcher.observe(place);
    setTimeout(resolve, 500); // where nothing is painted nothing is near
  });
}
