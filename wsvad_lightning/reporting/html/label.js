"use strict";
// The page of `wsvad label`. Whatever comes from files becomes text, never HTML.

const $ = (id) => document.getElementById(id);
const film = $("film"), line = $("line"), desk = $("desk");
let videos = [], place = -1, times = null, begun = null, undo = []; // times: null until the frames are counted

const last = () => (times?.length ?? 2) - 2;
const ask = async (address, settings) => {
  const answer = await fetch(address, settings).catch(() => null);
  const body = await answer?.json().catch(() => null);
  if (answer?.ok) return body;
  $("state").textContent = body?.error ?? "wsvad label is not reached.";
  return null;
};

// --------------------------------------------------------------------------------- frames and time

function frame() {
  let low = 0, high = last();
  while (low < high) { // the last frame that is shown by now
    const middle = (low + high + 1) >> 1;
    if (times[middle] <= film.currentTime + 1e-4) low = middle; else high = middle - 1;
  }
  return low;
}

function go(number) {
  if (!times) return;
  const to = Math.max(0, Math.min(last(), number));
  film.currentTime = (times[to] + times[to + 1]) / 2; // its middle: rounding shows no neighbour
}

// ------------------------------------------------------------------------------------ what is known

const video = () => videos[place];

async function save(change) {
  const before = structuredClone(video()), after = { ...structuredClone(before), ...change };
  delete after.video;
  const settings = { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ...after, num_frames: times && last() + 1 }) };
  const own = place, saved = await ask(`videos/${own}`, settings);
  if (!saved) return false;
  videos[own] = saved;
  undo.push([own, before]);
  $("state").textContent = `${saved.video} saved.`;
  show();
  return true;
}

const actions = {
  n: () => save({ label: "normal", classes: [], intervals: [], glances: [] }),
  a: () => save({ label: "abnormal", classes: named() ? [named()] : video().classes }),
  x: () => save({ label: "unknown", classes: [], intervals: [], glances: [] }),
  i: () => { begun = frame(); show(); },
  o: async () => {
    if (begun === null) { $("state").textContent = "No interval has begun: press i first."; return; }
    const [start, end] = [begun, frame()].sort((one, other) => one - other);
    if (await save({ label: "abnormal", intervals: [...video().intervals, [start, end + 1, named()]] })) { begun = null; show(); }
  },
  g: () => video().glances.includes(frame()) || save({ label: "abnormal", glances: [...video().glances, frame()] }),
  Backspace: () => {
    const at = frame(), near = video().glances.filter((own) => Math.abs(own - at) < 3);
    if (near.length) return save({ glances: video().glances.filter((own) => own !== near[0]) });
    const kept = video().intervals.filter(([start, end]) => !(start <= at && at < end));
    return kept.length < video().intervals.length && save({ intervals: kept });
  },
  u: async () => {
    const step = undo.pop();
    if (!step) return;
    const [own, before] = step;
    if (own !== place) await open(own);
    if (await save(before)) undo.pop(); // of the undoing itself
  },
  " ": () => (film.paused ? film.play() : film.pause()),
  ArrowLeft: (far) => go(frame() - (far ? 10 : 1)),
  ArrowRight: (far) => go(frame() + (far ? 10 : 1)),
  ArrowUp: () => open(place - 1),
  ArrowDown: () => open(place + 1),
};
const onFrames = new Set(["i", "o", "g", "Backspace"]);
const act = (key, far) => (times || !onFrames.has(key)) && actions[key](far);
const named = () => $("class").value.trim() || null;

// ------------------------------------------------------------------------------------- what is shown

async function open(to) {
  if (to < 0 || to >= videos.length) return;
  place = to; begun = null; times = null;
  desk.hidden = false; desk.removeAttribute("data-ready");
  film.pause(); film.removeAttribute("src");
  $("state").textContent = "The video is being read.";
  show();
  const given = await ask(`times/${to}`);
  if (!given || to !== place) return;
  times = given; film.src = `films/${to}`; $("state").textContent = "";
  show();
  film.addEventListener("loadeddata", () => { desk.dataset.ready = ""; show(); }, { once: true });
}

