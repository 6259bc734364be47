"use strict";
// Draws the figures of a report when they come into view, and joins curves with videos, tables and keys.

const data = JSON.parse(document.getElementById("data").textContent);
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const percent = (share) => (100 * share).toFixed(1);
const CONFIG = { displayModeBar: false, responsive: true, doubleClick: "reset", showTips: false };
const PAGE_WIDTH = 660; // pixels of a figure on paper

// ------------------------------------------------------------------------------------------ plotly

async function unpackPlotly() {
  const element = document.getElementById("plotly");
  const bytes = Uint8Array.from(atob(element.textContent), (letter) => letter.charCodeAt(0));
  element.remove();
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(unpacked).text();
  document.head.append(script);
}

function axis(title, more = {}) {
  return {
    title: { text: title, standoff: 6 }, gridcolor: colour("grid"), linecolor: colour("rule"), zeroline: false,
    fixedrange: true, automargin: true, tickfont: { size: 11 }, ...more,
  };
}

function layout(x, y, more = {}) {
  return {
    xaxis: x, yaxis: y, showlegend: false, dragmode: "zoom", hovermode: "closest",
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 44, r: 10, t: 8, b: 34 },
    font: { color: colour("soft"), size: 12, family: "system-ui, 'DejaVu Sans', sans-serif" },
    hoverlabel: { bgcolor: colour("raised"), bordercolor: colour("rule"), font: { color: colour("ink") } },
    ...more,
  };
}

const diagonal = () => ({
  x: [0, 1], y: [0, 1], mode: "lines", hoverinfo: "skip", line: { color: colour("soft"), width: 1, dash: "dash" },
});

// ----------------------------------------------------------------------------- figures of all frames

