// The library comes packed (a third of its size) and is unpacked by the browser itself.
(async () => {
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const library = document.createElement("script");
  library.textContent = await new Response(stream).text();
  document.head.append(library);

  const places = [];
  for (const drawing of JSON.parse(document.getElementById("drawings").textContent)) {
    const place = document.getElementById("figure-" + drawing.id);
    await Plotly.newPlot(place, drawing.data, drawing.layout, { displayModeBar: false, responsive: true });
    places.push(place);
  }
  document.documentElement.dataset.drawn = places.length;

  // Paper is narrower than most screens.
  addEventListener("beforeprint", () => places.forEach((p) => Plotly.relayout(p, { width: 640 })));
  addEventListener("afterprint", () =>
    places.forEach((p) => Plotly.relayout(p, { width: null, autosize: true })));
})().catch((error) => {
  console.error(error);
  for (const place of document.querySelectorAll(".figure")) {
    place.textContent = "This figure could not be drawn: " + error.message;
    place.style.height = "auto";
  }
});
