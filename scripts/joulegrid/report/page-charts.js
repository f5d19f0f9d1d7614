// The charts: Vega-Lite's specifications in the colours and the width of this page.
const CANVAS = 2000; // points of a chart that SVG still draws quickly
const NARROW = 480; // pixels, below which names at the axes are shortened
const LEGEND_ENTRY = 170; // pixels
const MIDDLE = "#808a94"; // is seen on white and on black
const views = {};

// The rows of the table that have a point, as the specification names them
function points() {
  const keys = Object.keys(data.values);
  const shown = Array.from(data.values.quality.keys()).filter(row =>
    data.values.energy_per_token[row] !== null && data.values.quality[row] !== null && passes(row));
  return shown.map(row => ({
    ...Object.fromEntries(keys.map(key => [key, data.values[key][row]])),
    row, rank: value("rank", row), score: value("score", row), chosen: Number(String(row) === state.chosen),
  }));
}

// What passes the limits, at the chosen weight
function showPoints() {
  for (const view of Object.values(views)) if (view.shared) view.data("cells", points()).runAsync();
}

function colours() {
  document.documentElement.dataset.scheme = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
  const style = getComputedStyle(document.documentElement);
  const [ink, line] = ["--ink", "--line"].map(name => style.getPropertyValue(name).trim());
  return { background: "transparent", title: { color: ink, subtitleColor: ink },
    style: { "guide-label": { fill: ink }, "guide-title": { fill: ink }, "group-title": { fill: ink } },
    rule: { color: MIDDLE }, legend: { symbolBaseFillColor: MIDDLE, symbolBaseStrokeColor: MIDDLE },
    text: { color: ink }, axis: { gridColor: line, domainColor: line, tickColor: line } };
}

// The specification for a width; charts that are repeated for places or metrics, or stand one above another, have a
// width of their own, to which axes and headers come
function fitted(spec, room, inner) {
  const narrow = room < NARROW;
  const config = {
    ...spec.config,
    axisY: { ...spec.config?.axisY, ...(narrow ? { labelLimit: room / 3.2 } : {}) },
    legend: { ...spec.config?.legend, columns: Math.max(1, Math.floor(room / LEGEND_ENTRY)), labelLimit: Math.min(320, room - 40) },
  };
  const fit = { ...spec, config };
  if (fit.spec) fit.spec = { ...fit.spec, width: inner };
  else if (fit.vconcat) fit.vconcat = fit.vconcat.map(part => ({ ...part, width: inner }));
  else if (fit.width !== "container") fit.width = inner;
  else if (narrow) fit.autosize = { type: "fit-x", contains: "padding" };
  return fit;
}

async function drawChart(name, spec) {
  const place = element("chart-" + name);
  const shared = spec.data?.name === "cells";
  const rows = shared ? points() : Object.values(spec.datasets ?? {}).flat();
  const given = shared ? { ...spec, datasets: { cells: rows } } : spec;
  const options = { actions: { export: true, source: false, compiled: false, editor: false }, config: colours(),
    renderer: rows.length > CANVAS ? "canvas" : "svg" };
  const room = place.clientWidth;
  let inner = 0.75 * room;
  for (let again = 0; again < 2; again++) {
    views[name]?.finalize();
    const { view } = await vegaEmbed(place, fitted(given, room, inner), options);
    views[name] = view;
    const over = place.querySelector(".marks").getBoundingClientRect().width - room;
    if (spec.width === "container" || (over <= 0 && over > -8)) break;
    inner -= Math.ceil(over);
  }
  views[name].shared = shared;
  views[name].addEventListener("click", (_, item) => {
    if (item?.datum?.row === undefined) return;
    state.chosen = String(item.datum.row);
    update();
    document.querySelector("tr.chosen")?.scrollIntoView({ block: "center" });
  });
  place.querySelector("summary")?.setAttribute("aria-label", "Save this chart as a picture");
}

async function drawCharts() {
  for (const [name, spec] of Object.entries(specs)) await drawChart(name, spec);
}