const FIGURES = {
  roc({ x, y }) {
    const hovertemplate = "false-positive rate %{x:.3f}<br>true-positive rate %{y:.3f}<extra></extra>";
    const curve = { x, y, mode: "lines", line: { color: colour("score"), width: 2 }, hovertemplate };
    const range = [-0.01, 1.01];
    return [[diagonal(), curve], layout(axis("false-positive rate", { range }), axis("true-positive rate", { range }))];
  },
  pr({ x, y }) {
    const hovertemplate = "recall %{x:.3f}<br>precision %{y:.3f}<extra></extra>";
    const curve = { x, y, mode: "lines", line: { color: colour("score"), width: 2 }, hovertemplate };
    const range = [-0.01, 1.01];
    return [[curve], layout(axis("recall", { range }), axis("precision", { range }))];
  },
  scores({ edges, normal, anomalous }) {
    const x = edges.slice(0, -1).flatMap((edge, i) => [edge, edges[i + 1]]);
    const stairs = (shares) => shares.flatMap((share) => [100 * share, 100 * share]);
    const trace = (name, shares, line, fill) => ({
      x, y: stairs(shares), name, mode: "lines", line, fill, fillcolor: colour("shade"),
      hovertemplate: `%{y:.1f} % of the ${name} frames<br>score %{x:.3f}<extra></extra>`,
    });
    const traces = [
      trace("anomalous", anomalous, { color: colour("truth"), width: 1.5 }, "tozeroy"),
      trace("normal", normal, { color: colour("score"), width: 2, dash: "dot" }, "none"),
    ];
    const legend = { orientation: "h", x: 0.5, xanchor: "center", y: 1, yanchor: "bottom" };
    return [traces, layout(axis("score"), axis("percent of its frames", { rangemode: "tozero" }),
      { showlegend: true, legend, margin: { l: 44, r: 10, t: 26, b: 34 } })];
  },
  calibration({ score, truth, low, high, frames }) {
    const error = {
      type: "data", symmetric: false, color: colour("score"), thickness: 1.2, width: 3,
      array: high.map((end, i) => Math.max(0, end - truth[i])), arrayminus: low.map((end, i) => Math.max(0, truth[i] - end)),
    };
    const largest = Math.max(...frames);
    const size = frames.map((count) => 5 + 9 * Math.sqrt(count / largest));
    const points = {
      x: score, y: truth, error_y: error, mode: "lines+markers", customdata: frames,
      marker: { color: colour("score"), size }, line: { color: colour("score"), width: 1 },
      hovertemplate: "mean score %{x:.2f}<br>anomalous %{y:.2f}<br>%{customdata:,} frames<extra></extra>",
    };
    const range = [-0.04, 1.04];
    return [[diagonal(), points], layout(axis("score", { range }), axis("share of anomalous frames", { range }))];
  },
  dots({ title, rows }) {
    const dots = { x: [], y: [], mode: "markers", customdata: [], marker: { color: colour("score"), size: 9, opacity: 0.6 } };
    dots.hovertemplate = "%{y}<br>%{customdata}: %{x:.1f}<extra></extra>";
    for (const { name, values, labels } of rows) {
      dots.x.push(...values), dots.y.push(...values.map(() => name)), dots.customdata.push(...labels);
    }
    const means = { x: rows.map((row) => row.mean), y: rows.map((row) => row.name), mode: "markers", hoverinfo: "skip" };
    means.marker = { symbol: "line-ns-open", size: 20, color: colour("ink"), line: { width: 2.5 } };
    if (rows.every((row) => row.ends)) {
      const array = rows.map((row) => row.ends[1] - row.mean), arrayminus = rows.map((row) => row.mean - row.ends[0]);
      means.error_x = { type: "data", symmetric: false, array, arrayminus, color: colour("score"), thickness: 1.5, width: 5 };
    }
    const y = axis("", { categoryorder: "array", categoryarray: rows.map((row) => row.name).reverse(), tickfont: { size: 12 } });
    const several = rows.some((row) => row.values.length > 1);
    return [several ? [dots, means] : [{ ...dots, error_x: means.error_x }], layout(axis(`${title}, percent`), y)];
  },
  cost({ title, unit, rows }, element) {
    const tickvals = ticks(rows.map((row) => row.cost)), range = [tickvals.at(0), tickvals.at(-1)].map(Math.log10);
    const sides = labelled(rows, range, element);
    const points = {
      x: rows.map((row) => row.cost), y: rows.map((row) => row.value), customdata: rows.map((row) => row.name),
      text: rows.map((row, i) => (sides[i] ? row.name : "")), textposition: sides.map((side) => `${side || "top"} center`),
      mode: "markers+text", cliponaxis: false, marker: { color: colour("score"), size: 10 }, textfont: { color: colour("ink") },
      hovertemplate: `%{customdata}<br>%{y:.1f} after %{x:.3g} ${unit}<extra></extra>`,
    };
    const more = { margin: { l: 50, r: 60, t: 20, b: 40 } };
    return [[points], layout(axis(unit, { type: "log", tickvals, range }), axis(`${title}, percent`), more)];
  },
};

// Round numbers from below the lowest value to above the highest, so that an axis of equal values has two of them.
function ticks(values) {
  const powers = Array.from({ length: 14 }, (_, i) => 10 ** (i - 4));
  const round = powers.flatMap((power) => [1, 2, 3, 5].map((digit) => digit * power));
  const [low, high] = [0.95 * Math.min(...values), 1.05 * Math.max(...values)]; // names need room at both ends
  const from = round.findLastIndex((tick) => tick <= low), to = round.findIndex((tick) => tick >= high);
  return round.slice(Math.max(from, 0), to + 1);
}

// The side of its point on which each name stands, best first; none where it would cover a point or another name.
function labelled(rows, [left, right], { clientWidth, clientHeight }) {
  const values = rows.map((row) => row.value), low = Math.min(...values), spread = Math.max(...values) - low || 1;
  const boxes = rows.map(({ cost, value, name }) => {
    const x = (clientWidth * (Math.log10(cost) - left)) / (right - left), y = 0.8 * clientHeight * (1 - (value - low) / spread);
    const box = (half, from, to) => ({ left: x - half, right: x + half, top: y + from, bottom: y + to });
    return { point: box(5, -5, 5), top: box(3.5 * name.length, -22, -6), bottom: box(3.5 * name.length, 6, 22) };
  });
  const taken = boxes.map((own) => own.point), sides = rows.map(() => null);
  const free = (box) => taken.every((other) =>
    box.right < other.left || other.right < box.left || box.bottom < other.top || other.bottom < box.top);
  for (const i of rows.map((_, i) => i).sort((a, b) => values[b] - values[a])) {
    sides[i] = ["top", "bottom"].find((side) => free(boxes[i][side])) ?? null;
    if (sides[i]) taken.push(boxes[i][sides[i]]);
  }
  return sides;
}

