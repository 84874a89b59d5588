"use strict";
/* Brings the page together: opens songs, makes their rows, keeps all of it in step with what is played. */

const HEARTBEAT_MS = 20_000;
const SLOWEST = 3_000;
const FASTEST = 768_000;
const STOPPED = "stemsplit listen has stopped: start it again, then open the address that it prints";
const VEILED = "A clip cannot be read: stop comparing blind to see which, and why";

/** The whole page. */
class Page {
  constructor() {
    /** What is open: null before anything is. */
    this.desk = null;
    this.comparison = null;
    this.neighbours = { previous: null, next: null };
    this.opening = 0;
    this.served = part("piece") === null;
    this.songs = new Songs((id) => this.open(id), (error) => this.failed(error));
    this.keys = new Keys(this);
    this.frame = once(() => this.tick());
    this.bind();
    this.begin(momentOf(location.hash));
  }

  bind() {
    part("alert-close").addEventListener("click", () => this.complain(""));
    part("alert-again").addEventListener("click", () => location.reload());
    part("previous").addEventListener("click", () => this.go("previous"));
    part("next").addEventListener("click", () => this.go("next"));
    part("hear-stems").addEventListener("click", () => this.desk.change((mix) => mix.hearStems()));
    part("hear-song").addEventListener("click", () => this.desk.change((mix) => mix.hearAlone(mix.song.index)));
    part("hear-rest").addEventListener("click", () => this.desk.change((mix) => mix.hearRest()));
    part("copy").addEventListener("click", () =>
      copyLink(this.desk, this.comparison, this.served ? this.id : null));
    addEventListener("hashchange", () => this.follow(momentOf(location.hash)));
    // A click with the mouse leaves the focus where it is, so that Space goes on to play and pause.
    addEventListener("mousedown", (event) => event.target.closest?.("button") && event.preventDefault());
    for (const query of ["(prefers-color-scheme: dark)", "(forced-colors: active)"]) {
      matchMedia(query).addEventListener("change", () => this.desk?.view.dispatchEvent(new Event("change")));
    }
    if (this.served) {
      setInterval(() => this.heartbeat(), HEARTBEAT_MS);
    }
  }

  async begin(moment) {
    if (!this.served) {
      const element = part("piece");
      const piece = JSON.parse(element.textContent);
      element.remove(); // it names the models, also while they are compared blind
      this.show(piece, new EmbeddedSamples(piece), moment, new KeptVotes());
      return;
    }
    const first = await this.songs.show(0);
    if (first) {
      await this.open(moment.song ?? first.id, moment);
      if (this.desk === null && moment.song !== null && moment.song !== first.id) {
        const told = part("alert-text").textContent;
        await this.open(first.id); // an old link: there is something else to hear
        this.complain(told);
      }
    } else if (this.songs.total === 0 && part("alert").hidden) {
      write(part("title"), "Nothing to hear");
    }
  }

  /** Opens a song by its id. */
  async open(id, moment = momentOf("")) {
    const opening = (this.opening += 1);
    try {
      const piece = await answerOf(await fetch(`songs/${id}.json`));
      if (opening === this.opening) {
        this.complain("");
        this.id = id;
        this.show(piece, new ServedSamples(`songs/${id}`, piece), moment, new ServedVotes(`songs/${id}`, piece.version));
      }
    } catch (error) {
      this.failed(error);
    }
  }

  /** Goes to the next or the previous song. */
  go(where) {
    if (this.neighbours[where] !== null && this.neighbours[where] !== undefined) {
      this.open(this.neighbours[where]);
    }
  }

  /** Shows a piece in place of the one before. */
  show(piece, samples, moment, votes) {
    const playing = this.desk?.wanted;
    this.close();
    this.head(piece);
    const rate = piece.sample_rate;
    if (rate < SLOWEST || rate > FASTEST) {
      this.complain(`Browsers cannot play ${rate.toLocaleString("en")} Hz: convert it to 48,000 Hz and split it again`);
      return;
    }
    let made = null;
    try {
      made = contextFor(rate);
      this.desk = new Desk(piece, samples, made.context);
    } catch (error) {
      this.complain(`The browser cannot play sound (${error.message}); check its settings, or try another browser`);
      return;
    }
    part("main").hidden = false;
    part("bottom").hidden = false;
    this.exact = made.exact;
    this.notes();
    this.transport = new Transport(this.desk);
    this.listen();
    const compared = this.desk.mix.stem !== null;
    part("comparison").hidden = !compared;
    part("hear").hidden = compared || !this.desk.mix.stems.length;
    this.comparison = compared ? new Comparison(this.desk, votes, () => this.rebuild()) : null;
    this.tracks = new Tracks(this.desk, this.comparison, this.transport);
    this.heard();
    if (compared) {
      this.desk.mark(0, this.desk.frames); // clips are short, and compared by hearing them again and again
    }
    this.follow(moment);
    this.frame();
    if (document.activeElement.disabled) {
      part("title").focus();
    }
    if (playing) {
      this.desk.toggle();
    } else {
      this.desk.say(piece.title);
    }
  }

