"use strict";
// Fetches samples and peaks of a song from the server of `stemsplit listen`.

/** Lets a number of requests run at once; the others wait for their turn, in order. */
class Turns {
  #waiting = [];
  #running = 0;

  /** @param {number} most how many run at once. */
  constructor(most) {
    this.most = most;
  }

  /** Resolves when it is the caller's turn; rejects as soon as the signal is aborted. */
  take(signal) {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const leave = () => {
        this.#waiting = this.#waiting.filter((one) => one !== go);
        reject(signal.reason);
      };
      const go = () => {
        signal?.removeEventListener("abort", leave);
        resolve();
      };
      signal?.addEventListener("abort", leave);
      this.#waiting.push(go);
      this.#admit();
    });
  }

  /** Ends a turn. */
  give() {
    this.#running -= 1;
    this.#admit();
  }

  #admit() {
    while (this.#running < this.most && this.#waiting.length) {
      this.#running += 1;
      this.#waiting.shift()();
    }
  }
}

/** Gives blocks of samples and peaks of the tracks of a piece that a server holds. */
class ServedSamples {
  // Browsers open six connections; the page needs one. The peaks of an hour take long, and nobody waits to hear them.
  #blocks = new Turns(4);
  #peaks = new Turns(1);

  /**
   * @param {string} address address of the piece without a suffix, such as "songs/3".
   * @param {object} piece what the server says of the piece.
   */
  constructor(address, piece) {
    this.address = address;
    this.piece = piece;
    // If the song has been split again, the numbers mean other tracks: the server then refuses.
    this.version = piece.version ? `?version=${piece.version}` : "";
  }

  /**
   * Returns samples of a track, one Float32Array for each channel.
   * @param {number} index track.
   * @param {number} start first sample.
   * @param {number} frames samples per channel.
   * @param {AbortSignal=} signal ends the request when its samples are no longer wanted.
   * @throws {Error} if the server does not give exactly these samples; the message is one line.
   */
  async block(index, start, frames, signal) {
    const channels = this.piece.tracks[index].channels;
    const size = channels * Float32Array.BYTES_PER_ELEMENT;
    const [from, to] = [start * size, (start + frames) * size - 1];
    const range = `bytes ${from}-${to}/${this.piece.frames * size}`;
    const place = `${this.address}/${index}.f32${this.version}`;
    const bytes = await this.#get(this.#blocks, place, signal, { Range: `bytes=${from}-${to}` }, (answer) => {
      if (answer.status === 206 && answer.headers.get("Content-Range") === range) return;
      throw new Error(`the server gave other samples of ${this.piece.tracks[index].name} than asked for`);
    });
    return deinterleaved(this.#checked(bytes, to - from + 1, index), channels, frames);
  }

  /**
   * Returns the peaks of a track: lowest and highest sample of each bin, full scale 32767.
   * @param {number} index track.
   * @param {AbortSignal=} signal ends the request.
   * @throws {Error} if the server does not give them; the message is one line.
   */
  async peaks(index, signal) {
    const bytes = await this.#get(this.#peaks, `${this.address}/${index}.peaks${this.version}`, signal);
    return new Int16Array(this.#checked(bytes, Math.ceil(this.piece.frames / this.piece.bin) * 4, index));
  }

  #checked(bytes, size, index) {
    if (bytes.byteLength === size) return bytes;
    const name = this.piece.tracks[index].name;
    throw new Error(`the server gave ${bytes.byteLength} bytes of ${name} instead of ${size}; load the page again`);
  }

  /** Requests an address, once more after a network error, and returns the bytes of the answer. */
  async #get(turns, address, signal, headers = {}, check = () => {}) {
    await turns.take(signal);
    try {
      for (let tries = 1; ; tries += 1) {
        try {
          const response = await fetch(address, { headers, signal, cache: "no-store" });
          if (!response.ok) throw new Error(await this.#reason(response));
          try {
            check(response);
          } catch (error) {
            await response.body?.cancel();
            throw error;
          }
          return await response.arrayBuffer();
        } catch (error) {
          if (!(error instanceof TypeError)) throw error;
          if (tries === 2) throw new Error("the server does not answer; is stemsplit listen still running?");
        }
      }
    } finally {
      turns.give();
    }
  }

  async #reason(response) {
    const said = await response.json().catch(() => null);
    return typeof said?.error === "string" ? said.error : `the server answered with status ${response.status}`;
  }
}

/**
 * Returns one Float32Array for each channel of interleaved samples. All machines with browsers are little-endian.
 * @param {ArrayBuffer} bytes 32-bit floats.
 * @param {number} channels number of channels.
 * @param {number} frames samples per channel.
 */
function deinterleaved(bytes, channels, frames) {
  const samples = new Float32Array(bytes);
  if (channels === 1) return [samples];
  return Array.from({ length: channels }, (_, channel) => {
    const out = new Float32Array(frames);
    for (let n = 0, at = channel; n < frames; n += 1, at += channels) out[n] = samples[at];
    return out;
  });
}
