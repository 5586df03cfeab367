"use strict";
// The gallery: filters, sorts, draws what is in view, and decides masks again at another level.
// All it shows stands in the JSON of #data; nothing outside this file is ever asked.

const page = JSON.parse(document.getElementById("data").textContent);
const STEPS = 100; // levels of the slider, 0.00 … 1.00
const UNKNOWN = 255;
const PAINT = 0.55, CONTOUR = 0.9, GLOW = 0.65; // opacities, as in overlay.py
const REDECIDED = "pseudo mask";
const state = { level: null, list: page.photos };

const byId = (id) => document.getElementById(id);
const percent = (share) => (share === null || share === undefined ? "–" : (100 * share).toFixed(1));

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "text") made.textContent = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(key, value);
  }
  made.append(...children.filter(Boolean));
  return made;
}

function bytes(text) {
  const letters = atob(text);
  const values = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i += 1) values[i] = letters.charCodeAt(i);
  return values;
}

const heat = bytes(page.heat);

// --- what is stored of a photograph ---------------------------------------------------------

// Runs of one label: the label, then how many pixels, seven bits a byte, low bits first.
function unrun(text, size) {
  const runs = bytes(text), labels = new Uint8Array(size[0] * size[1]);
  for (let i = 0, place = 0; i < runs.length; ) {
    const label = runs[i++];
    let count = 0, shift = 0, byte;
    do { byte = runs[i++]; count += (byte & 127) * 2 ** shift; shift += 7; } while (byte & 128);
    labels.fill(label, place, place + count);
    place += count;
  }
  return labels;
}

function labelsOf(photo, name) {
  photo.kept ??= {};
  return (photo.kept[name] ??= unrun(photo.labels[name], photo.size));
}

function mapOf(photo, number) {
  const [height, width] = photo.maps.size;
  return bytes(photo.maps.values).subarray(number * height * width, (number + 1) * height * width);
}

// Where each of `to` places lies between `from` cells: bilinear, cells' centres, edges held.
function places(from, to) {
  const low = new Int32Array(to), high = new Int32Array(to), share = new Float64Array(to);
  for (let i = 0; i < to; i += 1) {
    const at = Math.min(Math.max(((i + 0.5) * from) / to - 0.5, 0), from - 1);
    low[i] = Math.floor(at);
    high[i] = Math.min(low[i] + 1, from - 1);
    share[i] = at - low[i];
  }
  return { low, high, share };
}

// Of every pixel the best class, and how many levels of the slider its evidence beats.
function evidence(photo) {
  if (photo.evidence) return photo.evidence;
  const [height, width] = photo.size, [rows, columns] = photo.maps.size;
  const winner = new Uint8Array(height * width), beats = new Uint8Array(height * width);
  const best = new Float64Array(height * width).fill(-1);
  const down = places(rows, height), across = places(columns, width);
  photo.maps.classes.forEach((label, number) => {
    const map = mapOf(photo, number);
    for (let y = 0, i = 0; y < height; y += 1) {
      const upper = down.low[y] * columns, lower = down.high[y] * columns, v = down.share[y];
      for (let x = 0; x < width; x += 1, i += 1) {
        const left = across.low[x], right = across.high[x], u = across.share[x];
        const above = map[upper + left] * (1 - u) + map[upper + right] * u;
        const below = map[lower + left] * (1 - u) + map[lower + right] * u;
        const value = above * (1 - v) + below * v;
        if (value > best[i]) { best[i] = value; winner[i] = label; }
      }
    }
  });
  for (let i = 0; i < best.length; i += 1) beats[i] = Math.ceil((Math.max(best[i], 0) / 255) * STEPS);
  return (photo.evidence = { winner, beats });
}

// A pixel gets its best class if that beats the level, else background.
function decide(photo, level) {
  const { winner, beats } = evidence(photo);
  return winner.map((label, i) => (beats[i] > level ? label : 0));
}

// --- the score at every level, over the photographs shown ------------------------------------

const scorable = (photo) => photo.maps && photo.labels.truth;

