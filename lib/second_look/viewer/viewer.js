// The case viewer of notebooks (through anywidget) and of the report: mammograms with what is true,
// what was detected, and a heat map. It loads nothing and needs nothing. Positions are (row, col) in
// pixels of the original mammogram. What data say reaches the page as text, never as HTML.

// As in the figures: LABEL_COLOURS of second_look.figures.style, and matplotlib's inferno.
const TRUE_COLOUR = "#56B4E9", FOUND_COLOUR = "#D55E00";
const INFERNO = [
  [0, 0, 4], [33, 12, 74], [87, 16, 110], [138, 34, 106], [188, 55, 84], [228, 90, 49],
  [249, 142, 9], [249, 203, 53], [252, 255, 164],
];
const MOST_ZOOM = 32, STEP = 1.25, DECODED_IMAGES = 8;
const KEYS = [
  ["n, p", "next and previous case"],
  ["+, −", "zoom in and out; also the wheel over a picture that has been clicked, or two fingers"],
  ["arrows", "move the picture; also by dragging it"],
  ["0", "whole picture"],
  ["1", "native pixels: one of the mammogram for one of the screen"],
  ["f", "to the finding"],
  ["t, d, h", "truth, detections and heat map on or off"],
  ["[, ]", "show detections with lower or only with higher scores"],
  ["b, v", "brighter, darker (level); also Shift and drag up and down"],
  ["c, x", "more, less contrast (window); also Shift and drag sideways"],
  ["i, r", "invert grey levels, reset them"],
  ["?", "these keys"],
];

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** An element; `facts` are attributes, functions among them listeners; texts stay texts. */
function make(tag, facts = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(facts)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

async function decoded(webp) {
  const picture = new Image();
  picture.src = `data:image/webp;base64,${webp}`;
  await picture.decode();
  const canvas = make("canvas", { width: picture.naturalWidth, height: picture.naturalHeight });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(picture, 0, 0);
  return { canvas, context, data: context.getImageData(0, 0, canvas.width, canvas.height) };
}

async function decodedTile([rowMin, colMin, rowMax, colMax, webp]) {
  const { canvas, context, data } = await decoded(webp);
  const grey = new Uint8Array(data.width * data.height);
  for (let i = 0; i < grey.length; i++) grey[i] = data.data[4 * i];
  return { rowMin, colMin, rowMax, colMax, canvas, context, data, grey, painted: "" };
}

async function decodedHeat(webp) {
  const { canvas, context, data } = await decoded(webp);
  const values = new Float32Array(data.width * data.height);
  for (let i = 0; i < values.length; i++) {
    values[i] = data.data[4 * i + 3] ? data.data[4 * i] / 255 : NaN;
    const place = (values[i] || 0) * (INFERNO.length - 1), low = Math.floor(place);
    const high = Math.min(low + 1, INFERNO.length - 1), share = place - low;
    for (let k = 0; k < 3; k++)
      data.data[4 * i + k] = INFERNO[low][k] * (1 - share) + INFERNO[high][k] * share;
    data.data[4 * i + 3] *= values[i] || 0; // where the score is low, the tissue shows
  }
  context.putImageData(data, 0, 0);
  return { canvas, values };
}

/** One mammogram: where one looks at it, and what is drawn over it. */
class View {
  constructor(viewer) {
    this.viewer = viewer;
    this.pointers = new Map();
    this.canvas = make("canvas", {
      tabindex: 0, role: "application", "aria-roledescription": "mammogram",
      "aria-describedby": viewer.helpId,
      pointerdown: (event) => this.press(event), pointermove: (event) => this.drag(event),
      pointerup: (event) => this.release(event), pointercancel: (event) => this.release(event),
      pointerleave: () => { this.readout.textContent = ""; },
      contextmenu: (event) => event.preventDefault(),
      dblclick: (event) => this.zoom(STEP ** 4, ...this.at(event)),
      focus: () => { viewer.focused = this; },
    });
    this.canvas.viewer = this;
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.title = make("p", { class: "title" });
    this.readout = make("p", { class: "readout", "aria-hidden": "true" });
    this.notes = make("ul", { class: "notes" });
    this.element = make("div", { class: "view" }, this.title, this.canvas, this.readout, this.notes);
    new ResizeObserver(() => this.resize()).observe(this.canvas);
  }

  async show(image, box, isSubject) {
    Object.assign(this, { image, box, layers: null });
    this.element.classList.toggle("subject", isSubject);
    this.title.textContent = [
      image.id, image.facts.join(" "), image.label, image.density && `density ${image.density}`,
    ].filter(Boolean).join(" · ");
    this.canvas.setAttribute("aria-label",
      `Mammogram ${this.title.textContent}${isSubject ? ", of this case" : ", the other view"}`);
    this.notes.replaceChildren(...this.viewer.notes(image).map((note) => make("li", {}, note)));
    const layers = await this.viewer.layers(image);
    if (this.image !== image) return; // another case was opened meanwhile
    this.layers = layers;
    this.fit();
  }

  get ratio() { return window.devicePixelRatio || 1; }
  get fitting() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return Math.min(width / this.image.cols, height / this.image.rows);
  }

  get leastZoom() { return Math.min(this.fitting / 2, 1 / this.ratio); }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    this.canvas.width = Math.round(width * this.ratio);
    this.canvas.height = Math.round(height * this.ratio);
    if (this.image && this.fits) this.fit();
    else this.draw();
  }

  fit() { this.look(this.image.rows / 2, this.image.cols / 2, this.fitting); }
  native() { this.look(this.row, this.col, 1 / this.ratio); }
  toFinding() {
    if (!this.box) return this.fit();
    const [rowMin, colMin, rowMax, colMax] = this.box;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const scale = Math.min(width / (colMax - colMin), height / (rowMax - rowMin)) / 3;
    this.look((rowMin + rowMax) / 2, (colMin + colMax) / 2, scale);
  }

  /** Look at a point of the mammogram, with so many CSS pixels for one of its own. */
  look(row, col, scale) {
    if (!this.image) return;
    this.scale = clamp(scale, this.leastZoom, MOST_ZOOM);
    this.row = clamp(row, 0, this.image.rows);
    this.col = clamp(col, 0, this.image.cols);
    this.fits = this.scale <= this.fitting;
    // A finger scrolls the page where nothing is hidden, and moves the picture where something is.
    this.canvas.style.touchAction = this.fits ? "pan-y" : "none";
    this.canvas.dataset.zoom = (this.scale * this.ratio).toFixed(3);
    this.draw();
  }

  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const [row, col] = this.place(x, y);
    const scale = clamp(this.scale * factor, this.leastZoom, MOST_ZOOM);
    const { clientWidth: width, clientHeight: height } = this.canvas;
    this.look(row - (y - height / 2) / scale, col - (x - width / 2) / scale, scale);
  }

  move(dx, dy) { this.look(this.row - dy / this.scale, this.col - dx / this.scale, this.scale); }
  place(x, y) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return [this.row + (y - height / 2) / this.scale, this.col + (x - width / 2) / this.scale];
  }

  at(event) {
    const frame = this.canvas.getBoundingClientRect();
    return [event.clientX - frame.left, event.clientY - frame.top];
  }

  wheel(event) {
    // Until it is clicked, a picture does not hold up who scrolls down the page.
    if (document.activeElement !== this.canvas && !event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.zoom(Math.exp(clamp(-event.deltaY, -200, 200) / 400), ...this.at(event));
  }

  press(event) {
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, this.at(event));
  }

  release(event) { this.pointers.delete(event.pointerId); }

  drag(event) {
    if (!this.layers) return;
    const [x, y] = this.at(event), earlier = this.pointers.get(event.pointerId);
    this.read(x, y);
    if (!earlier) return;
    if (this.pointers.size === 1 && (event.shiftKey || event.buttons === 2)) {
      this.viewer.setGrey({ window: this.viewer.window + (x - earlier[0]) / 2,
                            level: this.viewer.level + (y - earlier[1]) / 4 });
    } else if (this.pointers.size === 1) {
      if (!(event.pointerType === "touch" && this.fits)) this.move(x - earlier[0], y - earlier[1]);
    } else {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const span = ([a, b]) => Math.max(1, Math.hypot(a - other[0], b - other[1]));
      this.move((x - earlier[0]) / 2, (y - earlier[1]) / 2);
      this.zoom(span([x, y]) / span(earlier), (x + other[0]) / 2, (y + other[1]) / 2);
    }
    this.pointers.set(event.pointerId, [x, y]);
  }

  /** Say what is under the pointer: position, grey level, score of the heat map. */
  read(x, y) {
    const [row, col] = this.place(x, y).map(Math.floor), { rows, cols, levels } = this.image;
    const inside = row >= 0 && col >= 0 && row < rows && col < cols;
    const tile = inside && [...this.layers.tiles].reverse().find((candidate) =>
      row >= candidate.rowMin && row < candidate.rowMax && col >= candidate.colMin
      && col < candidate.colMax);
    if (!tile) { this.readout.textContent = ""; return; }
    const { width, height } = tile.data;
    const i = Math.floor((row - tile.rowMin) / (tile.rowMax - tile.rowMin) * height) * width
      + Math.floor((col - tile.colMin) / (tile.colMax - tile.colMin) * width);
    const grey = levels[0] + tile.grey[i] / 255 * (levels[1] - levels[0]);
    let text = `row ${row}, col ${col}: grey about ${Math.round(grey)}`;
    if (this.layers.heat) {
      const { canvas, values } = this.layers.heat;
      const heat = values[Math.floor(row / rows * canvas.height) * canvas.width
        + Math.floor(col / cols * canvas.width)];
      text += Number.isNaN(heat) ? ", no score" : `, score ${heat.toFixed(2)}`;
    }
    this.readout.textContent = text;
  }

  draw() {
    const context = this.canvas.getContext("2d"), { width, height } = this.canvas;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, width, height);
    if (!this.layers) return;
    const scale = this.scale * this.ratio;
    const x = (col) => width / 2 + (col - this.col) * scale;
    const y = (row) => height / 2 + (row - this.row) * scale;
    const put = (canvas, rowMin, colMin, rowMax, colMax) => context.drawImage(
      canvas, x(colMin), y(rowMin), (colMax - colMin) * scale, (rowMax - rowMin) * scale);
    for (const tile of this.layers.tiles) {
      this.viewer.paint(tile);
      // Pixels of the mammogram stay squares; only what is shown smaller is smoothed.
      context.imageSmoothingEnabled = scale * (tile.colMax - tile.colMin) < tile.data.width;
      put(tile.canvas, tile.rowMin, tile.colMin, tile.rowMax, tile.colMax);
    }
    const { shown } = this.viewer;
    if (shown.heat && this.layers.heat) {
      context.imageSmoothingEnabled = true;
      context.globalAlpha = this.viewer.opacity;
      put(this.layers.heat.canvas, 0, 0, this.image.rows, this.image.cols);
      context.globalAlpha = 1;
    }
    const frame = ([rowMin, colMin, rowMax, colMax], pad = 0) => context.strokeRect(
      x(colMin) - pad, y(rowMin) - pad, (colMax - colMin) * scale + 2 * pad,
      (rowMax - rowMin) * scale + 2 * pad);
    context.lineWidth = 2 * this.ratio;
    if (this.box && (shown.truths || shown.detections)) {
      context.strokeStyle = "#fff";
      context.setLineDash([6 * this.ratio, 5 * this.ratio]);
      frame(this.box, 6 * this.ratio);
      context.setLineDash([]);
    }
    if (shown.truths) {
      context.strokeStyle = TRUE_COLOUR;
      for (const truth of this.image.truths) {
        if (!truth.outline.length) frame(truth.box);
        for (const line of truth.outline) {
          context.beginPath();
          for (const [row, col] of line) context.lineTo(x(col), y(row));
          context.closePath();
          context.stroke();
        }
      }
    }
    if (shown.detections) {
      context.font = `${13 * this.ratio}px system-ui, sans-serif`;
      for (const { box, score } of this.image.detections) {
        if (score < this.viewer.threshold) continue;
        context.strokeStyle = FOUND_COLOUR;
        frame(box);
        const text = score.toFixed(2), wide = context.measureText(text).width + 6 * this.ratio;
        const left = clamp(x(box[1]), 0, width - wide), bottom = Math.max(y(box[0]), 17 * this.ratio);
        context.fillStyle = "#000";
        context.fillRect(left, bottom - 17 * this.ratio, wide, 17 * this.ratio);
        context.fillStyle = "#fff";
        context.fillText(text, left + 3 * this.ratio, bottom - 4 * this.ratio);
      }
    }
  }
}

