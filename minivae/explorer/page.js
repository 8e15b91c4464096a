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

const decoder = content.decoder.map(layer => layer.map(array => Float64Array.from(unpack(array))));    // sums in float64; twice as fast
const data = rowsOf(content.x), mu = rowsOf(content.mu), logVar = rowsOf(content.log_var), kls = rowsOf(content.kl);
const logPx = unpack(content.log_px), box = content.box && unpack(content.box);
const elbos = unpack(content.elbo), elboError = unpack(content.elbo_error);           // for J > 2, means over draws
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

const meanOf = out => likelihood.name === "gaussian" ? out : out.map(a => (likelihood.n || 1) * sigmoid(a));
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

const logPrior = z => z.reduce((sum, v) => sum - (v * v / 2 + Math.log(2 * Math.PI) / 2), 0);

// A standard normal number from two uniform random numbers (Box and Muller)
const normal = (random = Math.random) => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());

// A number of successes in n trials. The distance to the next success is geometric, so each step of the loop is one success.
function binomial(n, p, random) {
  if (p > 0.5) return n - binomial(n, 1 - p, random);
  let count = -1, trial = 0;
  do { count += 1; trial += 1 + Math.floor(Math.log(1 - random()) / Math.log1p(-p)); } while (trial <= n);
  return count;
}

// A draw x ~ p(x|z), from uniform random numbers
function drawFrom(out, random) {
  if (likelihood.name === "gaussian") {
    const sigma = Math.exp(likelihood.log_sigma);
    return out.map(m => m + sigma * normal(random));
  }
  return out.map(a => binomial(likelihood.n || 1, sigmoid(a), random));
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

// --- The encoder's Gaussian and the exact posterior of data point i. Generators yield, so that they can be paused.

const gaussian = i => ({mean: mu[i], sd: logVar[i].map(v => Math.exp(v / 2))});
const klOf = i => kls[i].reduce((a, b) => a + b, 0);

// p(z|x) = p(x|z) p(z) / p(x) at the centres of n cells on each axis of the posterior's box, and its mass, the sum over all
// cells. The mass is near 1 because log p(x), computed beforehand, is exact. If it is not near 1, or the density has several
// pieces, the cells are halved once. Coarse cells cut a narrow ridge into pieces: pieces count only if both grids have equally many.
function* posteriorOf(i, n = J === 1 ? 192 : 48, coarser = null) {
  const low = box.subarray(2 * J * i, 2 * J * i + J), high = box.subarray(2 * J * i + J, 2 * J * i + 2 * J);
  const step = low.map((a, j) => (high[j] - a) / n), density = new Float64Array(n ** J), z = new Float64Array(J);
  let mass = 0;
  for (let cell = 0; cell < density.length; cell++) {
    for (let j = 0; j < J; j++) z[j] = low[j] + (Math.floor(cell / n ** j) % n + 0.5) * step[j];
    density[cell] = Math.exp(logLikelihood(data[i], decoderOutput(z)) + logPrior(z) - logPx[i]);
    mass += density[cell] * step.reduce((a, b) => a * b, 1);
    yield cell / density.length;
  }
  const pieces = piecesOf({n, density}), off = Math.abs(mass - 1), coarse = off > 0.02;
  if (!coarser && (off > 0.01 || pieces.length > 1)) return yield* posteriorOf(i, 2 * n, pieces);
  return {n, low, step, density, mass, coarse, pieces: coarser && !coarse && pieces.length === coarser.length ? pieces : []};
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

// The density on the border of the smallest region that contains this share of the grid's mass
function levelOf({density, mass, step}, share) {
  const sorted = density.slice().sort().reverse(), cell = step.reduce((a, b) => a * b, 1);
  let sum = 0, k = 0;
  while (k < sorted.length && sum < share * mass) sum += sorted[k++] * cell;
  return sorted[k - 1];
}

// The share inside the line at r standard deviations of a Gaussian in the plane; the posterior's lines enclose the same shares
const shareOf = r => 1 - Math.exp(-r * r / 2);

// The shares of the separate pieces of the region with 99 % of the posterior, the largest first. The loop goes from the
// densest cell down: a cell joins a neighbour's piece or begins one. Only cells inside the region can unite two pieces.
function piecesOf({n, density}) {
  const steps = J === 1 ? [-1, 1] : [-n - 1, -n, -n + 1, -1, 1, n - 1, n, n + 1], total = density.reduce((a, b) => a + b);
  const piece = new Int32Array(density.length).fill(-1), shares = [];
  let sum = 0;
  for (const cell of [...density.keys()].sort((a, b) => density[b] - density[a])) {
    const inside = sum < shareOf(3) * total, beside = steps.filter(step => J === 1 || Math.abs((cell + step + n) % n - cell % n) <= 1);
    const near = [...new Set(beside.map(step => piece[cell + step]).filter(k => k >= 0))];
    if (!near.length && !inside) continue;
    if (!near.length) near.push(shares.push(0) - 1);
    for (const other of inside ? near.slice(1) : []) {
      piece.forEach((k, at) => { if (k === other) piece[at] = near[0]; });
      shares[near[0]] += shares[other];
      shares[other] = 0;
    }
    piece[cell] = near[0];
    shares[near[0]] += density[cell] / total;
    sum += density[cell];
  }
  return shares.filter(share => share >= 0.01).sort((a, b) => b - a);
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
const FONT = "12px system-ui, sans-serif";
const rgb = hex => [1, 3, 5].map(k => parseInt(hex.slice(k, k + 2), 16));
const written = (v, digits) => digits > 6 && v && Math.abs(v) < 1e-4 ? v.toExponential(2) : v.toFixed(Math.min(digits, 6));
const number = (v, digits = 2) => written(v, digits).replace(/^-(0\.?0*$)?/, (_, zero) => zero || "\u2212");
const decimals = (size, digits) => Math.max(0, digits - 1 - Math.floor(Math.log10(size || 1)));   // so that `digits` significant ones are shown
const brief = v => number(v, Math.max(2, decimals(Math.abs(v), 2)));
const listOf = (values, write = number) => Array.from(values, v => write(v)).join(", ");
const ordinal = k => k + (/1[123]$/.test(k) ? "th" : {1: "st", 2: "nd", 3: "rd"}[k % 10] || "th");

const colourOf = i => labels ? content.colours[labels[i]][Number(dark.matches && !printing.matches)] : style("--posterior");

// The smallest and the largest value of each column of a table
const ranges = content.image ? [] : Array.from(data[0], (_, d) => [Math.min, Math.max].map(end => data.reduce((v, x) => end(v, x[d]), data[0][d])));
const part = (v, d) => Math.min(1, Math.max(0, (v - ranges[d][0]) / (ranges[d][1] - ranges[d][0] || 1)));    // v in its column's range, 0 to 1

// Fill a small canvas with x as an image or, for a table, as one bar for each column
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
  const width = Math.max(1, Math.round(100 / D)), bar = Math.max(1, width - 2);
  Object.assign(canvas, {width: width * D, height: 60});
  context.fillStyle = style("--ink");
  x.forEach((v, d) => context.fillRect(width * d, 58 - 58 * part(v, d), bar, 2 + 58 * part(v, d)));
}

// Write a table with a row for each column of the data: its values as numbers and bars
function writeTable(id, heads, rows) {
  const digits = ranges.map(([low, high]) => decimals(high - low, 3));
  const cell = (v, d) => `<td style="background-size: ${Math.round(100 * part(v, d))}% 80%">${number(v, digits[d])}</td>`;
  $(id).innerHTML = `<table><tr><th></th>${heads.map(head => `<th scope="col">${head}</th>`).join("")}</tr>` +
    ranges.map((_, d) => `<tr><th scope="row">column ${d + 1}</th>${rows.map(x => cell(x[d], d)).join("")}</tr>`).join("") + "</table>";
}

// The distance of the ticks of an axis, a round number, and the decimals of their labels
function ticks(low, high) {
  const rough = (high - low) / 6, power = 10 ** Math.floor(Math.log10(rough)), step = power * [1, 2, 5, 10].find(k => k * power >= 0.8 * rough);
  return {step, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9))};
}

