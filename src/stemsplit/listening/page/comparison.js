"use strict";
/* Compares the clips of several models: by name, or blind with votes. */

/** Whether a click is not the second of a double click, which would press a button that has just appeared. */
function single(event) {
  return event.detail < 2;
}

/** The part of the page that swaps between models. */
class Comparison {
  /**
   * @param {Desk} desk of a comparison
   * @param {ServedVotes|KeptVotes} keeper of the votes
   * @param {function(): void} rebuild makes the rows of the tracks again
   */
  constructor(desk, keeper, rebuild) {
    Object.assign(this, { desk, keeper, rebuild });
    /** The blind trial that runs; null while names are shown. */
    this.trial = null;
    this.trials = 0;
    this.waiting = [];
    this.votes = [];
    this.saved = "";
    this.body = part("comparison-body");
    desk.words = () => this.words();
    desk.addEventListener("mix", () => this.show(), { signal: desk.ending.signal });
    this.build();
    this.load();
  }

  async load() {
    try {
      this.votes = [...(await this.keeper.load()), ...this.votes];
      this.summarise();
    } catch (error) {
      if (!this.desk.ending.signal.aborted) {
        this.desk.tell("failed", `Earlier votes cannot be read: ${error.message}`);
      }
    }
  }

  /** Whether names are hidden. */
  get hidden() {
    return this.trial !== null && !this.trial.revealed;
  }

  /** Returns all names that may tell one clip from another. */
  get names() {
    const clips = this.desk.piece.tracks.filter((track) => track.role === "candidate");
    return clips.flatMap((track) => [track.name, track.model]).filter(Boolean);
  }

  /** Returns the indices of the candidates in the order of their letters. */
  get order() {
    return this.trial ? this.trial.order : this.desk.mix.candidates().map((track) => track.index);
  }

  /** Returns all that can be heard now: [index, short label, name]; the name is empty while it is hidden. */
  choices() {
    const { mix } = this.desk;
    const clips = this.order.map((index, number) => {
      const track = this.desk.piece.tracks.find((other) => other.index === index);
      return [index, letter(number), this.hidden ? "" : track.model || track.name];
    });
    const reference = mix.reference();
    return [
      ...clips,
      ...(reference ? [[reference.index, "Reference", ""]] : []),
      ...(mix.song ? [[mix.song.index, "Song", ""]] : []),
    ];
  }

  /** Says in words what is heard, without a name that is hidden. */
  words() {
    const [, label, name] = this.choices().find(([index]) => index === this.desk.mix.alone) || [];
    return [label, name].filter(Boolean).join(": ");
  }

  /** Hears the clip of a number, 0 being A. */
  hear(number) {
    if (number < this.order.length) {
      this.desk.change((mix) => mix.hearAlone(this.order[number]));
    }
  }

  /** Hears the next clip; after the last, the first. */
  swap() {
    this.hear((this.order.indexOf(this.desk.mix.alone) + 1) % this.order.length);
  }

  /** Hears the song, or returns to the clip that was heard before. */
  song() {
    const { mix } = this.desk;
    if (mix.song && mix.alone === mix.song.index) {
      this.hear(Math.max(0, this.order.indexOf(this.last)));
    } else {
      this.last = mix.alone;
      this.desk.toggleSong();
    }
  }

  choose(stem) {
    this.desk.change((mix) => mix.choose(stem));
    this.build();
    this.rebuild();
  }

  build() {
    this.focused = this.body.contains(document.activeElement);
    const kept = this.focused ? document.activeElement.getAttribute("data-part") : null;
    this.body.replaceChildren(
      ...(this.trial ? [] : this.stems()),
      make("div", { class: "choices", role: "group", "aria-label": "Hear" }, ...this.buttons()),
      ...(this.trial === null ? this.offer() : this.trial.revealed ? this.revealed() : this.ballot()),
      make("div", { id: "votes", class: "votes" }),
    );
    this.show();
    this.summarise();
    if (kept) {
      this.focus(kept);
    }
  }

  stems() {
    const { mix } = this.desk;
    if (mix.compared.length < 2) {
      return [];
    }
    this.stemButtons = mix.compared.map((stem, number) => named("button", stem, {
      type: "button", "data-part": `stem-${number}`, "aria-pressed": String(stem === mix.stem),
      click: () => this.choose(stem),
    }));
    return [make("div", { class: "segments", role: "group", "aria-label": "Stem" }, ...this.stemButtons)];
  }

  buttons() {
    this.hears = this.choices().map(([index, label, name], number) => {
      const clip = number < this.order.length;
      const button = make("button", {
        type: "button", class: clip ? "choice clip" : "choice", "data-part": `hear-${number}`,
        "aria-label": `Hear ${label}${name ? ` ${name}` : ""}`,
        "aria-keyshortcuts": clip && number < 9 ? String(number + 1) : null,
        click: () => this.desk.change((mix) => mix.hearAlone(index)),
      }, make("strong", { text: label }));
      if (name) {
        button.append(named("span", name));
      }
      return [index, button];
    });
    return this.hears.map(([, button]) => button);
  }

  show() {
    for (const [index, button] of this.hears || []) {
      press(button, index === this.desk.mix.alone);
    }
  }

