// The library comes packed (a third of its size) and is unpacked by the browser itself.
(async () => {
  sortTables();
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const library = document.createElement("script");
  library.textContent = await new Response(stream).text();
  document.head.append(library);

  const dark = matchMedia("(prefers-color-scheme: dark)");
  const drawings = JSON.parse(document.getElementById("drawings").textContent);
  const placed = drawings.map((drawing) => [document.getElementById("figure-" + drawing.id), drawing]);
  const draw = async (how, isDark) => {
    for (const [place, { data, layout }] of placed) {
      const coloured = isDark ? darkened({ data, layout }) : { data, layout };
      const width = place.clientWidth;
      const fitted = { ...narrowed(structuredClone(coloured.layout), width), width };
      await how(place, structuredClone(coloured.data), fitted, { displayModeBar: false });
      await fitLegend(place, layout.height);
    }
  };
  await draw(Plotly.newPlot, dark.matches);
  for (const [place] of placed) {
    openRuns(place);
    addToggle(place);
  }
  const root = document.documentElement;
  const again = (place) => place.dispatchEvent(new Event("redrawn"));
  const redraw = async (isDark) => {
    delete root.dataset.drawn;
    await draw(Plotly.react, isDark);
    placed.forEach(([place]) => again(place));
    root.dataset.scheme = isDark ? "dark" : "light";
    root.dataset.drawn = placed.length;
  };
  dark.addEventListener("change", () => redraw(dark.matches));
  let width = innerWidth;
  addEventListener("resize", () => {
    if (width !== innerWidth) redraw(dark.matches);
    width = innerWidth;
  });
  root.dataset.drawn = placed.length;

  // Paper is white, and narrower than most screens. A browser prints as soon as this returns.
  addEventListener("beforeprint", () => {
    for (const [place, { data, layout }] of placed) {
      Plotly.react(place, structuredClone(data), { ...structuredClone(layout), width: 640 });
      again(place);
    }
  });
  addEventListener("afterprint", () => redraw(dark.matches));
})().catch((error) => {
  console.error(error);
  for (const place of document.querySelectorAll(".figure")) {
    place.textContent = "This figure could not be drawn: " + error.message;
    place.style.height = "auto";
  }
});

// Colours of plotting.py, and what they are on a dark page.
function darkened(value, key = "") {
  const colours = {
    "#1a1a1a": "#e8e8e8", "#595959": "#b4b8be", "#d9d9d9": "#3a4048", "#ebebeb": "#2b3138",
    "#ffffff": "#15181c", white: "#15181c", "#0072b2": "#4499dd", "#d55e00": "#f0803c",
    "#009e73": "#2fc49a", "#56b4e9": "#9bd6f7", "#000000": "#f4f4f4", "#b5ddf5": "#1d5a86",
  };
  const isColour = /color/i.test(key);
  if (Array.isArray(value)) {
    return isColour || typeof value[0] === "object" ? value.map((v) => darkened(v, key)) : value;
  }
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, darkened(v, k)]));
  }
  if (!isColour || typeof value !== "string") return value;
  const rgba = value.match(/^rgba\((\d+), (\d+), (\d+), ([\d.]+)\)$/);
  if (!rgba) return colours[value.toLowerCase()] ?? value;
  const hex = (n) => Number(n).toString(16).padStart(2, "0");
  const found = colours["#" + rgba.slice(1, 4).map(hex).join("")];
  if (!found) return value;
  const parts = [1, 3, 5].map((i) => parseInt(found.slice(i, i + 2), 16));
  return `rgba(${parts.join(", ")}, ${Math.min(1, 1.6 * Number(rgba[4]))})`;
}

// On a phone, long titles and names of strategies are broken into lines.
function narrowed(layout, width) {
  if (width > 480) return layout;
  const lines = (text, most, end) => {
    const parts = [""];
    for (const word of text.split(end)) {
      if (parts.at(-1) && (parts.at(-1) + word).length > most) parts.push("");
      parts[parts.length - 1] += word;
    }
    return parts.join("<br>");
  };
  const title = layout.xaxis.title;
  if (title?.text) title.text = lines(title.text, 24, /(?<= )/);
  if (layout.yaxis.ticktext) {
    layout.yaxis.ticktext = layout.yaxis.ticktext.map((name) => lines(name, 16, /(?<=[_ ])/));
  }
  return layout;
}

// A legend of several rows makes its figure higher, not its plot lower.
async function fitLegend(place, height) {
  const legend = place.querySelector(".legend .bg");
  const rows = legend ? Math.max(0, legend.getBoundingClientRect().height - 24) : 0;
  place.style.height = height + rows + "px";
  await Plotly.relayout(place, { height: height + rows });
}

// A dot that holds the address of its run opens it.
function openRuns(place) {
  const address = (event) => [event.points[0].customdata].flat()[0];
  const isRun = (event) => /^https?:\/\//.test(address(event) ?? "");
  place.on("plotly_click", (event) => {
    if (isRun(event)) open(address(event), "_blank", "noopener");
  });
  place.on("plotly_hover", (event) => place.classList.toggle("linked", isRun(event)));
  place.on("plotly_unhover", () => place.classList.remove("linked"));
}

// Single runs are drawn hidden; the switch above the figure shows them.
function addToggle(place) {
  const input = place.parentElement.querySelector("input.singles");
  if (!input) return;
  const show = () => {
    const singles = place.data.flatMap((trace, i) => (trace.meta === "single" ? [i] : []));
    return Plotly.restyle(place, { visible: input.checked }, singles);
  };
  input.addEventListener("change", show);
  place.addEventListener("redrawn", show);
}

function sortTables() {
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => sortBy(table, heads, column));
    });
  }
}

// Numbers by size, the largest first at the first click; rows without one stay last.
function sortBy(table, heads, column) {
  const rows = [...table.tBodies[0].rows];
  const key = (row) => (row.cells[column].dataset.key === undefined ? null : Number(row.cells[column].dataset.key));
  const numeric = rows.some((row) => key(row) !== null);
  const was = heads[column].getAttribute("aria-sort");
  const down = was ? was === "ascending" : numeric;
  const compare = (a, b) => {
    if (!numeric) return (down ? -1 : 1) * a.cells[column].textContent.localeCompare(b.cells[column].textContent);
    if (key(a) === null || key(b) === null) return (key(a) === null) - (key(b) === null);
    return (down ? -1 : 1) * (key(a) - key(b));
  };
  heads.forEach((head) => head.removeAttribute("aria-sort"));
  heads[column].setAttribute("aria-sort", down ? "descending" : "ascending");
  table.tBodies[0].append(...rows.sort(compare));
}