// A plane with one scale on both axes; `low` and `high` are its corners in z. Returns its context and functions between z and pixels.
function plane(canvas, low, high, height) {
  const context = canvas.getContext("2d"), {digits} = ticks(low[0], high[0]);
  context.font = FONT;
  const labels = J === 2 ? [low[1], high[1]].map(v => 6 + context.measureText(number(v, digits)).width) : [];
  const margin = {left: Math.max(34, ...labels), bottom: 30, top: 18, right: 8};
  const width = Math.max(80, canvas.clientWidth), ratio = window.devicePixelRatio || 1;
  const unit = (width - margin.left - margin.right) / (high[0] - low[0]);
  height = height || unit * (high[1] - low[1]) + margin.top + margin.bottom;
  Object.assign(canvas, {width: Math.round(width * ratio), height: Math.round(height * ratio)});
  canvas.style.height = `${height}px`;
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
  const c = p.context, {step, digits} = ticks(p.low[0], p.high[0]);
  Object.assign(c, {fillStyle: style("--quiet"), strokeStyle: style("--line"), lineWidth: 1, font: FONT});
  framed(p).stroke();
  Object.assign(c, {textAlign: "center", textBaseline: "top"});
  let end = -Infinity;                                      // right end of the last label; a label that would touch it is left out
  for (let t = Math.ceil(p.low[0] / step) * step; t <= p.high[0]; t += step) {
    const text = number(t, digits), half = c.measureText(text).width / 2, x = p.x(t);
    if (x - half < end + 4 || x + half > p.width) continue;
    c.fillText(text, x, p.height - p.margin.bottom + 4);
    end = x + half;
  }
  c.fillText(J === 1 ? "z" : "z\u2081", p.x((p.low[0] + p.high[0]) / 2), p.height - 13);
  if (!vertical) return;
  Object.assign(c, {textAlign: "right", textBaseline: "middle"});
  for (let t = Math.ceil(p.low[1] / step) * step; t <= p.high[1]; t += step)
    c.fillText(number(t, digits), p.margin.left - 4, p.y(t));
  c.textAlign = "left";
  c.fillText("z\u2082", p.margin.left - 2, 9);
}

