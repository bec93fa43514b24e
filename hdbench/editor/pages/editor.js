// The editor: its tools, its panels, and when which image is asked for.

import { Refused, ask, connection, getJson, getPicture, newId, post, send } from './api.js';
import { View } from './view.js';

const el = (id) => document.getElementById(id);
const view = new View(el('canvas'));
const REST = 250; // milliseconds without an edit after which the exact image is made

let facts = null;      // what does not change: classes, scenes, shapes
let state = null;      // the session as the server has it
let tool = 'brush';
let label = null;      // the class that is painted
let shape = null;      // the shape that is stamped
let picked = null;     // id of the picked region
let strokes = null;    // the stroke or move that is being made
let corners = [];      // of the polygon that is being made
let pointer = null;    // where the pointer is, in pixels of the scene
let spaceHeld = false;
let restTimer = null;
let picturesOf = null; // session whose image before the edits is shown
let working = Promise.resolve(); // operations go one after another

// ---- words ---------------------------------------------------------------------------------------

function tell(text) { el('status').textContent = text; }

function complain(text) {
  el('alert').hidden = !text;
  el('alert').textContent = text || '';
}

function busy(text) {
  el('busy').hidden = !text;
  el('busy-text').textContent = text || '';
}

connection.onlost = () => complain('The connection to hdbench is lost; trying again. Your edits are kept here until it is back.');
connection.onback = () => { complain(''); tell('The connection is back.'); };

async function guarded(action) {
  try { return await action(); } catch (error) {
    if (error instanceof Refused && error.status === 409) { await refresh(); return null; }
    complain(error.message);
    return null;
  }
}

// ---- session -------------------------------------------------------------------------------------

const at = (rest) => '/api/sessions/' + encodeURIComponent(state.session) + rest;
const classOf = (id) => facts.classes.find((entry) => entry.id === id);
const regionOf = (id) => state.regions.find((entry) => entry.id === id);

async function show(next) {
  const moved = !state || state.session !== next.session;
  state = next;
  if (moved) {
    location.hash = encodeURIComponent(state.session);
    view.size = state.size;
    view.fit();
    picked = null; corners = []; view.before = null; picturesOf = null;
    if (facts.scenes.includes(state.scene)) el('scenes').value = state.scene;
    else el('scenes').value = '';
  }
  if (picked !== null && !regionOf(picked)) picked = null;
  drawPanels();
  await showImages(moved);
}

const colours = () => Object.fromEntries(facts.classes.map((entry) => [entry.id, entry.colour]));

async function showImages(moved) {
  const revision = state.revision, session = state.session;
  const current = () => state.revision === revision && state.session === session;
  clearTimeout(restTimer);
  await guarded(async () => {
    if (facts.previews && !moved) {
      busy('preview');
      const picture = await getPicture(at('/image.png?quality=preview&revision=' + revision));
      if (!current()) return;
      view.image = picture;
      view.draw();
      el('canvas').dataset.shown = 'preview ' + revision;
    }
    const maps = await getPicture(at('/maps.png?revision=' + revision));
    if (!current()) return;
    view.setMaps(maps, colours());
    view.mark(picked);
  });
  if (!current()) return;
  busy('exact image');
  restTimer = setTimeout(() => guarded(() => exact(revision, session)), facts.previews && !moved ? REST : 0);
}

async function exact(revision, session) {
  const current = () => state.revision === revision && state.session === session;
  if (!current()) return;
  const picture = await getPicture(at('/image.png?quality=exact&revision=' + revision));
  if (!current()) return;
  view.image = picture;
  view.draw();
  el('canvas').dataset.shown = 'exact ' + revision;
  busy('');
  drawStyles();
  if (picturesOf !== session && view.mode === 'compare') await loadBefore();
}

async function loadBefore() {
  const session = state.session;
  const picture = await getPicture(at('/before.png'));
  if (state.session !== session) return;
  view.before = picture;
  picturesOf = session;
  view.draw();
}

