"use strict";
/* Draws the spectrogram of the visible stretch of a track, in slices so that the page stays responsive. */

const COLUMNS = 480;
const ROWS = 192;
const FLOOR_DB = -100;
const SLICE_MS = 8;

/** Colours from quiet to loud, in steps of lightness that the colour-blind see too: [red, green, blue]. */
const SHADES = {
  dark: [[13, 14, 20], [30, 35, 84], [48, 76, 138], [50, 128, 150], [104, 178, 132], [204, 215, 100], [255, 250, 205]],
  light: [
    [255, 255, 255], [222, 232, 214], [160, 205, 190], [86, 160, 176], [52, 104, 156], [48, 52, 120], [26, 14, 54],
  ],
};

/** Returns the colour of a share of the range of levels, 0 to 1. */
function shade(shades, share) {
  const place = Math.min(1, Math.max(0, share)) * (shades.length - 1);
  const [below, part] = [Math.min(shades.length - 2, Math.floor(place)), place % 1];
  const mix = place >= shades.length - 1 ? 1 : part;
  return shades[below].map((from, channel) => from + (shades[below + 1][channel] - from) * mix);
}

/** Returns the frequency in Hz at a share of the height, 0 at the bottom. */
function frequencyAt(share, rate, logarithmic) {
  const top = rate / 2;
  const bottom = Math.min(40, top / 8);
  return logarithmic ? bottom * (top / bottom) ** share : top * share;
}

/** Returns the share of the height at which a frequency lies. */
function heightOf(frequency, rate, logarithmic) {
  const top = rate / 2;
  const bottom = Math.min(40, top / 8);
  return logarithmic ? Math.log(frequency / bottom) / Math.log(top / bottom) : frequency / top;
}

/** The spectrogram of one track. */
class Spectrogram {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Desk} desk
   * @param {number} index of the track
   * @param {function(string): void} tell takes what to say of the drawing's progress
   */
  constructor(canvas, desk, index, tell) {
    Object.assign(this, { canvas, desk, index, tell, logarithmic: true, running: null, timer: 0 });
    this.size = 2 ** Math.min(13, Math.max(8, Math.round(Math.log2(desk.rate * 0.046))));
    this.spectrum = new Spectrum(this.size);
    this.image = document.createElement("canvas");
    this.again = () => this.restart();
    this.show = once(() => this.paint());
    desk.view.addEventListener("change", this.again);
    this.watch = new ResizeObserver(this.show);
    this.watch.observe(canvas);
    this.restart(0);
  }

  /** Draws again, a moment after the last change. */
  restart(wait = 200) {
    this.running?.abort();
    clearTimeout(this.timer);
    this.tell("Computing the spectrogram …");
    this.timer = setTimeout(() => this.compute(), wait);
  }

  /** Chooses whether octaves or hertz are equally high. */
  choose(logarithmic) {
    this.logarithmic = logarithmic;
    this.restart(0);
  }

  async compute() {
    if (!this.desk.frames) {
      this.tell("The track has no samples");
      return;
    }
    const run = new AbortController();
    this.running = run;
    const { view, samples } = this.desk;
    const [start, length] = [view.start, view.length];
    const columns = Math.max(1, Math.min(COLUMNS, Math.ceil(length / 16), this.canvas.clientWidth || COLUMNS));
    this.image.width = columns;
    this.image.height = ROWS;
    const hop = length / columns;
    // Where windows overlap, one read serves many columns; where they lie far apart, each is read on its own.
    const together = hop > 4 * this.size ? 1 : Math.max(1, Math.floor((10 * this.desk.rate) / hop));
    try {
      for (let column = 0; column < columns; column += together) {
        const last = Math.min(columns, column + together);
        const from = Math.max(0, Math.round(start + (column + 0.5) * hop - this.size / 2));
        const to = Math.min(this.desk.frames, Math.round(start + (last - 0.5) * hop + this.size / 2));
        const channels = await samples.block(this.index, from, to - from, run.signal);
        await this.slice(run, channels, from, start, hop, column, last);
      }
      this.tell("");
    } catch (error) {
      if (!run.signal.aborted && !this.desk.ending.signal.aborted) {
        this.tell(`No spectrogram: ${error.message}`);
      }
    }
  }

  /** Computes the columns for which samples were read, and yields to the page every few milliseconds. */
  async slice(run, channels, from, start, hop, column, last) {
    let begun = performance.now();
    for (let next = column; next < last; next += 1) {
      if (performance.now() - begun > SLICE_MS) {
        this.show();
        await new Promise((resolve) => setTimeout(resolve, 0));
        begun = performance.now();
      }
      if (run.signal.aborted) {
        throw new DOMException("aborted", "AbortError");
      }
      const window = Math.round(start + (next + 0.5) * hop - this.size / 2) - from;
      this.column(next, this.spectrum.levels(channels, window));
    }
    this.show();
  }

  /** Draws one column of the image from the levels of a window. */
  column(column, levels) {
    const { rate } = this.desk;
    const shades = SHADES[matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"];
    const pixels = new ImageData(1, ROWS);
    for (let row = 0; row < ROWS; row += 1) {
      const [low, high] = [row, row + 1].map((edge) =>
        (frequencyAt(edge / ROWS, rate, this.logarithmic) * this.size) / rate);
      // Where a row is narrower than a bin, between two bins; else the loudest of its bins.
      const middle = Math.min(levels.length - 1.001, (low + high) / 2);
      const below = Math.floor(middle);
      let loudest = levels[below] + (levels[below + 1] - levels[below]) * (middle - below);
      for (let bin = Math.ceil(low); bin < Math.min(levels.length, high); bin += 1) {
        loudest = Math.max(loudest, levels[bin]);
      }
      const colour = shade(shades, 1 - loudest / FLOOR_DB);
      pixels.data.set([...colour, 255], 4 * (ROWS - 1 - row));
    }
    this.image.getContext("2d").putImageData(pixels, column, 0);
  }

  paint() {
    const context = canvasContext(this.canvas);
    if (!context || !this.image.width) {
      return;
    }
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    context.imageSmoothingEnabled = true;
    context.drawImage(this.image, 0, 0, width, height);
    context.font = `${parseFloat(getComputedStyle(this.canvas).fontSize) * 0.75}px system-ui, sans-serif`;
    context.textBaseline = "middle";
    for (const frequency of this.logarithmic ? [100, 1_000, 10_000] : [5_000, 10_000, 15_000, 20_000]) {
      if (frequency < (this.desk.rate / 2) * 0.97) {
        const y = height * (1 - heightOf(frequency, this.desk.rate, this.logarithmic));
        const words = frequency < 1_000 ? `${frequency} Hz` : `${frequency / 1_000} kHz`;
        context.fillStyle = colour(this.canvas, "--surface");
        context.fillRect(0, y - 8, context.measureText(words).width + 10, 16);
        context.fillStyle = colour(this.canvas, "--ink");
        context.fillText(words, 5, y);
      }
    }
  }

  close() {
    this.running?.abort();
    clearTimeout(this.timer);
    this.watch.disconnect();
    this.desk.view.removeEventListener("change", this.again);
  }
}
