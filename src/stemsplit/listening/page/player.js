"use strict";
// Plays the tracks of a piece in step on one clock: play, pause, seek, loop and gains, exact to the sample.

/**
 * Plays the tracks of a piece. All positions are whole samples of the song.
 *
 * Events: "state" (detail: "play", "pause", "seek", "loop" or "end"); "starved" (detail: whether it waits for samples,
 * all tracks together); "failed" (detail: the reason, one line; the player has paused).
 */
class Player extends EventTarget {
  #deck = null;
  #position = 0;
  #loop = null;
  #ramps = new Map();
  #quiet = 0;
  #starved = false;
  #timer = null;
  #live;
  #heedContext = () => this.#say(this.playing ? "play" : "pause");

  /**
   * @param {BaseAudioContext} context context at the sample rate of the piece; its maker closes it.
   * @param {object} samples source of samples: ServedSamples or EmbeddedSamples.
   * @param {object} piece what the page is told of the piece.
   */
  constructor(context, samples, piece) {
    super();
    Object.assign(this, { context, samples, piece });
    this.used = new Set(piece.tracks.keys());
    /** What all tracks make together; to put something between it and the speakers, reconnect it. */
    this.output = context.createGain();
    this.output.connect(context.destination);
    this.#live = typeof context.startRendering !== "function";
    if (this.#live) {
      // A sound card with more speakers gets all channels; for one with fewer, the browser mixes down.
      const most = Math.max(...piece.tracks.map((track) => track.channels), 2);
      context.destination.channelCount = Math.min(most, context.destination.maxChannelCount || 2);
      context.addEventListener("statechange", this.#heedContext);
    }
    this.outputs = new Map();
    /** Where each track is led. */
    this.inputs = new Map();
    for (const { index, channels } of piece.tracks) {
      const output = context.createGain();
      output.connect(this.output);
      this.outputs.set(index, output);
      this.inputs.set(index, ledTo(output, channels));
      this.#ramps.set(index, new Ramp(output.gain, piece.sample_rate, 1));
    }
  }

  /** Length of the song, in samples. */
  get frames() {
    return this.piece.frames;
  }

  /** First sample of the loop and the one after its last, or null. */
  get looped() {
    return this.#loop && [...this.#loop];
  }

  /** Whether the song runs: false as well while the browser holds the sound back. */
  get playing() {
    return this.#deck !== null && (!this.#live || this.context.state === "running");
  }

  /** Whether samples of the song are heard now: false as well while it waits for them. */
  get sounding() {
    const end = this.#deck?.timeline.end ?? null;
    return this.playing && end !== null && this.#heard < end;
  }

  /** Sample of the song that is heard now. */
  get position() {
    return this.#deck ? Math.min(this.#deck.timeline.positionAt(this.#heard), this.frames) : this.#position;
  }

  /** First sample of the clock that can still be scheduled: what comes before it may be on its way to the speakers. */
  get soonest() {
    const lead = Player.LEAD_SECONDS + 2 * (this.#live ? this.context.baseLatency || 0 : 0);
    return Math.ceil((this.context.currentTime + lead) * this.piece.sample_rate - 1e-3);
  }

  get #heard() {
    const latency = this.#live ? this.context.outputLatency || 0 : 0;
    return Math.round((this.context.currentTime - Math.min(latency, 1)) * this.piece.sample_rate);
  }

  /** Plays from the position on, or from the beginning if that is the end. Resolves when sound is scheduled. */
  async play() {
    if (!this.#runs) {
      if (this.#position >= this.frames) this.#position = 0;
      this.#start(this.#position);
      this.#say("play");
    }
    this.fill();
    await Promise.all([this.#deck?.begun, this.#wake()]);
  }

  /** Pauses, with a short fade, where the sound stops. */
  pause() {
    if (!this.#runs) return;
    this.#stop();
    this.#say("pause");
  }

  /** Goes to a position: a sample of the song, rounded and kept within it. */
  seek(position) {
    const [to] = this.#whole(position);
    const playing = this.#runs;
    if (playing) this.#stop();
    this.#position = to;
    if (playing) this.#start(to);
    this.#say("seek");
    if (playing) this.fill();
  }

  /**
   * Repeats a stretch of the song once its end is next reached; loop(null) repeats nothing.
   * A loop has at least one sample. A position at its end or beyond goes to its start.
   * @param {?number} start first sample.
   * @param {number=} end sample after the last.
   */
  loop(start, end) {
    const [one, other] = start === null ? [] : this.#whole(start, end);
    const first = Math.min(one, other, this.frames - 1);
    this.#loop = start === null || this.frames === 0 ? null : [first, Math.max(one, other, first + 1)];
    this.#say("loop");
    const position = this.#runs ? this.#deck.timeline.positionAt(this.soonest) : this.#position;
    if (this.#loop && position >= this.#loop[1]) {
      this.seek(this.#loop[0]);
    } else {
      this.#deck?.reroute(this.#loop);
      this.fill();
    }
  }

  /** Names the tracks, by index, that are heard now or soon: only these are fetched and scheduled. */
  use(indices) {
    this.used = new Set([...indices].filter((index) => this.outputs.has(index)));
    this.#deck?.use(this.used);
    this.fill();
  }

  /** Moves the gains of tracks: a Map or an object from index to linear gain, negative for reversed polarity. */
  gains(values) {
    const at = this.soonest;
    const until = at + Math.ceil(FADE_SECONDS * this.piece.sample_rate);
    for (const [index, gain] of values instanceof Map ? values : Object.entries(values)) {
      const ramp = this.#ramps.get(Number(index));
      if (!ramp || !Number.isFinite(gain)) throw new RangeError(`track ${index} cannot have the gain ${gain}`);
      if (this.#deck === null && at >= this.#quiet) ramp.set(gain);
      else if (ramp.valueAt(until) !== gain) ramp.move(gain, at, until);
    }
  }

  /** Schedules ahead. A timer calls it; with an OfflineAudioContext, whoever renders does. */
  async fill() {
    const deck = this.#deck;
    if (deck === null) return;
    deck.timeline.forget(this.#heard);
    if (this.#over(deck)) return;
    this.#starve(this.#waiting(deck));
    try {
      await deck.fill();
    } catch (error) {
      if (deck !== this.#deck) return;
      this.pause();
      this.dispatchEvent(new CustomEvent("failed", { detail: String(error?.message ?? error) }));
    }
    if (deck === this.#deck && !this.#over(deck)) this.#starve(this.#waiting(deck));
  }

  /** Stops, and lets everything go but the context. */
  close() {
    this.#stop();
    this.context.removeEventListener("statechange", this.#heedContext);
    // The last fade is heard out.
    setTimeout(() => [this.output, ...this.outputs.values()].forEach((output) => output.disconnect()), 200);
  }

  #start(position) {
    this.#deck = new Deck(this, position, this.#loop, () => this.fill());
    // Nodes that end call as well: browsers hold timers of hidden pages back, up to a minute.
    if (this.#live) this.#timer = setInterval(() => this.fill(), 250);
  }

  #stop() {
    const deck = this.#deck;
    if (deck === null) return;
    this.#deck = null;
    clearInterval(this.#timer);
    const at = this.soonest;
    this.#quiet = at + deck.fade;
    this.#position = Math.min(deck.timeline.positionAt(at), this.frames);
    deck.close(at);
    this.#starve(false);
  }

  /** Whether there is a deck that has not come to the end of the song. */
  get #runs() {
    return this.#deck !== null && !this.#over(this.#deck);
  }

  #over(deck) {
    const { end, cursor, complete } = deck.timeline;
    if (!complete || (end === null ? cursor < this.frames : this.#heard < end)) return false;
    this.#stop();
    this.#position = this.frames;
    this.#say("end");
    return true;
  }

  #waiting(deck) {
    const { end } = deck.timeline;
    return end === null ? performance.now() - deck.since > 250 : this.#heard >= end;
  }

  #starve(starved) {
    if (this.#starved === starved) return;
    this.#starved = starved;
    this.dispatchEvent(new CustomEvent("starved", { detail: starved }));
  }

  #say(what) {
    this.dispatchEvent(new CustomEvent("state", { detail: what }));
  }

  /** Lets the context run: browsers hold sound back until the page is clicked. */
  async #wake() {
    if (!this.#live || this.context.state === "running") return;
    const late = new Promise((resolve) => setTimeout(resolve, 1000));
    await Promise.race([this.context.resume(), late]).catch(() => {});
    if (this.context.state === "running" || this.#deck === null) return;
    this.pause();
    this.dispatchEvent(new CustomEvent("failed", { detail: "the browser holds the sound back; press Play again" }));
  }

  #whole(...positions) {
    return positions.map((position) => {
      if (!Number.isFinite(position)) throw new RangeError(`${position} is not a position in the song`);
      return Math.min(Math.max(Math.round(position), 0), this.frames);
    });
  }
}

/** Time in which the browser takes up what is scheduled. */
Player.LEAD_SECONDS = 0.01;

/**
 * Returns a context at a sample rate or, if the browser refuses it, at its own.
 * @param {number} rate Hz.
 * @returns {{context: AudioContext, exact: boolean}} exact: whether the samples are played as they are.
 */
function contextFor(rate) {
  try {
    const context = new AudioContext({ sampleRate: rate, latencyHint: "balanced" });
    return { context, exact: context.sampleRate === rate };
  } catch {
    return { context: new AudioContext(), exact: false };
  }
}
