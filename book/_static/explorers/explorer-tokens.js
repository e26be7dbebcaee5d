// Chapter 5: tokens in the plane, layer by layer, with and without skips.
explorers.add("explorer-tokens", (root, data) => {
  const { make, draw, setNumber, format, formatLog, slider, choice, numbers, announcer, plot, path, panelOf, seriesOf } = explorers;
  const { etas, layers } = data.parameters;
  const shares = data.panels.at(-1);
  const FLOOR = -30;

  const controls = make("div", { class: "explorer-controls" }, root);
  const change = () => update();
  const layer = slider(controls, { label: "layer ℓ", values: [...Array(layers + 1).keys()], show: String, change });
  const eta = slider(controls, { label: "weights η", values: etas, start: 1, change });
  const skip = choice(controls, { label: "network", options: ["with skips", "no skips"], start: 1, change });
  const plots = make("div", { class: "explorer-plots" }, root);
  const told = numbers(root, { share: "share of the differences, ρ ÷ ‖X‖∞" });
  const announce = announcer(root);

  const axis = (label) => ({ min: -1.1, max: 1.1, ticks: [-1, 0, 1], label });
  const plane = plot(plots, { height: 322, x: axis("first coordinate ÷ ‖X‖∞"), y: axis("second coordinate ÷ ‖X‖∞") });
  const drop = plot(plots, {
    height: 322,
    x: { min: 0, max: layers, ticks: [...Array(layers + 1).keys()], show: String, label: "layer ℓ" },
    y: { min: FLOOR, max: 1, ticks: [0, -10, -20, -30], label: "log₁₀ of the share" },
  });
  const trails = draw("g", {}, plane.marks);
  const tokens = data.panels[0].series.map(() => {
    const token = draw("g", { class: "explorer-token" }, plane.marks);
    draw("circle", { r: 6, class: "mark-a" }, token);
    return token;
  });

  const update = () => {
    const title = `η = ${eta.value}, ${skip.value}`;
    const [panel, curve, at] = [panelOf(data, title), seriesOf(shares, title), layer.value];
    trails.replaceChildren();
    panel.series.forEach((token, i) => {
      draw("circle", { cx: plane.x(token.x[0]), cy: plane.y(token.y[0]), r: 6, class: "mark-ring" }, trails);
      if (at) draw("path", { d: path(plane, token.x.slice(at - 1, at + 1), token.y.slice(at - 1, at + 1)), class: "explorer-move" }, trails);
      tokens[i].style.transform = `translate(${plane.x(token.x[at])}px, ${plane.y(token.y[at])}px)`;
    });
    drop.marks.replaceChildren();
    for (const series of shares.series) {
      const shown = series.y.findIndex((log) => log < FLOOR);
      const upto = shown < 0 ? series.y.length : shown + 1;
      const heights = series.y.slice(0, upto).map((log) => Math.max(log, FLOOR));
      draw("path", { d: path(drop, series.x.slice(0, upto), heights), class: series === curve ? "explorer-curve chosen" : "explorer-curve" }, drop.marks);
    }
    const log = curve.y[at];
    // Below the edge of the picture an arrowhead takes the place of the dot.
    const [x, y] = [drop.x(at), drop.y(Math.max(log, FLOOR))];
    if (log < FLOOR) draw("path", { d: `M${x - 8} ${y - 14}h16L${x} ${y}Z`, class: "mark-a" }, drop.marks);
    else draw("circle", { cx: x, cy: y, r: 6, class: "mark-a" }, drop.marks);
    setNumber(told.share, log, formatLog(log));
    told.share.setAttribute("data-unit", "log10");
    const state = `Layer ${at}, η = ${format(eta.value)}, ${skip.value}: the share of the differences is ${formatLog(log)}.`;
    plane.say(`${tokens.length} tokens in the plane. ${state}`);
    drop.say(`The share of the differences over the layers, for each η with and without skips. ${state}`);
    announce(state);
  };
  update();
});
