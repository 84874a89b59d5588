"use strict";
// Says which stretch of the song sounds at which sample of the clock, through loops, and how gains move in between.

/**
 * A stretch of the song on the clock.
 * @typedef {object} Span
 * @property {number} start first sample of the song.
 * @property {number} length samples of the song.
 * @property {number} passes how many times they are played in a row; more than one only in a loop shorter than a chunk.
 * @property {number} frames samples on the clock: length * passes, or fewer if a new loop cut the span short.
 * @property {number} at sample of the clock at which the span begins, once it is scheduled.
 */

/** Plans spans from a position on, in whole samples, and maps samples of the clock back to positions in the song. */
class Timeline {
  /**
   * @param {number} frames length of the song, in samples.
   * @param {number} position sample of the song at which playing begins.
   * @param {?number[]} loop first sample of the loop and the one after its last, or null.
   */
  constructor(frames, position, loop) {
    this.frames = frames;
    this.loop = loop;
    this.spans = [];
    /** Sample of the song that follows what is scheduled; not yet taken back to the beginning of the loop. */
    this.cursor = position;
    /** Sample of the clock after the last one that is scheduled; null before anything is. */
    this.end = null;
    /** Grows when what was planned is void. */
    this.version = 0;
    this.arrived = false;
  }

  /**
   * Returns the next span, at most `most` samples long, or null at the end of the song. Changes nothing.
   * A loop that is no longer than `most` is repeated within the span, so that short loops cost as little as long ones.
   */
  plan(most) {
    const [first, last] = this.loop ?? [0, 0];
    // After a seek to the end of a loop, playing goes on from there; after playing up to it, it goes back.
    const start = this.loop && this.arrived && this.cursor === last ? first : this.cursor;
    const inLoop = this.loop && start < last;
    const length = Math.min(most, (inLoop ? last : this.frames) - start);
    if (length <= 0) return null;
    const whole = inLoop && start === first && start + length === last;
    const passes = whole ? Math.floor(most / length) : 1;
    return { start, length, passes, frames: length * passes };
  }

  /** Puts a planned span on the clock, to begin at sample `at`. */
  add(span, at) {
    span.at = at;
    this.spans.push(span);
    this.cursor = span.start + span.length;
    this.end = at + span.frames;
    this.arrived = true;
  }

  /** Tells whether the song ends where the schedule does. */
  get complete() {
    return this.plan(1) === null;
  }

  /** Returns the sample of the song that sounds at a sample of the clock. */
  positionAt(sample) {
    const span = this.spans.find((one) => sample < one.at + one.frames);
    return span ? span.start + (Math.max(0, sample - span.at) % span.length) : this.cursor;
  }

  /** Returns the spans that are not over at a sample of the clock. */
  after(sample) {
    return this.spans.filter((span) => span.at + span.frames > sample);
  }

  /** Forgets spans that are over at a sample of the clock. */
  forget(sample) {
    this.spans = this.after(sample);
  }

  /**
   * Follows another loop. What is scheduled before the sample `from` stays; so does what both loops have in common.
   * Spans that begin at the new `end` or later are taken off the clock and returned. A span across it is cut short.
   */
  reroute(loop, from) {
    this.loop = loop;
    this.version += 1;
    if (this.end === null || from >= this.end) return [];
    const start = Math.max(from, this.spans[0].at);
    const position = this.positionAt(start);
    let cut = start + this.#straight(start);
    if (loop && position < loop[1]) cut = Math.min(cut, start + loop[1] - position);
    this.cursor = position + cut - start;
    this.end = cut;
    const gone = this.spans.filter((span) => span.at >= cut);
    this.spans = this.spans.filter((span) => span.at < cut);
    const last = this.spans.at(-1);
    if (last) last.frames = Math.min(last.frames, cut - last.at);
    return gone;
  }

  /** Returns how many samples are scheduled from a sample of the clock on until the song first jumps. */
  #straight(from) {
    let at = from;
    let position = this.positionAt(from);
    for (const span of this.after(from)) {
      if (span.at > from && (span.start !== position || span.at !== at)) break;
      const over = span.at + span.frames;
      const pass = Math.min(over, at + span.start + span.length - position);
      position += pass - at;
      at = pass;
      if (pass < over) break;
    }
    return at - from;
  }
}

/** A gain that moves in straight lines, and knows its own value at any time: browsers do not tell it ahead. */
class Ramp {
  /**
   * @param {AudioParam} param gain that is moved.
   * @param {number} rate samples of the clock per second.
   * @param {number} value gain at the beginning.
   */
  constructor(param, rate, value) {
    this.param = param;
    this.rate = rate;
    this.set(value);
  }

  /** Sets the gain at once: for when nothing sounds. */
  set(value) {
    this.lines = [];
    this.first = value;
    this.param.cancelScheduledValues(0);
    this.param.value = value;
  }

  /** Returns the gain at a sample of the clock. */
  valueAt(sample) {
    let value = this.first;
    for (const line of this.lines) {
      if (sample <= line.at) break;
      const part = Math.min(1, (sample - line.at) / (line.until - line.at));
      value = line.from + (line.to - line.from) * part;
    }
    return value;
  }

  /** Moves to a gain from sample `at` to sample `until`; whatever was to happen later is called off. */
  move(to, at, until) {
    const from = this.valueAt(at);
    const crossed = this.lines.some((line) => line.at < at && at < line.until);
    this.cancel(at);
    // A line that is cut short ends where it would have been at that time.
    if (crossed) this.param.linearRampToValueAtTime(from, at / this.rate);
    else this.param.setValueAtTime(from, at / this.rate);
    this.param.linearRampToValueAtTime(to, until / this.rate);
    if (crossed) Object.assign(this.lines.at(-1), { to: from, until: at });
    this.lines.push({ at, until, from, to });
    if (this.lines.length > 8) this.first = this.lines.shift().to;
  }

  /** Calls off whatever was to begin at a sample of the clock or later. */
  cancel(at) {
    this.param.cancelScheduledValues(at / this.rate);
    this.lines = this.lines.filter((line) => line.at < at);
  }
}