// Carry out an operation after those before it; one that met another tab's edit is sent again.
function operate(kind, edit) {
  const id = newId();
  working = working.then(() => guarded(async () => {
    complain('');
    for (;;) {
      const operation = { id, revision: state.revision, kind };
      if (edit) operation.edit = edit;
      try {
        await show(await post(at('/operations'), operation));
        return;
      } catch (error) {
        if (!(error instanceof Refused) || error.status !== 409) throw error;
        const next = await getJson(at(''));
        if (next.revision === state.revision) throw error;
        state = next;
        tell('Another tab had changed the scene; this edit was added to it.');
      }
    }
  }));
  return working;
}

async function refresh() {
  if (!state) return;
  const next = await getJson(at(''));
  if (next.revision !== state.revision) { tell('The scene was changed elsewhere.'); await show(next); }
}

// ---- panels --------------------------------------------------------------------------------------

function button(text, pressed, onclick) {
  const made = document.createElement('button');
  made.type = 'button';
  made.textContent = text;
  made.setAttribute('aria-pressed', String(pressed));
  made.addEventListener('click', onclick);
  return made;
}

function swatch(colour) {
  const made = document.createElement('span');
  made.className = 'swatch';
  made.style.backgroundColor = 'rgb(' + colour.join(',') + ')';
  return made;
}

function option(value, text) {
  const made = document.createElement('option');
  made.value = value;
  made.textContent = text;
  return made;
}

function drawPalette() {
  const wanted = el('search').value.trim().toLowerCase();
  const here = new Set(state ? state.regions.map((region) => region.label) : []);
  const classes = facts.classes.filter((entry) => entry.name.toLowerCase().includes(wanted));
  classes.sort((one, other) => here.has(other.id) - here.has(one.id));
  el('palette').replaceChildren(...classes.map((entry) => {
    const made = button('', entry.id === label, () => choose(entry.id));
    made.dataset.label = entry.id;
    made.append(swatch(entry.colour), entry.name);
    return made;
  }));
}

function choose(id) {
  label = id;
  if (!['brush', 'polygon', 'fill'].includes(tool)) setTool('brush');
  drawPalette();
  drawTools();
}

function drawTools() {
  for (const one of el('tool-buttons').children) one.setAttribute('aria-pressed', String(one.dataset.tool === tool));
  const stamping = tool === 'stamp', painting = ['brush', 'polygon', 'fill'].includes(tool);
  el('radius-field').hidden = tool !== 'brush';
  el('stamps').hidden = el('scale-field').hidden = el('flip-field').hidden = !stamping;
  el('search-field').hidden = el('palette').hidden = stamping;
  const entry = picked === null ? null : regionOf(picked);
  el('extend-field').hidden = !(painting && entry && entry.label === label && classOf(label).thing);
  if (el('extend-field').hidden) el('extend').checked = false;
  for (const one of el('stamps').children) one.setAttribute('aria-pressed', String(one.dataset.shape === shape));
}

function drawStamps() {
  el('stamps').replaceChildren(...facts.shapes.map((entry, n) => {
    const made = button('', false, () => { shape = entry.name; drawTools(); view.draw(); });
    made.dataset.shape = entry.name;
    const icon = document.createElement('img');
    icon.src = '/api/shapes/' + n + '.png';
    icon.alt = '';
    icon.loading = 'lazy';
    made.append(icon, classOf(entry.label).name);
    return made;
  }));
}

function drawPanels() {
  drawPalette();
  drawTools();
  const regions = [...state.regions].sort((one, other) => one.label - other.label || one.id - other.id);
  el('regions').replaceChildren(option('', 'none picked'), ...regions.map((region) =>
    option(region.id, classOf(region.label).name + ', ' + region.id + ' (' + region.pixels + ' px)')));
  el('edits').replaceChildren(...state.edits.map((text) => {
    const made = document.createElement('li');
    made.textContent = text;
    return made;
  }));
  el('undo').disabled = el('undo-all').disabled = state.edits.length === 0;
  el('redo').disabled = state.undone === 0;
  drawInstance();
}