const gapOf = i => content.log_px_error[i] !== null ? logPx[i] - elbos[i] : null;                    // null: log p(x) is unknown

// Short class names: without a shared beginning ("Iris-"), the first 1 to 4 letters, as few as differ; otherwise the label
const shared = (content.classes || [""]).reduce((a, b) => { while (!b.startsWith(a)) a = a.slice(0, -1); return a; }).replace(/[^\s_-]*$/, "");
const beginnings = [1, 2, 3, 4].map(k => (content.classes || []).map(name => [...name.slice(shared.length)].slice(0, k).join("").trim()));
const cut = beginnings.find(names => names.every(name => name) && new Set(names).size === names.length);
const short = label => content.classes && cut ? cut[label] : String(label);
const className = label => content.classes ? content.classes[label] : String(label);

// The map: circles of the prior, a symbol for each code, and optionally decoded images (tiles) behind them
const classes = labels ? [...new Set(labels)].sort((a, b) => a - b) : [0];
const level = i => J === 2 ? mu[i][1] : labels ? classes.indexOf(labels[i]) : 0;           // height of a code on the map
const TILES = 18;                                           // tiles on each axis of the map
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
  map = plane($("map"), low, high, J === 1 ? strip + 60 + 26 * Math.min(41, Math.max(3, classes.length + 1)) : 0);
  if (J === 1) map.y = b => map.height - 30 - (map.height - 48 - strip) * (b + 1) / (classes.length + 1);
  const c = map.context;
  for (const {canvas, place, side} of tiles) {              // `place`: top left corner, `side`: length of the longer side, in z
    const scale = side * map.unit / Math.max(canvas.width, canvas.height), sizes = [scale * canvas.width, scale * canvas.height];
    const [left, top] = [map.x(place[0]), J === 1 ? map.margin.top : map.y(place[1])], [dx, dy] = sizes.map(v => (side * map.unit - v) / 2);
    c.drawImage(canvas, left + dx, top + dy, ...sizes);
  }
  if (tiles.length && J === 2) {
    Object.assign(c, {globalAlpha: 0.5, fillStyle: style("--paper")});
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
  layer = copyOf($("map"));
  drawCursor();
}

// A copy of the fixed parts of a plane; the moving parts are drawn on top of it, again and again
function copyOf(canvas) {
  const copy = make("canvas", {width: canvas.width, height: canvas.height});
  copy.getContext("2d").drawImage(canvas, 0, 0);
  return copy;
}

function restore(c, copy) {
  c.save();
  c.setTransform(1, 0, 0, 1, 0, 0);
  c.clearRect(0, 0, copy.width, copy.height);
  c.drawImage(copy, 0, 0);
  c.restore();
}

// J = 2: the class name (without labels, a dot) at each code. J = 1: a row of strokes for each class, with its name before the row.
function drawCodes() {
  const c = map.context;
  Object.assign(c, {font: "600 13px system-ui, sans-serif", textAlign: J === 1 ? "right" : "center", textBaseline: "middle"});
  Object.assign(c, {strokeStyle: style("--paper"), lineWidth: 4, lineJoin: "round"});
  mu.forEach((z, i) => {
    const px = map.x(z[0]), py = map.y(level(i));
    c.fillStyle = colourOf(i);
    if (J === 1) { c.globalAlpha = 0.5; c.fillRect(px - 0.75, py - 7, 1.5, 14); c.globalAlpha = 1; return; }
    if (!labels) { c.beginPath(); c.arc(px, py, 2.2, 0, 2 * Math.PI); c.fill(); return; }
    if (tiles.length) c.strokeText(short(labels[i]), px, py);
    c.fillText(short(labels[i]), px, py);
  });
  if (J === 1 && labels) classes.forEach((label, row) => {
    if (row % Math.ceil(classes.length / 40)) return;       // there is room for 40 names
    c.fillStyle = colourOf(labels.indexOf(label));
    c.fillText(short(label), map.margin.left - 4, map.y(row));
  });
}

// The moving parts: on the map, the ring of the chosen data point; on the map and the panel, the cross of the cursor
function drawCursor() {
  if (J > 2) return;
  const c = map.context;
  restore(c, layer);
  c.beginPath();
  Object.assign(c, {strokeStyle: style("--encoder"), lineWidth: 2});
  c.arc(map.x(mu[chosen][0]), map.y(level(chosen)), 11, 0, 2 * Math.PI);
  c.stroke();
  drawCross(map);
  if (!panel || !panel.layer) return;
  restore(panel.context, panel.layer);
  drawCross(panel, false);
}

