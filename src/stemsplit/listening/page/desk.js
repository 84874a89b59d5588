"use strict";
/* A piece being played: everything that buttons, keys and addresses can do with it, in one place. */

/**
 * Plays a piece. Sends "mix" when what is heard changes, "loop" when the marks change, "state" when playing or the
 * position changes, "said" with words for screen readers, "failed" with what went wrong.
 */
class Desk extends EventTarget {
  /**
   * @param {object} piece as `as_data` in piece.py describes it
   * @param {object} samples where samples and peaks come from
   * @param {AudioContext} context at the piece's sample rate
   */
  constructor(piece, samples, context) {
    super();
    Object.assign(this, { piece, samples, context });
    this.rate = piece.sample_rate;
    this.frames = piece.frames;
    this.player = new Player(context, samples, piece);
    this.output = new Output(context, this.player);
    this.mix = new Mix(piece);
    this.view = new View(this.frames, this.rate);
    /** Marks of the loop in samples, null where there is none yet; `on` says whether it is played. */
    this.marks = { start: null, end: null, on: false };
    /** Ends all reading when the piece is left. */
    this.ending = new AbortController();
    /** Seconds that were heard since the piece was opened; counted by the page. */
    this.heard = 0;
    /** Whether it plays, or will as soon as there is sound. */
    this.wanted = false;
    this.player.addEventListener("state", (event) => {
      this.wanted = this.wanted && !["pause", "end"].includes(event.detail);
      this.dispatchEvent(new Event("state"));
    });
    this.player.addEventListener("starved", (event) => this.tell("starved", event.detail));
    this.player.addEventListener("failed", (event) => this.tell("failed", event.detail));
    this.apply();
  }

  tell(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }

  /** Says something to screen readers. */
  say(words) {
    this.tell("said", words);
  }

  /** Returns a position in seconds as words on the page; in a comparison, as the time in the whole song. */
  time(position, digits = 0) {
    return clock(position / this.rate + this.piece.start, digits);
  }

  /** Plays, or pauses. */
  async toggle() {
    if (this.player.playing) {
      this.player.pause();
      this.say(`Paused at ${spoken(this.player.position / this.rate + this.piece.start)}`);
      return;
    }
    try {
      const started = this.player.play();
      this.wanted = true;
      await started;
      this.say(`Playing ${this.words()}`);
    } catch (error) {
      const hint = "check its sound output, then press Play again";
      this.tell("failed", `The browser does not play (${error.message}); ${hint}`);
    }
  }

  /** Goes to a position in samples. */
  seek(position) {
    const target = Math.min(this.frames, Math.max(0, Math.round(position)));
    this.player.seek(target);
    this.view.reveal(Math.min(target, this.frames - 1));
    this.dispatchEvent(new Event("state"));
  }

  /** Goes forward or, with negative seconds, back. */
  step(seconds) {
    this.seek(this.player.position + Math.round(seconds * this.rate));
  }

  /** Marks a loop and plays it; a loop shorter than 10 ms counts as a click, and is not marked. */
  mark(start, end) {
    const [from, to] = [start, end].map((mark) => Math.min(this.frames, Math.max(0, Math.round(mark))));
    if (to - from < this.rate / 100) {
      return;
    }
    this.setMarks({ start: from, end: to, on: true });
  }

  /** Marks the start of the loop where the song is now. */
  markStart() {
    const { end } = this.marks;
    const start = Math.min(this.player.position, this.frames - 1);
    const later = end !== null && end > start;
    this.setMarks({ start, end: later ? end : null, on: later });
  }

  /** Marks the end of the loop where the song is now; without a start, it is the beginning of the song. */
  markEnd() {
    const end = this.player.position;
    const { start } = this.marks;
    if (end <= 0) {
      this.say("The end of a loop cannot be at the beginning");
      return;
    }
    this.setMarks({ start: start !== null && start < end ? start : 0, end, on: true });
  }

  /** Plays the marked loop, or plays on beyond it. */
  toggleLoop() {
    const { start, end, on } = this.marks;
    if (start === null || end === null) {
      this.say("No loop is marked: drag across a waveform, or press [ and ]");
      return;
    }
    this.setMarks({ start, end, on: !on });
  }

  /** Forgets the loop. */
  clearLoop() {
    this.setMarks({ start: null, end: null, on: false });
  }

  setMarks(marks) {
    this.marks = marks;
    if (marks.on) {
      if (this.player.position < marks.start) {
        this.player.seek(marks.start);
      }
      this.player.loop(marks.start, marks.end);
    } else {
      this.player.loop(null);
    }
    this.dispatchEvent(new Event("loop"));
    this.say(this.loopWords());
  }

  /** Says in words which loop is marked. */
  loopWords() {
    const { start, end, on } = this.marks;
    if (start === null) {
      return "No loop";
    }
    if (end === null) {
      return `Loop starts at ${this.time(start, 2)}; mark its end`;
    }
    return `Loop ${on ? "" : "off: "}${this.time(start, 2)} – ${this.time(end, 2)}`;
  }

  /**
   * Changes what is heard.
   * @param {function(Mix): void} action
   * @param {boolean} quiet whether nothing is said of it, because a slider says its value itself
   */
  change(action, quiet = false) {
    action(this.mix);
    this.apply();
    if (!quiet) {
      this.say(`Hearing ${this.words()}`);
    }
  }

  apply() {
    this.player.use(this.mix.used());
    this.player.gains(this.mix.gains());
    this.dispatchEvent(new Event("mix"));
  }

  /** Says in words what is heard; while names are hidden, the comparison replaces this. */
  words() {
    return this.mix.words();
  }

  /** Hears the song alone, or returns to the stems. */
  toggleSong() {
    const { song } = this.mix;
    if (!song) {
      this.say(`The song cannot be heard: ${this.piece.no_song || "it is not here"}`);
      return;
    }
    this.change((mix) => (mix.alone === song.index && mix.stem === null ? mix.hearStems() : mix.hearAlone(song.index)));
  }

  /** Hears what the stems leave of the song, or returns to the stems. */
  toggleRest() {
    if (!this.mix.subtracts) {
      this.say(`Song minus stems cannot be heard: ${this.piece.no_song || "there is nothing to subtract"}`);
      return;
    }
    this.change((mix) => (mix.rest ? mix.hearStems() : mix.hearRest()));
  }

  /** Leaves the piece: stops it, and all that is being read. */
  close() {
    this.ending.abort();
    this.player.close();
    if (this.context.close && this.context.state !== "closed") {
      this.context.close();
    }
  }
}