function drawInstance() {
  const region = picked === null ? null : regionOf(picked);
  el('regions').value = region ? region.id : '';
  el('instance').hidden = !region;
  if (!region) return;
  const entry = classOf(region.label);
  const style = region.encoded ? 'encoded from a picture' : 'style ' + (region.style + 1);
  el('instance-facts').textContent = entry.name + ', region ' + region.id + ', ' + region.pixels + ' pixels'
    + (entry.styles ? ', ' + style + (region.given ? '' : ' (random)') : '');
  el('relabel').replaceChildren(...facts.classes.map((one) => option(one.id, one.name)));
  el('relabel').value = region.label;
  el('styles-part').hidden = entry.styles === 0;
  el('own-style').disabled = !region.given;
  el('styles').replaceChildren(...Array.from({ length: entry.styles }, (_, n) => {
    const made = button(String(n + 1), region.style === n, () => operate('edit', { do: 'style', region: region.id, style: n }));
    made.setAttribute('aria-label', 'style ' + (n + 1));
    made.dataset.style = n;
    return made;
  }));
}

// Thumbnails of the picked instance in each of its class's styles, one after another.
async function drawStyles() {
  const region = picked === null ? null : regionOf(picked), revision = state.revision;
  if (!region) return;
  for (const made of [...el('styles').children]) {
    if (state.revision !== revision || picked !== region.id) return;
    if (made.querySelector('img')) continue;
    try {
      const path = at('/styles/' + region.id + '/' + made.dataset.style + '.png?revision=' + revision);
      const blob = await (await ask(path)).blob();
      if (!made.isConnected) return;
      const icon = document.createElement('img');
      icon.alt = '';
      icon.onload = () => URL.revokeObjectURL(icon.src);
      icon.src = URL.createObjectURL(blob);
      made.prepend(icon);
    } catch (error) { return; }
  }
}

function pick(id) {
  picked = id;
  view.mark(picked);
  drawInstance();
  drawTools();
  drawStyles();
  if (id !== null) tell('Picked ' + classOf(regionOf(id).label).name + ', region ' + id + '.');
}

function setTool(name) {
  tool = name;
  corners = [];
  strokes = null;
  drawTools();
  view.draw();
}

// ---- drawing on the canvas -----------------------------------------------------------------------

const radius = () => Number(el('radius').value);
const scale = () => Number(el('scale').value) / 100;

function paintOf(points, name = tool) {
  const edit = { do: 'paint', label, tool: name, points };
  if (name === 'brush') edit.radius = radius();
  if (el('extend').checked && picked !== null) edit.into = picked;
  return edit;
}

// At most as many points as the server takes, the ends among them.
function thinned(points, most = 2000) {
  if (points.length <= most) return points;
  return Array.from({ length: most }, (_, n) => points[Math.round(n * (points.length - 1) / (most - 1))]);
}

let trying = false, tryNext = null;

// The preview of a stroke while it is drawn: one request at a time, always of the newest stroke.
async function preview(edit) {
  tryNext = edit;
  if (trying) return;
  trying = true;
  while (tryNext && strokes) {
    const edited = tryNext, revision = state.revision;
    tryNext = null;
    try {
      const picture = await getPicture(at('/try'), {
        method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ revision, edit: edited }),
      });
      if (strokes && state.revision === revision) { view.image = picture; view.draw(); el('canvas').dataset.shown = 'trying'; }
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
    }
  }
  trying = false;
}