// A cross with an open centre, for J = 1 a line. If the cursor is outside the frame: an arrow at the border, or nothing
function drawCross(p, arrow = true) {
  const c = p.context, {margin} = p, x = p.x(z[0]), y = J === 2 ? p.y(z[1]) : p.height / 2;
  const [left, top, right, bottom] = [margin.left, margin.top, p.width - margin.right, p.height - margin.bottom];
  const [a, b] = [Math.min(right - 9, Math.max(left + 9, x)), Math.min(bottom - 9, Math.max(top + 9, y))], turn = Math.atan2(y - b, x - a);
  const outside = x < left || x > right || y < top || y > bottom, lines = [];
  if (outside) for (const side of arrow ? [-2.6, 2.6] : [])
    lines.push([a + 8 * Math.cos(turn), b + 8 * Math.sin(turn), a + 12 * Math.cos(turn + side), b + 12 * Math.sin(turn + side)]);
  else if (J === 1) lines.push([x, top, x, bottom]);
  else for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) lines.push([x + 7 * dx, y + 7 * dy, x + 17 * dx, y + 17 * dy]);
  for (const [colour, width] of [[style("--paper"), 5], [style("--ink"), 2]]) {
    Object.assign(c, {strokeStyle: colour, lineWidth: width});
    c.beginPath();
    for (const [x1, y1, x2, y2] of lines) { c.moveTo(x1, y1); c.lineTo(x2, y2); }
    c.stroke();
  }
}

function* decodedTiles() {
  const found = [], [low, high] = limits(), side = (high[0] - low[0]) / TILES;
  for (let k = 0; k < TILES ** J; k++) {
    const canvas = make("canvas"), place = [low[0] + (k % TILES) * side, high[1] - Math.floor(k / TILES) * side];
    const x = decode([place[0] + side / 2, place[1] - side / 2].slice(0, J));
    show(canvas, x);
    found.push({canvas, place, side, x});
    yield;
  }
  return found;
}

// The magnified panel: the exact posterior in blue, the encoder's Gaussian dashed in orange
let panel;
function drawPanel() {
  if (J > 2 || (panel && !exact)) return;                   // the last posterior stays, pale, until the next one is known
  const {mean, sd} = gaussian(chosen), at = 2 * J * chosen;
  const ends = exact && exact.mass ? endsOf(exact) : [box.subarray(at, at + J), box.subarray(at + J, at + 2 * J)];
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
  panel.layer = copyOf($("posterior"));
  drawCursor();
  writeVerdict();
  if (!exact) return;
  document.body.className = "";
  $("judged").ariaBusy = "false";
  const words = `${J === 2 ? "Lines enclose 39, 86 and 99\u00a0% of each density. " : ""}Mass: ${number(100 * exact.mass, 1)}\u00a0%. ` +
    `q(z|x): mean ${listOf(mean)}; standard deviation ${listOf(sd, brief)}.`;
  $("mass").textContent = words;
  $("posterior").setAttribute("aria-label", `Exact posterior of data point ${chosen} and the encoder's Gaussian. ${words}`);
}

// Corners of the part of the grid with the 99 % line and all cells whose density is above a thousandth of the largest density
function endsOf(posterior) {
  const {n, low, step, density} = posterior;
  const least = Math.min(levelOf(posterior, shareOf(3)) / 2, density.reduce((a, b) => Math.max(a, b)) / 1000);
  const cells = [...density.keys()].filter(k => density[k] > least);
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
    drawContour(exact, levelOf(exact, shareOf(r)));
  }
}

