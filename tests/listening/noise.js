"use strict";
// A source of samples for tests: noise that NumPy makes as well; the first track is the sum of the others.

const noise = (track, channel, n) => {
  let x = (n + Math.imul(track + 1, 0x9e3779b1) + Math.imul(channel + 1, 0x85ebca6b)) >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d) >>> 0;
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b) >>> 0;
  return ((x ^ (x >>> 16)) >>> 14) / 2 ** 20 - 0.125;
};

class Noise {
  constructor(piece) {
    this.piece = piece;
    this.asked = [];
    this.wait = () => Promise.resolve();
  }

  async block(index, start, frames, signal) {
    this.asked.push([index, start, frames]);
    await this.wait(index, start, frames);
    signal.throwIfAborted();
    return Array.from({ length: this.piece.tracks[index].channels }, (_, channel) => Float32Array.from({ length: frames },
      (_, n) => this.value(index, channel, start + n)));
  }

  value(index, channel, n) {
    if (index > 0 || this.piece.tracks.length === 1) return noise(index, channel, n);
    return this.piece.tracks.slice(1).reduce((sum, _, stem) => sum + noise(stem + 1, channel, n), 0);
  }
}

const pieceOf = (rate, frames, channels, tracks) => ({
  sample_rate: rate, frames, bin: 1024,
  tracks: Array.from({ length: tracks }, (_, index) => ({ index, name: `track ${index}`, channels })),
});

/** Renders `length` samples while a script of [sample, action] runs; returns the channels as base64 and what was said. */
async function render(piece, length, channels, script, prepare = () => {}) {
  const context = new OfflineAudioContext(channels, length, piece.sample_rate);
  const samples = new Noise(piece);
  const player = new Player(context, samples, piece);
  const said = [];
  for (const name of ["state", "starved", "failed"]) {
    player.addEventListener(name, (event) => said.push([name, event.detail, player.position]));
  }
  await prepare(player, samples);
  const at = new Map(script.map(([sample, action]) => [Math.ceil(sample / 128) * 128, action]));
  for (let n = 512; n < length; n += Math.floor(piece.sample_rate / 2 / 128) * 128) if (!at.has(n)) at.set(n, () => {});
  for (const [sample, action] of at) {
    if (sample === 0) await action(player, samples);
    else context.suspend(sample / piece.sample_rate).then(async () => {
      await action(player, samples);
      await player.fill();
      context.resume();
    });
  }
  await player.fill();
  const heard = await context.startRendering();
  const encoded = [];
  for (let channel = 0; channel < channels; channel += 1) {
    const bytes = new Uint8Array(heard.getChannelData(channel).buffer);
    let text = "";
    for (let n = 0; n < bytes.length; n += 32768) text += String.fromCharCode(...bytes.subarray(n, n + 32768));
    encoded.push(btoa(text));
  }
  return { heard: encoded, said, asked: samples.asked, position: player.position, playing: player.playing };
}
