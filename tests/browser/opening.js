// node opening.js CHROMIUM REPORT: ms until the tables are there, and until the charts are
import { pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";

const [executablePath, report] = process.argv.slice(2);
const browser = await puppeteer.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage();
await page.evaluateOnNewDocument(() => addEventListener("shown", () => { globalThis.shownAfter = performance.now(); }));
await page.goto(pathToFileURL(report).href);
await page.waitForFunction(() => document.documentElement.dataset.drawn, { timeout: 120000 });
console.log(JSON.stringify({
  tables: await page.evaluate(() => globalThis.shownAfter), charts: await page.evaluate(() => performance.now()),
  sorting: await page.evaluate(() => {
    const began = performance.now();
    document.querySelector('button[data-key="energy_per_token"]').click();
    return performance.now() - began;
  }),
}));
await browser.close();
