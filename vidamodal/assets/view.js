"use strict";
// The page of `vidamodal view`: it paints the run lengths of tracks.json over the embedded frames.

const data = JSON.parse(document.getElementById("data").textContent);
const { video, tracks, order } = data;
const SCALE = Math.max(1, Math.ceil(640 / Math.max(video.width, video.height)));
const UNIT = Math.max(1, Math.sqrt(video.width * video.height) * SCALE / 640);
const DARK = "rgb(12, 12, 18)";
const state = { frame: 0, hiddenTracks: new Set(), hiddenLayers: new Set(), playing: false };
const rows = new Map();

const find = (id) => document.getElementById(id);
const percent = (value) => (value === null || value === undefined ? "–" : `${Math.round(100 * value)} %`);
const layerOf = (track) => track.layer[state.frame];
const isShown = (track) => !state.hiddenTracks.has(track.id) && !state.hiddenLayers.has(layerOf(track));

function element(name, attributes = {}, children = []) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes = {}, children = []) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// Masks

/** Return the run lengths, background first, of COCO's compressed text; from the fourth on they are differences. */
function runLengths(counts) {
  const runs = [];
  for (let k = 0; k < counts.length; ) {
    let value = 0, place = 0, digit = 0;
    do {
      digit = counts.charCodeAt(k++) - 48;
      value |= (digit & 31) << (5 * place++);
    } while (digit & 32);
    if (digit & 16) value |= -1 << (5 * place);
    if (runs.length > 2) value += runs[runs.length - 2];
    runs.push(value);
  }
  return runs;
}

/** Return the first and one past the last pixel, in column-major order, of each run inside the mask. */
function spans(counts) {
  const runs = runLengths(counts), inside = [];
  for (let k = 0, pixel = 0; k < runs.length; pixel += runs[k++]) if (k % 2 && runs[k]) inside.push([pixel, pixel + runs[k]]);
  return inside;
}

/** Return the bounding box of runs, or null if there are none. */
function boxOf(inside) {
  if (!inside.length) return null;
  const h = video.height, left = Math.floor(inside[0][0] / h), right = Math.floor((inside.at(-1)[1] - 1) / h) + 1;
  let top = h, bottom = 0;
  for (const [start, stop] of inside) {
    const crosses = Math.floor(start / h) !== Math.floor((stop - 1) / h);
    top = Math.min(top, crosses ? 0 : start % h);
    bottom = Math.max(bottom, crosses ? h : ((stop - 1) % h) + 1);
  }
  return { left, top, width: right - left, height: bottom - top };
}

/** Return the pixels of runs inside a box, row by row. */
function bitsIn(inside, box) {
  const bits = new Uint8Array(box.width * box.height), h = video.height;
  for (const [start, stop] of inside) {
    for (let pixel = start; pixel < stop; pixel++) {
      const x = Math.floor(pixel / h) - box.left, y = (pixel % h) - box.top;
      if (x >= 0 && y >= 0 && x < box.width && y < box.height) bits[y * box.width + x] = 1;
    }
  }
  return bits;
}

/** Return an object in a frame: its box, and for each of its pixels 1 if it is visible and 2 if it is occluded. */
function partsOf(track, frame) {
  const visible = track.visible[frame], whole = track.amodal[frame] ?? visible;
  if (whole === null) return null;
  const runs = spans(whole), box = boxOf(runs);
  if (box === null) return null;
  const parts = bitsIn(runs, box).map((bit) => 2 * bit);
  if (visible !== null) bitsIn(spans(visible), box).forEach((bit, k) => { if (bit) parts[k] = 1; });
  return { track, box, parts, area: parts.reduce((sum, part) => sum + (part > 0), 0) };
}

// Painting

const canvas = find("overlay");
const context = canvas.getContext("2d");
canvas.width = video.width * SCALE;
canvas.height = video.height * SCALE;
const pictures = new Map();

/** Return the picture of a frame; browsers decode it later. */
function pictureOf(frame) {
  if (!pictures.has(frame)) {
    const source = find(`frame-${frame}`), image = new Image();
    if (source !== null) image.src = `data:image/jpeg;base64,${source.textContent.trim()}`;
    if (pictures.size > 48) pictures.delete(pictures.keys().next().value);
    pictures.set(frame, image);
  }
  return pictures.get(frame);
}

