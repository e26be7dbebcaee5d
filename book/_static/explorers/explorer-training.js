// Chapter 7: the mean final loss by η and depth, and the training curves behind each cell.
explorers.add("explorer-training", (root, data) => {
  const { make, draw, setNumber, format, slider, numbers, announcer, plot, path, seriesOf } = explorers;
  const { etas, depths, seeds, guess } = data.parameters;
  const runs = (eta, depth) => {
    const panel = data.panels[depths.indexOf(depth)];
    return seeds.map((seed) => seriesOf(panel, `η = ${eta}, seed ${seed}`));
  };
  const finals = (eta, depth) => runs(eta, depth).map((run) => run.y.at(-1));
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;

  const controls = make("div", { class: "explorer-controls" }, root);
  const change = () => update();
  const eta = slider(controls, { label: "bound η", values: etas, start: etas.length >> 1, change });
  const depth = slider(controls, { label: "depth L", values: depths, start: Math.min(1, depths.length - 1), show: String, change });
  const plots = make("div", { class: "explorer-plots" }, root);
  const told = numbers(root, {
    mean: "mean final loss [nats]",
    least: "best seed",
    largest: "worst seed",
    guess: "loss of guessing",
  });
  const announce = announcer(root);

  const grid = plot(plots, {
    height: 250,
    x: { min: -0.5, max: etas.length - 0.5, ticks: [...etas.keys()], show: (i) => String(etas[i]).replace("0.", "."), label: "bound η on the weights" },
    y: { min: depths[0] - 0.5, max: depths.at(-1) + 0.5, ticks: depths, show: String, label: "depth L" },
  });
  const top = Math.max(...data.panels.flatMap((panel) => panel.series.flatMap((run) => run.y)));
  const last = Math.max(...data.panels.flatMap((panel) => panel.series.flatMap((run) => run.x)));
  const curves = plot(plots, {
    height: 250,
    x: { min: 0, max: last, ticks: [0, last / 3, (2 * last) / 3, last].map(Math.round), show: String, label: "step of training" },
    y: { min: 0, max: top, ticks: [...Array(Math.floor(top) + 1).keys()], show: String, label: "held-out loss [nats]" },
  });

  // Cells answer to mouse and touch; the sliders do the same for the keyboard.
  etas.forEach((e, i) =>
    depths.forEach((L, j) => {
      const loss = mean(finals(e, L));
      const cell = draw("g", { class: "explorer-cell" }, grid.marks);
      const box = {
        x: grid.x(i - 0.5) + 1, width: grid.x(1) - grid.x(0) - 2,
        y: grid.y(L + 0.5) + 1, height: grid.y(0) - grid.y(1) - 2,
      };
      draw("rect", { ...box, class: "fill-ground" }, cell);
      draw("rect", { ...box, class: "fill-loss", "fill-opacity": Math.min(1, loss / guess) * 0.5 }, cell);
      draw("text", { x: grid.x(i), y: grid.y(L) + 4, "text-anchor": "middle" }, cell, loss.toFixed(1));
      cell.addEventListener("click", () => ((eta.index = i), (depth.index = j)));
    }));
  const here = draw("rect", {
    width: grid.x(1) - grid.x(0), height: grid.y(0) - grid.y(1), class: "explorer-here",
  }, grid.marks);

  const update = () => {
    here.setAttribute("x", grid.x(eta.index - 0.5));
    here.setAttribute("y", grid.y(depth.value + 0.5));
    curves.marks.replaceChildren();
    draw("line", { x1: curves.x(0), x2: curves.x(last), y1: curves.y(guess), y2: curves.y(guess), class: "explorer-limit" }, curves.marks);
    for (const e of etas)
      for (const run of runs(e, depth.value))
        if (e !== eta.value) draw("path", { d: path(curves, run.x, run.y), class: "explorer-curve" }, curves.marks);
    for (const run of runs(eta.value, depth.value))
      draw("path", { d: path(curves, run.x, run.y), class: "explorer-curve chosen" }, curves.marks);
    const ends = finals(eta.value, depth.value);
    setNumber(told.mean, mean(ends));
    setNumber(told.least, Math.min(...ends));
    setNumber(told.largest, Math.max(...ends));
    setNumber(told.guess, guess);
    const state = `η = ${format(eta.value)}, L = ${depth.value}: mean final loss ${format(mean(ends))} nats over ${seeds.length} seeds, from ${format(Math.min(...ends))} to ${format(Math.max(...ends))}.`;
    grid.say(`Mean final loss for each bound η and depth L. ${state}`);
    curves.say(`Held-out loss through training, one curve a seed. ${state}`);
    announce(state);
  };
  update();
});