let viewers = 0;

/** The cases, the controls, and one or two views of a breast. */
class Viewer {
  constructor(root, pack) {
    Object.assign(this, { root, pack, cache: new Map(), position: 0, opacity: 0.6 });
    Object.assign(this, { window: 100, level: 50, inverted: false, threshold: pack.threshold });
    const { missing } = pack;
    this.shown = { truths: !missing.truths, detections: !missing.detections, heat: !missing.heat };
    this.number = ++viewers;
    this.helpId = `case-viewer-help-${this.number}`;
    this.views = [];
    root.classList.add("case-viewer");
    // JupyterLab leaves keys alone in elements that say so; the `d` of a notebook deletes cells.
    root.dataset.lmSuppressShortcuts = "true";
    root.addEventListener("keydown", (event) => this.key(event));
    this.status = make("p", { class: "status", role: "status" });
    this.pictures = make("div", { class: "views" });
    this.help = make("details", { class: "help" },
      make("summary", {}, "Keys, mouse and touch"),
      make("dl", { id: this.helpId }, ...KEYS.flatMap(([key, action]) =>
        [make("dt", {}, make("kbd", {}, key)), make("dd", {}, action)])));
    root.replaceChildren(this.filters(), this.steps(), this.pictures, this.controls(), this.help,
      ...pack.terms.map((term) => make("p", { class: "terms" }, term)));
    this.select();
  }