/** Paint the pixels of one part of an object in a style, enlarged. */
function paintPart(object, part, style, alpha) {
  const { box, parts } = object, small = new ImageData(box.width, box.height);
  let empty = true;
  parts.forEach((value, k) => {
    if (value === part) { small.data[4 * k + 3] = 255; empty = false; }
  });
  if (empty) return;
  const mask = element("canvas", { width: box.width, height: box.height });
  mask.getContext("2d").putImageData(small, 0, 0);
  const large = element("canvas", { width: box.width * SCALE, height: box.height * SCALE }), pen = large.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.drawImage(mask, 0, 0, large.width, large.height);
  pen.globalCompositeOperation = "source-in";
  pen.translate(-box.left * SCALE, -box.top * SCALE);
  pen.fillStyle = style;
  pen.fillRect(box.left * SCALE, box.top * SCALE, large.width, large.height);
  context.globalAlpha = alpha;
  context.drawImage(large, box.left * SCALE, box.top * SCALE);
  context.globalAlpha = 1;
}

/** Return diagonal stripes that are fixed to the canvas. */
function hatching(track) {
  const side = Math.round(10 * UNIT), tile = element("canvas", { width: side, height: side }), pen = tile.getContext("2d");
  pen.strokeStyle = track.colour;
  pen.lineWidth = 3 * UNIT;
  const direction = track.id % 2 ? 1 : -1;
  for (const shift of [-side, 0, side]) {
    pen.beginPath();
    pen.moveTo(shift - side, direction > 0 ? 2 * side : -side);
    pen.lineTo(shift + 2 * side, direction > 0 ? -side : 2 * side);
    pen.stroke();
  }
  return context.createPattern(tile, "repeat");
}

/** Return the outline of an object, with gaps where its edge is inferred. */
function outline({ box, parts }) {
  const path = new Path2D(), { width, height, left, top } = box;
  const at = (x, y) => (x < 0 || y < 0 || x >= width || y >= height ? 0 : parts[y * width + x]);
  const edge = (x0, y0, x1, y1) => {
    path.moveTo((left + x0) * SCALE, (top + y0) * SCALE);
    path.lineTo((left + x1) * SCALE, (top + y1) * SCALE);
  };
  const dash = Math.max(1, Math.round(5 * UNIT / SCALE));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const part = at(x, y);
      if (!part || (part === 2 && Math.floor((x + y) / dash) % 2)) continue;
      if (!at(x - 1, y) && left + x > 0) edge(x, y, x, y + 1);
      if (!at(x + 1, y) && left + x + 1 < video.width) edge(x + 1, y, x + 1, y + 1);
      if (!at(x, y - 1) && top + y > 0) edge(x, y, x + 1, y);
      if (!at(x, y + 1) && top + y + 1 < video.height) edge(x, y + 1, x + 1, y + 1);
    }
  }
  return path;
}

/** Return the pixel of an object nearest to the middle of its visible part, or of all of it if nothing is visible. */
function middleOf({ box, parts }) {
  const part = parts.includes(1) ? 1 : 2, inside = [];
  parts.forEach((value, k) => { if (value === part) inside.push([k % box.width, Math.floor(k / box.width)]); });
  const mean = [0, 1].map((axis) => inside.reduce((sum, point) => sum + point[axis], 0) / inside.length);
  const far = ([x, y]) => (x - mean[0]) ** 2 + (y - mean[1]) ** 2;
  const [x, y] = inside.reduce((best, point) => (far(point) < far(best) ? point : best));
  return [(box.left + x + 0.5) * SCALE, (box.top + y + 0.5) * SCALE];
}

