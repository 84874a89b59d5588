/** Takes samples and waveforms from the page itself, which holds its sound in many small pieces. */
"use strict";

/** Decoded chunks of a track that are kept: the one that is played, and the one before or after it. */
const KEPT_CHUNKS = 2;

/**
 * Gives the samples of a page that holds its own sound, chunk by chunk, so that little of it is ever decoded.
 *
 * Each chunk of a track is a file of its own, in base64, in an element that the browser does not run. A chunk holds
 * some samples of its neighbours on either side (the margin), and fades in over the first of its own, while the chunk
 * before it fades out: so a codec that changes sound leaves no click.
 */
class EmbeddedSamples {
  /**
   * @param {object} piece what the page plays; `piece.audio` says how its sound is cut: `chunk`, `margin` and `fade` in
   *     samples, and `rate` in Hz, at which chunks are decoded.
   */
  constructor(piece) {
    this.piece = piece;
    this.audio = piece.audio;
    this.decoder = new OfflineAudioContext(1, 1, this.audio.rate);
    this.kept = piece.tracks.map(() => new Map());
  }

  /**
   * Returns samples of a track.
   * @param {number} index the track
   * @param {number} start its first sample
   * @param {number} frames number of samples
   * @param {AbortSignal} [signal] ends the work with an AbortError
   * @returns {Promise<Float32Array[]>} the samples of each channel; silence beyond the end
   */
  async block(index, start, frames, signal) {
    const { chunk, fade } = this.audio;
    const end = Math.min(start + frames, this.piece.frames);
    const block = Array.from({ length: this.piece.tracks[index].channels }, () => new Float32Array(frames));
    for (let number = Math.floor(Math.max(start, 0) / chunk); number * chunk < end; number += 1) {
      const from = Math.max(start, number * chunk);
      const to = Math.min(end, (number + 1) * chunk);
      const faded = number > 0 ? Math.min(to, number * chunk + fade) : from;
      // The chunk before comes first: it is the one that is still kept.
      const before = from < faded ? await this.chunk(index, number - 1, signal) : null;
      const own = await this.chunk(index, number, signal);
      block.forEach((samples, channel) => {
        samples.set(this.part(own[channel], number, from, to), from - start);
        if (before) this.fade(samples, this.part(before[channel], number - 1, from, faded), number, from, start);
      });
    }
    return block;
  }

  /** Returns the samples from one position to another, which lie in a chunk or its margin. */
  part(samples, number, from, to) {
    const origin = number * this.audio.chunk - this.audio.margin;
    return samples.subarray(from - origin, to - origin);
  }

  /** Blends the end of the chunk before into the first samples of a chunk. */
  fade(samples, before, number, from, start) {
    const origin = number * this.audio.chunk;
    before.forEach((sample, place) => {
      const share = (from + place - origin + 0.5) / this.audio.fade;
      const at = from - start + place;
      samples[at] = share * samples[at] + (1 - share) * sample;
    });
  }

  /** Returns a decoded chunk: its samples and its margins', for each channel. */
  async chunk(index, number, signal) {
    signal?.throwIfAborted();
    const kept = this.kept[index];
    const decoded = kept.get(number) ?? this.decoded(index, number);
    kept.delete(number); // the latest comes last
    kept.set(number, decoded);
    while (kept.size > KEPT_CHUNKS) kept.delete(kept.keys().next().value);
    try {
      const channels = await decoded;
      signal?.throwIfAborted();
      return channels;
    } catch (error) {
      if (!signal?.aborted) kept.delete(number); // to be tried again
      throw error;
    }
  }

  /** Decodes a chunk; every one or two channels are a file. */
  async decoded(index, number) {
    const { channels } = this.piece.tracks[index];
    const files = Array.from({ length: Math.ceil(channels / 2) }, (_, part) => `audio-${index}-${number}-${part}`);
    return (await Promise.all(files.map((name) => this.file(name)))).flat();
  }

  /** Decodes one file of the page, and undoes the gain that kept its samples from clipping. */
  async file(name) {
    const gain = Number(document.getElementById(name).dataset.gain ?? 1);
    let buffer = null;
    try {
      buffer = await this.decoder.decodeAudioData(bytesOf(name).buffer);
    } catch {
      const hint = this.audio.codec === "opus" ? "; Safari needs version 18.4 or later" : "";
      throw new Error(`this browser cannot decode the sound in this page (${this.audio.codec})${hint}`);
    }
    return Array.from({ length: buffer.numberOfChannels }, (_, channel) => {
      const samples = buffer.getChannelData(channel);
      return gain === 1 ? samples : samples.map((sample) => sample * gain);
    });
  }

  /**
   * Returns the waveform of a track.
   * @param {number} index the track
   * @returns {Promise<Int16Array>} lowest and highest sample, in turn, of every `piece.bin` samples; full scale 32767
   */
  async peaks(index) {
    return new Int16Array(bytesOf(`peaks-${index}`).buffer);
  }
}

/** Returns the bytes that an element of the page holds in base64. */
function bytesOf(name) {
  const text = document.getElementById(name).textContent;
  return Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (byte) => byte.charCodeAt(0));
}
