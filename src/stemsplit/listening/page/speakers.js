"use strict";
// Mixes surround sound down to two speakers where the browser has no rule for it and would leave channels out.

/** Channel counts for which browsers have a rule of their own. */
const RULED = [1, 2, 4, 6];

/**
 * Speakers of each channel, in the order of WAV files: L left, R right, C both, - none (the effects channel, as in the
 * browsers' rule for six channels).
 */
const SPEAKERS = { 3: "LRC", 5: "LRCLR", 7: "LRC-CLR", 8: "LRC-LRLR" };

/**
 * Leads channels to a node: all of them if there are speakers for them or the browser has a rule, else mixed down to
 * two, all but the first two by -3 dB. Returns the node to connect to.
 * @param {AudioNode} node where they are led.
 * @param {number} channels number of channels.
 */
function ledTo(node, channels) {
  const { context } = node;
  if (RULED.includes(channels) || channels <= context.destination.channelCount) return node;
  const splitter = context.createChannelSplitter(channels);
  const merger = context.createChannelMerger(2);
  for (let channel = 0; channel < channels; channel += 1) {
    const speaker = (SPEAKERS[channels] ?? "LR".repeat(channels))[channel];
    const gain = context.createGain();
    gain.gain.value = channel < 2 ? 1 : Math.SQRT1_2;
    splitter.connect(gain, channel);
    if ("LC".includes(speaker)) gain.connect(merger, 0, 0);
    if ("RC".includes(speaker)) gain.connect(merger, 0, 1);
  }
  merger.connect(node);
  return splitter;
}
