
// ------------------------------------------------------------------------- pages of `wsvad serve`
// Whatever comes from a file, a camera or the service becomes text, never HTML.

const secret = document.getElementById("token");
if (secret) {
  secret.value = sessionStorage.getItem("token") ?? "";
  secret.addEventListener("input", () => sessionStorage.setItem("token", secret.value));
  secret.form.addEventListener("submit", (event) => event.preventDefault());
}
const bearer = () => (secret ? { Authorization: `Bearer ${secret.value.trim()}` } : {});
const wait = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;
const clockOf = (seconds) => (seconds === null ? "" : `${seconds.toFixed(1)} s`);

function make(kind, text = "", more = {}) {
  const { dataset = {}, ...properties } = more;
  const element = Object.assign(document.createElement(kind), properties);
  Object.assign(element.dataset, dataset);
  if (text) element.textContent = text;
  return element;
}

// ------------------------------------------------------------------------------------ score a video

const drop = document.getElementById("drop");
if (drop) {
  const files = document.getElementById("files");
  let last = Promise.resolve();
  const take = (given) => { for (const file of given) { const article = begin(file); last = last.then(() => score(file, article)); } };
  files.addEventListener("change", () => { take(files.files); files.value = ""; });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    addEventListener(kind, (event) => { event.preventDefault(); drop.classList.toggle("over", kind === "dragover"); });
  }
  addEventListener("drop", (event) => take(event.dataTransfer.files));
}

function begin(file) {
  const article = make("article", "", { dataset: { name: file.name } });
  const status = make("p", "waits", { className: "facts" });
  status.setAttribute("role", "status");
  article.append(make("h3", file.name), status);
  document.getElementById("results").prepend(article);
  return article;
}

// One file after the other; what the service has no room for is sent again.
async function score(file, article) {
  const status = article.querySelector(".facts");
  for (;;) {
    const answer = await send(file, (text) => { status.textContent = text; });
    if (answer?.status === 200) return show(file, article, JSON.parse(answer.responseText));
    if (answer?.status !== 429) { status.textContent = problemOf(answer); return; }
    status.textContent = "the service is busy: it is asked again";
    await wait(Number(answer.getResponseHeader("Retry-After")) || 1);
  }
}

function send(file, say) {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.open("POST", "score");
    Object.entries(bearer()).forEach(([name, value]) => request.setRequestHeader(name, value));
    request.upload.onprogress = ({ loaded, total }) => say(`sent ${Math.floor((100 * loaded) / total)} %`);
    request.upload.onload = () => say("is being scored");
    request.onload = () => resolve(request);
    request.onerror = () => resolve(null);
    say("sent 0 %");
    request.send(file);
  });
}

function problemOf(answer) {
  if (!answer) return "the service was not reached, or did not take the file";
  try { return JSON.parse(answer.responseText).error; } catch { return `answer ${answer.status}`; }
}

function show(file, article, answer) {
  const { snippets, events, notes } = answer, alarms = answer.alarms ?? [];
  const scores = snippets.map((snippet) => snippet.score), timed = answer.seconds !== null;
  const highest = scores.reduce((best, score, i) => (score > scores[best] ? i : best), 0);
  const at = timed ? clockOf(snippets[highest].start_seconds) : `frame ${snippets[highest].start_frame}`;
  const length = `${timed ? `${clockOf(answer.seconds)}, ` : ""}${count(answer.num_frames, "frame")}`;
  const parts = [length, `highest ${scores[highest].toPrecision(3)} at ${at}`, count(alarms.length, "alarm"), ...notes];
  article.querySelector(".facts").textContent = parts.join(" · ");
  data.alarm = answer.threshold;
  const frames = [...snippets.map((snippet) => snippet.start_frame), answer.num_frames];
  const index = data.videos.push({
    name: file.name, frames: answer.num_frames, unit: timed ? "s" : "frame", peak: frames[highest],
    clock: [frames, timed ? [...snippets.map((snippet) => snippet.start_seconds), answer.seconds] : frames],
    step: frames[1], low: Math.min(...scores), high: Math.max(...scores),
    truth: alarms.map((alarm) => [alarm.start_frame, alarm.end_frame, "alarm"]),
    events: events.map((event) => [event.start_frame, event.end_frame, event.class]),
  }) - 1;
  const panel = make("div", "", { className: "panel" });
  const curve = make("div", "", { className: "plot curve", tabIndex: 0, role: "slider", dataset: { video: index } });
  const aria = { orientation: "horizontal", valuemin: 0, valuemax: answer.num_frames - 1, valuenow: 0, valuetext: "not chosen", label: `Score of ${file.name} over time` };
  Object.entries(aria).forEach(([name, value]) => curve.setAttribute(`aria-${name}`, value));
  panel.append(curve);
  if (answer.kind === "video") {
    panel.classList.add("beside");
    panel.append(make("video", "", { controls: true, muted: true, playsInline: true, preload: "metadata", src: URL.createObjectURL(file) }));
  }
  article.append(panel);
  const own = new Curve(curve);
  own.decoded = scores;
  curves.set(curve, own);
  draw(curve);
  const rows = [...alarms.map((alarm) => ["alarm", alarm]), ...events.map((event) => [event.class, event])];
  if (rows.length) article.append(tableOf(rows, own));
}