  image(caseShown) { return this.pack.images[caseShown.image]; }

  filters() {
    const { cases, counts } = this.pack;
    const facets = {
      outcome: (item) => item.outcome, label: (item) => item.label,
      kind: (item) => item.kind || "none", density: (item) => this.image(item).density || "unknown",
    };
    const total = Object.fromEntries(counts);
    this.facets = Object.entries(facets).map(([name, value]) => {
      const values = cases.map(value);
      const options = [...new Set(values)];
      if (name !== "outcome") options.sort();
      const choice = make("select", { name, change: () => this.select() },
        make("option", { value: "" }, `all (${cases.length})`),
        ...options.map((option) => {
          const here = values.filter((other) => other === option).length;
          const all = name === "outcome" && total[option] > here ? ` of ${total[option]}` : "";
          return make("option", { value: option }, `${option} (${here}${all})`);
        }));
      return { value, choice, label: make("label", {}, `${capital(name)} `, choice) };
    });
    return make("div", { class: "filters", role: "group", "aria-label": "Which cases" },
      ...this.facets.map((facet) => facet.label));
  }

  button(text, act, title = "") { return make("button", { type: "button", title, click: act }, text); }

  steps() {
    this.back = this.button("‹ Previous", () => this.step(-1), "key p");
    this.forth = this.button("Next ›", () => this.step(1), "key n");
    return make("div", { class: "steps" }, this.back, this.forth, this.status);
  }

