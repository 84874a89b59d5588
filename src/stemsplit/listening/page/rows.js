"use strict";
/* One row for each track: its name, its buttons, its gain, its waveform and what the record says of it. */

const COLOURS = ["vocals", "drums", "bass", "other", "guitar", "piano"];

/** Returns the number of the colour that a stem has everywhere: known names first, further ones in turn. */
function colourOf(track, piece) {
  if (track.role === "song") {
    return "song";
  }
  const name = track.stem || track.name;
  const known = COLOURS.indexOf(name);
  if (known >= 0) {
    return String(known);
  }
  const others = [...new Set(piece.tracks.map((other) => other.stem || other.name))]
    .filter((other) => !COLOURS.includes(other));
  return String(COLOURS.length + (others.indexOf(name) % 4));
}

/** The row of a track. */
class Row {
  /**
   * @param {Desk} desk
   * @param {object|null} track as the piece describes it; null for a row that shows nothing but time
   * @param {string} label what the track is called here
   * @param {string} sign digit or letter that stands for it
   */
  constructor(desk, track, label, sign) {
    Object.assign(this, { desk, track, label, waveform: null, spectrogram: null });
    const canvas = make("canvas", { "aria-hidden": "true" });
    this.lane = make("div", { class: "lane" }, canvas);
    this.below = make("div", { class: "below", hidden: true });
    const badge = make("span", { class: "badge", "aria-hidden": "true", text: sign || "♪" });
    const head = make("div", { class: "head" }, badge, named("h3", label, { class: "name" }));
    if (track) {
      this.picture = this.pictureButton();
      const fader = this.fader();
      const second = fader.length ? [make("div", { class: "second" }, ...fader, this.picture)] : [];
      const buttons = second.length ? this.switches() : [...this.switches(), this.picture];
      head.append(make("div", { class: "buttons" }, ...buttons), ...second,
        make("p", { class: "facts" }, ...this.facts()));
      this.waveform = new Waveform(canvas, desk, track.index);
      this.waiting = make("p", { class: "waiting quiet", text: "drawing the waveform …" });
      this.lane.append(this.waiting);
    }
    this.element = make("li", { class: "row", "data-colour": track ? colourOf(track, desk.piece) : "song" }, head,
      make("div", { class: "lanes" }, this.lane, this.below));
    this.marker = new Marker(this.lane, desk);
    dragging(this.lane, desk);
  }

  /** Returns what the record says; clipping stands out. */
  facts() {
    return facts(this.track).map((said) =>
      make("span", { class: said.startsWith("clipped") ? "fact clipped" : "fact", text: said }));
  }

  switches() {
    const { desk, label } = this;
    const { index, role } = this.track;
    if (role === "stem") {
      this.mute = make("button", { type: "button", class: "mute", text: "Mute", "aria-label": `Mute ${label}`,
        click: () => desk.change((mix) => mix.mute(index)) });
      this.solo = make("button", { type: "button", class: "solo", text: "Solo", "aria-label": `Solo ${label}`,
        title: "Shift+click or double click: only this one",
        click: (event) => desk.change((mix) => mix.solo(index, event.shiftKey || event.ctrlKey || event.metaKey)),
        dblclick: () => desk.change((mix) => mix.solo(index, true)) });
      return [this.solo, this.mute];
    }
    if (desk.mix.stem !== null) {
      return []; // the comparison has a button for each clip
    }
    const hear = (mix) => (mix.stems.length && mix.alone === index ? mix.hearStems() : mix.hearAlone(index));
    this.alone = make("button", { type: "button", class: "alone", text: "Hear alone",
      "aria-label": `Hear ${label} alone`, click: () => desk.change(hear) });
    return [this.alone];
  }

  pictureButton() {
    return make("button", { type: "button", class: "picture", text: "Spectrogram", "aria-pressed": "false",
      "aria-label": `Spectrogram of ${this.label}`, click: () => this.toggleSpectrogram() });
  }

  fader() {
    const { desk, track, label } = this;
    if (desk.mix.stem !== null) {
      return []; // clips are compared at equal loudness
    }
    this.gain = make("input", {
      type: "range", min: QUIETEST, max: LOUDEST, step: 0.5, value: desk.mix.settings.get(track.index).db,
      "aria-label": `Gain of ${label}`, title: "Double click or Backspace: 0 dB",
      input: () => this.setGain(Number(this.gain.value)),
      dblclick: () => this.setGain(0),
      keydown: (event) => ["Backspace", "Delete"].includes(event.key) && this.setGain(0),
    });
    this.gainWords = make("span", { class: "gain-words", "aria-hidden": "true" });
    return [make("div", { class: "fader" }, this.gain, this.gainWords)];
  }

  setGain(db) {
    this.gain.value = db;
    this.desk.change((mix) => mix.setGain(this.track.index, db), true);
  }

  toggleSpectrogram() {
    const opened = this.spectrogram === null;
    press(this.picture, opened);
    this.below.hidden = !opened;
    if (!opened) {
      this.spectrogram.close();
      this.spectrogram = null;
      this.below.replaceChildren();
      return;
    }
    const lane = make("div", { class: "lane spectrum" }, make("canvas", { "aria-hidden": "true" }));
    const progress = make("span", { class: "quiet", role: "status" });
    const scale = make("button", { type: "button", "aria-pressed": "true", text: "Octaves" });
    scale.title = "Pressed: all octaves are equally high. Not pressed: all frequencies in Hz are";
    scale.addEventListener("click", () => {
      this.spectrogram.choose(!this.spectrogram.logarithmic);
      press(scale, this.spectrogram.logarithmic);
    });
    const key = make("span", { class: "shades", "aria-hidden": "true" });
    const legend = make("p", { class: "legend quiet" }, scale, make("span", { text: `${decibels(FLOOR_DB)}` }), key,
      make("span", { text: "0 dB" }), progress);
    this.below.append(lane, legend);
    this.spectrogram = new Spectrogram(lane.firstElementChild, this.desk, this.track.index,
      (words) => write(progress, words));
    this.spectrumMarker = new Marker(lane, this.desk);
    dragging(lane, this.desk);
    this.markers.forEach((marker) => marker.mark(this.desk.marks));
    this.move(this.desk.player.position);
  }

  get markers() {
    return this.spectrogram ? [this.marker, this.spectrumMarker] : [this.marker];
  }

  /** Takes the track's peaks. */
  take(peaks, scale) {
    this.waiting?.remove();
    this.waveform?.take(peaks, scale);
  }

  /** Says why there is no waveform. */
  lack(words) {
    if (this.waiting) {
      write(this.waiting, words);
    }
  }

  move(position) {
    this.markers.forEach((marker) => marker.move(position));
  }

  /** Shows what is pressed, and whether the track is heard. */
  show() {
    const { mix } = this.desk;
    if (!this.track) {
      return;
    }
    const setting = mix.settings.get(this.track.index);
    this.element.classList.toggle("unheard", mix.gain(this.track) === 0);
    if (this.alone) {
      press(this.alone, mix.alone === this.track.index);
    }
    if (this.solo) {
      press(this.mute, setting.mute);
      press(this.solo, setting.solo);
    }
    if (this.gain) {
      const words = decibels(setting.db);
      write(this.gainWords, words);
      this.gain.setAttribute("aria-valuetext", words);
    }
  }

  close() {
    this.waveform?.close();
    this.spectrogram?.close();
    this.element.remove();
  }
}