function curve(photos) {
  const wide = page.classes.length + 1, bins = STEPS + 1;
  const hit = new Float64Array(wide * bins), decided = new Float64Array(wide * bins);
  const truths = new Float64Array(wide), ground = new Float64Array(bins), all = new Float64Array(bins);
  for (const photo of photos) {
    const truth = labelsOf(photo, "truth"), { winner, beats } = evidence(photo), weight = photo.weight;
    for (let i = 0; i < truth.length; i += 1) {
      const right = truth[i], bin = beats[i];
      if (right === UNKNOWN) continue;
      truths[right] += weight;
      all[bin] += weight;
      if (right === 0) ground[bin] += weight;
      if (bin) {
        decided[winner[i] * bins + bin] += weight;
        if (winner[i] === right) hit[right * bins + bin] += weight;
      }
    }
  }
  const scores = [];
  for (let level = 0; level < bins; level += 1) {
    let sum = 0, occur = 0;
    for (let label = 0; label < wide; label += 1) {
      let right = 0, chosen = 0;
      const from = label ? level + 1 : 0, to = label ? bins : level + 1;
      for (let bin = from; bin < to; bin += 1) {
        right += label ? hit[label * bins + bin] : ground[bin];
        chosen += label ? decided[label * bins + bin] : all[bin];
      }
      const union = truths[label] + chosen - right;
      if (union > 0) { sum += right / union; occur += 1; }
    }
    scores.push(occur ? sum / occur : 0);
  }
  return scores;
}

function meanIou(truth, labels) {
  const hit = {}, ours = {}, theirs = {};
  for (let i = 0; i < truth.length; i += 1) {
    if (truth[i] === UNKNOWN) continue;
    const label = labels[i] === UNKNOWN ? 0 : labels[i];
    theirs[truth[i]] = (theirs[truth[i]] ?? 0) + 1;
    ours[label] = (ours[label] ?? 0) + 1;
    if (label === truth[i]) hit[label] = (hit[label] ?? 0) + 1;
  }
  const occur = [...new Set([...Object.keys(ours), ...Object.keys(theirs)])];
  const shares = occur.map((l) => (hit[l] ?? 0) / ((ours[l] ?? 0) + (theirs[l] ?? 0) - (hit[l] ?? 0)));
  return shares.reduce((sum, share) => sum + share, 0) / occur.length;
}

// --- pictures --------------------------------------------------------------------------------

function paintLabels(canvas, labels, [height, width], colours = page.colours) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d"), picture = context.createImageData(width, height);
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 1) {
      const label = labels[i];
      if (label === 0) continue;
      let [red, green, blue] = colours[label] ?? [128, 128, 128], opacity = PAINT;
      if (label === UNKNOWN) red = green = blue = (x + y) % 8 < 4 ? 96 : 208;
      else if ((x && labels[i - 1] !== label) || (x + 1 < width && labels[i + 1] !== label)
        || (y && labels[i - width] !== label) || (y + 1 < height && labels[i + width] !== label)) {
        red = green = blue = 255;
        opacity = CONTOUR;
      }
      picture.data.set([red, green, blue, 255 * opacity], 4 * i);
    }
  }
  context.putImageData(picture, 0, 0);
}

function paintMap(canvas, map, [height, width]) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d"), picture = context.createImageData(width, height);
  map.forEach((value, i) => {
    picture.data.set(heat.subarray(3 * value, 3 * value + 3), 4 * i);
    picture.data[4 * i + 3] = 255 * GLOW;
  });
  context.putImageData(picture, 0, 0);
}

function picture(photo, alt, caption, paint) {
  const [height, width] = photo.size; // so that its place is known before it is decoded
  const frame = element("div", { class: "frame" }, element("img", { src: photo.photo, alt, width, height, decoding: "async" }));
  if (paint) {
    const canvas = element("canvas", { "aria-hidden": "true" });
    paint(canvas);
    frame.append(canvas);
  }
  return element("figure", {}, frame, element("figcaption", { text: caption }));
}

// --- cards -----------------------------------------------------------------------------------

function caption(photo, name) {
  const score = photo.iou[name];
  return score === undefined ? name : `${name} · IoU ${percent(score)}`;
}

