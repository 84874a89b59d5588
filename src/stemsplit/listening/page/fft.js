"use strict";
/* Computes spectra: a fast Fourier transform of radix 2, and power in dB through a Hann window. */

/** Power spectra of windows of one size. */
class Spectrum {
  /** @param {number} size samples in a window, a power of two */
  constructor(size) {
    this.size = size;
    this.window = Float64Array.from({ length: size }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / size));
    this.cos = Float64Array.from({ length: size / 2 }, (_, k) => Math.cos((2 * Math.PI * k) / size));
    this.sin = Float64Array.from({ length: size / 2 }, (_, k) => -Math.sin((2 * Math.PI * k) / size));
    this.order = new Uint32Array(size);
    for (let n = 0, reversed = 0; n < size; n += 1) {
      this.order[n] = reversed;
      let bit = size >> 1;
      while (bit && reversed & bit) {
        reversed ^= bit;
        bit >>= 1;
      }
      reversed |= bit;
    }
    this.real = new Float64Array(size);
    this.imaginary = new Float64Array(size);
  }

  /** Transforms what lies in `real` and `imaginary`, already in reversed order, in place. */
  transform() {
    const { size, real, imaginary, cos, sin } = this;
    for (let half = 1; half < size; half *= 2) {
      const stride = size / (2 * half);
      for (let start = 0; start < size; start += 2 * half) {
        for (let k = 0; k < half; k += 1) {
          const [upper, lower] = [start + k, start + k + half];
          const [c, s] = [cos[k * stride], sin[k * stride]];
          const re = real[lower] * c - imaginary[lower] * s;
          const im = real[lower] * s + imaginary[lower] * c;
          real[lower] = real[upper] - re;
          imaginary[lower] = imaginary[upper] - im;
          real[upper] += re;
          imaginary[upper] += im;
        }
      }
    }
  }

  /**
   * Returns the level of each frequency bin in dB, 0 for a sine of full scale; the loudest of the channels.
   * @param {Float32Array[]} channels
   * @param {number} start sample at which the window begins; samples beyond the ends are zero
   * @returns {Float32Array} size / 2 + 1 levels
   */
  levels(channels, start) {
    const { size, window, order, real, imaginary } = this;
    const powers = new Float32Array(size / 2 + 1);
    for (const samples of channels) {
      for (let n = 0; n < size; n += 1) {
        const sample = samples[start + n];
        real[order[n]] = sample === undefined ? 0 : sample * window[n];
      }
      imaginary.fill(0);
      this.transform();
      for (let k = 0; k <= size / 2; k += 1) {
        powers[k] = Math.max(powers[k], real[k] * real[k] + imaginary[k] * imaginary[k]);
      }
    }
    const full = (size / 4) ** 2;
    return powers.map((power) => 10 * Math.log10(power / full + 1e-20));
  }
}