// -------------------------------------------------------------------------------- curves of videos

function between(value, from, to) {
  let after = 1;
  while (after < from.length - 1 && from[after] < value) after += 1;
  const share = (value - from[after - 1]) / (from[after] - from[after - 1]);
  return to[after - 1] + share * (to[after] - to[after - 1]);
}

class Curve {
  constructor(element) {
    this.element = element;
    this.video = data.videos[element.dataset.video];
    this.player = element.parentElement.querySelector("video");
    this.frame = null;
    element.addEventListener("keydown", (event) => this.press(event));
    if (this.player) this.follow();
  }

  get scores() {
    if (!this.decoded) {
      const { scores, low, high } = this.video;
      const bytes = Uint8Array.from(atob(scores), (letter) => letter.charCodeAt(0));
      const levels = new DataView(bytes.buffer);
      this.decoded = Array.from({ length: bytes.length / 2 }, (_, i) => low + (levels.getUint16(2 * i, true) / 65535) * (high - low));
    }
    return this.decoded;
  }

  timeOf(frame) { return between(frame, this.video.clock[0], this.video.clock[1]); }
  frameAt(time) { return Math.floor(between(time, this.video.clock[1], this.video.clock[0]) + 1e-6); }
  scoreOf(frame) { return this.scores[Math.min(this.scores.length - 1, Math.floor(frame / this.video.step))]; }
  describe(frame) {
    const time = this.video.unit === "s" ? `${this.timeOf(frame).toFixed(2)} s · ` : "";
    const under = this.video.truth.filter(([start, end]) => start <= frame && frame < end).map(([, , name]) => name || "anomaly");
    return `${time}frame ${frame} · score ${this.scoreOf(frame).toPrecision(3)}${under.length ? ` · ${under.join(", ")}` : ""}`;
  }

  figure() {
    const { video, scores } = this;
    const frames = [...scores.map((_, i) => i * video.step), video.frames];
    const x = frames.map((frame) => this.timeOf(frame)), y = [...scores, scores.at(-1)];
    const low = Math.min(0, video.low), high = Math.max(1, video.high), margin = 0.05 * (high - low);
    const curve = { x, y, mode: "lines", line: { color: colour("score"), width: 1.6, shape: "hv" } };
    curve.hoverinfo = "none";
    const box = (start, end, more) => ({ type: "rect", x0: this.timeOf(start), x1: this.timeOf(end), line: { width: 0 }, layer: "below", ...more });
    const truth = { yref: "paper", y0: 0, y1: 1, fillcolor: colour("shade") };
    const foot = { yref: "paper", y0: 0, y1: 0.03, fillcolor: colour("truth") };
    const top = { yref: "paper", y0: 0.96, y1: 1, fillcolor: colour("event") };
    const shapes = [
      ...video.truth.flatMap(([start, end]) => [box(start, end, truth), box(start, end, foot)]),
      ...video.events.map(([start, end]) => box(start, end, top)),
    ];
    const line = { type: "line", xref: "paper", x0: 0, x1: 1, y0: data.alarm, y1: data.alarm };
    if (Number.isFinite(data.alarm)) shapes.push({ ...line, line: { color: colour("truth"), width: 1.2, dash: "dash" } });
    const hidden = { xref: "x", yref: "paper", showarrow: false, font: { size: 11 }, yanchor: "top" };
    const room = (this.element.clientWidth - 60) / this.timeOf(video.frames);
    const names = video.events
      .filter(([start, end, name]) => name.length * 6.5 < room * (this.timeOf(end) - this.timeOf(start)))
      .map(([start, end, name]) => ({ ...hidden, x: (this.timeOf(start) + this.timeOf(end)) / 2, y: 0.95, text: escapeText(name), font: { size: 11, color: colour("event") } }));
    const xaxis = axis(video.unit === "s" ? "seconds" : "frame", { range: [0, this.timeOf(video.frames)], fixedrange: false });
    const yaxis = axis("", { range: [low - margin, high + margin], nticks: 4 });
    const margins = { l: 36, r: 8, t: 20, b: 36 };
    return [[curve], layout(xaxis, yaxis, { shapes, annotations: names, margin: margins, hovermode: "x" })];
  }