function decision(photo, name) {
  if (!photo.labels[name]) return element("p", { class: "absent", text: `no ${name}` });
  const again = name === REDECIDED && state.level !== null && photo.maps;
  const labels = again ? decide(photo, state.level) : labelsOf(photo, name);
  let below = caption(photo, name);
  if (again) {
    below = `${name} at ${(state.level / STEPS).toFixed(2)}`;
    if (photo.labels.truth) below += ` · IoU ≈ ${percent(meanIou(labelsOf(photo, "truth"), labels))}`;
  }
  const made = picture(photo, `Labels of ${photo.id}: ${name}`, below, (canvas) =>
    paintLabels(canvas, labels, photo.size));
  made.dataset.decision = name;
  return made;
}

// Who decided, and below it the objects told apart by the same.
function column(photo, name) {
  const objects = photo.objects[name];
  if (!objects) return decision(photo, name);
  const told = picture(photo, `Objects of ${photo.id}: ${name}`, `${page.objects[name]}: ${objects.count}`, (canvas) =>
    paintLabels(canvas, unrun(objects.runs, photo.size), photo.size, objects.colours));
  told.dataset.objects = name;
  return element("div", { class: "column" }, decision(photo, name), told);
}

function chip(label) {
  const [red, green, blue] = page.colours[label], name = page.classes[label - 1];
  const swatch = element("span", { class: "swatch" });
  swatch.style.background = `rgb(${red} ${green} ${blue})`;
  return element("button", {
    type: "button", class: "chip", title: `Show only photographs with ${name}`,
    onclick: () => { const s = byId("class"); s.value = s.value === String(label) ? "" : String(label); choose(); },
  }, swatch, name);
}

function fill(card, photo) {
  const numbers = page.numbers.filter(({ key }) => typeof photo.numbers[key] === "number")
    .map(({ key, name }) => `${name} ${percent(photo.numbers[key])}`);
  const head = element("header", {}, element("h3", { text: photo.id }),
    element("div", { class: "chips" }, ...photo.tags.map(chip)),
    element("span", { class: "note", text: [photo.note, ...numbers].filter(Boolean).join(" · ") }));
  const strip = element("div", { class: "strip" },
    picture(photo, `Photograph ${photo.id}`, "photograph"));
  if (photo.maps) {
    const maps = element("div", { class: photo.maps.classes.length === 1 ? "maps one" : "maps" });
    photo.maps.classes.forEach((label, number) => {
      const name = page.classes[label - 1];
      maps.append(picture(photo, `Map of ${name}, ${photo.id}`, `map of ${name}`, (canvas) =>
        paintMap(canvas, mapOf(photo, number), photo.maps.size)));
    });
    strip.append(maps);
  } else if (page.maps) strip.append(element("p", { class: "absent", text: "no maps" }));
  strip.append(...page.columns.map((name) => column(photo, name)));
  const doubts = photo.doubts.length
    ? element("p", { class: "doubts", title: photo.doubts.join("; "), text: `Doubtful: ${photo.doubts.slice(0, 2).join("; ")}.` }) : null;
  card.replaceChildren(...[head, doubts, strip].filter(Boolean));
}

// Cards are filled as they come near, and emptied when they are far: a thousand scroll like ten.
const watcher = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting && !target.childElementCount) {
      fill(target, target.photo);
      target.style.minHeight = "";
    } else if (!isIntersecting && target.childElementCount && !target.contains(document.activeElement)) {
      target.style.minHeight = `${target.offsetHeight}px`;
      target.replaceChildren();
      target.photo.kept = target.photo.labels.truth ? { truth: target.photo.kept?.truth } : {};
    }
  }
}, { rootMargin: "1200px 0px" });

function cardOf(photo) {
  if (!photo.card) {
    photo.card = element("article", { class: "card item", "aria-label": photo.id });
    photo.card.photo = photo;
  }
  return photo.card;
}

// --- choosing --------------------------------------------------------------------------------

function value(photo, key) {
  const found = photo.numbers[key];
  return typeof found === "number" ? found : null;
}

