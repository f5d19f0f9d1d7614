// node opening.js CHROMIUM REPORT: ms until the tables are there, until the scatter is where one scrolls to it at once,
// and until all charts are; then the longest that the page did not answer meanwhile, and how long one waits for tables
// and scatter after a step of the slider and a click that sorts
import { pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";

const [executablePath, report] = process.argv.slice(2);
const browser = await puppeteer.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage();
await page.setViewport({ width: 1280, height: 900 });
await page.evaluateOnNewDocument(() => {
  const times = globalThis.times = { longest: 0 };
  addEventListener("shown", () => {
    times.tables = performance.now();
    const chart = document.getElementById("chart-energy_quality");
    chart.scrollIntoView({ behavior: "instant" });
    new MutationObserver(() => {
      if (chart.querySelector(".marks")) times.scatter ??= performance.now();
    }).observe(chart, { childList: true, subtree: true });
  });
  new PerformanceObserver(list => {
    for (const { duration } of list.getEntries()) times.longest = Math.max(times.longest, duration);
  }).observe({ type: "longtask", buffered: true });
});
await page.goto(pathToFileURL(report).href);
await page.waitForFunction(() => document.documentElement.dataset.drawn, { timeout: 120000 });
const times = await page.evaluate(() => ({ ...globalThis.times, charts: performance.now() }));
// How long a change takes until the page is painted again and has nothing more to do
const after = change => page.evaluate(async change => {
  const began = performance.now();
  new Function(change)();
  await new Promise(resolve => requestIdleCallback(resolve));
  return performance.now() - began;
}, change);
times.step = await after("const slider = document.getElementById('w-range'); slider.value = 0; slider.dispatchEvent(new Event('input'))");
times.sorting = await after("document.querySelector('button[data-key=\"energy_per_token\"]').click()");
console.log(JSON.stringify(times));
await browser.close();
