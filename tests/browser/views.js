// Opens a report as people see it (wide, dark, on a phone, printed, by keyboard alone) and writes what it finds.
// node views.js CHROMIUM REPORT FOLDER: screenshots and report.pdf into the folder, and findings.json
import { writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";

const [executablePath, report, folder] = process.argv.slice(2);
const axe = createRequire(import.meta.url).resolve("axe-core/axe.min.js");
const address = pathToFileURL(report).href;
const VIEWS = {
  light: { width: 1280, scheme: "light" },
  dark: { width: 1280, scheme: "dark" },
  phone: { width: 390, scheme: "light" },
  "phone-dark": { width: 390, scheme: "dark" },
  print: { width: 1047, scheme: "dark", media: "print" }, // A4 across, less its margins
};
const MOST_TABS = 400;
const PATIENCE_MS = 600000;

async function open(browser, view) {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.errors = [];
  page.on("pageerror", error => page.errors.push(String(error)));
  page.on("console", message => message.type() === "error" && page.errors.push(message.text()));
  page.on("request", request => /^https?:/.test(request.url()) && page.errors.push("asked for " + request.url()));
  await page.setViewport({ width: view.width, height: 900 });
  await page.emulateMediaFeatures([
    { name: "prefers-color-scheme", value: view.scheme },
    { name: "prefers-reduced-motion", value: view.motion ?? "no-preference" },
  ]);
  await page.goto(address);
  await page.waitForFunction(() => document.documentElement.dataset.drawn);
  return page;
}

// What sticks out of the page, of its container, or of the paper
function widths() {
  const outside = (inner, room) => inner.getBoundingClientRect().right > room + 1;
  const name = node => node.id || node.getAttribute("aria-label") || node.tagName;
  const page = document.documentElement;
  return {
    page: page.clientWidth,
    scrolls: page.scrollWidth > page.clientWidth,
    charts: Object.fromEntries([...document.querySelectorAll(".chart")].map(chart => {
      const drawn = chart.querySelector("svg.marks, canvas.marks");
      return [chart.id, { drawn: drawn?.getBoundingClientRect().width ?? 0, room: chart.clientWidth, inside: chart.scrollWidth }];
    })),
    cut: [...document.querySelectorAll("table, svg.marks, canvas.marks, pre, p")]
      .filter(node => node.getClientRects().length && outside(node, page.clientWidth))
      .filter(node => getComputedStyle(node.closest(".scroll") ?? node).overflowX === "visible").map(name),
  };
}

async function look(browser, name, view) {
  const page = await open(browser, view);
  if (view.media) await page.emulateMediaType(view.media);
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
  const found = { errors: page.errors, ...(await page.evaluate(widths)) };
  if (view.media) {
    await page.pdf({ path: `${folder}/report.pdf`, preferCSSPageSize: true, printBackground: true });
  } else {
    await page.addScriptTag({ path: axe });
    const result = await page.evaluate(() => globalThis.axe.run());
    found.axe = result.violations.map(rule => ({
      id: rule.id, impact: rule.impact, nodes: rule.nodes.map(node => `${node.target}: ${node.failureSummary}`),
    }));
    found.checked = result.passes.length;
  }
  await page.close();
  return found;
}

// Everything that Tab reaches, in its order, and whether one sees that it is there
async function reached(page) {
  const found = [];
  for (let n = 0; n < MOST_TABS; n++) {
    await page.keyboard.press("Tab");
    const one = await page.evaluate(() => {
      const node = document.activeElement;
      const style = getComputedStyle(node);
      const name = node.id || node.dataset.key || node.getAttribute("aria-label") || node.tagName.toLowerCase();
      return { name, visible: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0, end: node === document.body };
    });
    if (one.end) break;
    found.push(one);
  }
  return found;
}

async function tabTo(page, test) {
  for (let n = 0; n < MOST_TABS; n++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate(test)) return;
  }
  throw new Error("Tab does not reach " + test);
}