function drawOver(context, pixel) {
  const colour = label === null ? [0, 0, 0] : classOf(label).colour;
  context.lineJoin = context.lineCap = 'round';
  const line = (points, width, style) => {
    context.beginPath();
    points.forEach(([x, y], n) => (n ? context.lineTo(x, y) : context.moveTo(x, y)));
    if (points.length === 1) context.lineTo(points[0][0] + 1e-3, points[0][1]);
    context.lineWidth = width;
    context.strokeStyle = style;
    context.stroke();
  };
  if (strokes && tool === 'brush' && !facts.previews) line(strokes.points, 2 * radius(), 'rgb(' + colour.join(',') + ')');
  if (strokes && tool === 'brush' && facts.previews) line(strokes.points, 2 * radius(), 'rgba(' + colour.join(',') + ',0.35)');
  if (corners.length) {
    const points = pointer ? [...corners, pointer] : corners;
    line([...points, points[0]], 3 * pixel, '#000');
    line([...points, points[0]], 1.5 * pixel, '#ffe100');
  }
  if (strokes && tool === 'move' && view.outline) context.drawImage(view.outline, strokes.to[0] - strokes.from[0], strokes.to[1] - strokes.from[1]);
  if (pointer && tool === 'brush' && !strokes) {
    for (const [width, style] of [[3 * pixel, '#000'], [1.5 * pixel, '#fff']]) {
      context.beginPath();
      context.arc(pointer[0], pointer[1], radius(), 0, 2 * Math.PI);
      context.lineWidth = width;
      context.strokeStyle = style;
      context.stroke();
    }
  }
  if (pointer && tool === 'stamp' && shape !== null) {
    const entry = facts.shapes.find((one) => one.name === shape), width = entry.width * scale(), height = entry.height * scale();
    const icon = el('stamps').querySelector('[aria-pressed=true] img');
    if (icon && icon.complete) {
      context.save();
      context.translate(pointer[0], pointer[1] - height);
      if (el('flip').checked) context.scale(-1, 1);
      context.globalAlpha = 0.7;
      context.drawImage(icon, -width / 2, 0, width, height);
      context.restore();
    }
  }
}

view.over = drawOver;

const fingers = new Map();
let pinch = null, panning = null;

function down(event) {
  fingers.set(event.pointerId, event);
  el('canvas').setPointerCapture(event.pointerId);
  if (fingers.size === 2) { strokes = null; corners = []; pinch = pinchOf(); return; }
  if (fingers.size > 2 || event.button > 1) return;
  pointer = view.point(event);
  if (tool === 'pan' || spaceHeld || event.button === 1) { panning = event; event.preventDefault(); return; }
  const here = view.at(pointer);
  if (event.altKey && here) { choose(here.label); return; }
  switch (tool) {
    case 'pick': pick(here ? here.region : null); break;
    case 'brush':
      if (label === null) { tell('Choose a class first.'); return; }
      strokes = { points: [pointer] };
      preview(paintOf(strokes.points));
      break;
    case 'polygon':
      if (label === null) { tell('Choose a class first.'); return; }
      corners.push(pointer);
      tell(corners.length + ' corners; Enter or a double-click closes the polygon, Esc drops it.');
      break;
    case 'fill':
      if (label === null) { tell('Choose a class first.'); return; }
      if (here) operate('edit', paintOf([pointer]));
      break;
    case 'stamp':
      if (shape === null) { tell('Choose a stamp first.'); return; }
      operate('edit', { do: 'stamp', shape, at: pointer, scale: scale(), flip: el('flip').checked });
      break;
    case 'move':
      if (here) { pick(here.region); strokes = { from: pointer, to: pointer }; }
      break;
  }
  view.draw();
}

const far = (one, other) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);

function pinchOf() {
  const [one, other] = [...fingers.values()];
  return { far: far(one, other), x: (one.clientX + other.clientX) / 2, y: (one.clientY + other.clientY) / 2 };
}

function move(event) {
  if (fingers.has(event.pointerId)) fingers.set(event.pointerId, event);
  if (pinch && fingers.size === 2) {
    const now = pinchOf(), box = el('canvas').getBoundingClientRect();
    view.pan(now.x - pinch.x, now.y - pinch.y);
    view.zoom(now.far / Math.max(1, pinch.far), now.x - box.left, now.y - box.top);
    pinch = now;
    return;
  }
  if (panning) { view.pan(event.clientX - panning.clientX, event.clientY - panning.clientY); panning = event; return; }
  pointer = view.point(event);
  if (strokes && tool === 'brush') {
    const several = event.getCoalescedEvents ? event.getCoalescedEvents() : [event];
    for (const one of several.length ? several : [event]) strokes.points.push(view.point(one));
    preview(paintOf(thinned(strokes.points)));
  } else if (strokes && tool === 'move') {
    strokes.to = pointer;
    if (moved()) preview({ do: 'move', region: picked, by: moved() });
  } else if (!fingers.size) hover(view.at(pointer));
  view.draw();
}