// Marching squares: in each square of four neighbouring cells, join the points where two sides cross the level. The density is
// 0 outside the grid, so that every line is closed.
function drawContour({n, low, step, density}, height) {
  const c = panel.context, at = (a, b) => a < 0 || b < 0 || a >= n || b >= n ? 0 : density[n * b + a];
  c.beginPath();
  for (let b = -1; b < n; b++) for (let a = -1; a < n; a++) {
    const corners = [[a, b], [a + 1, b], [a + 1, b + 1], [a, b + 1]], points = [];
    corners.forEach(([i, k], side) => {
      const [i2, k2] = corners[(side + 1) % 4], p = at(i, k) - height, q = at(i2, k2) - height;
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

// The lines of the Gaussian at 1, 2 and 3 standard deviations enclose 39, 86 and 99 %
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
  const even = Array.from({length: 301}, (_, k) => panel.low[0] + k / 300 * (panel.high[0] - panel.low[0]));
  const peak = even.map((_, k) => mean + (k - 150) / 30 * sd);          // the bell can be narrower than the distance of two even points
  curve([...even, ...peak].sort((a, b) => a - b).map(a => [a, bell(a)]));
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
const pointOf = i => labels ? `data point ${i}, ${classOf(i)}` : `data point ${i}`;
const FAR = mu.reduce((far, m) => m.reduce((a, b) => Math.max(a, Math.ceil(Math.abs(b))), far), 100);     // largest coordinate of the cursor
const thumbs = [], inputs = [];
const describe = (id, text) => $(id).setAttribute("aria-label", text);
const say = text => { $("said").textContent = text; };
const atCode = () => z.every((v, j) => v === mu[chosen][j]);

function moveTo(place) {
  z = Float64Array.from(place, (v, j) => Number.isFinite(v) ? Math.min(FAR, Math.max(-FAR, v)) : z[j]);
  const out = decoderOutput(z), mean = meanOf(out), draw = drawFrom(out, randomFrom(seed)), here = J > 2 ? "this z" : `z = ${listOf(z)}`;
  if (content.image) { show($("mean"), mean); show($("draw"), draw); }
  else writeTable("cursor-values", ["mean of p(x|z)", "a draw"], [mean, draw]);
  describe("mean", `Mean of p(x|z) at ${here}`);
  describe("draw", `A draw from p(x|z) at ${here}`);
  describe("map", `Map of the codes of ${N} data point${N === 1 ? "" : "s"}. Cursor: ${here}. Chosen: ${pointOf(chosen)}.`);
  inputs.forEach(({field, slider, printed}, j) => {
    if (document.activeElement !== field) field.value = z[j].toFixed(2);
    if (slider) { slider.max = Math.max(slider.max, Math.ceil(Math.abs(z[j]))); slider.min = -slider.max; slider.value = z[j]; }
    printed.textContent = `= ${number(z[j])}`;
  });
  const distance = Math.hypot(...z), share = 100 * Math.exp(-distance * distance / 2);
  const percent = share < 0.1 ? "&lt; 0.1" : number(share, share < 10 ? 1 : 0);
  const [low, high] = limits(), outside = J <= 2 && z.some((v, j) => v < low[j] || v > high[j]);
  $("prior").innerHTML = `log p(z) = <b>${number(logPrior(z))}</b>; ` +
    `${outside ? "<b>outside the map</b>" : `p(z) is ${percent}\u00a0% of p(0)`}.<br>` +
    `log p(x|z) = <b>${number(logLikelihood(data[chosen], out))}</b> for data point ${chosen}.`;
  nearestTo(z).forEach((i, k) => {
    const {button, canvas, text, small} = thumbs[k];
    button.datum = i;
    show(canvas, data[i]);
    text.textContent = labels ? short(labels[i]) : "";
    small.textContent = i;
    button.setAttribute("aria-label", pointOf(i));
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
  const before = chosen;
  chosen = Math.min(N - 1, Math.max(0, Math.round(i) || 0));
  entry = entry || chosen !== before;
  exact = null;
  if (document.activeElement !== $("number")) $("number").value = chosen;
  z = mu[chosen];
  showChosen();
  writeNats();
  document.body.className = box ? "waiting" : "";
  $("mass").textContent = "Computing the posterior";
  describe("posterior", `Computing the posterior of data point ${chosen}`);
  $("judged").ariaBusy = "true";
  if (!box) { say(summary()); return; }
  inSlices("panel", posteriorOf(chosen), found => { exact = found; drawPanel(); say(summary()); },
    done => { $("mass").textContent = `Computing the posterior: ${Math.round(100 * done)}\u00a0%`; });
}

function showChosen() {
  const right = decode(mu[chosen]), {mean, sd} = gaussian(chosen);
  if (content.image) { show($("original"), data[chosen]); show($("reconstruction"), right); }
  else writeTable("datum-values", ["x", "reconstruction"], [data[chosen], right]);
  describe("original", `Image of ${pointOf(chosen)}`);
  describe("reconstruction", `Reconstruction of ${pointOf(chosen)}`);
  $("datum-title").textContent = `Data point ${chosen}`;
  $("label").textContent = `${labels ? `Class ${className(labels[chosen])}. ` : ""}${placeInOrder()}`;
  if (J > 2) inputs.forEach(({code}, j) => { code.textContent = `q: ${number(mean[j])} \u00b1 ${brief(sd[j])}`; });
  moveTo(z);
  drawPanel();
}

// The rank of the chosen data point's gap, as words
function rankOfGap() {
  const gap = gapOf(chosen), all = data.map((_, i) => gapOf(i)).filter(v => v !== null);
  if (gap === null || all.length < 2) return "";
  const larger = all.filter(v => v > gap).length, smaller = all.filter(v => v < gap).length;
  const [k, kind] = larger <= smaller ? [larger + 1, "largest"] : [smaller + 1, "smallest"];
  return `the ${k === 1 ? "" : `${ordinal(k)} `}${kind} of ${all.length}`;
}

// A sentence for screen readers about the chosen data point
function summary() {
  const [name, value] = $("nats").rows[4].cells, pieces = exact ? exact.pieces.length : 1;
  return `Chosen: ${pointOf(chosen)}. ${name.textContent} ${value.textContent} nats${rankOfGap() && `, ${rankOfGap()}`}.` +
    `${pieces > 1 ? ` The exact posterior has ${pieces} separate pieces.` : ""}`;
}

// How good the encoder's Gaussian is for the chosen data point, and why
function writeVerdict() {
  const {mean, sd} = gaussian(chosen), rank = rankOfGap();
  const {pieces, coarse} = exact || {pieces: []}, several = pieces.length > 1, shares = pieces.map(share => number(100 * share, 0));
  $("verdict").innerHTML = `The gap measures this: it is 0 if q(z|x) is the exact posterior.${rank && ` Here it is ${rank}.`} ` +
    (coarse ? "<b>This posterior is too narrow for the cells of the picture</b>: its mass, summed over them, is not near 100\u00a0%. " +
      "The page cannot compare it with the Gaussian."
      : several ? `<b>The exact posterior has ${pieces.length} separate pieces</b>, with ${shares.join(", ").replace(/, (\d+)$/, " and $1")}` +
      "\u00a0% of its probability. A Gaussian has one piece: it misses the others, or also covers the space between them. " +
      "The table describes all pieces together, so it says little here."
      : `The table shows the reasons; a perfect match would show 0${J === 2 ? ", 1 and the exact correlation" : " and 1"}.`);
  if (!exact || coarse) { $("why").tBodies[0].innerHTML = ""; return; }
  const right = momentsOf(exact), names = right.mean.map((_, j) => `<th scope="col">${nameOf(j)}</th>`).join("");
  const cells = values => values.map(v => `<td>${number(v)}</td>`).join("");
  const off = right.mean.map((m, j) => (mean[j] - m) / right.sd[j]), width = right.sd.map((s, j) => sd[j] / s);
  const least = [2, 3, 4, 5].find(digits => Math.abs(Number(right.correlation.toFixed(digits))) < 1);      // not 1.00 for 0.995
  $("why").tBodies[0].innerHTML = `<tr><th scope="col">The encoder\u2019s Gaussian against the exact posterior</th>${names}</tr>` +
    `<tr><th scope="row">error of its mean, in exact standard deviations</th>${cells(off)}</tr>` +
    `<tr><th scope="row">its standard deviation, divided by the exact one</th>${cells(width)}</tr>` +
    (J === 1 ? "" : `<tr><th scope="row">its correlation</th><td colspan="2">0 (exact ${number(right.correlation, least)})</td></tr>`);
}

// Errors are shown if they can change the printed digits; for J > 2, the standard errors of the draws are always shown
function writeNats() {
  const value = v => Number.isFinite(v) ? number(v) : "unknown", i = chosen, kl = klOf(i), error = content.log_px_error[i];
  const known = v => error === null ? "unknown" : value(v), plus = e => J > 2 || e > 0.005 ? ` \u00b1 ${value(e)}` : "";
  const drawn = plus(elboError[i]), log = known(logPx[i]) + (error === null ? "" : plus(error)), gap = logPx[i] - elbos[i];
  const both = error === null ? "" : plus(J > 2 ? Math.hypot(error, elboError[i]) : error + elboError[i]);
  const rows = [["reconstruction", value(elbos[i] + kl) + drawn], ["KL", value(kl)], ["ELBO", value(elbos[i]) + drawn, "sum"],
    [box ? "exact log p(x)" : "importance-weighted bound of log p(x)", log],
    [box ? "gap" : "gap, at least", known(box ? gap : Math.max(0, gap)) + both, "sum"]];
  $("nats").tBodies[0].innerHTML = rows.map(([name, text, kind]) =>
    `<tr class="${kind || ""}"><th scope="row">${name}</th><td>${text}</td></tr>`).join("");
}

// Write the cursor, the data point and the order into the address, so that a reload or a link shows the same view. Choosing
// another data point adds an entry to the browser's history.
let waiting, entry = false, spoken = "";
function remember() {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    const place = atCode() ? "" : `&z=${Array.from(z, v => Number(v.toPrecision(9))).join(",")}`, by = $("order").value;
    history[entry ? "pushState" : "replaceState"](null, "", `#datum=${chosen}${place}${by === "data" ? "" : `&order=${by}`}` +
      `${$("tiles").checked ? "&tiles=1" : ""}`);
    entry = false;
    $("printed").textContent = `This view: ${location.href}`;
    if (place && place !== spoken)
      say(`${J > 2 ? "" : `z = ${listOf(z)}; `}log p(z) ${number(logPrior(z))}; nearest code: ${pointOf(nearestTo(z)[0])}.`);
    spoken = place;
  }, 400);
}

// The data points in the chosen order; data points with an unknown log p(x) come last
function ordered() {
  const by = {lowest: i => logPx[i], gap: i => -gapOf(i)}[$("order").value] || (i => i);
  const key = data.map((_, i) => content.log_px_error[i] === null && $("order").value !== "data" ? Infinity : by(i));
  return data.map((_, i) => i).sort((a, b) => key[a] === key[b] ? a - b : key[a] - key[b]);
}

function placeInOrder() {
  const rank = ordered().indexOf(chosen), {value, selectedOptions: [option]} = $("order");
  $("previous").setAttribute("aria-disabled", rank === 0);
  $("next").setAttribute("aria-disabled", rank === N - 1);
  return value === "data" ? `Numbers: 0 to ${N - 1}.` : `${ordinal(rank + 1)} of ${N}, ${option.text}.`;
}

function step(places) {
  const next = ordered()[ordered().indexOf(chosen) + places];
  if (next !== undefined) choose(next);
}

function recall() {
  const given = new URLSearchParams(location.hash.slice(1)), place = (given.get("z") || "").split(",").map(Number);
  const wanted = J <= 2 && Boolean(content.image) && given.get("tiles") === "1";       // for J > 2, there would be 18^J tiles
  const changed = $("tiles").checked !== wanted, by = given.get("order");
  $("tiles").checked = wanted;
  $("order").value = [...$("order").options].some(option => option.value === by) ? by : "data";
  choose(Number(given.get("datum")));
  if (given.get("z") && place.length === J && place.every(Number.isFinite)) moveTo(place);
  entry = false;
  $("number").value = chosen;                               // and the fields, even one that has the focus
  inputs.forEach(({field}, j) => { field.value = z[j].toFixed(2); });
  if (changed) showTiles();
}

function showTiles() {
  tiles = [];
  drawMap();
  delete running.tiles;
  if ($("tiles").checked) inSlices("tiles", decodedTiles(), found => { tiles = found; drawMap(); });
  remember();
}

// Draw everything again after a change of colours or sizes
function repaint() {
  makeLegend();
  tiles.forEach(tile => show(tile.canvas, tile.x));
  if (running.tiles) showTiles();                           // begin again: the first tiles have the old colours
  drawMap();
  showChosen();
}

function makeFields() {
  for (const j of order) {
    const field = make("input", {type: "number", step: 0.1, value: 0, min: -FAR, max: FAR, title: `from ${-FAR} to ${FAR}`});
    field.setAttribute("aria-label", `${nameOf(j)} of the cursor, from ${-FAR} to ${FAR}`);
    const line = make(J > 2 ? "div" : "label"), name = make("span", {textContent: nameOf(j), className: "name"});
    const printed = make("span", {className: "printed"});
    const set = input => moveTo(z.map((v, k) => k === j && input.value !== "" ? Number(input.value) : v));
    field.addEventListener("input", () => set(field));
    field.addEventListener("change", () => { field.value = z[j].toFixed(2); });
    field.addEventListener("keydown", event => {            // number fields may ignore a decimal comma: type a point
      if (event.key === ",") { event.preventDefault(); document.execCommand("insertText", false, "."); }
    });
    line.append(name, " ", printed, field);
    inputs[j] = {field, printed};
    if (J > 2) {
      const slider = make("input", {type: "range", min: -4, max: 4, step: 0.01}), code = make("span", {className: "note code"});
      slider.setAttribute("aria-label", `${nameOf(j)}, slider`);
      slider.addEventListener("input", () => set(slider));
      field.before(slider);
      line.append(code, make("span", {className: "note", textContent: `KL ${number(meanKl[j])}`}));
      line.className = "slider";
      Object.assign(inputs[j], {slider, code});
    }
    (J > 2 ? $("sliders") : $("fields")).append(line);
  }
}

function makeThumbs() {
  for (let k = 0; k < Math.min(8, N); k++) {
    const button = make("button", {type: "button"}), canvas = make("canvas"), text = make("b"), small = make("span");
    button.append(canvas, text, " ", small);
    button.addEventListener("click", () => {
      choose(button.datum);
      thumbs.find(thumb => thumb.button.datum === chosen).button.focus();       // another button may show this data point now
    });
    $("nearest").append(button);
    thumbs.push({button, canvas, text, small});
  }
}

// On a phone, the images decoded at the cursor are above the map or the sliders
const phone = matchMedia("(max-width: 700px)");
const arrange = () => (phone.matches ? $("place-title") : $("move")).after($("decoded"));

function listen() {
  const on = (id, event, action) => $(id).addEventListener(event, action);
  let pressed = null, dragged = false;
  const at = event => [event.offsetX, event.offsetY];       // position in the canvas
  const follow = event => moveTo(map.inverse(...at(event)).slice(0, J));
  const near = ([x, y]) => {
    const distances = mu.map((m, i) => Math.hypot(map.x(m[0]) - x, map.y(level(i)) - y)), least = Math.min(...distances);
    return least < 16 ? distances.indexOf(least) : null;
  };
  on("map", "pointerdown", event => {
    if (event.button) return;                               // not the main button
    pressed = at(event);
    dragged = event.pointerType !== "touch";                // a finger may scroll the page, unless it moves sideways
    if (!dragged) return;
    $("map").setPointerCapture(event.pointerId);
    follow(event);
  });
  on("map", "pointermove", event => {
    if (!event.buttons) pressed = null;
    if (pressed) {
      dragged = dragged || Math.abs(at(event)[0] - pressed[0]) > 8;
      if (dragged) follow(event);
      return;
    }
    const i = near(at(event));
    $("map").title = i === null ? "" : pointOf(i);
  });
  on("map", "pointerup", event => {
    const [x, y] = at(event), still = pressed && Math.hypot(x - pressed[0], y - pressed[1]) < (event.pointerType === "touch" ? 10 : 4);
    pressed = null;
    if (!still) return;
    follow(event);
    if (near([x, y]) !== null) choose(near([x, y]));
  });
  on("map", "pointercancel", () => { pressed = null; });
  on("map", "keydown", event => {
    const step = event.shiftKey ? 0.5 : 0.05, [a, b] = z, [low, high] = limits();
    const places = {ArrowLeft: [a - step, b], ArrowRight: [a + step, b], ArrowUp: [a, b + step], ArrowDown: [a, b - step]};
    if (event.key === "Enter") choose(nearestTo(z)[0]);
    if (!(event.key in places)) return;
    event.preventDefault();
    moveTo(places[event.key].slice(0, J).map((v, j) => Math.min(Math.max(high[j], z[j]), Math.max(Math.min(low[j], z[j]), v))));
  });
  on("again", "click", () => { seed += 1; moveTo(z); });
  on("tiles", "change", showTiles);
  on("dice", "click", () => { seed += 1; moveTo(z.map(() => normal())); });
  on("back", "click", () => moveTo(mu[chosen]));
  on("previous", "click", () => step(-1));
  on("next", "click", () => step(1));
  on("order", "change", () => choose(ordered()[0]));
  $("number").max = N - 1;
  on("number", "input", () => { if ($("number").value !== "") choose(Number($("number").value)); });
  on("number", "change", () => { $("number").value = chosen; });
  addEventListener("resize", repaint);
  for (const query of [dark, printing]) query.addEventListener("change", repaint);
  phone.addEventListener("change", arrange);
  addEventListener("hashchange", recall);
}

// Named classes: short name in its colour, and the full name if it was cut
function makeLegend() {
  $("classes").replaceChildren();
  if (!content.classes || !labels) return;
  for (const label of classes.slice(0, 30)) {
    const entry = make("span"), name = make("b", {textContent: short(label)}), full = className(label);
    if (J <= 2) name.style.color = colourOf(labels.indexOf(label));
    entry.append(name, short(label) === full ? "" : ` ${full}`);
    $("classes").append(entry);
  }
  if (classes.length > 30) $("classes").append("and more");
}

function introduce() {
  const kind = {1: "one number", 2: "two numbers"}[J] || `${J} numbers`, main = document.querySelector("main");
  $("about").textContent = `A variational autoencoder gives each data point x a code z of ${kind}. This page shows ` +
    `${J > 2 ? "" : "the codes of "}${N} held-out data point${N === 1 ? "" : "s"} of ${content.data}` +
    `${labels && J === 2 ? ", each drawn as its class" : ""}, and what the decoder computes from any code. ` +
    `Data point k is row ${content.step === 1 ? "" : `${content.step} \u00d7 `}k of the held-out data, counted from 0.`;
  $("code-words").textContent = `The model describes x by ${kind}. The dashed ${J === 1 ? "lines" : "circles"} at 1, 2 and 3 ` +
    `enclose ${J === 1 ? "68, 95 and 99.7" : "39, 86 and 99"} % of the prior.`;
  const axis = J === 1 ? "Horizontal: z, the code." : "Horizontal: z\u2081. Vertical: z\u2082.";
  $("chance").textContent = likelihood.name === "gaussian" ? "density" : "probability";
  $("loss").hidden = likelihood.name !== "bernoulli" || data.every(x => x.every(v => v === 0 || v === 1));
  $("map-help").textContent = `${axis} Dashed: 1, 2 and 3 standard deviations of the prior. Drag the cursor, or select the map with ` +
    "Tab and press the arrow keys (Shift: larger steps). " +
    "Click a code, or press Enter for the nearest code, to see its posterior.";
  $("nearest-help").textContent = `(${labels ? "class, number" : "number"})`;
  const [low, high] = content.ink.map(v => Number(v.toPrecision(3)));
  if (content.image) $("scale").append(`grey values: ${low} `, make("span", {className: "ramp"}), ` ${high}`);
  else {
    $("scale").textContent = "Empty bar: the smallest value of a column in these data. Full bar: the largest.";
    $("again").textContent = "another draw";
    $("move").append($("again"));
  }
  const kinds = {many: J > 2, one: J === 1, table: !content.image, tall: J === 1 || (J === 2 && !content.image)};
  main.classList.add(...Object.keys(kinds).filter(name => kinds[name]));
  $("order").add(new Option(`lowest ${box ? "log p(x)" : "bound"} first`, "lowest"));
  $("order").add(new Option("largest gap first", "gap"));
  if (J > 2) introduceMany();
}

// Texts for more than two dimensions, where the page has sliders, and a bound instead of the exact log p(x)
function introduceMany() {
  const variance = j => mu.reduce((sum, m) => sum + m[j] ** 2, 0) / N - (mu.reduce((sum, m) => sum + m[j], 0) / N) ** 2;
  const active = order.filter(j => variance(j) > 0.01).length;
  $("code-words").textContent = `The model describes x by ${J} numbers.`;
  $("map-help").textContent = "Move a slider, or type a value. The numbers are sorted by their mean KL, the largest first. A number with a KL near " +
    `0 has hardly any information about x. ${active} of ${J} are active: over the data, the variance of their mean in q(z|x) is above ` +
    "0.01. q: mean and standard deviation of the encoder\u2019s Gaussian for the chosen data point.";
  $("panel-title").textContent = "How well does the model explain x?";
  $("place-title").textContent = `The ${J} numbers of the code`;
  $("cursor-title").textContent = "At this code";
  $("back").textContent = "set z to its code";
  $("nearest").after($("classes"));
  $("unknown").textContent = "log p(x) itself is not known here, and so the exact posterior is not shown: the integral over z is computed " +
    `only for one or two numbers. For ${J} numbers, this page shows a lower bound, from ${content.bound_weights} importance-weighted draws ` +
    "of z for each data point; the ELBO comes from the same draws. The bound can be above log p(x) by about its error (\u00b1).";
}

introduce();
arrange();
makeLegend();
makeFields();
makeThumbs();
drawMap();
recall();
listen();