  listen() {
    if (this.listening) return;
    this.listening = true;
    this.element.on("plotly_click", ({ event }) => this.go(this.under(event)));
    this.element.on("plotly_hover", ({ event }) => this.say(this.under(event)));
    this.element.on("plotly_unhover", () => this.say(this.frame));
    this.element.on("plotly_relayout", () => this.place());
  }

  under(event) {
    const x = this.element._fullLayout.xaxis;
    const time = x.p2d(event.clientX - this.element.getBoundingClientRect().left - x._offset);
    return this.bounded(this.frameAt(time));
  }

  bounded(frame) { return Math.max(0, Math.min(this.video.frames - 1, frame)); }

  // Go to a frame, with the video if it is there; `seek` is false where the video leads.
  go(frame, seek = true) {
    this.frame = this.bounded(frame);
    draw(this.element);
    if (seek && this.player) this.player.currentTime = this.timeOf(this.frame + 0.5);
    this.element.setAttribute("aria-valuenow", this.frame);
    this.element.setAttribute("aria-valuetext", this.describe(this.frame));
    this.place();
    this.say(this.frame);
  }

  place() {
    const full = this.element._fullLayout;
    if (this.frame === null || !full) return;
    this.cursor ??= this.element.appendChild(Object.assign(document.createElement("div"), { className: "cursor" }));
    const { xaxis, yaxis } = full, x = xaxis.d2p(this.timeOf(this.frame + 0.5));
    this.cursor.hidden = x < 0 || x > xaxis._length;
    Object.assign(this.cursor.style, { left: `${xaxis._offset + x}px`, top: `${yaxis._offset}px`, height: `${yaxis._length}px` });
  }

  say(frame) {
    this.readout ??= this.element.appendChild(Object.assign(document.createElement("div"), { className: "readout" }));
    this.readout.textContent = frame === null ? "" : this.describe(frame);
  }

  press(event) {
    const now = this.frame ?? 0, stride = (event.shiftKey ? 10 : 1) * Math.min(this.video.step, this.video.frames);
    const moves = { ArrowLeft: now - stride, ArrowRight: now + stride, Home: 0, End: this.video.frames - 1 };
    if (event.key in moves) this.go(moves[event.key]);
    else if (event.key === "Enter") this.go(this.video.peak);
    else if (event.key === " " && this.player) this.player.paused ? this.player.play() : this.player.pause();
    else return;
    event.preventDefault();
  }

  follow() {
    const { player } = this;
    const move = () => { if (player.readyState && !player.seeking) this.go(this.frameAt(player.currentTime), false); };
    const run = () => { move(); if (!player.paused) requestAnimationFrame(run); };
    player.addEventListener("play", run);
    player.addEventListener("seeked", move);
    player.addEventListener("error", () => {
      const note = Object.assign(document.createElement("p"), { className: "note" });
      note.textContent = "This browser does not play the video, or it is not where it was.";
      player.replaceWith(note);
      this.player = null;
    });
  }
}

