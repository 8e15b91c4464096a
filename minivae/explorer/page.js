"use strict";
// The explorer. In order: the content of the page, the model, densities, long jobs, drawing, the page's behaviour.
// Shapes as in minivae: z (J), x (D). Log-probabilities are in nats.

// --- The content of the page

const content = JSON.parse(document.getElementById("content").textContent);
const J = content.latent;

// An array that Python packed: base64 of little-endian numbers. Bytes with a divisor are float32 fractions.
function unpack({type, base64, divisor}) {
  const text = atob(base64), bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const array = new {u1: Uint8Array, f4: Float32Array, f8: Float64Array}[type](bytes.buffer);
  return divisor ? Float32Array.from(array, v => v / divisor) : array;
}

function rowsOf(packed) {
  const array = unpack(packed), width = array.length / packed.shape[0];
  return Array.from({length: packed.shape[0]}, (_, i) => array.subarray(i * width, (i + 1) * width));
}

const decoder = content.decoder.map(layer => layer.map(array => Float64Array.from(unpack(array))));    // twice as fast
const data = rowsOf(content.x), mu = rowsOf(content.mu), logVar = rowsOf(content.log_var), kls = rowsOf(content.kl);
const logPx = unpack(content.log_px), box = content.box && unpack(content.box);
const noise = rowsOf(content.noise), weights = unpack(content.weights);
const bestElbo = content.elbo && unpack(content.elbo);
const labels = content.labels, N = data.length, D = data[0].length;
const likelihood = content.likelihood, logChoose = likelihood.n && unpack(likelihood.log_choose);

// --- The model, as in minivae/vae.py and minivae/likelihood.py

function decoderOutput(z) {
  let h = z;
  decoder.forEach(([weight, bias], layer) => {
    const a = bias.slice(), width = a.length;               // a = h W + b
    for (let i = 0, k = 0; i < h.length; i++) {
      const v = h[i];
      for (let j = 0; j < width; j++, k++) a[j] += v * weight[k];
    }
    if (layer < decoder.length - 1)
      for (let j = 0; j < width; j++) a[j] = content.activation === "tanh" ? Math.tanh(a[j]) : Math.max(a[j], 0);
    h = a;
  });
  return h;
}

const sigmoid = a => 1 / (1 + Math.exp(-a));
const softplus = a => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a)));      // log(1 + e^a) without overflow

function meanOf(out) {
  if (likelihood.name === "gaussian") return out;
  return out.map(a => (likelihood.n || 1) * sigmoid(a));
}

const decode = z => meanOf(decoderOutput(z));

// log p(x|z), from the decoder's output at z
function logLikelihood(x, out) {
  let sum = 0;
  if (likelihood.name === "gaussian") {
    const sigma = Math.exp(likelihood.log_sigma);
    for (let d = 0; d < D; d++) sum -= ((x[d] - out[d]) / sigma) ** 2 / 2;
    return sum - D * (likelihood.log_sigma + Math.log(2 * Math.PI) / 2);
  }
  const n = likelihood.n || 1;
  for (let d = 0; d < D; d++) sum += x[d] * out[d] - n * softplus(out[d]);
  if (likelihood.n) for (let d = 0; d < D; d++) sum += logChoose[x[d]];
  return sum;
}

function logPrior(z) {
  let sum = 0;
  for (const each of z) sum -= each * each / 2 + Math.log(2 * Math.PI) / 2;
  return sum;
}

