// Clicks through the page, and writes what it sees into an element at the end
addEventListener("shown", () => {
const seen = {};
const rows = () => [...document.querySelectorAll("#table-0 tbody tr")].map(r => [...r.cells].map(c => c.textContent));
const set = (id, text) => { element(id).value = text; element(id).dispatchEvent(new Event("input")); };
const head = name => [...document.querySelectorAll("#table-0 th")].find(h => h.textContent.startsWith(name));
seen.all = rows().length;
head("energy").querySelector("button").click();
seen.sorted = head("energy").getAttribute("aria-sort");
const energies = () => rows().map(r => Number(r[[...document.querySelectorAll("#table-0 th")].indexOf(head("energy"))]));
seen.ascending = energies();
head("energy").querySelector("button").click();
seen.descending = energies();
set("f-quantization", "fp32");
seen.filtered = rows().length;
seen.hash = location.hash;
set("f-quantization", "");
set("min-quality", "99.9");
seen.floor = rows().length;
set("min-quality", "");
const slider = document.querySelector("[data-limit=min-quality]");
const slide = end => {
  slider.value = end;
  slider.dispatchEvent(new Event("input"));
  return [rows().length, element("min-quality").value, slider.ariaValueText];
};
seen.slid = slide(slider.max);
seen.released = slide(slider.min);
set("zone", "BE");
seen.grams = head("CO₂e") !== undefined;
seen.csv = csv().split("\n").length;
element("reset").click();
seen.again = [rows().length, location.hash];
seen.focusable = [...document.querySelectorAll("a, button, input, select, summary, [tabindex]")].every(e => e.tabIndex >= 0);
seen.labelled = [...document.querySelectorAll("input, select")].every(e => e.labels.length || e.ariaLabel);
seen.captions = [...document.querySelectorAll("table")].every(t => t.caption || t.closest("#provenance"));
document.body.append(Object.assign(document.createElement("pre"), { id: "seen", textContent: JSON.stringify(seen) }));
});
