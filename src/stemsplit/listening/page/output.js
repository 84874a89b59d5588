"use strict";
/* The way from the player to the loudspeakers: volume, and a measurement of what is heard before the volume. */

const WINDOW = 4_096;

/** The volume and the level of all that is played. */
class Output {
  /**
   * @param {BaseAudioContext} context
   * @param {Player} player whose `outputs`, one a track, are led through here
   */
  constructor(context, player) {
    this.context = context;
    this.volume = context.createGain();
    this.volume.connect(context.destination);
    // Each channel is measured on its own: otherwise, what two channels have in opposite polarity would cancel.
    const channels = Math.max(2, ...player.piece.tracks.map((track) => track.channels));
    const splitter = context.createChannelSplitter(channels);
    this.analysers = Array.from({ length: channels }, (_, channel) => {
      const analyser = context.createAnalyser();
      analyser.fftSize = WINDOW;
      splitter.connect(analyser, channel);
      return analyser;
    });
    for (const output of player.outputs.values()) {
      output.disconnect();
      output.connect(this.volume);
      output.connect(splitter);
    }
    this.samples = new Float32Array(WINDOW);
    /** Factor of the volume. */
    this.factor = 1;
  }

  /** Sets the volume in dB; -60 is silence. */
  set db(value) {
    this.factor = value <= QUIETEST ? 0 : 10 ** (value / 20);
    this.volume.gain.setTargetAtTime(this.factor, this.context.currentTime, 0.01);
  }

  /**
   * Measures the last tenth of a second.
   * @returns {{rms: number, peak: number}} amplitudes of the louder channel, 1 is full scale
   */
  measure() {
    let [energy, peak] = [0, 0];
    for (const analyser of this.analysers) {
      analyser.getFloatTimeDomainData(this.samples);
      let sum = 0;
      for (const sample of this.samples) {
        sum += sample * sample;
        peak = Math.max(peak, Math.abs(sample));
      }
      energy = Math.max(energy, sum);
    }
    return { rms: Math.sqrt(energy / WINDOW), peak };
  }
}