// A standard normal number from two uniform ones (Box and Muller)
function normal(random = Math.random) {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

// A draw x ~ p(x|z), from uniform random numbers
function drawFrom(out, random) {
  if (likelihood.name === "gaussian") {
    const sigma = Math.exp(likelihood.log_sigma);
    return out.map(m => m + sigma * normal(random));
  }
  return out.map(a => {
    let count = 0;
    for (let trial = 0; trial < (likelihood.n || 1); trial++) count += random() < sigmoid(a);
    return count;
  });
}

// Uniform random numbers that are the same for the same seed (the generator "mulberry32")
function randomFrom(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

// --- The encoder's Gaussian, its ELBO, and the exact posterior of data point i. A generator yields while it computes.

const gaussian = i => ({mean: mu[i], sd: logVar[i].map(v => Math.exp(v / 2))});
const klOf = i => kls[i].reduce((a, b) => a + b, 0);

// The mean of log p(x|z) over q(z|x): a weighted sum over nodes of the noise
function* reconstructionOf(i) {
  const {mean, sd} = gaussian(i), values = [];
  let sum = 0;
  for (let l = 0; l < noise.length; l++) {
    values.push(logLikelihood(data[i], decoderOutput(mean.map((m, j) => m + sd[j] * noise[l][j]))));
    sum += weights[l] * values[l];
    yield;
  }
  const variance = values.reduce((total, v) => total + (v - sum) ** 2, 0) / (values.length - 1);
  return {value: sum, error: content.drawn ? Math.sqrt(variance / values.length) : 0};
}

// p(z|x) = p(x|z) p(z) / p(x) at the centres of n cells on each axis of the posterior's box, and the sum over all cells:
// it is near 1 because log p(x), computed beforehand, is exact. If it is not, cells are halved once.
function* posteriorOf(i, n = J === 1 ? 192 : 48, most = 2 * n) {
  const low = box.subarray(2 * J * i, 2 * J * i + J), high = box.subarray(2 * J * i + J, 2 * J * i + 2 * J);
  const step = low.map((a, j) => (high[j] - a) / n), density = new Float64Array(n ** J), z = new Float64Array(J);
  let mass = 0;
  for (let cell = 0; cell < density.length; cell++) {
    for (let j = 0; j < J; j++) z[j] = low[j] + (Math.floor(cell / n ** j) % n + 0.5) * step[j];
    density[cell] = Math.exp(logLikelihood(data[i], decoderOutput(z)) + logPrior(z) - logPx[i]);
    mass += density[cell] * step.reduce((a, b) => a * b, 1);
    yield cell / density.length;
  }
  if (Math.abs(mass - 1) > 0.01 && 2 * n <= most) return yield* posteriorOf(i, 2 * n, most);
  return {n, low, step, density, mass};
}

// Mean, standard deviations and, for J = 2, correlation of the exact posterior
function momentsOf({n, low, step, density}) {
  const place = (cell, j) => low[j] + (Math.floor(cell / n ** j) % n + 0.5) * step[j], axes = [0, 1].slice(0, J);
  const total = density.reduce((a, b) => a + b), average = f => density.reduce((sum, p, cell) => sum + p * f(cell), 0) / total;
  const mean = axes.map(j => average(cell => place(cell, j)));
  const covariance = (j, k) => average(cell => (place(cell, j) - mean[j]) * (place(cell, k) - mean[k]));
  const sd = axes.map(j => Math.sqrt(covariance(j, j)));
  return {mean, sd, correlation: J === 2 ? covariance(0, 1) / (sd[0] * sd[1]) : 0};
}

// The density on the border of the smallest region that holds this share of the grid's mass
function levelOf({density, mass, step}, share) {
  const sorted = density.slice().sort().reverse(), cell = step.reduce((a, b) => a * b, 1);
  let sum = 0, k = 0;
  while (k < sorted.length && sum < share * mass) sum += sorted[k++] * cell;
  return sorted[k - 1];
}

// Run a job in slices of 10 ms, so that the page stays responsive; a newer job of the same name replaces it.
const running = {};
function inSlices(name, job, done, progress = () => {}) {
  running[name] = job;
  (function slice() {
    if (running[name] !== job) return;
    const end = performance.now() + 10;
    let step;
    do step = job.next(); while (!step.done && performance.now() < end);
    if (step.done) { delete running[name]; done(step.value); } else { progress(step.value); setTimeout(slice); }
  })();
}

// --- Drawing

const $ = id => document.getElementById(id);
const make = (tag, properties = {}) => Object.assign(document.createElement(tag), properties);
const dark = matchMedia("(prefers-color-scheme: dark)"), printing = matchMedia("print");
const style = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const rgb = hex => [1, 3, 5].map(k => parseInt(hex.slice(k, k + 2), 16));
const mix = (a, b, t) => a.map((v, k) => Math.round(v + t * (b[k] - v)));
const number = (v, digits = 2) => v.toFixed(digits).replace(/^-(0\.?0*$)?/, (_, zero) => zero || "\u2212");

function colourOf(i) {
  if (!labels) return style("--posterior");
  const colour = rgb(content.colours[labels[i]]);
  return `rgb(${dark.matches && !printing.matches ? mix(colour, [255, 255, 255], 0.5) : colour})`;
}

// Fill a small canvas with x as an image or, for a table, as bars
function show(canvas, x) {
  const [low, high] = content.ink, context = canvas.getContext("2d");
  if (content.image) {
    const [height, width] = content.image, paper = rgb(style("--paper")), ink = rgb(style("--ink"));
    Object.assign(canvas, {width, height});
    const pixels = context.createImageData(width, height);
    x.forEach((v, d) => {
      const t = Math.min(1, Math.max(0, (v - low) / (high - low)));
      for (let k = 0; k < 3; k++) pixels.data[4 * d + k] = paper[k] + t * (ink[k] - paper[k]);
      pixels.data[4 * d + 3] = 255;                         // opaque
    });
    context.putImageData(pixels, 0, 0);
    return;
  }
  canvas.className = "bars";
  const width = Math.max(1, Math.round(240 / D));
  Object.assign(canvas, {width: width * D, height: 120});
  const top = v => 118 - 116 * (Math.min(high, Math.max(low, v)) - low) / (high - low);
  context.fillStyle = style("--ink");
  x.forEach((v, d) => {
    const ends = [top(v), top(Math.min(high, Math.max(low, 0)))];
    context.fillRect(width * d, Math.min(...ends), Math.max(1, width - 1), Math.max(1, Math.abs(ends[0] - ends[1])));
  });
}

// A plane with equal axes: `low` and `high` are corners in z; returns its context in CSS pixels and two functions to pixels.
function plane(canvas, low, high, height) {
  const margin = {left: 34, bottom: 30, top: 18, right: 8};
  const width = canvas.clientWidth, ratio = window.devicePixelRatio || 1;
  const unit = (width - margin.left - margin.right) / (high[0] - low[0]);
  height = height || unit * (high[1] - low[1]) + margin.top + margin.bottom;
  Object.assign(canvas, {width: Math.round(width * ratio), height: Math.round(height * ratio)});
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const x = a => margin.left + (a - low[0]) * unit, y = b => height - margin.bottom - (b - low[1]) * unit;
  const inverse = (px, py) => [low[0] + (px - margin.left) / unit, low[1] + (height - margin.bottom - py) / unit];
  return {context, x, y, inverse, unit, low, high, width, height, margin};
}

// The context with the frame of a plane as its path
function framed({context, margin, width, height}) {
  context.beginPath();
  context.rect(margin.left, margin.top, width - margin.left - margin.right, height - margin.top - margin.bottom);
  return context;
}

// Write the axes and their ticks at round numbers
function axes(p, vertical = true) {
  const c = p.context, rough = (p.high[0] - p.low[0]) / 6, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find(k => k * power >= 0.8 * rough), digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  Object.assign(c, {fillStyle: style("--quiet"), strokeStyle: style("--line"), lineWidth: 1, font: "12px system-ui, sans-serif"});
  framed(p).stroke();
  Object.assign(c, {textAlign: "center", textBaseline: "top"});
  for (let t = Math.ceil(p.low[0] / step) * step; t <= p.high[0]; t += step)
    if (p.x(t) < p.width - 14) c.fillText(number(t, digits), p.x(t), p.height - p.margin.bottom + 4);
  c.fillText(J === 1 ? "z" : "z\u2081", p.x((p.low[0] + p.high[0]) / 2), p.height - 13);
  if (!vertical) return;
  Object.assign(c, {textAlign: "right", textBaseline: "middle"});
  for (let t = Math.ceil(p.low[1] / step) * step; t <= p.high[1]; t += step)
    c.fillText(number(t, digits), p.margin.left - 4, p.y(t));
  c.textAlign = "left";
  c.fillText("z\u2082", p.margin.left - 2, 9);
}

// The map: circles of the prior, a symbol for each code, and optionally decoded images behind them
const gapOf = i => bestElbo && content.log_px_error[i] !== null ? logPx[i] - bestElbo[i] : null;

// Class names, cut to at most four signs if that leaves them different; else the numbers of the classes
const cut = (content.classes || []).map(name => [...name].length > 4 ? `${[...name].slice(0, 3).join("")}.` : name);
const distinct = cut.every(name => name.trim()) && new Set(cut).size === cut.length;
const short = label => content.classes && distinct ? cut[label] : String(label);
const className = label => content.classes ? content.classes[label] : String(label);

const classes = labels ? [...new Set(labels)].sort((a, b) => a - b) : [0];
const level = i => J === 2 ? mu[i][1] : labels ? classes.indexOf(labels[i]) : 0;           // height of a code on the map
const TILES = 18;                                           // on an axis of the map
let map, layer, tiles = [];

function limits() {
  const low = [-3.2, J === 2 ? -3.2 : -1], high = [3.2, J === 2 ? 3.2 : classes.length];
  for (const z of mu) z.forEach((v, j) => { low[j] = Math.min(low[j], v - 0.2); high[j] = Math.max(high[j], v + 0.2); });
  const half = Math.max(high[0] - low[0], high[1] - low[1]) / 2, middle = low.map((a, j) => (a + high[j]) / 2);
  return J === 2 ? [middle.map(m => m - half), middle.map(m => m + half)] : [low, high];
}

function drawMap() {
  if (J > 2) return;
  const [low, high] = limits();
  const strip = J === 1 && tiles.length ? ($("map").clientWidth - 42) / TILES : 0;
  map = plane($("map"), low, high, J === 1 ? strip + 60 + 26 * Math.max(3, classes.length + 1) : 0);
  if (J === 1) map.y = b => map.height - 30 - (map.height - 48 - strip) * (b + 1) / (classes.length + 1);
  const c = map.context;
  for (const {canvas, place, side} of tiles)                // place of its top left corner and side, in z
    c.drawImage(canvas, map.x(place[0]), J === 1 ? map.margin.top : map.y(place[1]), side * map.unit, side * map.unit);
  if (tiles.length && J === 2) {
    Object.assign(c, {globalAlpha: 0.35, fillStyle: style("--paper")});
    framed(map).fill();
    c.globalAlpha = 1;
  }
  Object.assign(c, {strokeStyle: style("--quiet"), lineWidth: 1});
  c.setLineDash([5, 4]);
  for (const r of [1, 2, 3]) {
    c.beginPath();
    if (J === 2) c.arc(map.x(0), map.y(0), r * map.unit, 0, 2 * Math.PI);
    else for (const side of [-r, r]) { c.moveTo(map.x(side), map.margin.top + strip); c.lineTo(map.x(side), map.height - 30); }
    c.stroke();
  }
  c.setLineDash([]);
  drawCodes();
  axes(map, J === 2);
  layer = make("canvas", {width: $("map").width, height: $("map").height});
  layer.getContext("2d").drawImage($("map"), 0, 0);
  drawCursor();
}

// J = 2: each code as its class. J = 1: a row of strokes for each class, with its name before the row.
function drawCodes() {
  const c = map.context;
  Object.assign(c, {font: "600 11px system-ui, sans-serif", textAlign: J === 1 ? "right" : "center", textBaseline: "middle"});
  Object.assign(c, {strokeStyle: style("--paper"), lineWidth: 3, lineJoin: "round"});
  mu.forEach((z, i) => {
    const px = map.x(z[0]), py = map.y(level(i));
    c.fillStyle = colourOf(i);
    if (J === 1) { c.globalAlpha = 0.5; c.fillRect(px - 0.75, py - 7, 1.5, 14); c.globalAlpha = 1; return; }
    if (!labels) { c.beginPath(); c.arc(px, py, 2.2, 0, 2 * Math.PI); c.fill(); return; }
    if (tiles.length) c.strokeText(short(labels[i]), px, py);
    c.fillText(short(labels[i]), px, py);
  });
  if (J === 1 && labels) classes.forEach((label, row) => {
    c.fillStyle = colourOf(labels.indexOf(label));
    c.fillText(short(label), map.margin.left - 4, map.y(row));
  });
}

// The moving parts of the map: the ring and the Gaussian of the chosen data point, the cross of the cursor
function drawCursor() {
  if (J > 2) return;
  const c = map.context, [x, y] = [map.x(z[0]), J === 2 ? map.y(z[1]) : map.height / 2];
  c.save();
  c.setTransform(1, 0, 0, 1, 0, 0);
  c.clearRect(0, 0, layer.width, layer.height);
  c.drawImage(layer, 0, 0);
  c.restore();
  c.beginPath();
  Object.assign(c, {strokeStyle: style("--encoder"), lineWidth: 2});
  c.arc(map.x(mu[chosen][0]), map.y(level(chosen)), 9, 0, 2 * Math.PI);
  c.stroke();
  c.save();
  framed(map).clip();
  for (const [colour, width] of [[style("--paper"), 5], [style("--ink"), 1.5]]) {
    Object.assign(c, {strokeStyle: colour, lineWidth: width});
    c.beginPath();
    c.moveTo(x, J === 2 ? y - 14 : 0); c.lineTo(x, J === 2 ? y + 14 : map.height);
    if (J === 2) { c.moveTo(x - 14, y); c.lineTo(x + 14, y); }
    c.stroke();
  }
  c.restore();
}

function* decodedTiles() {
  const found = [], [low, high] = limits(), side = (high[0] - low[0]) / TILES;
  for (let k = 0; k < TILES ** J; k++) {
    const canvas = make("canvas"), place = [low[0] + (k % TILES) * side, high[1] - Math.floor(k / TILES) * side];
    show(canvas, decode([place[0] + side / 2, place[1] - side / 2].slice(0, J)));
    found.push({canvas, place, side});
    yield;
  }
  return found;
}

// The magnified panel: the exact posterior in blue, the encoder's Gaussian dashed in orange
let panel;
function drawPanel() {
  if (J > 2) return;
  const {mean, sd} = gaussian(chosen), at = 2 * J * chosen;
  const ends = exact ? endsOf(exact) : [box.subarray(at, at + J), box.subarray(at + J, at + 2 * J)];
  let low = Array.from(ends[0], (a, j) => Math.min(a, mean[j] - 3.2 * sd[j]));
  let high = Array.from(ends[1], (b, j) => Math.max(b, mean[j] + 3.2 * sd[j]));
  if (J === 2) {
    const half = 0.52 * Math.max(high[0] - low[0], high[1] - low[1]), middle = low.map((a, j) => (a + high[j]) / 2);
    [low, high] = [middle.map(m => m - half), middle.map(m => m + half)];
  }
  panel = plane($("posterior"), [...low, 0], [...high, 1], J === 1 ? 260 : 0);
  panel.context.save();
  framed(panel).clip();
  if (J === 2) { drawDensity(); drawEllipses(mean, sd); } else drawCurves(mean[0], sd[0]);
  panel.context.restore();
  axes(panel, J === 2);
  const share = exact && `The blue area holds ${number(100 * exact.mass, 1)}\u00a0% of the probability (the mass).`;
  $("mass").textContent = share || "Computing the posterior";
  writeVerdict();
  const list = values => Array.from(values, v => number(v)).join(", ");
  $("posterior").setAttribute("aria-label", "Exact posterior of the chosen data point and the encoder's Gaussian, which has " +
    `mean ${list(mean)} and standard deviation ${list(sd)}. ${share || ""}`);
}

// Corners of the part of the grid where the density is more than a thousandth of its largest value
function endsOf({n, low, step, density}) {
  const least = density.reduce((a, b) => Math.max(a, b)) / 1000, cells = [...density.keys()].filter(k => density[k] > least);
  const onAxis = j => cells.map(k => Math.floor(k / n ** j) % n);
  return [Math.min, Math.max].map((end, side) => low.map((a, j) => a + (end(...onAxis(j)) + side) * step[j]));
}

function drawDensity() {
  if (!exact) return;
  const {n, low, step, density} = exact, image = make("canvas", {width: n, height: n}), c = panel.context;
  const pixels = image.getContext("2d").createImageData(n, n), blue = rgb(style("--posterior"));
  const top = density.reduce((a, b) => Math.max(a, b));
  density.forEach((p, k) => {
    const [a, b] = [k % n, n - 1 - Math.floor(k / n)];      // row 0 of an image is at the top
    pixels.data.set([...blue, 150 * p / top], 4 * (n * b + a));
  });
  image.getContext("2d").putImageData(pixels, 0, 0);
  const [width, height] = [n * step[0] * panel.unit, n * step[1] * panel.unit];
  c.drawImage(image, panel.x(low[0]), panel.y(low[1]) - height, width, height);
  for (const r of [1, 2, 3]) {
    Object.assign(c, {strokeStyle: style("--posterior"), lineWidth: r < 3 ? 2 : 1});
    drawContour(exact, levelOf(exact, 1 - Math.exp(-r * r / 2)));
  }
}

// Marching squares: in each square of four neighbouring cells, join the points where two sides cross the level
function drawContour({n, low, step, density}, height) {
  const c = panel.context;
  c.beginPath();
  for (let b = 0; b < n - 1; b++) for (let a = 0; a < n - 1; a++) {
    const corners = [[a, b], [a + 1, b], [a + 1, b + 1], [a, b + 1]], points = [];
    corners.forEach(([i, k], side) => {
      const [i2, k2] = corners[(side + 1) % 4], p = density[n * k + i] - height, q = density[n * k2 + i2] - height;
      if (p > 0 === q > 0) return;
      const t = p / (p - q), place = [i + t * (i2 - i), k + t * (k2 - k)];
      points.push(place.map((v, j) => low[j] + (v + 0.5) * step[j]));
    });
    for (let k = 0; k + 1 < points.length; k += 2) {
      c.moveTo(panel.x(points[k][0]), panel.y(points[k][1]));
      c.lineTo(panel.x(points[k + 1][0]), panel.y(points[k + 1][1]));
    }
  }
  c.stroke();
}

// The lines of the Gaussian at 1, 2 and 3 standard deviations hold 39, 86 and 99 %
function drawEllipses(mean, sd) {
  const c = panel.context;
  c.setLineDash([6, 4]);
  for (const r of [1, 2, 3]) {
    Object.assign(c, {strokeStyle: style("--encoder"), lineWidth: r < 3 ? 2 : 1});
    c.beginPath();
    c.ellipse(panel.x(mean[0]), panel.y(mean[1]), r * sd[0] * panel.unit, r * sd[1] * panel.unit, 0, 0, 2 * Math.PI);
    c.stroke();
  }
  c.setLineDash([]);
}

function drawCurves(mean, sd) {
  const c = panel.context, bell = a => Math.exp(-(((a - mean) / sd) ** 2) / 2) / (sd * Math.sqrt(2 * Math.PI));
  const top = 1.05 * Math.max(bell(mean), exact ? exact.density.reduce((a, b) => Math.max(a, b)) : 0);
  const y = p => panel.height - 30 - p / top * (panel.height - 48);
  const curve = points => { c.beginPath(); points.forEach(([a, p]) => c.lineTo(panel.x(a), y(p))); };
  if (exact) {
    curve(Array.from(exact.density, (p, k) => [exact.low[0] + (k + 0.5) * exact.step[0], p]));
    Object.assign(c, {strokeStyle: style("--posterior"), lineWidth: 2});
    c.stroke();
    Object.assign(c, {fillStyle: style("--posterior"), globalAlpha: 0.2});
    c.fill();
    c.globalAlpha = 1;
  }
  curve(Array.from({length: 301}, (_, k) => panel.low[0] + k / 300 * (panel.high[0] - panel.low[0])).map(a => [a, bell(a)]));
  c.strokeStyle = style("--encoder");
  c.setLineDash([6, 4]);
  c.stroke();
  c.setLineDash([]);
}

// --- The page's behaviour: a cursor z, and a chosen data point

let z = new Float64Array(J), chosen = 0, seed = 1, exact = null;
const meanKl = Array.from({length: J}, (_, j) => kls.reduce((sum, kl) => sum + kl[j], 0) / N);
const order = J > 2 ? meanKl.map((_, j) => j).sort((a, b) => meanKl[b] - meanKl[a]) : meanKl.map((_, j) => j);
const subscript = j => String(j + 1).replace(/\d/g, digit => "\u2080\u2081\u2082\u2083\u2084\u2085\u2086\u2087\u2088\u2089"[digit]);
const nameOf = j => J === 1 ? "z" : `z${subscript(j)}`;
const classOf = i => labels ? `class ${className(labels[i])}` : "";
const thumbs = [], inputs = [];

function moveTo(place) {
  z = Float64Array.from(place, (v, j) => Number.isFinite(v) ? Math.min(100, Math.max(-100, v)) : z[j]);
  const out = decoderOutput(z);
  show($("mean"), meanOf(out));
  show($("draw"), drawFrom(out, randomFrom(seed)));
  inputs.forEach(({field, slider}, j) => {
    if (document.activeElement !== field) field.value = z[j].toFixed(2);
    if (slider) slider.value = z[j];
  });
  const distance = Math.hypot(...z), share = 100 * Math.exp(-distance * distance / 2);
  $("prior").innerHTML = `log p(z) = <b>${number(logPrior(z))}</b>: the prior density is ` +
    `${share < 0.1 ? "less than 0.1" : number(share, share < 10 ? 1 : 0)}\u00a0% of that at 0.<br>` +
    `log p(x|z) = <b>${number(logLikelihood(data[chosen], out))}</b> for data point ${chosen}.`;
  nearestTo(z).forEach((i, k) => {
    const {button, canvas, text} = thumbs[k];
    button.datum = i;
    show(canvas, data[i]);
    text.textContent = labels ? short(labels[i]) : i;
    button.setAttribute("aria-label", `Data point ${i} ${classOf(i)}`.trim());
    button.setAttribute("aria-pressed", i === chosen);
  });
  drawCursor();
  remember();
}

function nearestTo(place) {
  const distances = mu.map((m, i) => [m.reduce((sum, v, j) => sum + (v - place[j]) ** 2, 0), i]);
  return distances.sort((a, b) => a[0] - b[0]).slice(0, 8).map(pair => pair[1]);
}

function choose(i) {
  chosen = Math.min(N - 1, Math.max(0, Math.round(i) || 0));
  exact = null;
  if (document.activeElement !== $("number")) $("number").value = chosen;
  $("label").textContent = `0 is the first, ${N - 1} the last. ${labels ? `This one: ${classOf(chosen)}.` : ""}`;
  z = mu[chosen];
  showChosen();
  writeNats(null);
  inSlices("nats", reconstructionOf(chosen), writeNats);
  if (!box) return;
  inSlices("panel", posteriorOf(chosen), found => { exact = found; drawPanel(); },
    done => { $("mass").textContent = `Computing the posterior: ${Math.round(100 * done)} %`; });
}

function showChosen() {
  show($("original"), data[chosen]);
  show($("reconstruction"), decode(mu[chosen]));
  moveTo(z);
  drawPanel();
}

// How good the encoder's Gaussian is for the chosen data point, and why
function writeVerdict() {
  const gap = gapOf(chosen), all = data.map((_, i) => gapOf(i)).filter(v => v !== null);
  const smaller = all.filter(v => v < gap).length, most = all.length - 1, {mean, sd} = gaussian(chosen);
  const rank = smaller === most ? "the largest of all data points"
    : `larger than for ${Math.round(100 * smaller / most)}\u00a0% of the other data points`;
  $("verdict").textContent = `The gap measures this: it is 0 for a perfect Gaussian.${gap === null || !most ? "" : ` Here it is ${rank}.`}` +
    ` The table shows the reasons: the best values are 0${J === 2 ? ", 1 and the exact correlation" : " and 1"}.`;
  if (!exact) { $("why").tBodies[0].innerHTML = ""; return; }
  const right = momentsOf(exact), names = right.mean.map((_, j) => `<th scope="col">${nameOf(j)}</th>`).join("");
  const cells = values => values.map(v => `<td>${number(v)}</td>`).join("");
  const off = right.mean.map((m, j) => (mean[j] - m) / right.sd[j]), width = right.sd.map((s, j) => sd[j] / s);
  $("why").tBodies[0].innerHTML = `<tr><th scope="col">The encoder\u2019s Gaussian against the exact posterior</th>${names}</tr>` +
    `<tr><th scope="row">its mean is off by, in exact standard deviations</th>${cells(off)}</tr>` +
    `<tr><th scope="row">its standard deviation, divided by the exact one</th>${cells(width)}</tr>` +
    (J === 1 ? "" : `<tr><th scope="row">its correlation</th><td colspan="2">0 (exact ${number(right.correlation)})</td></tr>`);
}

function writeNats(reconstruction) {
  const value = v => v === null || !Number.isFinite(v) ? "\u2026" : number(v);
  const drawn = reconstruction && content.drawn ? ` \u00b1 ${number(reconstruction.error)}` : "";
  const kl = klOf(chosen), elbo = reconstruction && reconstruction.value - kl;
  const error = content.log_px_error[chosen], known = v => error === null ? "unknown" : value(v), log = known(logPx[chosen]);
  const gap = known(elbo === null ? null : logPx[chosen] - elbo);
  const rows = [["reconstruction", value(reconstruction && reconstruction.value) + drawn], ["KL", value(kl)],
    ["ELBO", value(elbo) + drawn, "sum"], ["exact log p(x)", log], ["gap", gap, "sum"]];
  const plus = v => error && reconstruction ? ` \u00b1 ${number(v)}` : "";
  if (!box) rows.splice(3, 2, ["better lower bound of log p(x)", log + plus(error)],
    ["gap, at least", gap + plus(Math.hypot(error, reconstruction && reconstruction.error)), "sum"]);
  $("nats").tBodies[0].innerHTML = rows.map(([name, text, kind]) =>
    `<tr class="${kind || ""}"><th scope="row">${name}</th><td>${text}</td></tr>`).join("");
}

// Write the cursor and the data point into the address, so that a reload or a link shows the same
let waiting;
function remember() {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    const place = Array.from(z, v => Number(v.toFixed(4))).join(",");
    history.replaceState(null, "", `#datum=${chosen}&z=${place}${$("tiles").checked ? "&tiles=1" : ""}`);
  }, 400);
}

