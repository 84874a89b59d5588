"use strict";
/* Words times, levels, counts and addresses for people. */

/**
 * Returns a time as on a clock: "0:07", "1:02:03.250".
 * @param {number} seconds
 * @param {number} digits decimals of the seconds
 */
function clock(seconds, digits = 0) {
  const scale = 10 ** digits;
  const units = Math.max(0, Math.floor(seconds * scale + 1e-6));
  const whole = Math.floor(units / scale);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  const fraction = digits ? "." + String(units % scale).padStart(digits, "0") : "";
  return (hours ? `${hours}:${two(minutes)}` : `${minutes}`) + `:${two(rest)}${fraction}`;
}

/**
 * Returns a time as it is spoken: "1 minute 7.5 seconds".
 * @param {number} seconds
 */
function spoken(seconds) {
  const tenths = Math.max(0, Math.round(seconds * 10));
  const [hours, minutes, rest] = [Math.floor(tenths / 36000), Math.floor(tenths / 600) % 60, (tenths % 600) / 10];
  const parts = [hours && counted(hours, "hour"), minutes && counted(minutes, "minute")].filter(Boolean);
  if (rest || !parts.length) {
    parts.push(counted(rest, "second"));
  }
  return parts.join(" ");
}

/**
 * Returns a count with its noun: "1 sample", "12 samples".
 * @param {number} count
 * @param {string} noun in the singular
 */
function counted(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}

/** Returns the level of an amplitude in dB, -Infinity for silence. */
function level(amplitude) {
  return 20 * Math.log10(Math.abs(amplitude));
}

/**
 * Returns a level in words: "−3.2 dB".
 * @param {number} value dB
 * @param {string} unit "dB" or "dBFS"
 */
function decibels(value, unit = "dB") {
  if (value === -Infinity) {
    return `−∞ ${unit}`;
  }
  const rounded = Math.round(value * 10) / 10;
  const sign = rounded < 0 ? "−" : rounded > 0 && unit === "dB" ? "+" : "";
  return `${sign}${Math.abs(rounded).toFixed(1).replace(/\.0$/, "")} ${unit}`;
}

/**
 * Returns a share in words: "34 %", "less than 0.1 %".
 * @param {number} share 1 is all
 */
function percent(share) {
  if (share > 0 && share < 0.001) {
    return "less than 0.1 %";
  }
  return `${(share * 100).toFixed(share < 0.0995 ? 1 : 0).replace(/\.0$/, "")} %`;
}

/**
 * Returns what the record says of a track, in words; empty if it says nothing.
 * @param {object} track as the piece describes it
 */
function facts(track) {
  const said = [];
  if (track.silent) {
    said.push("silent");
  } else if (track.peak !== null && track.peak !== undefined) {
    said.push(`peak ${decibels(level(track.peak), "dBFS")}`);
  }
  if (track.clipped) {
    said.push(`clipped: ${counted(track.clipped, "sample")}`);
  }
  if (track.energy_share !== null && track.energy_share !== undefined && track.role !== "song" && !track.silent) {
    said.push(`${percent(track.energy_share)} of the energy`);
  }
  if (track.gain) {
    said.push(`${decibels(track.gain)} to make clips equally loud`);
  }
  return said;
}
