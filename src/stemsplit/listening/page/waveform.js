"use strict";
/* Draws waveforms from peaks computed beforehand, or from samples where few of them are visible. */

const FULL_SCALE = 32767;

/** Width of a bin in pixels from which the waveform is drawn from samples instead: a few seconds are visible then. */
const COARSE_PIXELS = 3;

/**
 * Reduces peaks to one pair for each column.
 * @param {Int16Array} peaks lowest and highest sample of each bin
 * @param {number} bin samples in a bin
 * @param {number} start first visible sample
 * @param {number} end first sample that is no longer visible
 * @param {number} columns
 * @returns {Float32Array} lowest and highest of each column, 1 is full scale
 */
function columnsOfPeaks(peaks, bin, start, end, columns) {
  const reduced = new Float32Array(2 * columns);
  const bins = peaks.length / 2;
  for (let column = 0; column < columns; column += 1) {
    const from = Math.floor((start + ((end - start) * column) / columns) / bin);
    const to = Math.max(from + 1, Math.ceil((start + ((end - start) * (column + 1)) / columns) / bin));
    let [low, high] = [FULL_SCALE, -FULL_SCALE];
    for (let index = Math.max(0, from); index < Math.min(bins, to); index += 1) {
      low = Math.min(low, peaks[2 * index]);
      high = Math.max(high, peaks[2 * index + 1]);
    }
    if (low <= high) {
      reduced[2 * column] = low / FULL_SCALE;
      reduced[2 * column + 1] = high / FULL_SCALE;
    }
  }
  return reduced;
}

/**
 * Reduces samples to one pair for each column.
 * @param {Float32Array[]} channels samples of the visible stretch
 * @param {number} columns
 * @returns {Float32Array} lowest and highest of each column, over all channels
 */
function columnsOfSamples(channels, columns) {
  const reduced = new Float32Array(2 * columns);
  const length = channels[0].length;
  for (let column = 0; column < columns; column += 1) {
    const from = Math.floor((length * column) / columns);
    const to = Math.min(length, Math.max(from + 1, Math.floor((length * (column + 1)) / columns) + 1));
    let [low, high] = [Infinity, -Infinity];
    for (const samples of channels) {
      for (let index = from; index < to; index += 1) {
        low = Math.min(low, samples[index]);
        high = Math.max(high, samples[index]);
      }
    }
    if (low <= high) {
      reduced[2 * column] = low;
      reduced[2 * column + 1] = high;
    }
  }
  return reduced;
}

/**
 * Draws one pair a column as a filled shape around the middle.
 * @param {HTMLCanvasElement} canvas
 * @param {function(number): Float32Array} columnsFor returns the pairs for a number of columns
 * @param {string} fill colour
 * @param {number} scale factor by which the wave is drawn larger
 */
function drawWave(canvas, columnsFor, fill, scale) {
  const context = canvasContext(canvas);
  if (!context) {
    return;
  }
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const columns = Math.min(4_096, canvas.width);
  const pairs = columnsFor(columns);
  const middle = height / 2;
  const place = (value) => middle - Math.min(1, Math.max(-1, value * scale)) * (middle - 1);
  const step = width / columns;
  context.fillStyle = fill;
  context.beginPath();
  context.moveTo(0, middle);
  for (let column = 0; column < columns; column += 1) {
    context.lineTo((column + 0.5) * step, place(pairs[2 * column + 1]) - 0.4);
  }
  for (let column = columns - 1; column >= 0; column -= 1) {
    context.lineTo((column + 0.5) * step, place(pairs[2 * column]) + 0.4);
  }
  context.closePath();
  context.fill();
}

/** The waveform of a track in the visible stretch. */
class Waveform {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Desk} desk
   * @param {number} index of the track; -1 for none
   */
  constructor(canvas, desk, index) {
    Object.assign(this, { canvas, desk, index, peaks: null, scale: 1, detail: null, asked: null });
    this.draw = once(() => this.paint());
    desk.view.addEventListener("change", this.draw);
    this.watch = new ResizeObserver(this.draw);
    this.watch.observe(canvas);
  }

  /** Takes the peaks of the track, when they have come. */
  take(peaks, scale) {
    Object.assign(this, { peaks, scale });
    this.draw();
  }

  paint() {
    if (!this.peaks || !this.canvas.isConnected) {
      return;
    }
    const { view, piece } = this.desk;
    const coarse = view.length * COARSE_PIXELS < this.canvas.clientWidth * piece.bin;
    const fine = coarse && this.covered();
    const columnsFor = (columns) => fine
      ? columnsOfSamples(fine, columns)
      : columnsOfPeaks(this.peaks, piece.bin, view.start, view.end, columns);
    drawWave(this.canvas, columnsFor, colour(this.canvas, "--wave"), this.scale);
    if (coarse && !fine && piece.frames) {
      this.ask();
    }
  }

  /** Returns the samples of the visible stretch if they have been read; null otherwise. */
  covered() {
    const { view } = this.desk;
    if (!this.detail || this.detail.start > view.start || this.detail.end < view.end) {
      return null;
    }
    const from = view.start - this.detail.start;
    return this.detail.channels.map((samples) => samples.subarray(from, from + view.length));
  }

  /** Reads the samples around the visible stretch, a moment after the last zoom. */
  ask() {
    clearTimeout(this.asked);
    this.asked = setTimeout(async () => {
      const { view, piece, samples } = this.desk;
      const start = Math.max(0, view.start - Math.floor(view.length / 4));
      const end = Math.min(piece.frames, view.end + Math.floor(view.length / 4));
      try {
        const channels = await samples.block(this.index, start, end - start, this.desk.ending.signal);
        this.detail = { start, end, channels };
        this.draw();
      } catch {
        // The coarse waveform stays; what cannot be read is said where it is played.
      }
    }, 150);
  }

  close() {
    clearTimeout(this.asked);
    this.watch.disconnect();
    this.desk.view.removeEventListener("change", this.draw);
    this.detail = null;
  }
}
