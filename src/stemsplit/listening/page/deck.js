"use strict";
// Plays all tracks in step from one position until the next seek or pause: fetches, schedules, fades, lets go.

/** Seconds. A deck starts with a short chunk, so that it is heard soon. */
const FIRST_SECONDS = 1;
const CHUNK_SECONDS = 3;
const AHEAD_SECONDS = 12;
const FADE_SECONDS = 0.005;

/** A track's way out of a deck: a gain of its own, for fades; it is let go when its last node has ended. */
class Gate {
  #nodes = new Set();
  #hold = null;

  constructor(deck, index) {
    this.deck = deck;
    this.node = deck.context.createGain();
    this.node.connect(deck.inputs.get(index));
    this.ramp = new Ramp(this.node.gain, deck.rate, 0);
    this.closed = false;
  }

  /** Opens at a sample of the clock, with a fade unless the song itself begins there. */
  open(at, fade) {
    this.#hold = null;
    if (fade) this.ramp.move(1, at, at + this.deck.fade);
    else this.ramp.set(1);
  }

  /** Fades out before the end of what is scheduled, should nothing follow in time; null calls it off. */
  hold(end) {
    if (this.#hold !== null) this.ramp.cancel(this.#hold);
    this.#hold = null;
    if (end === null || this.ramp.valueAt(end - this.deck.fade) < 1) return;
    this.#hold = end - this.deck.fade;
    this.ramp.move(0, this.#hold, end);
  }

  /** Schedules samples to begin at a sample of the clock. Returns the node. */
  play(channels, at, frames) {
    const { context, rate } = this.deck;
    // A browser that converts the rate plays on between the last sample and the next node's first.
    const more = context.sampleRate === rate ? 0 : 1;
    const buffer = context.createBuffer(channels.length, frames + more, rate);
    channels.forEach((samples, channel) => {
      buffer.copyToChannel(samples, channel);
      if (more) buffer.getChannelData(channel)[frames] = samples[frames - 1];
    });
    const node = context.createBufferSource();
    node.buffer = buffer;
    node.connect(this.node);
    node.onended = () => {
      this.#release(node);
      if (!this.closed) this.deck.ended();
    };
    node.start(at / rate);
    if (more) node.stop((at + frames) / rate);
    this.#nodes.add(node);
    return { node, at, end: at + frames };
  }

  /** Ends a node at a sample of the clock; one that has not begun by then is let go at once. */
  stop(played, end) {
    // The last call counts for a node: it must not be played on to a later end.
    if (end >= played.end) return;
    played.end = end;
    // A quarter of a sample early: whether a browser rounds up or to the nearest, `end` is the first silent sample.
    played.node.stop((end - 0.25) / this.deck.rate);
    if (played.at >= end) this.#release(played.node);
  }

  /** Fades out from a sample of the clock on, then ends. */
  close(at, played) {
    this.closed = true;
    const end = at + this.deck.fade;
    this.ramp.move(0, at, end);
    for (const one of played) this.stop(one, end);
    if (!this.#nodes.size) this.node.disconnect();
  }

  #release(node) {
    node.onended = null;
    node.disconnect();
    this.#nodes.delete(node);
    if (this.closed && !this.#nodes.size) this.node.disconnect();
  }
}

/** Plays from one position on. Tracks are never apart: each span is scheduled for all tracks or for none. */
class Deck {
  #work = null;
  #begin;
  #gates = new Map();
  #abort = new AbortController();

  /**
   * @param {Player} player player whose context, samples, piece and inputs the deck uses.
   * @param {number} position sample of the song at which it begins.
   * @param {?number[]} loop loop that is set.
   * @param {function} ended called whenever a node has ended.
   */
  constructor(player, position, loop, ended) {
    const { context, samples, piece, inputs } = player;
    Object.assign(this, { context, samples, piece, inputs, ended });
    this.soonest = () => player.soonest;
    this.rate = piece.sample_rate;
    this.fade = Math.ceil(FADE_SECONDS * this.rate);
    this.timeline = new Timeline(piece.frames, position, loop);
    this.used = new Set(player.used);
    this.closed = false;
    this.since = performance.now();
    /** Resolves when the first samples are scheduled, or the deck is closed. */
    this.begun = new Promise((resolve) => { this.#begin = resolve; });
  }

  /** Schedules ahead. Calls while it works wait for the same work. */
  fill() {
    this.#work ??= this.#fill().finally(() => { this.#work = null; });
    return this.#work;
  }

  async #fill() {
    try {
      while (!this.closed && ((await this.#join()) || (await this.#extend())));
    } catch (error) {
      if (!this.closed) throw error;
    }
  }

  /** Brings in tracks that have come into use since. Returns whether there may be more to do. */
  async #join() {
    const spans = this.timeline.after(this.soonest());
    const joining = [...this.used].filter((index) => spans.some((span) => !span.played.has(index)));
    if (!joining.length) return false;
    const version = this.timeline.version;
    const blocks = await Promise.all(spans.map((span) => this.#blocks(joining, span)));
    if (this.closed || this.timeline.version !== version) return true;
    // At once for all that is scheduled: a track that came in without its next span could be apart from the others.
    for (const index of joining.filter((one) => this.used.has(one))) {
      const from = Math.max(this.soonest(), spans[0].at);
      this.#gates.get(index)?.close(from, this.#take(index));
      this.#gates.set(index, new Gate(this, index));
      this.#gates.get(index).open(from, true);
      spans.forEach((span, n) => this.#place(index, span, blocks[n].get(index), from));
    }
    this.#hold();
    return true;
  }

  /** Schedules one more span. Returns whether there may be more to do. */
  async #extend() {
    const { timeline } = this;
    const begun = timeline.end !== null;
    const chunk = Math.round(CHUNK_SECONDS * this.rate);
    if (begun && timeline.end - this.soonest() > AHEAD_SECONDS * this.rate - chunk) return false;
    const span = timeline.plan(begun ? chunk : Math.round(FIRST_SECONDS * this.rate));
    if (span === null) return false;
    const [wanted, version] = [[...this.used], timeline.version];
    const blocks = await this.#blocks(wanted, span);
    const joined = [...this.used].some((index) => !wanted.includes(index));
    if (this.closed || timeline.version !== version || (joined && !begun)) return true;
    const late = !begun || timeline.end < this.soonest();
    timeline.add({ ...span, played: new Map() }, late ? this.soonest() : timeline.end);
    const added = timeline.spans.at(-1);
    for (const index of wanted.filter((one) => this.used.has(one))) {
      if (late && !this.#gates.has(index)) this.#gates.set(index, new Gate(this, index));
      const gate = this.#gates.get(index);
      // A track that left and came back meanwhile joins again.
      if (!gate) continue;
      if (late) gate.open(added.at, begun || added.start > 0);
      else gate.hold(null);
      this.#place(index, added, blocks.get(index), added.at);
    }
    this.#hold();
    this.#begin();
    return true;
  }

  /** Returns what the given tracks play in one pass of a span. */
  async #blocks(indices, { start, length }) {
    const found = indices.map(async (index) => {
      const channels = await this.samples.block(index, start, length, this.#abort.signal);
      const { name, channels: count } = this.piece.tracks[index];
      const whole = channels.length === count && channels.every((one) => one.length === length);
      if (!whole) throw new Error(`${name} does not have the samples that its record promises; split the song again`);
      return [index, channels];
    });
    return new Map(await Promise.all(found));
  }

  /** Schedules a track's part of a span, from a sample of the clock on. */
  #place(index, span, channels, from) {
    const skip = Math.max(0, from - span.at);
    const frames = span.frames - skip;
    const gate = this.#gates.get(index);
    const part = channels.map((samples) => repeated(samples, skip, frames));
    span.played.set(index, frames > 0 ? gate.play(part, span.at + skip, frames) : null);
  }

  #hold() {
    const { end, complete } = this.timeline;
    if (end === null || end < this.soonest()) return;
    for (const gate of this.#gates.values()) gate.hold(complete ? null : end);
  }

  /** Changes the tracks that are heard. A track that leaves fades out; fill() brings in new ones. */
  use(indices) {
    const at = this.soonest();
    for (const index of this.used) {
      if (indices.has(index) || !this.#gates.has(index)) continue;
      this.#gates.get(index).close(at, this.#take(index));
      this.#gates.delete(index);
    }
    this.used = new Set(indices);
  }

  /** Follows another loop from the next samples on. */
  reroute(loop) {
    const gone = this.timeline.reroute(loop, this.soonest());
    const last = this.timeline.spans.slice(-1);
    for (const [index, gate] of this.#gates) {
      for (const span of [...gone, ...last]) {
        const played = span.played.get(index);
        if (played) gate.stop(played, this.timeline.end);
      }
    }
    this.#hold();
  }

  /** Fades out at a sample of the clock and lets everything go. */
  close(at) {
    this.closed = true;
    this.#begin();
    this.#abort.abort();
    for (const [index, gate] of this.#gates) gate.close(at, this.#take(index));
  }

  #take(index) {
    const played = this.timeline.spans.map((span) => span.played.get(index)).filter(Boolean);
    for (const span of this.timeline.spans) span.played.delete(index);
    return played;
  }
}

/** Returns `frames` samples of endless repetitions of a block, without its first `skip`. */
function repeated(samples, skip, frames) {
  if (skip + frames <= samples.length) return samples.subarray(skip, skip + frames);
  return Float32Array.from({ length: frames }, (_, n) => samples[(skip + n) % samples.length]);
}
