"use strict";
/* Makes gains of what people press: mute, solo, gain, one track alone, the song minus its stems. */

const QUIETEST = -60;
const LOUDEST = 12;

/** What is heard of a piece. Knows nothing of the page. */
class Mix {
  /** @param {object} piece as `as_data` in piece.py describes it */
  constructor(piece) {
    this.tracks = piece.tracks;
    this.song = this.tracks.find((track) => track.role === "song") || null;
    this.stems = this.tracks.filter((track) => track.role === "stem");
    this.sums = this.tracks.filter((track) => track.role === "sum");
    const compared = this.tracks.filter((track) => track.role === "candidate");
    /** Names of the stems that are compared, each once. */
    this.compared = [...new Set(compared.map((track) => track.stem))];
    /** Name of the stem whose candidates are heard now; null where nothing is compared. */
    this.stem = this.compared.length ? this.compared[0] : null;
    /** Index of the one track that is heard; null where the stems are. */
    this.alone = null;
    /** Whether the song minus all stems is heard. */
    this.rest = false;
    this.settings = new Map(this.tracks.map((track) => [track.index, { mute: false, solo: false, db: 0 }]));
    this.reset();
  }

  /** Returns to what is heard first: all stems, or the first candidate, or whatever there is. */
  reset() {
    const first = this.candidates()[0] || (this.stems.length ? null : this.sums[0] || this.tracks[0]);
    this.alone = first ? first.index : null;
    this.rest = false;
  }

  /** Returns the tracks that are clips of a stem, as listed: candidates, without the reference. */
  candidates(stem = this.stem) {
    return this.tracks.filter((track) => track.role === "candidate" && track.stem === stem);
  }

  /** Returns the true stem that the candidates are compared with; null if there is none. */
  reference(stem = this.stem) {
    return this.tracks.find((track) => track.role === "reference" && track.stem === stem) || null;
  }

  /** Whether the song minus its stems can be heard. */
  get subtracts() {
    return this.song !== null && this.stems.length > 0;
  }

  /** Whether some stem is soloed. */
  get soloing() {
    return this.stems.some((track) => this.settings.get(track.index).solo);
  }

  /** Mutes a stem, or lets it be heard again. */
  mute(index, muted = !this.settings.get(index).mute) {
    this.settings.get(index).mute = muted;
    this.hearStems();
  }

  /**
   * Solos a stem, or ends that.
   * @param {number} index
   * @param {boolean} exclusive whether all others stop being soloed
   */
  solo(index, exclusive = false) {
    const setting = this.settings.get(index);
    const soloed = exclusive || this.alone !== null || this.rest ? true : !setting.solo;
    if (exclusive) {
      this.clear();
    }
    setting.solo = soloed;
    if (soloed) {
      setting.mute = false;
    }
    this.hearStems();
  }

  /** Ends all solos. */
  clear() {
    this.settings.forEach((setting) => {
      setting.solo = false;
    });
  }

  /** Sets the gain of a track in dB, within the range of its slider. */
  setGain(index, db) {
    this.settings.get(index).db = Math.min(LOUDEST, Math.max(QUIETEST, Number.isFinite(db) ? db : 0));
  }

  /** Lets the stems be heard, as muted and soloed; in a comparison nothing changes. */
  hearStems() {
    if (this.stem === null && this.stems.length) {
      this.alone = null;
      this.rest = false;
    }
  }

  /** Lets one track be heard alone, such as the song or a candidate. */
  hearAlone(index) {
    this.alone = index;
    this.rest = false;
  }

  /** Lets the song minus its stems be heard. */
  hearRest() {
    if (this.subtracts) {
      this.alone = null;
      this.rest = true;
    }
  }

  /** Chooses the stem whose candidates are heard; the same model stays if it has that stem. */
  choose(stem) {
    const before = this.tracks.find((track) => track.index === this.alone);
    this.stem = stem;
    if (before && before.role === "song") {
      return;
    }
    const same = before && this.candidates().find((track) => track.model === before.model);
    const next = (before && before.role === "reference" && this.reference()) || same || this.candidates()[0];
    this.hearAlone(next.index);
  }

  /** Returns the linear gain of a track; negative where it is subtracted. */
  gain(track) {
    if (this.rest) {
      return track === this.song ? 1 : track.role === "stem" ? -1 : 0;
    }
    const { mute, solo, db } = this.settings.get(track.index);
    if (this.alone !== null) {
      return track.index === this.alone ? 10 ** (db / 20) : 0;
    }
    const heard = track.role === "stem" && !mute && (solo || !this.soloing);
    return heard ? 10 ** (db / 20) : 0;
  }

  /** Returns index -> linear gain, for all tracks. */
  gains() {
    return new Map(this.tracks.map((track) => [track.index, this.gain(track)]));
  }

  /** Returns the indices of the tracks between which people switch now; the others need not be read. */
  used() {
    const near = this.stem === null ? this.stems : [...this.candidates(), this.reference()];
    const indices = [...near, this.song].filter(Boolean).map((track) => track.index);
    return [...new Set(this.alone === null ? indices : [...indices, this.alone])];
  }

  /** Says in words what is heard. */
  words() {
    if (this.rest) {
      return "the song minus its stems";
    }
    if (this.alone !== null) {
      return this.tracks.find((track) => track.index === this.alone).name;
    }
    const heard = this.stems.filter((track) => this.gain(track) !== 0).map((track) => track.name);
    return heard.length === this.stems.length ? "all stems" : heard.join(", ") || "nothing: all stems are muted";
  }
}