  slider(name, text, low, high, step, act) {
    const input = make("input", { type: "range", name, min: low, max: high, step,
                                  input: () => act(Number(input.value)) });
    const output = make("output", {});
    this.sliders[name] = { input, output };
    return make("label", { class: "slider" }, `${text} `, input, output);
  }

  toggle(name, text, colour) {
    const input = make("input", { type: "checkbox", name, change: () => this.show(name, input.checked) });
    this.boxes[name] = input;
    const reason = this.pack.missing[name];
    if (reason) Object.assign(input, { disabled: true, checked: false });
    const swatch = make("span", { class: `swatch ${name}`, "aria-hidden": "true" });
    if (colour) swatch.style.borderColor = colour;
    return make("div", { class: "layer" }, make("label", {}, input, swatch, ` ${text}`),
      ...(reason ? [make("span", { class: "reason" }, `None: ${reason}`)] : []));
  }

  controls() {
    Object.assign(this, { sliders: {}, boxes: {} });
    const { missing } = this.pack, each = (act) => () => act(this.focused || this.views[0]);
    const threshold = this.slider("threshold", "Scores from", 0, 1, 0.01, (value) => {
      this.threshold = value;
      this.refresh();
    });
    const opacity = this.slider("opacity", "Opacity", 0, 1, 0.05, (value) => {
      this.opacity = value;
      this.refresh();
    });
    const group = (name, ...parts) => make("div", { role: "group", "aria-label": name }, ...parts);
    const element = make("div", { class: "controls" },
      group("Layers", this.toggle("truths", "Truth", TRUE_COLOUR),
        this.toggle("detections", "Detections", FOUND_COLOUR), ...(missing.detections ? [] : [threshold]),
        this.toggle("heat", "Heat map, 0 to 1"), ...(missing.heat ? [] : [opacity])),
      group("Grey levels",
        this.slider("window", "Window", 1, 200, 1, (value) => this.setGrey({ window: value })),
        this.slider("level", "Level", 0, 100, 1, (value) => this.setGrey({ level: value })),
        this.button("Invert", () => this.setGrey({ inverted: !this.inverted }), "key i"),
        this.button("Reset", () => this.resetGrey(), "key r")),
      group("Zoom",
        this.button("+", each((view) => view.zoom(STEP)), "zoom in: key +"),
        this.button("−", each((view) => view.zoom(1 / STEP)), "zoom out: key −"),
        this.button("Whole", each((view) => view.fit()), "key 0"),
        this.button("Native pixels", each((view) => view.native()), "key 1"),
        this.button("Finding", () => this.views.forEach((view) => view.box && view.toFinding()), "key f")));
    this.refresh();
    return element;
  }