function choose() {
  const label = byId("class").value, split = byId("split")?.value ?? "", [key, way] = byId("sort").value.split("|");
  const doubtful = byId("doubtful")?.checked;
  state.list = page.photos.filter((photo) =>
    (label === "" || photo.tags.includes(Number(label)))
    && (split === "" || photo.split === split) && (!doubtful || photo.doubts.length));
  if (key) {
    const sign = way === "up" ? 1 : -1;
    state.list.sort((one, other) => {
      const a = value(one, key), b = value(other, key);
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * (a - b);
    });
  }
  watcher.disconnect();
  const list = byId("list");
  list.replaceChildren(...state.list.map(cardOf));
  for (const card of list.children) watcher.observe(card);
  const count = state.list.length;
  byId("count").textContent = `${count} photograph${count === 1 ? "" : "s"}`;
  state.curve = null;
  tell();
}

function tell() {
  const slider = byId("level");
  if (!slider) return;
  const index = Number(slider.value), scored = state.list.filter(scorable);
  byId("level-value").textContent = (index / STEPS).toFixed(2);
  if (!scored.length) {
    byId("level-score").textContent = "";
    byId("level-curve").setAttribute("points", "");
    return;
  }
  state.curve ??= curve(scored);
  const high = Math.max(...state.curve, 0.01);
  const points = state.curve.map((score, k) => `${k},${(30 - (28 * score) / high).toFixed(2)}`);
  byId("level-curve").setAttribute("points", points.join(" "));
  for (const end of ["x1", "x2"]) byId("level-mark").setAttribute(end, index);
  byId("level-score").textContent =
    `mIoU ≈ ${percent(state.curve[index])} on ${scored.length} photograph${scored.length === 1 ? "" : "s"}`;
}

function redecide() {
  for (const card of byId("list").children) {
    for (const old of card.querySelectorAll(`[data-decision="${REDECIDED}"]`)) {
      old.replaceWith(decision(card.photo, REDECIDED));
    }
  }
}

let waiting = false;
function slide(level) {
  state.level = level;
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; tell(); redecide(); });
}

function reset() {
  byId("level").value = byId("level").dataset.start;
  slide(null);
}

// --- the first screen ------------------------------------------------------------------------

function examples() {
  const box = byId("examples");
  if (!box) return;
  for (const { photo: number, why } of page.examples) {
    const photo = page.photos[number], name = page.columns.find((c) => c !== "truth" && photo.labels[c]);
    const shown = name
      ? picture(photo, `Labels of ${photo.id}: ${name}`, "", (canvas) => paintLabels(canvas, labelsOf(photo, name), photo.size))
      : picture(photo, `Photograph ${photo.id}`, "");
    const score = name && photo.iou[name] !== undefined ? `IoU ${percent(photo.iou[name])} · ` : "";
    shown.querySelector("figcaption").append(element("b", { text: why }), element("br"), score +
      photo.tags.map((label) => page.classes[label - 1]).join(", "));
    box.append(element("a", { href: "#gallery", onclick: (event) => { event.preventDefault(); visit(photo); } }, shown));
  }
}

function visit(photo) {
  byId("class").value = "";
  if (byId("split")) byId("split").value = "";
  if (byId("doubtful")) byId("doubtful").checked = false;
  choose();
  photo.card.setAttribute("tabindex", "-1");
  bring(photo.card, 12);
  photo.card.focus({ preventScroll: true });
}

// Cards above grow when they are filled: what is wanted is brought back for a few frames.
function bring(card, frames) {
  card.scrollIntoView({ block: "start" });
  if (frames) requestAnimationFrame(() => bring(card, frames - 1));
}

if (byId("list")) {
  for (const id of ["class", "split", "sort", "doubtful"]) byId(id)?.addEventListener("change", choose);
  byId("level")?.addEventListener("input", (event) => slide(Number(event.target.value)));
  byId("reset")?.addEventListener("click", reset);
  byId("to-doubtful")?.addEventListener("click", () => { if (byId("doubtful")) { byId("doubtful").checked = true; choose(); } });
  examples();
  choose();
}
