"use strict";
/* Links to a moment of a song: the fragment of an address, read and written. */

/** Returns a moment as the fragment of an address. Times are in seconds. */
function fragmentOf(moment) {
  const parts = [];
  const put = (key, value) => parts.push(`${key}=${encodeURIComponent(value)}`);
  if (moment.song !== undefined && moment.song !== null) {
    put("song", moment.song);
  }
  if (moment.t !== null && moment.t !== undefined) {
    put("t", Number(moment.t.toFixed(6)));
  }
  for (const name of moment.solo || []) {
    put("solo", name);
  }
  if (moment.loop) {
    put("loop", moment.loop.map((seconds) => Number(seconds.toFixed(6))).join("-"));
  }
  return "#" + parts.join("&");
}

/** Returns the moment that a fragment names. What it does not name, or names wrongly, is null. */
function momentOf(fragment) {
  const values = new URLSearchParams(fragment.replace(/^#/, ""));
  const time = (text) => (text && /^\d+(\.\d*)?$/.test(text) && Number(text) < 1e9 ? Number(text) : null);
  const ends = (values.get("loop") || "").split("-").map(time);
  return {
    song: /^\d{1,9}$/.test(values.get("song") || "") ? Number(values.get("song")) : null,
    t: time(values.get("t")),
    solo: values.getAll("solo").filter(Boolean),
    loop: ends.length === 2 && ends[0] !== null && ends[1] > ends[0] ? ends : null,
  };
}

/** Goes to a moment of what is open: its loop, its time, the stems that it solos. */
function goTo(moment, desk, comparison) {
  const sampleAt = (seconds) => Math.round((seconds - desk.piece.start) * desk.rate);
  if (moment.loop) {
    desk.mark(...moment.loop.map(sampleAt));
  }
  if (moment.t !== null) {
    desk.seek(sampleAt(moment.t));
  }
  if (moment.solo.length && comparison) {
    const stem = moment.solo.find((name) => desk.mix.compared.includes(name));
    if (stem !== undefined && !comparison.trial) {
      comparison.choose(stem);
    }
  } else if (moment.solo.length) {
    soloNamed(moment.solo, desk);
  }
}

/** Solos stems by their names; a sum of stems is heard alone. */
function soloNamed(names, desk) {
  const { stems, sums } = desk.mix;
  const known = stems.some((track) => names.includes(track.name));
  const wanted = known ? names : names.flatMap((name) => name.split(","));
  const soloed = stems.filter((track) => wanted.includes(track.name));
  const sum = sums.find((track) => names.includes(track.name));
  if (soloed.length || sum) {
    desk.change((mix) => {
      mix.clear();
      soloed.forEach((track) => mix.solo(track.index));
      if (!soloed.length) {
        mix.hearAlone(sum.index);
      }
    });
  }
}

/**
 * Puts a link to this moment into the address and the clipboard.
 * @param {Desk} desk
 * @param {Comparison|null} comparison
 * @param {number|null} song its id, where a server has several
 */
async function copyLink(desk, comparison, song) {
  const seconds = (sample) => sample / desk.rate + desk.piece.start;
  const { start, end, on } = desk.marks;
  const { mix, player } = desk;
  const soloed = mix.stems.filter((track) => mix.settings.get(track.index).solo).map((track) => track.name);
  const fragment = fragmentOf({
    song,
    t: seconds(player.position),
    solo: comparison ? [mix.stem] : soloed,
    loop: on ? [seconds(start), seconds(end)] : null,
  });
  history.replaceState(null, "", fragment);
  const link = part("link");
  try {
    await navigator.clipboard.writeText(location.href);
    link.hidden = true;
    write(part("copied"), "Copied");
  } catch {
    link.hidden = false;
    link.value = location.href;
    link.select();
    write(part("copied"), "Copy it from here:");
  }
}