  /** Choose the cases that fit the filters, and open the first. */
  select() {
    this.chosen = this.pack.cases.filter((item) =>
      this.facets.every(({ value, choice }) => !choice.value || value(item) === choice.value));
    this.open(0);
  }

  step(change) { if (this.chosen.length) this.open(this.position + change); }

  open(position) {
    const count = this.chosen.length;
    this.back.disabled = this.forth.disabled = count < 2;
    this.pictures.hidden = !count;
    if (!count) { this.status.textContent = "No case is like that: choose other filters."; return; }
    this.position = (position + count) % count;
    const item = this.chosen[this.position];
    this.status.textContent = `${this.position + 1} of ${count} · ${item.outcome} · `
      + `${[item.kind, item.label].filter(Boolean).join(", ")} · score ${item.score.toFixed(2)}`;
    while (this.views.length < item.views.length) this.views.push(new View(this));
    this.views.length = item.views.length;
    this.focused = this.views[item.views.indexOf(item.image)];
    const hadFocus = this.pictures.contains(document.activeElement);
    this.pictures.replaceChildren(...this.views.map((view) => view.element));
    if (hadFocus) this.focused.canvas.focus({ preventScroll: true }); // keys go on working
    const shapes = item.views.map((index) => this.pack.images[index]);
    this.pictures.style.setProperty("--cv-shape", Math.min(...shapes.map((image) => image.cols / image.rows)));
    this.ready = Promise.all(item.views.map((index, place) => this.views[place].show(
      this.pack.images[index], index === item.image ? item.box : null, index === item.image)));
    this.root.dataset.opening = "true";
    const opening = this.ready;
    opening.catch((error) => { this.status.textContent = `This case cannot be drawn: ${error.message}`; })
      .finally(() => { if (opening === this.ready) delete this.root.dataset.opening; });
  }

  /** Why a layer of an image is empty, and how many pixels there are. */
  notes(image) {
    const { missing } = this.pack, [whole] = image.tiles, notes = [];
    if (image.empty.truths) notes.push(`Truth: ${image.empty.truths}.`);
    if (!missing.detections && image.empty.detections) notes.push(`Detections: ${image.empty.detections}.`);
    if (!missing.heat && !image.heat) notes.push("Heat map: none for this image.");
    if (image.tiles.some((tile) => tile[0] < whole[2] && tile !== whole && tile[1] < whole[3]))
      notes.push("Reduced, except around lesions and false alarms: there it has its own pixels.");
    return notes;
  }