// The data points in the chosen order; those whose number is unknown come last
function ordered() {
  const by = {lowest: i => logPx[i], gap: i => -gapOf(i)}[$("order").value] || (i => i);
  const key = data.map((_, i) => content.log_px_error[i] === null && $("order").value !== "data" ? Infinity : by(i));
  return data.map((_, i) => i).sort((a, b) => key[a] === key[b] ? a - b : key[a] - key[b]);
}

function step(places) {
  choose(ordered()[(ordered().indexOf(chosen) + places + N) % N]);
}

function recall() {
  const given = new URLSearchParams(location.hash.slice(1)), place = (given.get("z") || "").split(",").map(Number);
  $("tiles").checked = given.has("tiles");
  choose(Number(given.get("datum")));
  if (given.get("z") && place.length === J && place.every(Number.isFinite)) moveTo(place);
}

function showTiles() {
  tiles = [];
  drawMap();
  delete running.tiles;
  if ($("tiles").checked) inSlices("tiles", decodedTiles(), found => { tiles = found; drawMap(); });
  remember();
}

function makeFields() {
  for (const j of order) {
    const field = make("input", {type: "number", step: 0.1, value: 0});
    field.setAttribute("aria-label", `${nameOf(j)} of the cursor`);
    const line = make(J > 2 ? "div" : "label"), name = make("span", {textContent: nameOf(j), className: "name"});
    const set = input => moveTo(z.map((v, k) => k === j && input.value !== "" ? Number(input.value) : v));
    field.addEventListener("input", () => set(field));
    line.append(name, " ", field);
    inputs[j] = {field};
    if (J > 2) {
      const slider = make("input", {type: "range", min: -4, max: 4, step: 0.01});
      slider.setAttribute("aria-label", `${nameOf(j)}, slider`);
      slider.addEventListener("input", () => set(slider));
      field.before(slider);
      line.append(make("span", {className: "note", textContent: `KL ${number(meanKl[j])}`}));
      line.className = "slider";
      inputs[j].slider = slider;
    }
    (J > 2 ? $("sliders") : $("fields")).append(line);
  }
}