function moved() {
  const by = [Math.round(strokes.to[0] - strokes.from[0]), Math.round(strokes.to[1] - strokes.from[1])];
  return by[0] || by[1] ? by : null;
}

let hovered = null;

function hover(here) {
  const region = here && ['pick', 'move'].includes(tool) ? here.region : null;
  if (region !== hovered) {
    hovered = region;
    view.mark(region === null ? picked : region, region !== null && region !== picked);
  }
  if (here) tell(classOf(here.label).name + ', region ' + here.region);
}

function up(event) {
  fingers.delete(event.pointerId);
  if (pinch) { if (!fingers.size) pinch = null; return; }
  if (panning) { panning = null; return; }
  const done = strokes;
  strokes = null;
  if (!done) return;
  if (event.type === 'pointercancel') { showImages(false); return; }
  if (tool === 'brush') operate('edit', paintOf(thinned(done.points)));
  if (tool === 'move') {
    const by = [Math.round(done.to[0] - done.from[0]), Math.round(done.to[1] - done.from[1])];
    if (by[0] || by[1]) operate('edit', { do: 'move', region: picked, by });
  }
  view.draw();
}

function closePolygon() {
  const points = corners;
  corners = [];
  view.draw();
  if (points.length >= 3) operate('edit', paintOf(thinned(points)));
  else tell('A polygon needs three corners.');
}

const canvas = el('canvas');
canvas.addEventListener('pointerdown', down);
canvas.addEventListener('pointermove', move);
canvas.addEventListener('pointerup', up);
canvas.addEventListener('pointercancel', up);
canvas.addEventListener('pointerleave', () => { pointer = null; hover(null); view.draw(); });
canvas.addEventListener('dblclick', () => { if (tool === 'polygon') { corners.pop(); closePolygon(); } });
canvas.addEventListener('contextmenu', (event) => event.preventDefault());
canvas.addEventListener('wheel', (event) => {
  event.preventDefault();
  const box = canvas.getBoundingClientRect();
  view.zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
}, { passive: false });

// ---- buttons and keys ----------------------------------------------------------------------------

function setView(name) {
  view.mode = name;
  for (const one of document.querySelectorAll('[data-view]')) one.setAttribute('aria-pressed', String(one.dataset.view === name));
  el('slider-field').hidden = name !== 'compare';
  if (name === 'compare' && picturesOf !== state.session) guarded(loadBefore);
  view.draw();
}

for (const one of el('tool-buttons').children) one.addEventListener('click', () => setTool(one.dataset.tool));
for (const one of document.querySelectorAll('[data-view]')) one.addEventListener('click', () => setView(one.dataset.view));
const ranged = (id, unit) => el(id).addEventListener('input', () => { el(id + '-value').textContent = el(id).value + unit; view.draw(); });
ranged('radius', ' px');
ranged('scale', ' %');
el('slider').addEventListener('input', () => { view.split = el('slider').value / 1000; view.draw(); });
el('search').addEventListener('input', drawPalette);
el('undo').addEventListener('click', () => operate('undo'));
el('redo').addEventListener('click', () => operate('redo'));
el('undo-all').addEventListener('click', () => operate('undo-all'));
el('zoom-in').addEventListener('click', () => view.zoom(1.5));
el('zoom-out').addEventListener('click', () => view.zoom(1 / 1.5));
el('zoom-fit').addEventListener('click', () => view.fit());
el('help').addEventListener('click', () => el('keys').showModal());
el('remove').addEventListener('click', () => operate('edit', { do: 'remove', region: picked }));
el('own-style').addEventListener('click', () => operate('edit', { do: 'style', region: picked, style: null }));
el('relabel').addEventListener('change', () => operate('edit', { do: 'relabel', region: picked, label: Number(el('relabel').value) }));
el('regions').addEventListener('change', () => pick(el('regions').value === '' ? null : Number(el('regions').value)));
el('scenes').addEventListener('change', () => guarded(async () => show(await post('/api/open', { scene: el('scenes').value }))));

// Let the user choose a file, and hand it on.
function choosing(accept, action) {
  el('file').accept = accept;
  el('file').onchange = () => {
    const [file] = el('file').files;
    el('file').value = '';
    if (file) { busy('reading ' + file.name); guarded(() => action(file)).finally(() => busy('')); }
  };
  el('file').click();
}

