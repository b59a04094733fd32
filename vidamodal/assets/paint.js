"use strict";
// The painter of `vidamodal app`: it paints and erases the amodal mask of an object over a frame.

const task = JSON.parse(document.getElementById("data").textContent);
const { width, height } = task;
const SCALE = Math.max(1, Math.ceil(768 / Math.max(width, height)));
const MAX_UNDO = 30;
const find = (id) => document.getElementById(id);
const canvas = find("canvas"), context = canvas.getContext("2d");
const layer = document.createElement("canvas"), pen = layer.getContext("2d");
const colour = [1, 3, 5].map((k) => parseInt(task.colour.slice(k, k + 2), 16));
const earlier = [];
let mask = maskOf(task.runs), erasing = false, last = null, pointer = null;

/** Return the mask, row by row, of run lengths in column-major order, background first. */
function maskOf(runs) {
  const out = new Uint8Array(width * height);
  let pixel = 0;
  runs.forEach((run, k) => {
    for (const stop = pixel + run; pixel < stop; pixel++) {
      if (k % 2) out[(pixel % height) * width + Math.floor(pixel / height)] = 1;
    }
  });
  return out;
}

/** Return the object, the frame and the run lengths of the painted mask as JSON; the page around reads it. */
function paintedMask() {
  const runs = [];
  let value = 0, run = 0;
  for (let x = 0; x < width; x++) {
    for (let y = 0; y < height; y++) {
      if (mask[y * width + x] !== value) { runs.push(run); run = 0; value = 1 - value; }
      run++;
    }
  }
  runs.push(run);
  return JSON.stringify({ object: task.object, frame: task.frame, runs });
}

function draw() {
  const image = new ImageData(width, height);
  mask.forEach((inside, k) => { if (inside) image.data.set([...colour, 150], 4 * k); });
  pen.putImageData(image, 0, 0);
  context.imageSmoothingEnabled = true;
  context.drawImage(find("frame"), 0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  context.drawImage(layer, 0, 0, canvas.width, canvas.height);
  if (pointer === null) return;
  context.beginPath();
  context.arc(pointer[0] * SCALE, pointer[1] * SCALE, radius() * SCALE, 0, 2 * Math.PI);
  context.lineWidth = 2;
  context.strokeStyle = erasing ? "black" : "white";
  context.stroke();
}

const radius = () => Number(find("size").value) / 2;

/** Return the place of an event in pixels of the mask. */
function place(event) {
  const box = canvas.getBoundingClientRect();
  return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
}

/** Paint or erase everything within the brush along a line. */
function stroke([x0, y0], [x1, y1]) {
  const r = radius(), steps = Math.max(1, Math.ceil(Math.hypot(x1 - x0, y1 - y0)));
  for (let step = 0; step <= steps; step++) {
    const x = x0 + ((x1 - x0) * step) / steps, y = y0 + ((y1 - y0) * step) / steps;
    for (let row = Math.max(0, Math.floor(y - r)); row < Math.min(height, y + r); row++) {
      for (let column = Math.max(0, Math.floor(x - r)); column < Math.min(width, x + r); column++) {
        if ((column + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2 <= r * r) mask[row * width + column] = erasing ? 0 : 1;
      }
    }
  }
}

function remember() {
  earlier.push(mask.slice());
  if (earlier.length > MAX_UNDO) earlier.shift();
}

function choose(erase) {
  erasing = erase;
  find("paint").classList.toggle("chosen", !erase);
  find("erase").classList.toggle("chosen", erase);
  draw();
}

canvas.width = width * SCALE;
canvas.height = height * SCALE;
layer.width = width;
layer.height = height;
find("size").max = Math.max(8, Math.round(Math.max(width, height) / 4));
find("size").value = Math.max(3, Math.round(Math.max(width, height) / 32));
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  remember();
  last = place(event);
  stroke(last, last);
  draw();
});
canvas.addEventListener("pointermove", (event) => {
  pointer = place(event);
  if (last !== null) { stroke(last, pointer); last = pointer; }
  draw();
});
for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => { last = null; });
canvas.addEventListener("pointerleave", () => { pointer = null; draw(); });
find("paint").addEventListener("click", () => choose(false));
find("erase").addEventListener("click", () => choose(true));
find("undo").addEventListener("click", () => { mask = earlier.pop() ?? mask; draw(); });
find("clear").addEventListener("click", () => { remember(); mask = new Uint8Array(width * height); draw(); });
find("frame").decode().then(() => choose(false));
