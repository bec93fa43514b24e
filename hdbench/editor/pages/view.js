// The canvas: pictures of the scene under zoom and pan, and what is drawn over them.

export class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext('2d');
    this.scale = 1; this.left = 0; this.top = 0; this.fitted = true;
    this.size = [1, 1];
    this.image = null;      // after the edits
    this.before = null;
    this.labels = null;     // canvas in the classes' colours
    this.maps = null;       // { label, region }: one entry per pixel
    this.mode = 'image';
    this.split = 0.5;       // share of the width that shows the scene before the edits
    this.outline = null;    // canvas: the border of the hovered or picked region
    this.over = null;       // function that draws in scene coordinates
    new ResizeObserver(() => this.resized()).observe(canvas);
    matchMedia('(resolution: 1dppx)').addEventListener('change', () => this.resized());
  }

  resized() {
    const ratio = devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(this.canvas.clientWidth * ratio));
    this.canvas.height = Math.max(1, Math.round(this.canvas.clientHeight * ratio));
    if (this.fitted) this.fit(); else this.draw();
  }

  fit() {
    const [width, height] = this.size;
    this.scale = Math.min(this.canvas.width / width, this.canvas.height / height);
    this.left = (this.canvas.width - this.scale * width) / 2;
    this.top = (this.canvas.height - this.scale * height) / 2;
    this.fitted = true;
    this.draw();
  }

  zoom(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const ratio = devicePixelRatio || 1;
    const least = 0.5 * Math.min(this.canvas.width / this.size[0], this.canvas.height / this.size[1]);
    const scale = Math.max(least, Math.min(64, this.scale * factor));
    this.left = x * ratio - (x * ratio - this.left) * scale / this.scale;
    this.top = y * ratio - (y * ratio - this.top) * scale / this.scale;
    this.scale = scale;
    this.fitted = false;
    this.draw();
  }

  pan(x, y) {
    const ratio = devicePixelRatio || 1;
    this.left += x * ratio; this.top += y * ratio;
    this.fitted = false;
    this.draw();
  }

  // From a pointer's place on the page to the scene's pixels.
  point(event) {
    const ratio = devicePixelRatio || 1, box = this.canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) * ratio - this.left) / this.scale;
    const y = ((event.clientY - box.top) * ratio - this.top) / this.scale;
    return [x, y];
  }

  at([x, y]) {
    const [width, height] = this.size, column = Math.floor(x), row = Math.floor(y);
    if (!this.maps || column < 0 || row < 0 || column >= width || row >= height) return null;
    const n = row * width + column;
    return { label: this.maps.label[n], region: this.maps.region[n] };
  }

  setMaps(picture, colours) {
    const [width, height] = this.size;
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(picture, 0, 0);
    const pixels = context.getImageData(0, 0, width, height);
    const count = width * height, label = new Uint8Array(count), region = new Uint16Array(count);
    for (let n = 0; n < count; n++) {
      label[n] = pixels.data[4 * n];
      region[n] = pixels.data[4 * n + 1] << 8 | pixels.data[4 * n + 2];
      const colour = colours[label[n]] || [0, 0, 0];
      pixels.data.set(colour, 4 * n);
    }
    context.putImageData(pixels, 0, 0);
    this.labels = canvas;
    this.maps = { label, region };
  }

  // Mark the border of a region, or none; filled: its inside too, which hides its true colours.
  mark(region, filled = false) {
    if (region === null || !this.maps) { this.outline = null; this.draw(); return; }
    const [width, height] = this.size, { region: ids } = this.maps;
    const canvas = new OffscreenCanvas(width, height), context = canvas.getContext('2d');
    const pixels = context.createImageData(width, height);
    for (let n = 0, row = 0; row < height; row++) {
      for (let column = 0; column < width; column++, n++) {
        if (ids[n] !== region) continue;
        const inside = column > 0 && ids[n - 1] === region && column < width - 1 && ids[n + 1] === region
          && row > 0 && ids[n - width] === region && row < height - 1 && ids[n + width] === region;
        if (!inside || filled) pixels.data.set([255, 225, 0, inside ? 40 : 255], 4 * n);
      }
    }
    context.putImageData(pixels, 0, 0);
    this.outline = canvas;
    this.draw();
  }

  draw() {
    if (!this.waiting) {
      this.waiting = true;
      requestAnimationFrame(() => { this.waiting = false; this.paint(); });
    }
  }

  paint() {
    const { context, canvas } = this, [width, height] = this.size;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.setTransform(this.scale, 0, 0, this.scale, this.left, this.top);
    context.imageSmoothingEnabled = this.scale < 3;
    const put = (picture, alpha = 1) => {
      if (!picture) return;
      context.globalAlpha = alpha;
      context.drawImage(picture, 0, 0, width, height);
      context.globalAlpha = 1;
    };
    if (this.mode === 'labels') put(this.labels); else put(this.image);
    if (this.mode === 'both') put(this.labels, 0.45);
    if (this.mode === 'compare' && this.before) {
      const line = this.split * width;
      context.save();
      context.beginPath();
      context.rect(0, 0, line, height);
      context.clip();
      put(this.before);
      context.restore();
      context.fillStyle = '#ffe100';
      context.fillRect(line - 1 / this.scale, 0, 2 / this.scale, height);
    }
    if (this.mode !== 'compare') put(this.outline);
    if (this.over) this.over(context, 1 / this.scale);
    canvas.dataset.drawn = String(Number(canvas.dataset.drawn || 0) + 1);
  }
}