  /** Shows which song this is, and whether there are others beside it. */
  head({ title, previous = null, next = null }) {
    write(part("title"), title);
    part("title").title = title;
    document.title = `${title} – stemsplit`;
    this.songs.mark(this.id);
    this.neighbours = { previous, next };
    part("neighbours").hidden = previous === null && next === null;
    part("previous").disabled = previous === null;
    part("next").disabled = next === null;
  }

  /** Makes again whatever names tracks, when a blind comparison hides the names or shows them. */
  rebuild() {
    this.tracks.build();
    this.notes();
    if (this.comparison.hidden) {
      this.complain("");
    }
  }

  notes() {
    const { notes = [], sample_rate: rate } = this.desk.piece;
    const inexact = `This browser does not play ${rate.toLocaleString("en")} Hz: it converts the sound as it plays`;
    // A note may name a model.
    const lines = [...(this.comparison?.hidden ? [] : notes), ...(this.exact ? [] : [inexact])];
    part("notes").replaceChildren(...lines.map((line) => make("li", { text: line, dir: "auto" })));
    part("notes").hidden = !lines.length;
  }

  listen() {
    const { desk } = this;
    desk.addEventListener("mix", () => this.heard());
    desk.addEventListener("state", this.frame);
    desk.view.addEventListener("change", this.frame);
    desk.addEventListener("said", (event) => write(part("said"), event.detail));
    desk.addEventListener("failed", (event) => this.failed(new Error(event.detail)));
    desk.addEventListener("starved", (event) => {
      part("waiting").hidden = !event.detail;
    });
    part("waiting").hidden = true;
  }

  /** Shows what is heard. */
  heard() {
    const { mix, piece } = this.desk;
    this.tracks.show();
    press(part("hear-stems"), mix.alone === null && !mix.rest);
    press(part("hear-song"), mix.song !== null && mix.alone === mix.song.index);
    press(part("hear-rest"), mix.rest);
    part("hear-song").disabled = mix.song === null;
    part("hear-rest").disabled = !mix.subtracts;
    const missing = piece.no_song || "the song is not here";
    const noise = " but the noise of Opus, in which this page holds its sound (with --page-audio flac, none)";
    const kept = piece.adds_up
      ? "Song minus stems is what the stems leave out. They add up to the song, so you should hear nothing" +
        (piece.audio?.codec === "opus" ? noise : "")
      : "Song minus stems is what these stems leave out. Their files do not add up to the song exactly";
    write(part("rest-note"), mix.subtracts ? kept : `The song cannot be heard: ${missing}`);
    part("rest-level").hidden = !mix.rest;
    this.frame();
  }

  /** Moves all that moves, before each frame while the song plays. */
  tick() {
    const { desk } = this;
    if (!desk) {
      return;
    }
    const { playing, position } = desk.player;
    const now = performance.now();
    if (playing) {
      desk.heard += this.before ? (now - this.before) / 1000 : 0;
      const { view } = desk;
      if (this.at >= view.start && this.at < view.end) {
        view.reveal(position); // turns the page, unless somebody looks elsewhere
      }
    }
    this.before = playing ? now : 0;
    this.at = position;
    this.transport.show(position, playing);
    this.tracks.move(position);
    this.measure(playing, now);
    if (playing) {
      this.frame();
    }
  }

  measure(playing, now) {
    if (playing && now - (this.measured || 0) < 100) {
      return;
    }
    this.measured = now;
    const { rms, peak } = playing ? this.desk.output.measure() : { rms: 0, peak: 0 };
    this.transport.meter(peak);
    if (this.desk.mix.rest) {
      const silence = this.desk.player.sounding ? "silence, below −120 dB" : "waiting for sound …";
      const told = rms < 1e-6 ? silence : decibels(level(rms), "dBFS");
      write(part("rest-level"), playing ? `Now: ${told}` : "Press Play to measure how loud it is");
    }
  }

  /** Goes to the moment that an address names; to another song if it names one. */
  follow(moment) {
    if (this.served && moment.song !== null && moment.song !== this.id) {
      this.open(moment.song, moment);
    } else if (this.desk) {
      goTo(moment, this.desk, this.comparison);
    }
  }

  async heartbeat() {
    if (document.visibilityState === "visible") {
      try {
        await answerOf(await fetch("songs.json?count=1"));
        if (part("alert-text").textContent === STOPPED) {
          this.complain("");
        }
      } catch (error) {
        this.failed(error);
      }
    }
  }

  /** Says what went wrong, in words; a server that does not answer has been stopped. */
  failed(error) {
    if (error.name !== "AbortError") {
      const gone = error instanceof TypeError || /does not answer/.test(error.message);
      const telling = this.comparison?.hidden && this.comparison.names.some((name) => error.message.includes(name));
      this.complain(this.served && gone ? STOPPED : telling ? VEILED : error.message);
    }
  }

  complain(words) {
    write(part("alert-text"), words);
    part("alert").hidden = !words;
    part("alert-again").hidden = !this.served || words === STOPPED;
  }

  close() {
    this.tracks?.close();
    this.desk?.close();
    this.desk = null;
    this.comparison = null;
    this.before = 0;
    part("main").hidden = true;
    part("bottom").hidden = true;
  }
}

/** The page, also for the console of the browser. */
window.listening = new Page();