el('from-photograph').addEventListener('click', () => choosing('image/png,image/jpeg,image/webp', async (file) => show(await send('/api/photograph', file))));
el('from-file').addEventListener('click', () => choosing('.jsonl', async (file) => show(await send('/api/session-file', file))));
el('encode').addEventListener('click', () => choosing('image/png,image/jpeg,image/webp', async (file) => {
  const region = picked, { style } = await send(at('/encode'), file);
  await operate('edit', { do: 'style', region, style });
}));

async function download(path, name) {
  const blob = await (await ask(path)).blob(), link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

el('save-image').addEventListener('click', () => guarded(() => download(at('/image.png?quality=exact&revision=' + state.revision), state.session + '.png')));
el('save-session').addEventListener('click', () => guarded(() => download(at('/file'), state.session + '.session.jsonl')));
el('export').addEventListener('click', () => guarded(async () => {
  busy('exporting');
  const done = await post(at('/export'), {});
  busy('');
  tell('Exported to ' + done.folder + '. Next: ' + done.command);
}));

const KEYS = { v: 'pick', b: 'brush', p: 'polygon', f: 'fill', s: 'stamp', m: 'move', h: 'pan' };
const VIEWS = { 1: 'image', 2: 'labels', 3: 'both', 4: 'compare' };

addEventListener('keydown', (event) => {
  if (!state || el('keys').open) return;
  const typing = event.target.matches('input[type=search], select, textarea');
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && key === 'z' && !typing) { operate(event.shiftKey ? 'redo' : 'undo'); event.preventDefault(); return; }
  if ((event.ctrlKey || event.metaKey) && key === 'y' && !typing) { operate('redo'); event.preventDefault(); return; }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const onControl = event.target.matches('button, input');
  if (KEYS[key]) setTool(KEYS[key]);
  else if (VIEWS[key]) setView(VIEWS[key]);
  else if (key === '?') el('keys').showModal();
  else if (key === 'escape') { corners = []; strokes = null; view.draw(); }
  else if (key === 'enter' && corners.length && !onControl) closePolygon();
  else if ((key === 'delete' || key === 'backspace') && picked !== null) operate('edit', { do: 'remove', region: picked });
  else if (key === '[' || key === ']') {
    const range = tool === 'stamp' ? el('scale') : el('radius');
    range.value = Math.round(Number(range.value) * (key === ']' ? 1.25 : 0.8) + (key === ']' ? 1 : -1));
    range.dispatchEvent(new Event('input'));
  } else if (key === '+' || key === '=') view.zoom(1.25);
  else if (key === '-') view.zoom(0.8);
  else if (key === '0') view.fit();
  else if (key === ' ' && !onControl) { spaceHeld = true; event.preventDefault(); }
});
addEventListener('keyup', (event) => { if (event.key === ' ') spaceHeld = false; });
addEventListener('blur', () => { spaceHeld = false; });

// Another tab may have changed the scene.
setInterval(() => {
  if (!state || document.hidden || strokes) return;
  fetch(at('/revision')).then((answer) => answer.json()).then((found) => {
    if (found.revision !== undefined && found.revision > state.revision) working = working.then(() => guarded(refresh));
  }).catch(() => {});
}, 2000);

// ---- start ---------------------------------------------------------------------------------------

async function start() {
  facts = await getJson('/api/start');
  el('facts').textContent = facts.method + ', ' + facts.benchmark;
  el('scenes').replaceChildren(option('', 'photograph or file'), ...facts.scenes.map((name) => option(name, name)));
  el('scenes').firstElementChild.hidden = true;
  drawStamps();
  drawTools();
  const wanted = decodeURIComponent(location.hash.slice(1)) || facts.session;
  let first = null;
  try { first = await getJson('/api/sessions/' + encodeURIComponent(wanted)); } catch (error) {
    first = await getJson('/api/sessions/' + encodeURIComponent(facts.session));
  }
  await show(first);
  tell('Choose a class and paint, or pick an instance.');
}

guarded(start);