async function walk(browser) {
  const found = {};
  let page = await open(browser, { ...VIEWS.light, motion: "reduce" });
  found.moves = await page.evaluate(() => [...document.querySelectorAll("*")].filter(node => {
    const style = getComputedStyle(node);
    return style.scrollBehavior === "smooth" || parseFloat(style.transitionDuration) > 0 || style.animationName !== "none";
  }).length);
  found.order = await reached(page);
  await page.close();

  page = await open(browser, VIEWS.light);
  const sorted = () => page.$eval("#table-0 th[aria-sort]:not([aria-sort=none])", head => [head.querySelector("button").dataset.key, head.ariaSort]);
  const first = () => page.$eval("#table-0 tbody tr", row => row.dataset.row);
  await tabTo(page, () => document.activeElement.id === "w-range");
  const before = await page.$eval("#w", input => input.value);
  await page.keyboard.press("Home");
  found.weights = [before, await page.$eval("#w", input => input.value)];
  await tabTo(page, () => document.activeElement.id === "min-quality");
  const rows = await page.$$eval("#table-0 tbody tr", all => all.length);
  await page.keyboard.type("99.9");
  found.floor = [rows, await page.$$eval("#table-0 tbody tr", all => all.length)];
  for (let n = 0; n < 4; n++) await page.keyboard.press("Backspace");
  await tabTo(page, () => document.activeElement.id === "zone");
  await page.keyboard.press("ArrowDown");
  found.zone = await page.$eval("#zone", select => select.value);
  await tabTo(page, () => document.activeElement.id === "download");
  await page.evaluate(() => {
    globalThis.saved = [];
    HTMLAnchorElement.prototype.click = function () { globalThis.saved.push(this.download); };
  });
  await page.keyboard.press("Enter");
  found.saved = await page.evaluate(() => globalThis.saved);
  await tabTo(page, () => document.activeElement.tagName === "SUMMARY" && document.activeElement.textContent === "columns");
  await page.keyboard.press("Space");
  await tabTo(page, () => document.activeElement.type === "checkbox" && document.activeElement.checked);
  const heads = await page.$$eval("#table-0 th", all => all.length);
  await page.keyboard.press("Space");
  found.heads = [heads, await page.$$eval("#table-0 thead th", all => all.length)];
  await tabTo(page, () => document.activeElement.dataset.key === "energy_per_token");
  await page.keyboard.press("Enter");
  found.enter = [...(await sorted()), await first()];
  await page.keyboard.press("Space");
  found.space = [...(await sorted()), await first()];
  found.errors = page.errors;
  await page.close();
  return found;
}

// The limits that one can set: at first, with one more column, and by a link that asks for another one
async function limits(browser) {
  const page = await open(browser, VIEWS.light);
  const offered = () => page.$$eval(".controls label:not([hidden]) [data-limit]", all => all.map(slider => slider.dataset.limit));
  const found = { first: await offered() };
  await page.$eval(".picker input[value=latency_p50]", box => box.click());
  await page.$eval(".picker input[value=time_per_output_token_p50]", box => box.click());
  found.picked = await offered();
  await page.evaluate(() => { location.hash = "max-queueing_p95=9"; });
  await page.waitForFunction(() => document.getElementById("max-queueing_p95").value === "9");
  found.asked = await offered();
  await page.close();
  return found;
}

// In which order charts are drawn where one goes to the last of them at once
async function order(browser) {
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await page.setViewport({ width: 1280, height: 900 });
  await page.evaluateOnNewDocument(() => {
    const drawn = globalThis.drawn = [];
    // the page waits for half a second to be told what is in the window, however slow the machine
    const later = globalThis.setTimeout;
    globalThis.setTimeout = (work, ms, ...rest) => later(work, ms === 500 ? 120000 : ms, ...rest);
    addEventListener("shown", () => {
      const charts = [...document.querySelectorAll(".chart")];
      for (const chart of charts)
        new MutationObserver(() => {
          if (chart.querySelector(".marks") && !drawn.includes(chart.id)) drawn.push(chart.id);
        }).observe(chart, { childList: true, subtree: true });
      charts.at(-1).scrollIntoView({ behavior: "instant" });
    });
  });
  await page.goto(address);
  await page.waitForFunction(() => document.documentElement.dataset.drawn);
  const found = await page.evaluate(() => ({ drawn: globalThis.drawn, page: [...document.querySelectorAll(".chart")].map(chart => chart.id) }));
  await page.close();
  return found;
}

const browser = await puppeteer.launch({
  executablePath,
  timeout: PATIENCE_MS,
  protocolTimeout: PATIENCE_MS,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--host-resolver-rules=MAP * ~NOTFOUND"],
});
try {
  const findings = {};
  for (const [name, view] of Object.entries(VIEWS)) findings[name] = await look(browser, name, view);
  findings.keyboard = await walk(browser);
  findings.limits = await limits(browser);
  findings.order = await order(browser);
  await writeFile(`${folder}/findings.json`, JSON.stringify(findings));
} finally {
  await browser.close();
}
