"use strict";
// For tests of the player: tracks of noise that NumPy makes as well, and a script that runs while they are rendered.

const noise = (track, channel, n) => {
  let x = (n + Math.imul(track + 1, 0x9e3779b1) + Math.imul(channel + 1, 0x85ebca6b)) >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d) >>> 0;
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b) >>> 0;
  return ((x ^ (x >>> 16)) >>> 14) / 2 ** 20 - 0.125;
};

/** A source of samples. The first of several tracks is the sum of the others. */
class Noise {
  constructor(piece) {
    this.piece = piece;
    this.asked = [];
    this.free = Infinity;
    this.held = [];
  }

  /** Lets all blocks wait but the first `free`; release() gives all that wait, and the others at once. */
  hold(free) {
    this.free = free;
  }

  release() {
    this.free = Infinity;
    this.held.splice(0).forEach((go) => go());
  }

  value(track, channel, n) {
    if (track > 0 || this.piece.tracks.length === 1) return noise(track, channel, n);
    return this.piece.tracks.slice(1).reduce((sum, _, stem) => sum + noise(stem + 1, channel, n), 0);
  }

  async block(track, start, frames, signal) {
    this.asked.push([track, start, frames]);
    if (this.asked.length > this.free) await new Promise((resolve) => this.held.push(resolve));
    signal.throwIfAborted();
    return Array.from({ length: this.piece.tracks[track].channels }, (_, channel) =>
      Float32Array.from({ length: frames }, (_, n) => this.value(track, channel, start + n)));
  }
}

function pieceOf(rate, frames, channels, tracks) {
  const named = (_, index) => ({ index, name: `track ${index}`, channels });
  return { sample_rate: rate, frames, bin: 1024, tracks: Array.from({ length: tracks }, named) };
}

/** Returns a player of noise for an offline context, and a list that fills with what the player says. */
function playerOf(context, piece) {
  const player = new Player(context, new Noise(piece), piece);
  const said = [];
  for (const name of ["state", "starved", "failed"]) {
    player.addEventListener(name, (event) => said.push([name, event.detail]));
  }
  return [player, said];
}

/**
 * Renders `length` samples while a script of [sample, method, its arguments] runs: methods of the player, or hold and
 * release of its source. Each sample is a multiple of 128. Returns the samples as base64, and what the player said.
 */
async function rendered(piece, length, script, before = []) {
  const channels = piece.tracks[0].channels;
  const context = new OfflineAudioContext(channels, length, piece.sample_rate);
  const [player, said] = playerOf(context, piece);
  const act = (method, args) => (method in player ? player : player.samples)[method](...args);
  for (const [method, args] of before) act(method, args);
  const steps = new Map();
  for (let n = 0; n < length; n += 2 * piece.sample_rate) steps.set(Math.floor(n / 128) * 128, []);
  for (const [sample, method, args] of script) {
    steps.set(sample, [...(steps.get(sample) ?? []), [method, args]]);
  }
  for (const [sample, actions] of steps) {
    const step = async () => {
      for (const [method, args] of actions) act(method, args);
      const filled = player.fill();
      if (player.samples.free === Infinity) await filled;
      else for (let n = 0; n < 9; n += 1) await null;
    };
    if (sample === 0) await step();
    else context.suspend(sample / piece.sample_rate).then(step).then(() => context.resume());
  }
  const sound = await context.startRendering();
  await player.fill();
  const heard = Array.from({ length: channels }, (_, channel) => {
    const bytes = new Uint8Array(sound.getChannelData(channel).buffer);
    let text = "";
    for (let n = 0; n < bytes.length; n += 32768) text += String.fromCharCode(...bytes.subarray(n, n + 32768));
    return btoa(text);
  });
  const { position, playing, looped } = player;
  return { heard, said, asked: player.samples.asked, position, playing, looped };
}