function escapeText(text) {
  return text.replace(/[&<>]/g, (letter) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;" })[letter]);
}

// ------------------------------------------------------------------------------------ when to draw

const curves = new Map(all(".curve").map((element) => [element, new Curve(element)]));

function draw(element, again = false) {
  if ((element.classList.contains("js-plotly-plot") && !again) || !window.Plotly) return;
  const curve = curves.get(element);
  const { figure, index } = element.dataset;
  if (!curve && !figure) return; // of a camera, which is drawn with each answer
  const [traces, shape] = curve ? curve.figure() : FIGURES[figure](index ? data.figures[figure][index] : data.figures[figure], element);
  if (element.dataset.width) shape.width = Number(element.dataset.width);
  Plotly.react(element, traces, shape, CONFIG);
  curve?.listen();
  curve?.place();
}

function drawAll(elements) { elements.forEach((element) => draw(element, true)); }

async function start() {
  await unpackPlotly();
  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      const player = curves.get(target)?.player;
      if (player) player.preload = "metadata"; // shows its first frame
      draw(target);
      near.unobserve(target);
    }
  }, { rootMargin: "600px" });
  all(".plot").forEach((element) => near.observe(element));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(all(".js-plotly-plot")));
  addEventListener("beforeprint", () => {
    document.documentElement.classList.add("printing");
    all(".plot").forEach((element) => { element.dataset.width = element.closest(".figures") ? PAGE_WIDTH / 2 - 12 : PAGE_WIDTH; });
    drawAll(all(".plot"));
  });
  addEventListener("afterprint", () => {
    document.documentElement.classList.remove("printing");
    all(".plot").forEach((element) => { delete element.dataset.width; });
    drawAll(all(".plot"));
  });
  follow(location.hash);
  document.documentElement.dataset.ready = "";
}

// ---------------------------------------------------------------------------- tables, lists, links

function follow(hash) {
  const link = all(`a[href="${CSS.escape(hash)}"]`)[0];
  if (link) link.click();
}

all("a[data-frame]").forEach((link) => link.addEventListener("click", (event) => {
  event.preventDefault(); // the browser would move the focus to the heading
  history.replaceState(null, "", link.hash);
  const element = all(`.curve[data-video="${link.dataset.video}"]`)[0];
  element.closest("article").hidden = false;
  element.closest("article").scrollIntoView();
  curves.get(element).go(Number(link.dataset.frame));
  element.focus({ preventScroll: true });
}));

all("table.sortable").forEach((table) => all("thead th", table).forEach((head, column) => {
  const button = document.createElement("button");
  button.append(...head.childNodes);
  head.append(button);
  head.setAttribute("aria-sort", "none");
  button.addEventListener("click", () => {
    const rising = head.getAttribute("aria-sort") === "descending" || (head.getAttribute("aria-sort") === "none" && !head.classList.contains("number"));
    all("thead th", table).forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
    const rows = all("tbody tr", table).sort((a, b) => compare(key(a), key(b), rising ? 1 : -1));
    table.tBodies[0].append(...rows);
  });
}));

// Numbers by value, words by letter; what is neither, such as n/a, comes last either way.
function compare(a, b, sign) {
  const [x, y] = [Number.parseFloat(a), Number.parseFloat(b)];
  if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
  return sign * (Number.isNaN(x) ? a.localeCompare(b) : x - y);
}

const list = document.getElementById("list");
if (list) {
  const [order, kind, find] = ["order", "kind", "find"].map((id) => document.getElementById(id));
  const articles = [...list.children];
  const number = (text) => (text === "" ? Infinity : Number(text));
  const ORDERS = {
    worst: (a, b) => b.worst - a.worst,
    name: (a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }),
    auc: (a, b) => number(a.auc) - number(b.auc),
    score: (a, b) => b.score - a.score,
  };
  const choose = () => {
    const words = find.value.trim().toLowerCase();
    for (const { dataset, ...rest } of articles.map((article) => ({ dataset: article.dataset, article }))) {
      const named = `${dataset.name} ${dataset.classes}`.toLowerCase().includes(words);
      rest.article.hidden = !named || Boolean(kind?.value && dataset.kind !== kind.value);
    }
    const shown = articles.filter((article) => !article.hidden).length;
    document.getElementById("shown").textContent = `${shown} of ${articles.length}`;
  };
  order.addEventListener("change", () => list.append(...articles.sort((a, b) => ORDERS[order.value](a.dataset, b.dataset))));
  kind?.addEventListener("change", choose);
  find.addEventListener("input", choose);
  find.form.addEventListener("submit", (event) => event.preventDefault());
}

all("[data-map]").forEach((element) => {
  const rows = data.videos[element.dataset.map].maps[element.dataset.which];
  element.style.gridTemplateColumns = `repeat(${rows[0].length}, 1fr)`;
  element.append(...rows.flat().map((level) => {
    const cell = document.createElement("div");
    cell.append(document.createElement("div"));
    cell.firstChild.style.opacity = level;
    cell.title = level.toFixed(2);
    return cell;
  }));
});

start();
