"use strict";
/* The rows of all tracks of a piece, and the peaks that they draw. */

/** The rows that are shown now. */
class Tracks {
  /**
   * @param {Desk} desk
   * @param {Comparison|null} comparison
   * @param {Transport} transport whose overview shows peaks too
   */
  constructor(desk, comparison, transport) {
    Object.assign(this, { desk, comparison, transport, rows: [], peaks: new Map() });
    desk.view.addEventListener("change", () => this.mark());
    desk.addEventListener("loop", () => this.mark());
    desk.addEventListener("dragged", (event) => this.mark(event.detail));
    this.build();
    this.read();
  }

  /** Makes the rows. A comparison has those of the chosen stem, and while it is blind, none that tells models apart. */
  build() {
    this.rows.forEach((row) => row.close());
    this.rows = (this.comparison ? this.compared() : this.ofSong()).map((row) => new Row(this.desk, ...row));
    part("tracks").replaceChildren(...this.rows.map((row) => row.element));
    write(part("hint"), this.comparison
      ? "Click a waveform to go there; drag across it to mark a loop"
      : "Solo plays a stem alone, or several together. Click a waveform to go there; drag across it to mark a loop");
    this.rows.forEach((row) => this.give(row));
    this.show();
    this.mark();
    this.move(this.desk.player.position);
  }

  /** Returns the tracks of a song's rows, with their names and the digits or letters that stand for them. */
  ofSong() {
    const { mix } = this.desk;
    return [
      ...mix.stems.map((track, number) => [track, track.name, number < 9 ? String(number + 1) : ""]),
      ...mix.sums.map((track) => [track, track.name, ""]),
      ...(mix.song ? [[mix.song, "Song", ""]] : []),
    ];
  }

  compared() {
    const { mix, piece } = this.desk;
    const { order, hidden } = this.comparison;
    const clips = hidden ? [] : order.map((index) => piece.tracks.find((track) => track.index === index));
    const others = [mix.reference(), mix.song].filter(Boolean);
    const rows = [
      ...clips.map((track, number) => [track, track.model || track.name, letter(number)]),
      ...others.map((track) => [track, track.role === "song" ? "Song" : "Reference", ""]),
    ];
    return rows.length ? rows : [[null, "Time", ""]];
  }

  /** Reads the peaks of all tracks, one after the other, the song's first. */
  async read() {
    const { samples, piece, ending } = this.desk;
    const order = [...piece.tracks].sort((a, b) => Number(b.role === "song") - Number(a.role === "song"));
    for (const { index } of order) {
      try {
        this.peaks.set(index, await samples.peaks(index, ending.signal));
      } catch (error) {
        this.peaks.set(index, error);
      }
      if (ending.signal.aborted) {
        return;
      }
      this.rows.filter((row) => row.track?.index === index).forEach((row) => this.give(row));
      this.giveOverview();
    }
  }

  /** All waveforms of a piece are drawn at one scale, so that quiet stems look quiet. */
  get scale() {
    const peaks = this.desk.piece.tracks.map((track) => track.peak).filter((peak) => peak > 0);
    return peaks.length ? 0.95 / Math.min(1, Math.max(...peaks)) : 1;
  }

  give(row) {
    const peaks = row.track && this.peaks.get(row.track.index);
    if (peaks instanceof Error) {
      row.lack(`no waveform: ${peaks.message}`);
    } else if (peaks) {
      row.take(peaks, this.scale);
    }
  }

  /** The overview shows the song; without it the first track, unless that would tell models apart. */
  giveOverview() {
    const { mix, piece } = this.desk;
    const track = mix.song || (this.comparison ? mix.reference() : piece.tracks[0]);
    const peaks = track && this.peaks.get(track.index);
    if (peaks && !(peaks instanceof Error)) {
      this.transport.take(peaks, this.scale);
    }
  }

  show() {
    this.rows.forEach((row) => row.show());
    const { mix } = this.desk;
    part("tracks").classList.toggle("bypassed", mix.stem === null && (mix.rest || mix.alone !== null));
  }

  move(position) {
    this.rows.forEach((row) => row.move(position));
  }

  mark(marks = this.desk.marks) {
    this.rows.forEach((row) => row.markers.forEach((marker) => marker.mark(marks)));
  }

  close() {
    this.rows.forEach((row) => row.close());
    this.rows = [];
  }
}
