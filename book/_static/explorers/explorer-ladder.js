// Chapter 4: bounds and errors of the four rungs by η, depth, heads and width.
explorers.add("explorer-ladder", (root, data) => {
  const { make, draw, setNumber, format, slider, announcer, plot, seriesOf } = explorers;
  const { etas, layers, heads, widths, networks } = data.parameters;
  const KINDS = {
    bound: "▮ bound from η",
    certificate: "❘ bound from weights",
    largest: "● largest error",
    median: "○ median error",
  };

  const controls = make("div", { class: "explorer-controls" }, root);
  const change = () => update();
  const eta = slider(controls, { label: "η", values: etas, start: etas.indexOf(0.05), change });
  const L = slider(controls, { label: "layers L", values: layers, start: 1, show: String, change });
  const H = slider(controls, { label: "heads H", values: heads, start: 1, show: String, change });
  const d = slider(controls, { label: "width d", values: widths, start: 1, show: String, change });

  const all = data.panels.flatMap((panel) => panel.series.flatMap((series) => series.z.flat())).filter((v) => v > 0);
  const decade = (v, round) => 10 ** round(Math.log10(v));
  const x = { min: decade(Math.min(...all), Math.floor), max: decade(Math.max(...all), Math.ceil), log: true, label: "log₁₀ of the error" };
  x.ticks = [];
  for (let e = Math.ceil(Math.log10(x.min) / 4) * 4; e <= Math.log10(x.max); e += 4) x.ticks.push(10 ** e);
  x.show = (tick) => format(Math.round(Math.log10(tick)));
  const plots = make("div", { class: "explorer-plots" }, root);
  const rows = plot(plots, { height: 200, left: 52, x, y: { min: -0.5, max: 3.5, ticks: [0, 1, 2, 3], show: (rung) => `rung ${3 - rung}` } });

  const scroll = make("div", { class: "explorer-table", tabindex: 0, role: "region", "aria-label": "Bounds and errors of the rungs" }, root);
  const table = make("table", {}, scroll);
  const head = make("tr", {}, make("thead", {}, table));
  make("th", { scope: "col" }, head, "rung");
  for (const words of Object.values(KINDS)) make("th", { scope: "col" }, head, words);
  const lines = make("tbody", {}, table);
  const told = data.panels.map((_, rung) => {
    const line = make("tr", {}, lines);
    make("th", { scope: "row" }, line, String(rung));
    return Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, make("data", { "data-name": `${kind} ${rung}` }, make("td", {}, line))]));
  });
  make("p", { class: "explorer-note" }, root, `Behind each setting: ${networks} random networks, weights uniform in [−η, η], each on ${data.parameters.tokens} tokens of its own. The bound from η holds for all weights and tokens of such sizes; that from the weights is the median of the networks’ own.`);
  const announce = announcer(root);

  const update = () => {
    rows.marks.replaceChildren();
    const value = (rung, kind) => {
      const series = seriesOf(data.panels[rung], `${kind}, L = ${L.value}, H = ${H.value}`);
      return series.z[series.y.indexOf(d.value)][series.x.indexOf(eta.value)];
    };
    data.panels.forEach((_, rung) => {
      const y = rows.y(3 - rung);
      const v = Object.fromEntries(Object.keys(KINDS).map((kind) => [kind, value(rung, kind)]));
      for (const kind in KINDS) setNumber(told[rung][kind], v[kind]);
      draw("line", { x1: rows.x(v.largest), x2: rows.x(v.bound), y1: y, y2: y, class: "explorer-move" }, rows.marks);
      draw("rect", { x: rows.x(v.bound) - 2, y: y - 9, width: 4, height: 18, class: "mark-bound" }, rows.marks);
      draw("rect", { x: rows.x(v.certificate) - 1, y: y - 7, width: 2, height: 14, class: "mark-bound" }, rows.marks);
      draw("circle", { cx: rows.x(v.median), cy: y, r: 4.5, class: "mark-median" }, rows.marks);
      draw("circle", { cx: rows.x(v.largest), cy: y, r: 4.5, class: "mark-a" }, rows.marks);
    });
    const setting = `η = ${format(eta.value)}, L = ${L.value}, H = ${H.value}, d = ${d.value}`;
    const words = told.map((cells, rung) => `rung ${rung} at most ${cells.bound.textContent}, largest found ${cells.largest.textContent}`);
    rows.say(`${setting}: ${words.join("; ")}.`);
    announce(`${setting}: ${words.join("; ")}.`);
  };
  update();
});