function show() {
  const { label, classes, intervals, glances, split, video: name } = video();
  $("name").textContent = name;
  $("part").value = split ?? "";
  desk.querySelectorAll("[data-key]").forEach((button) => button.setAttribute("aria-pressed", button.textContent.startsWith(label)));
  $("open").textContent = begun === null ? "" : `An interval begins at frame ${begun}.`;
  const span = (start, end, own) => [`interval`, `${start} to ${end - 1}`, times && `${second(start)} to ${second(end)}`, own ?? classes.join(", ")];
  const marks = [...intervals.map((own) => [own[0], span(...own)]), ...glances.map((own) => [own, ["glance", `${own}`, second(own), ""]])];
  $("marks").replaceChildren(...marks.sort((one, other) => one[0] - other[0]).map(([start, cells]) => row(start, cells)));
  list();
  draw();
}

const second = (number) => times?.[Math.min(number, times.length - 1)].toFixed(2) ?? "";

function row(start, cells) {
  const made = document.createElement("tr");
  cells.forEach((text, column) => {
    const cell = made.appendChild(document.createElement("td"));
    if (column) { cell.textContent = text; return; }
    const button = cell.appendChild(document.createElement("button"));
    Object.assign(button, { type: "button", className: "jump", textContent: text });
    button.addEventListener("click", () => go(start));
  });
  return made;
}

function list() {
  const done = videos.filter((own) => own.label !== "unknown").length;
  $("count").textContent = `${done} of ${videos.length} labelled`;
  $("videos").replaceChildren(...videos.map((own, number) => {
    const item = document.createElement("li"), button = item.appendChild(document.createElement("button"));
    Object.assign(button, { type: "button", textContent: own.video });
    button.dataset.label = own.label;
    if (number === place) button.setAttribute("aria-current", "true");
    button.addEventListener("click", () => open(number));
    return item;
  }));
  $("videos").querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
  const classes = [...new Set(videos.flatMap((own) => own.classes))];
  $("classes").replaceChildren(...classes.map((own) => Object.assign(document.createElement("option"), { value: own })));
}

function draw() {
  const scale = window.devicePixelRatio || 1, width = line.clientWidth, pen = line.getContext("2d");
  line.width = width * scale; line.height = 46 * scale;
  pen.scale(scale, scale);
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);
  const x = (number) => (number / (last() + 1)) * width;
  pen.fillStyle = colour("raised"); pen.fillRect(0, 8, width, 30);
  $("at").textContent = "";
  if (!times) return;
  pen.fillStyle = colour("truth");
  for (const [start, end] of video().intervals) pen.fillRect(x(start), 12, Math.max(2, x(end) - x(start)), 22);
  pen.fillStyle = colour("event");
  for (const own of video().glances) { pen.beginPath(); pen.arc(x(own + 0.5), 23, 5, 0, 7); pen.fill(); }
  if (begun !== null) { pen.fillStyle = colour("truth"); pen.fillRect(x(begun), 4, 2, 38); }
  pen.fillStyle = colour("ink"); pen.fillRect(x(frame() + 0.5) - 1, 0, 2, 46);
  $("at").textContent = `Frame ${frame()} of ${last() + 1}, ${film.currentTime.toFixed(2)} s.`;
}

// -------------------------------------------------------------------------------------- what is done

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || place < 0) return;
  if (event.target.matches("input, select")) { if (event.key === "Escape" || event.key === "Enter") event.target.blur(); return; }
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (!Object.hasOwn(actions, key)) return;
  event.preventDefault();
  act(key, event.shiftKey);
});
desk.querySelectorAll("[data-key]").forEach((button) => button.addEventListener("click", () => { act(button.dataset.key); button.blur(); }));
$("class").addEventListener("change", () => { if (video().label === "abnormal" && named() && !video().classes.includes(named())) save({ classes: [...video().classes, named()] }); });
$("part").addEventListener("change", () => { save({ split: $("part").value || null }); $("part").blur(); });
line.addEventListener("pointerdown", (event) => go(Math.floor(((event.clientX - line.getBoundingClientRect().left) / line.clientWidth) * (last() + 1))));
for (const kind of ["timeupdate", "seeked"]) film.addEventListener(kind, () => { if (place >= 0) draw(); });
addEventListener("resize", () => { if (place >= 0) draw(); });

(async () => {
  videos = (await ask("videos")) ?? [];
  document.documentElement.dataset.ready = "";
  if (!videos.length) return;
  await open(Math.max(0, videos.findIndex((own) => own.label === "unknown")));
})();