function makeThumbs() {
  for (let k = 0; k < Math.min(8, N); k++) {
    const button = make("button", {type: "button"}), canvas = make("canvas"), text = make("span");
    button.append(canvas, text);
    button.addEventListener("click", () => choose(button.datum));
    $("nearest").append(button);
    thumbs.push({button, canvas, text});
  }
}

function listen() {
  const on = (id, event, action) => $(id).addEventListener(event, action);
  let pressed = null;
  const at = event => [event.offsetX, event.offsetY];       // in the canvas
  const follow = event => moveTo(map.inverse(...at(event)).slice(0, J));
  on("map", "pointerdown", event => {
    $("map").setPointerCapture(event.pointerId);
    pressed = at(event);
    follow(event);
  });
  on("map", "pointermove", event => { if (pressed) follow(event); });
  on("map", "pointerup", event => {
    const [x, y] = at(event), still = pressed && Math.hypot(x - pressed[0], y - pressed[1]) < 4;
    pressed = null;
    if (!still) return;
    const distances = mu.map((m, i) => Math.hypot(map.x(m[0]) - x, map.y(level(i)) - y)), least = Math.min(...distances);
    if (least < 16) choose(distances.indexOf(least));
  });
  on("map", "pointercancel", () => { pressed = null; });
  on("map", "keydown", event => {
    const step = event.shiftKey ? 0.5 : 0.05, [a, b] = z;
    const places = {ArrowLeft: [a - step, b], ArrowRight: [a + step, b], ArrowUp: [a, b + step], ArrowDown: [a, b - step]};
    if (event.key === "Enter") choose(nearestTo(z)[0]);
    if (!(event.key in places)) return;
    event.preventDefault();
    moveTo(places[event.key].slice(0, J));
  });
  on("again", "click", () => { seed += 1; moveTo(z); });
  on("tiles", "change", showTiles);
  on("dice", "click", () => { seed += 1; moveTo(z.map(() => normal())); });
  on("previous", "click", () => step(-1));
  on("next", "click", () => step(1));
  on("order", "change", () => choose(ordered()[0]));
  $("number").max = N - 1;
  on("number", "input", () => { if ($("number").value !== "") choose(Number($("number").value)); });
  addEventListener("resize", () => { drawMap(); showChosen(); });
  for (const query of [dark, printing])
    query.addEventListener("change", () => { makeLegend(); showTiles(); showChosen(); });
  addEventListener("hashchange", recall);
}

