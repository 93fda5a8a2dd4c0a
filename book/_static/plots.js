// Interactive plots without a library: clouds of moments, contours by percentile, growth by level, readers by margin of
// equivalence, and one pair of the reader test.
"use strict";

(() => {
  const REAL = "#D55E00"; // vermilion and blue: distinct for every common color vision, and the same as in the pictures
  const SYNTHETIC = "#0072B2";
  const LABELS = { M1: "M1 mean", M2: "M2 variance", M3: "M3 skewness", M4: "M4 kurtosis", M5: "M5 hyperskewness" };

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  const signed = (number) => String(number).replace("-", "\u2212");

  let count = 0;
  const labeled = (text, control) => {
    control.id = `plot-control-${++count}`;
    return make("span", { class: "plot-control" }, make("label", { for: control.id }, text), control);
  };
  const choice = (values, chosen) => {
    const control = make("select");
    for (const value of values) control.append(make("option", { value }, LABELS[value] || value));
    control.value = chosen;
    return control;
  };

  // Return {real: [[x, y], ...], synthetic: ...} of two columns.
  const points = (data, x, y) => {
    const [i, j, k] = [x, y, "kind"].map((name) => data.columns.indexOf(name));
    const found = { real: [], synthetic: [] };
    for (const row of data.rows) if (found[row[k]]) found[row[k]].push([row[i], row[j]]);
    return found;
  };

  const quantile = (sorted, q) => {
    const at = q * (sorted.length - 1);
    const low = Math.floor(at);
    return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
  };

  // ---- A drawing area with axes, sharp on every screen ----
  class Area {
    constructor(place, label) {
      this.canvas = make("canvas", { role: "img", "aria-label": label, class: "plot-canvas" });
      place.append(this.canvas);
    }
    begin(xs, ys, xlabel, ylabel) {
      const ratio = devicePixelRatio || 1;
      const width = Math.max(260, Math.min(750, this.canvas.parentElement.clientWidth));
      const height = Math.round(width * 0.6);
      Object.assign(this.canvas, { width: width * ratio, height: height * ratio });
      this.canvas.style.width = `${width}px`;
      this.canvas.style.height = `${height}px`;
      const c = (this.c = this.canvas.getContext("2d"));
      c.scale(ratio, ratio);
      c.fillStyle = "#fff";
      c.fillRect(0, 0, width, height);
      this.box = { left: 58, right: width - 10, top: 10, bottom: height - 40 };
      [this.xs, this.ys] = [xs, ys];
      c.fillStyle = c.strokeStyle = "#333";
      c.font = "12px sans-serif";
      c.textAlign = "center";
      c.textBaseline = "top";
      c.beginPath();
      c.moveTo(this.box.left, this.box.top);
      c.lineTo(this.box.left, this.box.bottom);
      c.lineTo(this.box.right, this.box.bottom);
      c.stroke();
      for (const tick of ticks(xs)) {
        c.fillRect(this.x(tick), this.box.bottom, 1, 4);
        c.fillText(signed(+tick.toPrecision(4)), this.x(tick), this.box.bottom + 6);
      }
      c.fillText(xlabel, (this.box.left + this.box.right) / 2, this.box.bottom + 23);
      c.textAlign = "right";
      c.textBaseline = "middle";
      for (const tick of ticks(ys)) {
        c.fillRect(this.box.left - 4, this.y(tick), 4, 1);
        c.fillText(signed(+tick.toPrecision(4)), this.box.left - 7, this.y(tick));
      }
      c.save();
      c.translate(11, (this.box.top + this.box.bottom) / 2);
      c.rotate(-Math.PI / 2);
      c.textAlign = "center";
      c.fillText(ylabel, 0, 0);
      c.restore();
      c.save();
      c.beginPath();
      c.rect(this.box.left, this.box.top, this.box.right - this.box.left, this.box.bottom - this.box.top);
      c.clip();
    }
    end() {
      this.c.restore();
    }
    holds([x, y]) {
      return x >= this.xs[0] && x <= this.xs[1] && y >= this.ys[0] && y <= this.ys[1];
    }
    x(value) {
      return this.box.left + ((value - this.xs[0]) / (this.xs[1] - this.xs[0])) * (this.box.right - this.box.left);
    }
    y(value) {
      return this.box.bottom - ((value - this.ys[0]) / (this.ys[1] - this.ys[0])) * (this.box.bottom - this.box.top);
    }
  }

  function ticks([low, high]) {
    const raw = (high - low) / 5;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
    const found = [];
    for (let k = Math.ceil(low / step); k * step <= high; k++) found.push(k * step);
    return found;
  }

  // The axes hold all points but the farthest one in 200.
  const reach = (clouds, axis) => {
    const values = [...clouds.real, ...clouds.synthetic].map((p) => p[axis]).sort((a, b) => a - b);
    const [low, high] = [values[0], quantile(values, 0.995)];
    const room = 0.03 * (high - low || 1);
    return [low - room, high + room];
  };

  const legend = (extra = "") =>
    make(
      "p",
      { class: "plot-legend" },
      make("span", { style: `color:${REAL}` }, "\u25cf"),
      " real ",
      make("span", { style: `color:${SYNTHETIC}` }, "\u25cf"),
      ` synthetic${extra}`,
    );

  // ---- Figure 3: any two moments against each other ----
  function clouds(place, data) {
    const names = data.columns.filter((name) => name in LABELS);
    const x = choice(names, "M1");
    const y = choice(names, "M3");
    const shown = { real: make("input", { type: "checkbox" }), synthetic: make("input", { type: "checkbox" }) };
    const bar = make("div", { class: "plot-bar" }, labeled("across", x), labeled("up", y));
    for (const [name, box] of Object.entries(shown)) {
      box.checked = true;
      bar.append(labeled(name, box));
    }
    place.append(bar);
    const area = new Area(place, "Scatter plot of two moments, one point per image");
    const facts = make("p", { class: "plot-facts", "aria-live": "polite" });
    place.append(legend(), facts);
    const draw = () => {
      const found = points(data, x.value, y.value);
      area.begin(reach(found, 0), reach(found, 1), LABELS[x.value], LABELS[y.value]);
      const c = area.c;
      c.globalAlpha = 0.5;
      const outside = { real: 0, synthetic: 0 };
      for (const [name, color] of [["real", REAL], ["synthetic", SYNTHETIC]]) {
        outside[name] = found[name].filter((p) => !area.holds(p)).length;
        if (!shown[name].checked) continue;
        c.fillStyle = color;
        for (const [px, py] of found[name]) {
          c.beginPath();
          c.arc(area.x(px), area.y(py), 2.4, 0, 7);
          c.fill();
        }
      }
      area.end();
      const middle = (name, axis) =>
        signed(quantile(found[name].map((p) => p[axis]).sort((a, b) => a - b), 0.5).toPrecision(3));
      facts.textContent =
        `${found.real.length} real and ${found.synthetic.length} synthetic images, of which ${outside.real} and ` +
        `${outside.synthetic} are outside the frame. ` +
        `Median ${x.value}: ${middle("real", 0)} and ${middle("synthetic", 0)}; ` +
        `median ${y.value}: ${middle("real", 1)} and ${middle("synthetic", 1)}.`;
    };
    for (const control of [x, y, ...Object.values(shown)]) control.addEventListener("change", draw);
    new ResizeObserver(draw).observe(place);
    draw();
  }

  // ---- Figure 6: contours of both densities ----
  const deviation = (values) => {
    const mean = values.reduce((a, b) => a + b, 0) / values.length;
    return Math.sqrt(values.reduce((a, b) => a + (b - mean) ** 2, 0) / (values.length - 1));
  };
  // Silverman's rule as in mammogan.metrics.density.
  function bandwidth(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const iqr = (quantile(sorted, 0.75) - quantile(sorted, 0.25)) / 1.349;
    const sd = deviation(values);
    const scale = Math.min(sd, iqr > 0 ? iqr : sd);
    return 1.059 * scale * values.length ** -0.2;
  }

  // Return the density on a grid of n x n cells: linear binning, then a Gaussian along each axis.
  function density(sample, low, high, n) {
    const grid = new Float64Array(n * n);
    const step = [0, 1].map((axis) => (high[axis] - low[axis]) / (n - 1));
    for (const p of sample) {
      const at = [0, 1].map((axis) => (p[axis] - low[axis]) / step[axis]);
      const [i, j] = at.map((value) => Math.min(Math.floor(value), n - 2));
      const [u, v] = [at[0] - i, at[1] - j];
      grid[i * n + j] += (1 - u) * (1 - v);
      grid[i * n + j + 1] += (1 - u) * v;
      grid[(i + 1) * n + j] += u * (1 - v);
      grid[(i + 1) * n + j + 1] += u * v;
    }
    let from = grid;
    for (const axis of [0, 1]) {
      // Binning itself has a variance of 1/6 cell, as in mammogan.metrics.density.
      const sigma = Math.sqrt(Math.max((bandwidth(sample.map((p) => p[axis])) / step[axis]) ** 2 - 1 / 6, 0.01));
      const radius = Math.min(n - 1, Math.ceil(6 * sigma));
      const kernel = Array.from({ length: radius + 1 }, (_, k) => Math.exp(-0.5 * (k / sigma) ** 2));
      const to = new Float64Array(n * n);
      const [along, across] = axis ? [1, n] : [n, 1];
      for (let line = 0; line < n; line++)
        for (let k = 0; k < n; k++) {
          const value = from[line * across + k * along];
          if (!value) continue;
          for (let d = Math.max(-radius, -k); d <= Math.min(radius, n - 1 - k); d++)
            to[line * across + (k + d) * along] += value * kernel[Math.abs(d)];
        }
      from = to;
    }
    return from;
  }

  // Return the line segments of a contour by marching squares, in cells of the grid.
  function contour(grid, n, level) {
    const lines = [];
    for (let i = 0; i < n - 1; i++)
      for (let j = 0; j < n - 1; j++) {
        const corner = [grid[i * n + j], grid[(i + 1) * n + j], grid[(i + 1) * n + j + 1], grid[i * n + j + 1]];
        const at = [[i, j], [i + 1, j], [i + 1, j + 1], [i, j + 1]];
        const cuts = [];
        for (let e = 0; e < 4; e++) {
          const [a, b] = [corner[e], corner[(e + 1) % 4]];
          if (a > level === b > level) continue;
          const t = (level - a) / (b - a);
          const [p, q] = [at[e], at[(e + 1) % 4]];
          cuts.push([p[0] + t * (q[0] - p[0]), p[1] + t * (q[1] - p[1])]);
        }
        for (let k = 0; k + 1 < cuts.length; k += 2) lines.push([cuts[k], cuts[k + 1]]);
      }
    return lines;
  }

  // Return the share of the cells above the contour of the real density that are above that of the synthetic density.
  const covered = (real, synthetic, levelReal, levelSynthetic) => {
    let [all, both] = [0, 0];
    for (let k = 0; k < real.length; k++)
      if (real[k] > levelReal) {
        all++;
        if (synthetic[k] > levelSynthetic) both++;
      }
    return all ? both / all : 0;
  };

  function contours(place, data) {
    const N = 200;
    const names = data.columns.filter((name) => name in LABELS);
    const pairs = names.flatMap((a, i) => names.slice(i + 1).map((b) => `${a} and ${b}`));
    const pair = choice(pairs, pairs[0]);
    const slider = make("input", { type: "range", min: "95", max: "99.9", step: "0.1", value: "97" });
    place.append(make("div", { class: "plot-bar" }, labeled("pair", pair), labeled("percentile", slider)));
    const area = new Area(place, "Contours of the densities of real and synthetic images");
    const facts = make("p", { class: "plot-facts", "aria-live": "polite" });
    place.append(legend("; the region above the percentile of each density's values on the grid"), facts);
    const cache = {};
    const grids = () =>
      (cache[pair.value] ??= (() => {
        const found = points(data, ...pair.value.split(" and "));
        const low = [];
        const high = [];
        for (const axis of [0, 1]) {
          const [a, b] = [found.real, found.synthetic].map((sample) => sample.map((p) => p[axis]));
          const room = 3 * Math.max(bandwidth(a), bandwidth(b));
          low.push(a.concat(b).reduce((x, y) => Math.min(x, y)) - room);
          high.push(a.concat(b).reduce((x, y) => Math.max(x, y)) + room);
        }
        const grid = { low, high, found };
        for (const name of ["real", "synthetic"]) {
          grid[name] = density(found[name], low, high, N);
          grid[`${name}Sorted`] = Float64Array.from(grid[name]).sort();
        }
        return grid;
      })());
    const draw = () => {
      const grid = grids();
      const [first, second] = pair.value.split(" and ");
      area.begin(reach(grid.found, 0), reach(grid.found, 1), LABELS[first], LABELS[second]);
      const level = {};
      for (const [name, color] of [["real", REAL], ["synthetic", SYNTHETIC]]) {
        level[name] = quantile(grid[`${name}Sorted`], slider.value / 100);
        const c = area.c;
        c.strokeStyle = color;
        c.lineWidth = 2;
        c.beginPath();
        const to = (p) => [0, 1].map((k) => grid.low[k] + (p[k] / (N - 1)) * (grid.high[k] - grid.low[k]));
        for (const [p, q] of contour(grid[name], N, level[name])) {
          const [a, b] = [to(p), to(q)];
          c.moveTo(area.x(a[0]), area.y(a[1]));
          c.lineTo(area.x(b[0]), area.y(b[1]));
        }
        c.stroke();
      }
      area.end();
      const share = covered(grid.real, grid.synthetic, level.real, level.synthetic);
      facts.textContent =
        `At the ${(+slider.value).toFixed(1)}th percentile the synthetic region covers ` +
        `${(100 * share).toFixed(0)} % of the real one. The paper draws 95 to 99.99 and reports the 97th.`;
      place.dataset.coverage = share;
    };
    pair.addEventListener("change", draw);
    slider.addEventListener("input", draw);
    new ResizeObserver(draw).observe(place);
    draw();
  }

  // ---- Growth: the same latent vectors at each level ----
  function growth(place, frames, root) {
    if (!frames.length) return;
    const slider = make("input", { type: "range", min: "0", max: String(frames.length - 1), step: "1" });
    slider.value = slider.max;
    const image = make("img", { class: "dark-light plot-frame", alt: "" });
    const facts = make("p", { class: "plot-facts", "aria-live": "polite" });
    place.append(make("div", { class: "plot-bar" }, labeled("training", slider)), image, facts);
    const draw = () => {
      const frame = frames[slider.value];
      image.src = root + frame.src;
      image.alt = `Synthetic images from the same latent vectors, ${frame.label}`;
      slider.setAttribute("aria-valuetext", frame.label);
      facts.textContent = frame.label;
    };
    slider.addEventListener("input", draw);
    draw();
  }

  // ---- Readers: which rates are equivalent to guessing, by margin ----
  // Return the probabilities of 0 ... n right answers.
  const binomial = (n, p) => {
    const logs = [n * Math.log(1 - p)];
    for (let k = 1; k <= n; k++) logs.push(logs[k - 1] + Math.log(((n - k + 1) / k) * (p / (1 - p))));
    return logs.map(Math.exp);
  };
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  // Two one-sided exact tests, as mammogan.stats.equivalence.equivalence_p.
  const equivalenceP = (right, n, margin) =>
    Math.max(sum(binomial(n, 0.5 - margin).slice(right)), sum(binomial(n, 0.5 + margin).slice(0, right + 1)));

  function equivalence(place, data) {
    const at = (name) => data.columns.indexOf(name);
    const groups = data.rows.map((row) =>
      Object.fromEntries(["group", "successes", "trials", "rate", "low", "high"].map((name) => [name, row[at(name)]])),
    );
    const slider = make("input", { type: "range", min: "0.03", max: "0.1", step: "0.005", value: "0.05" });
    place.append(make("div", { class: "plot-bar" }, labeled("margin of equivalence", slider)));
    const canvas = make("canvas", { role: "img", "aria-label": "Rates of groups with the band of equivalence" });
    canvas.className = "plot-canvas";
    const facts = make("p", { class: "plot-facts", "aria-live": "polite" });
    place.append(canvas, facts);
    const draw = () => {
      const [ratio, width, line] = [devicePixelRatio || 1, Math.max(260, place.clientWidth - 20), 26];
      const height = line * groups.length + 44;
      Object.assign(canvas, { width: width * ratio, height: height * ratio });
      Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
      const c = canvas.getContext("2d");
      c.scale(ratio, ratio);
      c.fillStyle = "#fff";
      c.fillRect(0, 0, width, height);
      const left = Math.min(170, width * 0.42);
      const [from, to] = [Math.min(0.36, ...groups.map((g) => g.low)) - 0.01, Math.max(0.64, ...groups.map((g) => g.high)) + 0.01];
      const x = (rate) => left + ((rate - from) / (to - from)) * (width - left - 12);
      const margin = +slider.value;
      c.fillStyle = "#dcebf5";
      c.fillRect(x(0.5 - margin), 0, x(0.5 + margin) - x(0.5 - margin), line * groups.length);
      c.strokeStyle = c.fillStyle = "#333";
      c.font = "12px sans-serif";
      c.textBaseline = "middle";
      c.setLineDash([4, 3]);
      c.beginPath();
      c.moveTo(x(0.5), 0);
      c.lineTo(x(0.5), line * groups.length);
      c.stroke();
      c.setLineDash([]);
      const shown = [];
      groups.forEach((group, k) => {
        const y = (k + 0.5) * line;
        const p = equivalenceP(group.successes, group.trials, margin);
        if (p < 0.05) shown.push(group.group);
        c.textAlign = "right";
        c.fillStyle = "#333";
        c.fillText(group.group, left - 10, y, left - 14);
        c.strokeStyle = c.fillStyle = p < 0.05 ? SYNTHETIC : REAL;
        c.lineWidth = 2;
        c.beginPath();
        c.moveTo(x(group.low), y);
        c.lineTo(x(group.high), y);
        c.stroke();
        c.beginPath();
        if (p < 0.05) c.arc(x(group.rate), y, 4.5, 0, 7);
        else c.rect(x(group.rate) - 4, y - 4, 8, 8);
        c.fill();
      });
      c.textAlign = "center";
      c.fillStyle = "#333";
      for (const tick of ticks([from, to])) c.fillText(tick.toFixed(2), x(tick), line * groups.length + 12);
      c.fillText("share of pairs answered right, 95 % interval", (left + width) / 2, line * groups.length + 32, width - left - 12);
      const list = shown.length ? `: ${shown.join(", ")}` : "";
      facts.textContent =
        `With a margin of \u00b1 ${margin.toFixed(3)}, ${shown.length} of ${groups.length} groups are equivalent to ` +
        `guessing at the 5 % level (round marks)${list}. The margin of this book, 0.050, was stated beforehand.`;
      place.dataset.equivalent = shown.length;
    };
    slider.addEventListener("input", draw);
    new ResizeObserver(draw).observe(place);
    draw();
  }

  // ---- One pair of the reader test after the other ----
  function pair(place, _, root) {
    const pairs = JSON.parse(atob(globalThis.STUDY.sessions)).flat();
    let [at, right, answered] = [0, 0, 0];
    const facts = make("p", { class: "plot-facts", "aria-live": "polite" });
    const next = make("button", { type: "button", class: "pair-next" }, "Next pair");
    const sides = ["left", "right"].map((side) => {
      const image = make("img", { class: "dark-light", alt: `${side} image of the pair` });
      const button = make("button", { type: "button", class: "pair-image" }, image);
      button.addEventListener("click", () => {
        if (next.hidden === false) return;
        const hit = pairs[at].real_side === side;
        answered++;
        right += hit;
        for (const one of sides) one.button.classList.toggle("pair-real", one.side === pairs[at].real_side);
        facts.textContent =
          `${hit ? "Right" : "Wrong"}: the ${pairs[at].real_side} one is the phantom. ${right} of ${answered} right.`;
        next.hidden = false;
      });
      return { side, button, image };
    });
    const show = () => {
      for (const { side, button, image } of sides) {
        image.src = `${root}reader_study/pictures/${pairs[at][side]}.png`;
        button.classList.remove("pair-real");
      }
      facts.textContent = "Choose the image that is not from a generator.";
      next.hidden = true;
    };
    next.addEventListener("click", () => {
      at = (at + 1) % pairs.length;
      show();
    });
    place.append(make("div", { class: "pair-sides" }, ...sides.map((one) => one.button)), facts, next);
    show();
  }

  window.mammoganPlots = { clouds, contours, growth, equivalence, pair };
})();