  /** The decoded tiles and heat map of an image; those of few images are held. */
  layers(image) {
    if (!this.cache.has(image)) {
      if (this.cache.size >= DECODED_IMAGES) this.cache.delete(this.cache.keys().next().value);
      this.cache.set(image, Promise.all([
        Promise.all(image.tiles.map(decodedTile)), image.heat ? decodedHeat(image.heat) : null,
      ]).then(([tiles, heat]) => ({ tiles, heat })));
    }
    return this.cache.get(image);
  }

  /** Give a tile the grey levels of window and level. */
  paint(tile) {
    const key = `${this.window} ${this.level} ${this.inverted}`;
    if (tile.painted === key) return;
    const low = 2.55 * (this.level - this.window / 2), span = 2.55 * this.window;
    const table = Uint8ClampedArray.from({ length: 256 }, (_, grey) => {
      const bright = 255 * clamp((grey - low) / span, 0, 1);
      return this.inverted ? 255 - bright : bright;
    });
    const { data } = tile.data;
    for (let i = 0; i < tile.grey.length; i++)
      data[4 * i] = data[4 * i + 1] = data[4 * i + 2] = table[tile.grey[i]];
    tile.context.putImageData(tile.data, 0, 0);
    tile.painted = key;
  }

  setGrey(change) {
    Object.assign(this, change);
    this.window = Math.round(clamp(this.window, 1, 200));
    this.level = Math.round(clamp(this.level, 0, 100));
    this.refresh();
  }

  resetGrey() { this.setGrey({ window: 100, level: 50, inverted: false }); }
  show(name, on) {
    if (!this.pack.missing[name]) this.shown[name] = on;
    this.refresh();
  }

  /** Bring controls and pictures in step with what was chosen. */
  refresh() {
    const texts = { threshold: this.threshold.toFixed(2), opacity: `${Math.round(100 * this.opacity)} %`,
                    window: `${this.window} %`, level: `${this.level} %` };
    for (const [name, { input, output }] of Object.entries(this.sliders)) {
      input.value = this[name];
      output.textContent = texts[name];
    }
    for (const [name, box] of Object.entries(this.boxes))
      box.checked = this.shown[name];
    for (const view of this.views) view.draw();
  }

  key(event) {
    const { key, target } = event;
    if (event.ctrlKey || event.metaKey || event.altKey || target.tagName === "SELECT") return;
    const isControl = target.tagName === "INPUT" || target.tagName === "BUTTON";
    if (isControl && key.startsWith("Arrow")) return;
    const view = this.focused, pan = 40, { shown } = this;
    const threshold = (change) => {
      this.threshold = clamp(Math.round(100 * this.threshold + change) / 100, 0, 1);
      this.refresh();
    };
    const actions = {
      n: () => this.step(1), p: () => this.step(-1),
      "+": () => view?.zoom(STEP), "=": () => view?.zoom(STEP), "-": () => view?.zoom(1 / STEP),
      ArrowLeft: () => view?.move(pan, 0), ArrowRight: () => view?.move(-pan, 0),
      ArrowUp: () => view?.move(0, pan), ArrowDown: () => view?.move(0, -pan),
      0: () => view?.fit(), 1: () => view?.native(),
      f: () => this.views.forEach((other) => other.box && other.toFinding()),
      t: () => this.show("truths", !shown.truths), d: () => this.show("detections", !shown.detections),
      h: () => this.show("heat", !shown.heat), "[": () => threshold(-5), "]": () => threshold(5),
      b: () => this.setGrey({ level: this.level - 5 }), v: () => this.setGrey({ level: this.level + 5 }),
      c: () => this.setGrey({ window: this.window - 10 }),
      x: () => this.setGrey({ window: this.window + 10 }),
      i: () => this.setGrey({ inverted: !this.inverted }), r: () => this.resetGrey(),
      "?": () => { this.help.open = !this.help.open; },
    };
    if (!Object.hasOwn(actions, key)) return;
    event.preventDefault();
    event.stopPropagation();
    actions[key]();
  }
}

/** Put the viewer of these cases into an element. Pictures are decoded when a case is opened. */
export function mount(root, pack) { return new Viewer(root, pack); }

export default {
  render({ model, el }) {
    const root = make("div");
    el.append(root);
    mount(root, model.get("pack"));
  },
};