function writeId(object) {
  const [x, y] = middleOf(object);
  context.font = `600 ${Math.round(15 * UNIT)}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 4 * UNIT;
  context.strokeStyle = DARK;
  context.strokeText(object.track.id, x, y);
  context.fillStyle = "white";
  context.fillText(object.track.id, x, y);
}

function paintOverlay() {
  if (data.pictures === "video") {
    context.drawImage(pictureOf(state.frame), 0, 0, canvas.width, canvas.height);
  } else {
    context.fillStyle = "rgb(74, 78, 86)";
    context.fillRect(0, 0, canvas.width, canvas.height);
  }
  const objects = tracks.filter(isShown).map((track) => partsOf(track, state.frame)).filter((object) => object !== null);
  objects.sort((a, b) => b.area - a.area);
  for (const object of objects) paintPart(object, 1, object.track.colour, 0.5);
  for (const object of objects) {
    paintPart(object, 2, DARK, 0.25);
    paintPart(object, 2, hatching(object.track), 0.95);
  }
  context.lineCap = "round";
  for (const object of objects) {
    const path = outline(object);
    for (const [style, width] of [[DARK, 4], [object.track.colour, 2]]) {
      context.strokeStyle = style;
      context.lineWidth = width * UNIT;
      context.stroke(path);
    }
  }
  objects.reverse().forEach(writeId);
}

// Controls

function show(frame) {
  state.frame = Math.max(0, Math.min(video.frames - 1, frame));
  document.documentElement.dataset.frame = state.frame;
  find("scrubber").value = state.frame;
  find("number").textContent = `frame ${state.frame} / ${video.frames - 1}`;
  const picture = pictureOf(state.frame), wanted = state.frame;
  const paint = () => {
    if (wanted !== state.frame) return;
    if (find("picture") !== null) find("picture").src = picture.src;
    paintOverlay();
  };
  if (data.pictures === null) paint(); else picture.decode().then(paint, paint);
  updateRows();
  drawOrder();
}

function step(by) {
  stop();
  show(state.frame + by);
}

function stop() {
  state.playing = false;
  find("play").textContent = "Play";
}

function play() {
  if (state.playing) return stop();
  state.playing = true;
  find("play").textContent = "Pause";
  const first = state.frame === video.frames - 1 ? 0 : state.frame, began = performance.now();
  const tick = (now) => {
    if (!state.playing) return;
    const frame = first + Math.max(0, Math.floor((now - began) / 1000 * video.fps));
    if (frame !== state.frame) show(frame);
    if (frame >= video.frames - 1) return stop();
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}

function toggle(set, value, on) {
  if (on) set.delete(value); else set.add(value);
  paintOverlay();
  updateRows();
}

function makeLayers() {
  const layers = [...new Set(tracks.flatMap((track) => track.layer))].filter((layer) => layer !== null).sort((a, b) => a - b);
  for (const layer of layers) {
    const box = element("input", { type: "checkbox", checked: "", "data-layer": layer });
    box.addEventListener("change", () => toggle(state.hiddenLayers, layer, box.checked));
    find("layers").append(element("label", {}, [box, ` ${layer}`]));
  }
}

// Objects over time

/** Return pieces "x,y x,y ..." of a curve, interrupted where a value is unknown; values of 0 to 1, x in frames. */
function pieces(values) {
  const out = [[]];
  values.forEach((value, t) => {
    if (value === null) out.push([]); else out.at(-1).push(`${t + 0.5},${100 - 96 * value - 2}`);
  });
  return out.filter((piece) => piece.length).map((piece) => {
    const [x, y] = piece[0].split(",");
    return piece.length > 1 ? piece.join(" ") : `${x - 0.4},${y} ${Number(x) + 0.4},${y}`;
  });
}

function plot(track) {
  const svg = shape("svg", { viewBox: `0 0 ${video.frames} 100`, preserveAspectRatio: "none", class: "over-time" });
  track.hidden.forEach((share, t) => {
    if (share) svg.append(shape("rect", { x: t, y: 98 - 96 * share, width: 1, height: 96 * share, class: "hidden" }));
  });
  for (const t of track.anchors) svg.append(shape("rect", { x: t + 0.2, y: 0, width: 0.6, height: 100, class: "anchor" }));
  for (const name of ["present", "confidence"]) {
    for (const points of pieces(track[name])) svg.append(shape("polyline", { points, class: name, stroke: track.colour }));
  }
  svg.append(shape("line", { y1: 0, y2: 100, class: "cursor" }));
  svg.addEventListener("click", (event) => {
    const { left, width } = svg.getBoundingClientRect();
    stop();
    show(Math.floor((event.clientX - left) / width * video.frames));
  });
  return svg;
}

function makeRow(track) {
  const box = element("input", { type: "checkbox", checked: "", "data-track": track.id });
  box.addEventListener("change", () => toggle(state.hiddenTracks, track.id, box.checked));
  const swatch = element("i", { class: "swatch" });
  swatch.style.background = track.colour;
  const name = element("label", { class: "name" }, [box, swatch, `${track.id}`]);
  if (track.label !== null) name.append(element("span", {}, [track.label]));
  const cells = Object.fromEntries(["layer", "hidden", "confidence", "present"].map((key) => [key, element("span", { class: "cell" })]));
  const svg = plot(track);
  const row = element("div", { class: "object", "data-id": track.id }, [name, ...Object.values(cells), svg]);
  rows.set(track.id, { row, box, cells, cursor: svg.querySelector(".cursor") });
  find("objects").append(row);
}

function updateRows() {
  for (const track of tracks) {
    const { row, cells, cursor } = rows.get(track.id), t = state.frame;
    row.classList.toggle("off", !isShown(track));
    cells.layer.textContent = layerOf(track) === null ? "–" : layerOf(track);
    for (const key of ["hidden", "confidence", "present"]) cells[key].textContent = percent(track[key][t]);
    cursor.setAttribute("x1", t + 0.5);
    cursor.setAttribute("x2", t + 0.5);
  }
}

function showAll(on) {
  for (const { box } of rows.values()) box.checked = on;
  state.hiddenTracks = new Set(on ? [] : tracks.map((track) => track.id));
  paintOverlay();
  updateRows();
}

// Order

function drawOrder() {
  const svg = find("order"), place = new Map(), rowHeight = 42, columnWidth = 92;
  const present = tracks.filter((track) => layerOf(track) !== null);
  const columns = new Map();
  for (const track of present) columns.set(layerOf(track), [...(columns.get(layerOf(track)) ?? []), track]);
  const tallest = Math.max(1, ...[...columns.values()].map((column) => column.length));
  for (const [layer, column] of columns) {
    const gap = (tallest * rowHeight) / column.length;
    column.forEach((track, k) => place.set(track.id, [30 + columnWidth * (layer - 1), 34 + gap * (k + 0.5)]));
  }
  const width = Math.max(60, 60 + columnWidth * (Math.max(1, ...columns.keys()) - 1)), height = 44 + tallest * rowHeight;
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.replaceChildren(arrowHead());
  for (const layer of columns.keys()) {
    svg.append(shape("text", { x: 30 + columnWidth * (layer - 1), y: 16, class: "layer" }, [`layer ${layer}`]));
  }
  for (const [front, back] of order[state.frame] ?? []) {
    if (place.has(front) && place.has(back)) svg.append(arrow(place.get(front), place.get(back), `${front} in front of ${back}`));
  }
  for (const track of present) {
    const [x, y] = place.get(track.id);
    svg.append(shape("circle", { cx: x, cy: y, r: 14, fill: track.colour }), shape("text", { x, y: y + 5 }, [`${track.id}`]));
  }
  find("alone").hidden = (order[state.frame] ?? []).length > 0;
}

function arrowHead() {
  const tip = shape("path", { d: "M0 0 8 4 0 8Z" });
  const settings = { id: "tip", viewBox: "0 0 8 8", refX: 8, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" };
  return shape("defs", {}, [shape("marker", settings, [tip])]);
}

function arrow([x0, y0], [x1, y1], title) {
  const length = Math.hypot(x1 - x0, y1 - y0) || 1, ux = (x1 - x0) / length, uy = (y1 - y0) / length;
  const [ax, ay, bx, by] = [x0 + 15 * ux, y0 + 15 * uy, x1 - 16 * ux, y1 - 16 * uy];
  const bend = Math.abs(x1 - x0) > 100 || x0 === x1 ? 18 : 0;
  const middle = `${(ax + bx) / 2 + bend * uy} ${(ay + by) / 2 - bend * ux}`;
  return shape("path", { d: `M${ax} ${ay}Q${middle} ${bx} ${by}`, class: "edge", "marker-end": "url(#tip)" }, [shape("title", {}, [title])]);
}

// Start

find("corrected").hidden = tracks.every((track) => !track.anchors.length);
makeLayers();
tracks.forEach(makeRow);
find("scrubber").max = video.frames - 1;
find("scrubber").addEventListener("input", (event) => { stop(); show(Number(event.target.value)); });
find("play").addEventListener("click", play);
find("back").addEventListener("click", () => step(-1));
find("on").addEventListener("click", () => step(1));
find("all").addEventListener("click", () => showAll(true));
find("none").addEventListener("click", () => showAll(false));
document.addEventListener("keydown", (event) => {
  const keys = { ArrowLeft: () => step(-1), ArrowRight: () => step(1), " ": play };
  if (keys[event.key] === undefined || event.target.matches("input[type=range], button")) return;
  event.preventDefault();
  keys[event.key]();
});
show(Number(location.hash.slice(1)) || 0);
