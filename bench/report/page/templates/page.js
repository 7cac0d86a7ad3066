"use strict";
// Charts are drawn when they come into view: a page of 200 trials must open at once.
const charts = JSON.parse(document.getElementById("charts").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const drawn = new Map();
let printing = false;

async function draw(place) {
  const { spec: number, datasets } = charts.places[place.dataset.chart];
  const spec = { ...charts.specs[number] };
  spec.datasets = { ...spec.datasets, ...datasets };
  const config = charts.configs[dark.matches && !printing ? "dark" : "light"];
  const options = { config, renderer: "svg", actions: { export: true, source: false, compiled: false, editor: false } };
  try {
    drawn.get(place)?.finalize();
    drawn.set(place, await vegaEmbed(place, spec, options));
  } catch (error) {
    place.classList.add("broken");
    place.textContent = `This chart could not be drawn: ${error.message}`;
  }
}

const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (entry.isIntersecting) {
      watcher.unobserve(entry.target);
      draw(entry.target);
    }
  }
}, { rootMargin: "400px" });
for (const place of document.querySelectorAll(".chart")) watcher.observe(place);
dark.addEventListener("change", () => drawn.forEach((_, place) => draw(place)));
function drawAll(isPrinting) {
  printing = isPrinting;
  for (const place of document.querySelectorAll(".chart")) {
    const isShown = !place.closest("details:not([open])");
    if (isShown && (dark.matches || !drawn.has(place))) draw(place);
  }
}
addEventListener("beforeprint", () => drawAll(true));
addEventListener("afterprint", () => drawAll(false));

function compare(a, b, ascending) {
  if (a === "" || b === "") return (a === "") - (b === ""); // what is missing comes last
  const [x, y] = [Number(a), Number(b)];
  const order = Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  return ascending ? order : -order;
}

for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const ascending = heading.getAttribute("aria-sort") !== "ascending";
      for (const other of headings) other.removeAttribute("aria-sort");
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const value = ({ cells: { [column]: cell } }) => cell.dataset.key ?? cell.textContent.replace(/^–$/, "");
      const rows = [...table.tBodies[0].rows].sort((a, b) => compare(value(a), value(b), ascending));
      table.tBodies[0].append(...rows);
    });
  });
}

const filter = document.getElementById("filter");
filter.addEventListener("input", () => {
  const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [...document.querySelectorAll("#cells tbody tr")];
  for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  const shown = rows.filter((row) => !row.hidden).length;
  document.getElementById("count").textContent = words.length ? `${shown} of ${rows.length} rows` : "";
});
