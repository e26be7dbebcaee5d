// Chapter 2: the worst perturbation of oscillation θ, and four bounds on what it does.
explorers.add("explorer-theta", (root, data) => {
  const { make, draw, setNumber, format, slider, numbers, announcer, plot, seriesOf } = explorers;
  const [panel] = data.panels;
  const found = seriesOf(panel, "worst case found");
  const ROWS = {
    "worst case found": "worst case found",
    sharp: "tanh(θ/4)",
    linear: "θ/4",
    as25: "(exp θ − 1)/2, AS25",
    d21: "θ, D21",
  };
  const at = (name, theta) => {
    const series = seriesOf(panel, name);
    const value = series.y[series.x.indexOf(theta)];
    return value === undefined ? NaN : value;
  };

  const controls = make("div", { class: "explorer-controls" }, root);
  const middle = found.x.findIndex((theta) => theta >= 3);
  const theta = slider(controls, { label: "θ", values: found.x, start: middle, change: () => update() });
  const plots = make("div", { class: "explorer-plots" }, root);
  const told = numbers(root, ROWS);
  const announce = announcer(root);

  const share = plot(plots, {
    height: 220,
    x: { min: 0, max: 2 },
    y: { min: 0, max: 1, ticks: [0, 0.25, 0.5, 0.75, 1], label: "probability" },
  });
  const EDGE = 1.3;
  const bounds = plot(plots, {
    height: 220, left: 14,
    x: { min: 0, max: EDGE, ticks: [0, 0.25, 0.5, 0.75, 1], label: "total variation" },
    y: { min: -0.5, max: 4.5 },
  });

  const bar = (x, mass, words) => {
    const box = (from, to, look) =>
      draw("rect", { x: share.x(x - 0.3), width: share.x(0.6) - share.x(0), y: share.y(to), height: share.y(from) - share.y(to), class: look }, share.marks);
    box(0, mass, "fill-gain");
    box(mass, 1, "fill-rest");
    draw("text", { x: share.x(x), y: 212, "text-anchor": "middle" }, share.marks, words);
  };

  const update = () => {
    const t = theta.value;
    const [low, high] = [at("before", t), at("after", t)];
    share.marks.replaceChildren();
    bar(0.5, low, "before");
    bar(1.5, high, "after");
    for (const mass of [low, high])
      draw("line", { x1: share.x(0.8), x2: share.x(1.2), y1: share.y(mass), y2: share.y(mass), class: "explorer-move" }, share.marks);
    draw("line", { x1: share.x(1), x2: share.x(1), y1: share.y(low), y2: share.y(high), class: "explorer-move farthest" }, share.marks);
    share.say(`Probability of the tokens that gain: ${format(low)} before, ${format(high)} after.`);

    bounds.marks.replaceChildren();
    Object.entries(ROWS).forEach(([name, words], row) => {
      const value = at(name, t);
      const y = bounds.y(4 - row);
      setNumber(told[name], value, Number.isNaN(value) ? "not proved here" : format(value));
      if (Number.isNaN(value)) return draw("text", { x: bounds.x(0), y: y + 4 }, bounds.marks, `${words}: not proved here`);
      const end = Math.min(value, EDGE);
      draw("rect", { x: bounds.x(0), width: bounds.x(end) - bounds.x(0), y: y - 2, height: 14, class: row ? "fill-bound" : "fill-gain" }, bounds.marks);
      if (value > EDGE) draw("text", { x: bounds.x(EDGE) - 2, y: y + 9, "text-anchor": "end", class: "on-fill" }, bounds.marks, "▸");
      draw("text", { x: bounds.x(0), y: y - 6 }, bounds.marks, words);
    });
    draw("line", { x1: bounds.x(1), x2: bounds.x(1), y1: 10, y2: 182, class: "explorer-limit" }, bounds.marks);
    const words = Object.entries(ROWS).map(([name, label]) => `${label} ${told[name].textContent}`);
    bounds.say(`At θ = ${format(t)}: ${words.join("; ")}. Nothing can exceed 1.`);
    announce(`At θ = ${format(t)} the worst case is ${format(at("worst case found", t))}, the sharp bound ${format(at("sharp", t))}.`);
  };
  update();
});
