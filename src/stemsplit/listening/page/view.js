"use strict";
/* The visible stretch of a song: zoom, scroll, and which sample lies under which pixel. */

const SHORTEST_SECONDS = 0.02;

/** The stretch that all waveforms show, in whole samples. Sends "change" when it changes. */
class View extends EventTarget {
  /**
   * @param {number} frames length of the song, in samples
   * @param {number} rate Hz
   */
  constructor(frames, rate) {
    super();
    this.frames = Math.max(1, frames);
    this.shortest = Math.min(this.frames, Math.ceil(rate * SHORTEST_SECONDS));
    this.start = 0;
    this.end = this.frames;
  }

  get length() {
    return this.end - this.start;
  }

  /** Whether the whole song is visible. */
  get whole() {
    return this.length >= this.frames;
  }

  /** Shows a stretch; it is moved and shortened so that it lies within the song. */
  show(start, end) {
    const length = Math.min(this.frames, Math.max(this.shortest, Math.round(end - start)));
    const first = Math.min(this.frames - length, Math.max(0, Math.round(start)));
    if (first !== this.start || first + length !== this.end) {
      this.start = first;
      this.end = first + length;
      this.dispatchEvent(new Event("change"));
    }
  }

  /** Shows the whole song. */
  fit() {
    this.show(0, this.frames);
  }

  /**
   * Zooms; a sample keeps its place.
   * @param {number} factor 2 shows half as much
   * @param {number} at sample that keeps its place
   */
  zoom(factor, at = (this.start + this.end) / 2) {
    const length = Math.min(this.frames, Math.max(this.shortest, this.length / factor));
    const place = (Math.min(this.end, Math.max(this.start, at)) - this.start) / this.length;
    this.show(at - place * length, at - place * length + length);
  }

  /** Moves the stretch by a number of samples. */
  scroll(by) {
    this.show(this.start + by, this.start + by + this.length);
  }

  /** Turns to the stretch in which a position lies. */
  reveal(position) {
    if (position < this.start || position >= this.end) {
      this.show(position - this.length * 0.05, position + this.length * 0.95);
    }
  }

  /** Returns the whole sample at a share of the width, 0 to 1. */
  sampleAt(share) {
    return Math.round(this.start + Math.min(1, Math.max(0, share)) * this.length);
  }

  /** Returns the share of the width at which a sample lies; below 0 or above 1 where it is not visible. */
  shareOf(sample) {
    return (sample - this.start) / this.length;
  }
}
