"use strict";
/* The bar above the tracks: play, position, loop, zoom, volume and level. */

/** Distances between marked times, in seconds. */
const TICKS = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600,
];

/** Draws times along the visible stretch. */
function drawRuler(canvas, desk) {
  const context = canvasContext(canvas);
  if (!context) {
    return;
  }
  const { view, rate, piece } = desk;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  const size = parseFloat(getComputedStyle(canvas).fontSize) * 0.8;
  const seconds = view.length / rate;
  const wanted = (seconds * size * 7) / width;
  const step = TICKS.find((candidate) => candidate >= wanted) || 7_200;
  const digits = step >= 1 ? 0 : step >= 0.1 ? 1 : step >= 0.01 ? 2 : 3;
  const first = view.start / rate + piece.start;
  context.font = `${size}px system-ui, sans-serif`;
  context.textBaseline = "bottom";
  context.fillStyle = colour(canvas, "--quiet");
  for (let tick = Math.ceil(first / step); tick * step <= first + seconds; tick += 1) {
    const x = ((tick * step - first) / seconds) * width;
    context.fillRect(x, height - 6, 1, 6);
    const words = clock(tick * step, digits);
    if (x + 4 + context.measureText(words).width <= width) {
      context.fillText(words, x + 4, height - 1);
    }
  }
}

/** Time for which it is said that the sound was too loud, in milliseconds. */
const OVER_MS = 2_000;

/** The bar of one piece. */
class Transport {
  /** @param {Desk} desk */
  constructor(desk) {
    this.desk = desk;
    this.signal = desk.ending.signal;
    this.over = 0;
    this.position = part("position");
    this.overview = { canvas: part("overview-wave"), peaks: null };
    for (const old of part("overview").querySelectorAll(".playhead, .loop")) {
      old.remove();
    }
    this.marker = new Marker(part("overview"), desk, true);
    this.position.max = desk.frames;
    this.position.step = 1;
    this.scrub();
    this.buttons();
    this.zoom();
    this.volume();
    write(part("length"), desk.time(desk.frames));
    this.redraw = once(() => this.paint());
    const watch = new ResizeObserver(this.redraw);
    watch.observe(part("overview"));
    watch.observe(part("ruler"));
    this.signal.addEventListener("abort", () => watch.disconnect());
    desk.view.addEventListener("change", this.redraw);
    desk.addEventListener("loop", () => this.loop(desk.marks));
    desk.addEventListener("dragged", (event) => this.loop(event.detail));
    this.loop(desk.marks);
  }

  on(id, kind, listener) {
    part(id).addEventListener(kind, listener, { signal: this.signal });
  }

  scrub() {
    this.on("position", "input", () => this.desk.seek(Number(this.position.value)));
    this.on("position", "keydown", (event) => this.keyed(event));
  }

  /** Gives the position's slider keys of whole seconds; its own step is one sample. */
  keyed(event) {
    const steps = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5, PageDown: -30, PageUp: 30 };
    if (event.code in steps && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      event.stopPropagation();
      this.desk.step(event.shiftKey ? steps[event.code] / 5 : steps[event.code]);
    }
  }

  buttons() {
    const { desk } = this;
    this.on("play", "click", () => desk.toggle());
    this.on("loop-start", "click", () => desk.markStart());
    this.on("loop-end", "click", () => desk.markEnd());
    this.on("loop-on", "click", () => desk.toggleLoop());
    this.on("loop-clear", "click", () => desk.clearLoop());
    this.on("loop-zoom", "click", () => {
      const { start, end } = desk.marks;
      desk.view.show(start - (end - start) * 0.1, end + (end - start) * 0.1);
    });
  }

  zoom() {
    const { view, player } = this.desk;
    const around = () => (player.position >= view.start && player.position <= view.end ? player.position : undefined);
    this.on("zoom-in", "click", () => view.zoom(2, around()));
    this.on("zoom-out", "click", () => view.zoom(0.5, around()));
    this.on("fit", "click", () => view.fit());
    this.on("scroll", "input", () => {
      const start = (part("scroll").value / 1000) * (view.frames - view.length);
      view.show(start, start + view.length);
    });
  }

  volume() {
    const slider = part("volume");
    const set = () => {
      const db = Number(slider.value);
      this.desk.output.db = db;
      slider.setAttribute("aria-valuetext", db <= QUIETEST ? "silent" : decibels(db));
    };
    this.on("volume", "input", set);
    this.on("volume", "dblclick", () => {
      slider.value = 0;
      set();
    });
    set();
  }

  /** Takes the peaks that the overview shows. */
  take(peaks, scale) {
    Object.assign(this.overview, { peaks, scale });
    this.redraw();
  }

  paint() {
    const { view, piece, frames } = this.desk;
    drawRuler(part("ruler").firstElementChild, this.desk);
    const { canvas, peaks, scale } = this.overview;
    if (peaks) {
      const columnsFor = (columns) => columnsOfPeaks(peaks, piece.bin, 0, frames, columns);
      drawWave(canvas, columnsFor, colour(canvas, "--wave"), scale);
    } else {
      canvasContext(canvas);
    }
    const window = part("overview-window");
    window.hidden = view.whole;
    window.style.left = `${(view.start / view.frames) * 100}%`;
    window.style.width = `${(view.length / view.frames) * 100}%`;
    const scroll = part("scroll");
    scroll.hidden = view.whole;
    const start = view.whole ? 0 : view.start / (view.frames - view.length);
    scroll.value = Math.round(start * 1000);
    scroll.setAttribute("aria-valuetext", `from ${this.desk.time(view.start, 1)} to ${this.desk.time(view.end, 1)}`);
    part("fit").disabled = view.whole;
    part("zoom-out").disabled = view.whole;
    part("zoom-in").disabled = view.length <= view.shortest;
    this.loop(this.desk.marks);
  }

  /** Shows which loop is marked. */
  loop(marks) {
    this.marker.mark(marks);
    const whole = marks.start !== null && marks.end !== null;
    const focused = document.activeElement;
    for (const id of ["loop-on", "loop-zoom"]) {
      part(id).hidden = !whole;
    }
    part("loop-clear").hidden = marks.start === null;
    if (focused.hidden) {
      part("loop-start").focus();
    }
    press(part("loop-on"), marks.on);
    const { desk } = this;
    const words = whole
      ? `${desk.time(marks.start, 2)} – ${desk.time(marks.end, 2)}`
      : marks.start === null ? "or drag across a waveform" : `from ${desk.time(marks.start, 2)}`;
    write(part("loop-words"), words);
  }

  /** Shows where the song is, and whether it plays. */
  show(position, playing) {
    const { desk } = this;
    write(part("play"), playing ? "Pause" : "Play");
    part("play").classList.toggle("playing", playing);
    write(part("time"), desk.time(position, 1));
    this.position.value = position;
    const words = spoken(position / desk.rate + desk.piece.start);
    if (!playing || document.activeElement !== this.position) {
      this.position.setAttribute("aria-valuetext", `${words} of ${spoken(desk.frames / desk.rate + desk.piece.start)}`);
    }
    this.marker.move(position);
  }

  /** Shows the level of what is heard. */
  meter(peak) {
    const loudest = peak * this.desk.output.factor;
    const share = Math.max(0, 1 + level(loudest) / 60);
    part("level-bar").style.width = `${Math.min(1, share) * 100}%`;
    part("level-bar").classList.toggle("over", loudest > 1);
    if (loudest > 1) {
      part("over").hidden = false;
      clearTimeout(this.over);
      this.over = setTimeout(() => {
        part("over").hidden = true;
      }, OVER_MS);
    }
  }
}
