// Chapter 1: move the entries of two columns, and see how far their residuals move.
explorers.add("explorer-res", (root, data) => {
  const { make, draw, setNumber, format, choice, numbers, announcer, plot, seriesOf } = explorers;
  const { step, reach, tokens } = data.parameters;
  const half = data.panels.length / 2;
  const LOOKS = { A: { shift: -0.24 }, B: { shift: 0.24 } };
  const columns = { A: [], B: [] };

  const residual = (column) => {
    const middle = (Math.max(...column) + Math.min(...column)) / 2;
    return column.map((entry) => entry - middle);
  };
  const moves = (a, b) => a.map((entry, i) => Math.abs(entry - b[i]));

  const controls = make("div", { class: "explorer-controls" }, root);
  const count = choice(controls, { label: "tokens n", options: tokens, change: () => load("") });
  const buttons = make("div", { class: "explorer-buttons" }, controls);
  make("button", { type: "button" }, buttons, "Go to the witness").addEventListener("click", () => load(", witness"));
  make("button", { type: "button" }, buttons, "Start again").addEventListener("click", () => load(""));
  const legend = make("p", { class: "explorer-legend" }, root);
  make("span", { class: "ink-a" }, legend, "● A");
  make("span", { class: "ink-b" }, legend, "■ B");
  make("span", {}, legend, "thick line: the token that moves farthest");
  const plots = make("div", { class: "explorer-plots" }, root);
  const told = numbers(root, {
    before: "‖A − B‖∞",
    after: "‖Res A − Res B‖∞",
    ratio: "ratio, at most 2",
  });
  const announce = announcer(root);

  const load = (which) => {
    const panel = data.panels[tokens.indexOf(count.value)];
    for (const letter of "AB") columns[letter] = [...seriesOf(panel, letter + which).y];
    build();
  };

  const mark = (parent, letter, x, y) =>
    letter === "A"
      ? draw("circle", { cx: x, cy: y, r: 6, class: "mark-a" }, parent)
      : draw("rect", { x: x - 5.5, y: y - 5.5, width: 11, height: 11, class: "mark-b" }, parent);

  let entries, residuals, handles;
  const build = () => {
    plots.replaceChildren();
    const n = columns.A.length;
    const x = { min: 0.5, max: n + 0.5, ticks: columns.A.map((_, i) => i + 1), label: "token" };
    const y = { min: -reach, max: reach, ticks: [-4, -2, 0, 2, 4] };
    entries = plot(plots, { x, y: { ...y, label: "entry" }, role: "group" });
    entries.say("Handles for the entries of A and B, one column a token");
    residuals = plot(plots, { x, y: { ...y, label: "residual" } });
    entries.lines = draw("g", {}, entries.marks);
    handles = [];
    for (const letter of "AB") for (let i = 0; i < n; i++) handles.push(handle(letter, i));
    update();
  };

  const set = (letter, i, value) => {
    columns[letter][i] = Math.min(reach, Math.max(-reach, Math.round(value / step) * step));
    update();
  };

  // A mark that is dragged, or moved by the keys of a slider.
  const handle = (letter, i) => {
    const node = draw("g", {
      class: "explorer-handle", tabindex: 0, role: "slider", "aria-orientation": "vertical",
      "aria-label": `${letter}, token ${i + 1}`, "aria-valuemin": -reach, "aria-valuemax": reach,
    }, entries.marks);
    const x = entries.x(i + 1 + LOOKS[letter].shift);
    const width = entries.x(1.47) - entries.x(1);
    draw("rect", { x: x - width / 2, y: -18, width, height: 36, class: "explorer-grip" }, node);
    mark(node, letter, x, 0);
    const KEYS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 4, PageDown: -4 };
    node.addEventListener("keydown", (event) => {
      if (event.altKey || event.ctrlKey || event.metaKey) return; // the browser's own
      const far = { Home: -reach, End: reach }[event.key];
      if (far === undefined && !(event.key in KEYS)) return;
      event.preventDefault();
      set(letter, i, far ?? columns[letter][i] + KEYS[event.key] * step);
    });
    let grip = null; // while a pointer holds the mark: which, and how far above it
    const height = (event) => {
      const point = new DOMPoint(event.clientX, event.clientY);
      return entries.y.inverse(point.matrixTransform(entries.node.getScreenCTM().inverse()).y);
    };
    // Parts of an SVG do not all heed touch-action; without this the page would scroll as well.
    node.addEventListener("touchstart", (event) => event.preventDefault(), { passive: false });
    node.addEventListener("pointerdown", (event) => {
      if (grip || event.button !== 0) return;
      grip = { pointer: event.pointerId, above: columns[letter][i] - height(event) };
      node.setPointerCapture(event.pointerId);
      node.focus({ preventScroll: true });
      event.preventDefault();
    });
    const held = (event) => grip?.pointer === event.pointerId;
    node.addEventListener("pointermove", (event) => held(event) && set(letter, i, height(event) + grip.above));
    node.addEventListener("lostpointercapture", (event) => held(event) && (grip = null));
    return { node, letter, i };
  };

  const join = (parent, plane, a, b) => {
    const apart = moves(a, b);
    apart.forEach((move, i) =>
      draw("line", {
        x1: plane.x(i + 1 + LOOKS.A.shift), x2: plane.x(i + 1 + LOOKS.B.shift),
        y1: plane.y(a[i]), y2: plane.y(b[i]),
        class: move === Math.max(...apart) ? "explorer-move farthest" : "explorer-move",
      }, parent));
  };

  const update = () => {
    const { A, B } = columns;
    const [RA, RB] = [residual(A), residual(B)];
    const [before, after] = [Math.max(...moves(A, B)), Math.max(...moves(RA, RB))];
    entries.lines.replaceChildren();
    join(entries.lines, entries, A, B);
    for (const { node, letter, i } of handles) {
      const value = columns[letter][i];
      node.setAttribute("transform", `translate(0 ${entries.y(value)})`);
      node.setAttribute("aria-valuenow", value);
    }
    residuals.marks.replaceChildren();
    join(residuals.marks, residuals, RA, RB);
    for (const [letter, column] of [["A", RA], ["B", RB]])
      column.forEach((value, i) => mark(residuals.marks, letter, residuals.x(i + 1 + LOOKS[letter].shift), residuals.y(value)));
    const ratio = before ? after / before : NaN;
    setNumber(told.before, before);
    setNumber(told.after, after);
    setNumber(told.ratio, ratio);
    residuals.say(`Residuals. A: ${RA.map(format).join(", ")}. B: ${RB.map(format).join(", ")}.`);
    announce(`Distance ${format(before)}, after Res ${format(after)}, ratio ${format(ratio)}.`);
  };

  load("");
});