// Named classes: short name in its colour, and the full name if it was cut
function makeLegend() {
  $("classes").replaceChildren();
  if (!content.classes || !labels) return;
  for (const label of classes.slice(0, 30)) {
    const entry = make("span"), name = make("b", {textContent: short(label)}), full = className(label);
    name.style.color = colourOf(labels.indexOf(label));
    entry.append(name, short(label) === full ? "" : ` ${full}`);
    $("classes").append(entry);
  }
  if (classes.length > 30) $("classes").append("and more");
}

function introduce() {
  const kind = {1: "one number", 2: "two numbers"}[J] || `${J} numbers`;
  $("about").textContent = `A variational autoencoder gives each data point x a code z of ${kind}. Here are the codes of ${N} ` +
    `held-out data points of ${content.data}${labels && J === 2 ? ", each drawn as its class" : ""}, and what the decoder makes of any code. ` +
    `Data point k is row ${content.step === 1 ? "" : `${content.step} × `}k of the held-out data, counted from 0.`;
  $("code-words").textContent = `What the model uses to describe x: ${kind}. Dashed ${J === 1 ? "lines" : "circles"}: the prior ` +
    `has ${J === 1 ? "68, 95 and 99.7" : "39, 86 and 99"} % of its codes within 1, 2 and 3.`;
  if (J > 2) $("code-words").textContent = `What the model uses to describe x: ${kind}.`;
  const axis = J === 1 ? "Across: z, the code." : "Across: z\u2081. Up: z\u2082. They are the two numbers of the code.";
  $("map-help").textContent = `${axis} Drag the cursor, or press Tab to select the map, then the arrow keys (Shift: larger steps). ` +
    "Click a code, or press Enter for the nearest one, to see its posterior. Dashed: 1, 2 and 3 standard deviations of the prior.";
  if (!content.image) $("about").textContent += " The bars are the columns of the table, from the left.";
  if (J > 2) $("map-help").textContent = "Move a slider or type a number: largest mean KL first. A KL near 0 means that the code " +
    "hardly depends on x, so the decoder ignores it.";
  document.querySelector("main").className = J > 2 ? "many" : content.image ? "" : "table";
  $("shares").hidden = J !== 2;
  $("order").add(new Option(`lowest ${box ? "log p(x)" : "bound"} first`, "lowest"));
  if (bestElbo) $("order").add(new Option("largest gap first", "gap"));
  if (J > 2) {
    $("panel-title").textContent = "How well does the model explain x?";
    $("place-title").textContent = `The ${J} numbers of the code`;
    $("unknown").textContent = "log p(x) itself is not known here: it is an integral over z, which is computed for one or two " +
      `numbers only. For ${J} numbers this page shows a lower bound, from ${content.bound_weights} importance-weighted draws of z. log p(x) ` +
      "is at least as large, up to the error of the draws (\u00b1). The exact posterior is not shown for the same reason.";
  }
}

introduce();
makeLegend();
makeFields();
makeThumbs();
drawMap();
recall();
if ($("tiles").checked) showTiles();
listen();
