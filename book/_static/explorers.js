// Interactive figures without a kernel.  A page holds the data of its run as JSON; a script in
// explorers/ builds one figure from it, with the helpers below.  When it is ready it takes the
// place of the static figure, which stays for print and for pages without scripts.
window.explorers = (() => {
  const kinds = {};

  // Elements -----------------------------------------------------------------------------------

  const make = (tag, attributes = {}, parent = null, text = null) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== null) node.textContent = text;
    parent?.append(node);
    return node;
  };

  const draw = (tag, attributes = {}, parent = null, text = null) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== null) node.textContent = text;
    parent?.append(node);
    return node;
  };

  // Numbers ------------------------------------------------------------------------------------

  const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
  const power = (exponent) => `10${[...String(exponent)].map((c) => RAISED[c]).join("")}`;
  const scientific = (digits, exponent) => `${digits}·${power(exponent)}`.replace("-", "−");

  // Three significant digits; beyond four places a power of ten.
  const format = (value) => {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    const [digits, exponent] = value.toExponential(2).split("e").map(Number);
    if (value !== 0 && (exponent < -3 || exponent > 4)) return scientific(digits, exponent);
    return String(Number(value.toPrecision(3))).replace("-", "−");
  };

  // The same for a number given by its logarithm, be it too small for a double.
  const formatLog = (log) => {
    const whole = Math.floor(log);
    if (whole > -300) return format(10 ** log);
    const [digits, carry] = (10 ** (log - whole)).toExponential(2).split("e").map(Number);
    return scientific(digits, whole + carry);
  };

  // A number whose full value can be read from the page.
  const setNumber = (node, value, text = format(value)) => {
    if (value === null || value === undefined || Number.isNaN(value)) node.removeAttribute("value");
    else node.setAttribute("value", value);
    node.textContent = text;
  };

  // Controls -----------------------------------------------------------------------------------

  let used = 0;
  const name = () => `explorer-part-${++used}`;

  // A slider over a list of values; `show` puts one into words.
  const slider = (parent, { label, values, start = 0, show = format, change }) => {
    const id = name();
    const row = make("div", { class: "explorer-slider" }, parent);
    make("label", { for: id }, row, label);
    const input = make("input", { id, type: "range", min: 0, max: values.length - 1, step: 1, value: start }, row);
    const output = make("output", { for: id, "aria-live": "off" }, row);
    const tell = () => {
      output.textContent = show(values[input.value]);
      input.setAttribute("aria-valuetext", output.textContent);
    };
    input.addEventListener("input", () => (tell(), change()));
    tell();
    return {
      input,
      get value() { return values[input.value]; },
      get index() { return Number(input.value); },
      set index(index) { input.value = index; tell(); change(); },
    };
  };

  // One of a few options.
  const choice = (parent, { label, options, start = 0, change }) => {
    const group = name();
    const field = make("fieldset", { class: "explorer-choice" }, parent);
    make("legend", {}, field, label);
    const inputs = options.map((option, i) => {
      const wrap = make("label", {}, field);
      const input = make("input", { type: "radio", name: group, value: i }, wrap);
      input.checked = i === start;
      input.addEventListener("change", change);
      wrap.append(String(option));
      return input;
    });
    return { get value() { return options[inputs.findIndex((input) => input.checked)]; } };
  };

  // A list of named numbers.
  const numbers = (parent, names) => {
    const list = make("dl", { class: "explorer-numbers" }, parent);
    return Object.fromEntries(
      Object.entries(names).map(([key, words]) => {
        const pair = make("div", {}, list);
        make("dt", {}, pair, words);
        return [key, make("data", { "data-name": key }, make("dd", {}, pair))];
      }));
  };

  // What changed, for those who listen; it waits until the hand rests.
  const announcer = (parent) => {
    const node = make("p", { class: "explorer-status", role: "status" }, parent);
    let timer = 0;
    return (text) => {
      clearTimeout(timer);
      timer = setTimeout(() => (node.textContent = text), 400);
    };
  };

  // Plots --------------------------------------------------------------------------------------

  const scale = ({ min, max, log = false }, from, to) => {
    const place = log ? Math.log10 : (v) => v;
    const [low, high] = [place(min), place(max)];
    const at = (v) => from + ((place(v) - low) / (high - low)) * (to - from);
    at.inverse = (p) => {
      const v = low + ((p - from) / (to - from)) * (high - low);
      return log ? 10 ** v : v;
    };
    return at;
  };

  // Axes in a picture of 340 by `height`.  An axis: min, max, log, ticks, label, show.
  const plot = (parent, { height = 260, x, y, left = 44, role = "img" }) => {
    const [width, right, top, bottom] = [340, 10, 10, x.label ? 38 : 24];
    const node = draw("svg", { viewBox: `0 0 ${width} ${height}`, role, class: "explorer-plot" }, parent);
    const across = scale(x, left, width - right);
    const up = scale(y, height - bottom, top);
    const frame = draw("g", { class: "explorer-frame", "aria-hidden": "true" }, node);
    for (const tick of x.ticks ?? []) {
      draw("line", { x1: across(tick), x2: across(tick), y1: top, y2: height - bottom }, frame);
      draw("text", { x: across(tick), y: height - bottom + 14, "text-anchor": "middle" }, frame, (x.show ?? format)(tick));
    }
    for (const tick of y.ticks ?? []) {
      draw("line", { x1: left, x2: width - right, y1: up(tick), y2: up(tick) }, frame);
      draw("text", { x: left - 5, y: up(tick) + 4, "text-anchor": "end" }, frame, (y.show ?? format)(tick));
    }
    if (x.label) draw("text", { x: (left + width - right) / 2, y: height - 5, "text-anchor": "middle" }, frame, x.label);
    if (y.label) {
      const at = `translate(12 ${(top + height - bottom) / 2}) rotate(-90)`;
      draw("text", { transform: at, "text-anchor": "middle" }, frame, y.label);
    }
    return { node, x: across, y: up, marks: draw("g", {}, node), say: (text) => node.setAttribute("aria-label", text) };
  };

  const path = (plane, xs, ys) =>
    xs.map((x, i) => `${i ? "L" : "M"}${plane.x(x).toFixed(1)} ${plane.y(ys[i]).toFixed(1)}`).join("");

  // Data ---------------------------------------------------------------------------------------

  const panelOf = (data, title) => data.panels.find((panel) => panel.title === title);
  const seriesOf = (panel, name) => panel.series.find((series) => series.name === name);

  // Start --------------------------------------------------------------------------------------

  const start = (root) => {
    const data = JSON.parse(root.querySelector("script").textContent);
    const body = make("div", { class: "explorer-body" }, root);
    kinds[data.label](body, data);
    const figure = document.getElementById(root.dataset.figure);
    for (const child of figure.children) if (child.tagName !== "FIGCAPTION") child.classList.add("explorer-static");
    figure.prepend(root);
    root.hidden = false;
  };

  document.addEventListener("DOMContentLoaded", () => {
    // Should one fail, its static figure stays.
    for (const root of document.querySelectorAll(".explorer"))
      try { start(root); } catch (error) { console.error(`explorer ${root.id}:`, error); }
  });

  return {
    add: (label, build) => (kinds[label] = build),
    make, draw, format, formatLog, setNumber, slider, choice, numbers, announcer, plot, path, panelOf, seriesOf,
  };
})();