  offer() {
    const several = this.desk.mix.compared.some((stem) => this.desk.mix.candidates(stem).length > 1);
    const start = make("button", { type: "button", class: "primary", "data-part": "blind", text: "Compare blind",
      click: () => this.next() });
    return [
      make("p", { class: "quiet", text: "All clips are equally loud. Switch between them as they play: the " +
        "next goes on from the same moment. X switches to the next one." }),
      ...(several ? [make("p", { class: "act" }, start, make("span", { class: "quiet",
        text: "Names are hidden and clips shuffled: say which you prefer, then see which it was." }))] : []),
    ];
  }

  /** Begins the next blind trial; each stem has its turn before one comes again. */
  next() {
    const { mix } = this.desk;
    if (!this.waiting.length) {
      this.waiting = shuffled(mix.compared.filter((stem) => mix.candidates(stem).length > 1));
      if (this.trial === null && this.waiting.includes(mix.stem)) {
        this.waiting = [mix.stem, ...this.waiting.filter((stem) => stem !== mix.stem)];
      }
    }
    const stem = this.waiting.shift();
    mix.stem = stem;
    this.trial = new Trial(stem, mix.candidates(stem).map((track) => track.index), this.desk.heard);
    this.trials += 1;
    this.turn((now) => now.hearAlone(this.trial.order[0]));
    this.focus("hear-0");
  }

  /** Makes the page again before it says what is heard, so that no hidden name remains. */
  turn(action) {
    this.build();
    this.rebuild();
    this.desk.change(action);
  }

  /** Moves the focus to a part that was just made, if it was in one that is gone. */
  focus(name) {
    if (this.focused) {
      this.body.querySelector(`[data-part="${name}"]`)?.focus();
    }
  }

  ballot() {
    const vote = (index, text) => make("button", { type: "button", class: "vote", text,
      click: (event) => single(event) && this.vote(index) });
    return [
      make("p", { class: "question", dir: "auto",
        text: `Trial ${this.trials}, ${this.trial.stem}: hear each one, then say which you prefer` }),
      make("div", { class: "buttons ballot", role: "group", "aria-label": "Your vote" },
        ...this.trial.order.map((index, number) => vote(index, `I prefer ${letter(number)}`)),
        vote(null, "No difference")),
      make("p", { class: "buttons" }, this.stopper()),
    ];
  }

  stopper() {
    return make("button", { type: "button", "data-part": "stop", text: "Stop comparing blind",
      click: (event) => single(event) && this.stop() });
  }

  stop() {
    this.trial = null;
    this.waiting = [];
    this.turn(() => {});
    this.focus("blind");
  }

  async vote(index) {
    const vote = this.trial.vote(index, this.desk.heard);
    this.votes.push(vote);
    this.saved = "";
    this.turn(() => {});
    this.focus("next");
    this.desk.say(this.outcome());
    try {
      this.saved = await this.keeper.save(vote);
    } catch (error) {
      this.desk.tell("failed", `The vote is not saved: ${error.message}; download the votes below before you leave`);
    }
    this.summarise();
  }

  outcome() {
    const { order, choice } = this.trial;
    const names = order.map((index, number) => {
      const track = this.desk.piece.tracks.find((other) => other.index === index);
      return `${letter(number)} was ${track.model || track.name}`;
    });
    const voted = choice === null ? "You heard no difference" : `You preferred ${letter(order.indexOf(choice))}`;
    return `${voted}. ${names.join(", ")}.`;
  }

  revealed() {
    const next = make("button", { type: "button", class: "primary", "data-part": "next", text: "Next trial",
      click: (event) => single(event) && this.next() });
    return [make("p", { class: "question", dir: "auto", text: this.outcome() }),
      make("p", { class: "buttons" }, next, this.stopper())];
  }

  /** Shows how often each model was preferred; not while names are hidden. */
  summarise() {
    const place = part("votes");
    if (!place || this.hidden || !this.votes.length) {
      place?.replaceChildren();
      return;
    }
    const { tracks } = this.desk.piece;
    const stems = tally(this.votes, tracks);
    const all = stems.length > 1 ? tally(this.votes.map((vote) => ({ ...vote, stem: "all stems" })), tracks) : [];
    const lines = [...stems, ...all].map(({ stem, none, counts, chance }) => {
      const models = counts.map(([model, count]) => `${model} ${count}`).join(", ");
      const odds = chance === null
        ? "; too few votes to tell it from chance"
        : `; by chance alone, a lead this large comes up in ${percent(chance)} of such series`;
      return make("li", { dir: "auto", text: `${stem}: ${models}, no difference ${none}${odds}` });
    });
    const saved = this.saved ? make("p", { class: "quiet", dir: "auto", text: `Saved in ${this.saved}` }) : "";
    const offer = this.keeper.unsaved.length ? make("button", { type: "button", text: "Download votes",
      click: () => {
        const { title, tracks } = this.desk.piece;
        const votes = this.keeper.unsaved.map((vote) => ({ ...votedModels(vote, tracks), seconds: vote.seconds }));
        download("votes.json", { title, votes });
      } }) : "";
    place.replaceChildren(make("h3", { text: "Votes so far" }), make("ul", {}, ...lines), saved, offer);
  }
}