// Alarms and events, each a button that goes there.
function tableOf(rows, curve) {
  const table = make("table", "", { className: "spans" }), body = make("tbody");
  for (const [kind, span] of rows) {
    const row = make("tr"), head = make("th"), button = make("button", kind, { className: "jump", type: "button" });
    button.addEventListener("click", () => curve.go(span.start_frame));
    head.scope = "row";
    head.append(button);
    const when = span.start_seconds === null ? `frames ${span.start_frame} to ${span.end_frame}` : `${clockOf(span.start_seconds)} to ${clockOf(span.end_seconds)}`;
    row.append(head, make("td", when), make("td", span.score.toPrecision(3), { className: "number" }));
    body.append(row);
  }
  table.append(body);
  return table;
}

// ------------------------------------------------------------------------------------------ cameras

const board = document.getElementById("cameras"), BEAT = 2; // seconds
if (board) follow_cameras();

async function follow_cameras() {
  const age = document.getElementById("age");
  for (;;) {
    if (!document.hidden) {
      const answer = await whole("cameras.json", (one) => one.json());
      if (answer?.ok) {
        const state = answer.body;
        age.textContent = state.age === null ? "Nothing yet." : `The last line is ${Math.round(state.age)} s old.`;
        state.cameras.forEach((camera) => update(camera, state.alarm));
        const names = new Set(state.cameras.map((camera) => camera.name));
        [...board.children].filter((article) => !names.has(article.dataset.name)).forEach((article) => article.remove());
      } else age.textContent = answer ? answer.body.error : "The service is not reached.";
    }
    await wait(BEAT);
  }
}

function update(camera, alarm) {
  let article = [...board.children].find((one) => one.dataset.name === camera.name);
  if (!article) {
    article = make("article", "", { dataset: { name: camera.name } });
    article.append(make("h3", camera.name), make("p", "", { className: "facts" }), make("div", "", { className: "plot recent" }), make("div", "", { className: "pictures" }));
    board.append(article);
  }
  const [, facts, plot, pictures] = article.children;
  const score = camera.score === null ? "no score yet" : `score ${camera.score.toFixed(3)} at ${clockOf(camera.seconds)}`;
  const parts = [camera.state, score, camera.class, count(camera.alarm_count, "alarm"), count(camera.gaps, "gap"), camera.note];
  facts.textContent = parts.filter(Boolean).join(" · ");
  article.classList.toggle("high", camera.state === "running" && alarm !== null && camera.score >= alarm);
  recent(plot, camera.scores, alarm);
  const known = new Set([...pictures.children].map((figure) => figure.dataset.file));
  camera.alarms.filter((one) => one.picture && !known.has(one.picture)).forEach((one) => picture(pictures, one));
  while (pictures.children.length > 8) pictures.lastChild.remove();
}

function recent(plot, scores, alarm) {
  if (!window.Plotly || !scores.length) return;
  const x = scores.map(([seconds]) => seconds), y = scores.map(([, score]) => score);
  const line = { x, y, mode: "lines", line: { color: colour("score"), width: 1.6, shape: "hv" }, hovertemplate: "%{x:.1f} s: %{y:.3f}<extra></extra>" };
  const limit = { type: "line", xref: "paper", x0: 0, x1: 1, y0: alarm, y1: alarm, line: { color: colour("truth"), width: 1.2, dash: "dash" } };
  const range = [Math.min(0, ...y) - 0.03, Math.max(1, ...y) + 0.03];
  Plotly.react(plot, [line], layout(axis("seconds"), axis("", { range, nticks: 4 }), { shapes: alarm === null ? [] : [limit] }), CONFIG);
}

async function picture(pictures, alarm) {
  const figure = make("figure", "", { dataset: { file: alarm.picture } }), image = make("img", "", { alt: "the highest score of the alarm" });
  figure.append(image, make("figcaption", `${clockOf(alarm.start)} to ${clockOf(alarm.end)}, ${alarm.score.toFixed(3)}`));
  pictures.prepend(figure);
  const address = await held(alarm.picture);
  if (!address) { figure.remove(); return; } // it is tried again
  image.src = address;
  if (!alarm.clip) return;
  image.title = "Click to play";
  image.addEventListener("click", async () => image.replaceWith(make("video", "", { controls: true, muted: true, autoplay: true, src: await held(alarm.clip) })));
}

async function held(name) {
  const answer = await whole(`alarms/${encodeURIComponent(name)}`, (one) => one.blob());
  return answer?.ok ? URL.createObjectURL(answer.body) : null;
}

// An answer with its body; null if the service was not reached, or went away before the end.
async function whole(address, read) {
  try {
    const answer = await fetch(address, { headers: bearer() });
    return { ok: answer.ok, body: await read(answer) };
  } catch { return null; }
}
