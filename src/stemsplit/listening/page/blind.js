"use strict";
/* Blind trials: shuffled clips under letters, votes, and how likely their outcome is by chance. */

/** Fewest votes with a preference to be compared with chance: four of four still happen in one case of eight. */
const FEWEST = 5;

/** Returns the letter of a candidate: A, B, ... Z, AA. */
function letter(number) {
  const last = String.fromCharCode(65 + (number % 26));
  return number < 26 ? last : letter(Math.floor(number / 26) - 1) + last;
}

/** Returns items in random order; each order is equally likely, and cannot be foreseen. */
function shuffled(items) {
  const mixed = [...items];
  const drawn = new Uint32Array(1);
  for (let left = mixed.length; left > 1; left -= 1) {
    const fair = 2 ** 32 - (2 ** 32 % left);
    do {
      crypto.getRandomValues(drawn);
    } while (drawn[0] >= fair);
    const chosen = drawn[0] % left;
    [mixed[left - 1], mixed[chosen]] = [mixed[chosen], mixed[left - 1]];
  }
  return mixed;
}

/** Returns the probability that at least `hits` of `tries` hit, each with the probability `chance`. */
function atLeast(hits, tries, chance) {
  let [sum, logarithm] = [0, tries * Math.log(1 - chance)];
  for (let count = 0; count <= tries; count += 1) {
    if (count >= hits) {
      sum += Math.exp(logarithm);
    }
    logarithm += Math.log((tries - count) / (count + 1)) + Math.log(chance / (1 - chance));
  }
  return Math.min(1, sum);
}

/**
 * Returns how likely it is that, without any preference, one of several models leads as clearly as the leader does.
 * @param {number[]} counts votes for each model; votes for no difference are not among them
 */
function byChance(counts) {
  const votes = counts.reduce((sum, count) => sum + count, 0);
  return Math.min(1, counts.length * atLeast(Math.max(...counts), votes, 1 / counts.length));
}

/** One trial: the clips of a stem, shuffled. */
class Trial {
  /**
   * @param {string} stem
   * @param {number[]} candidates indices of its clips
   * @param {number} heard seconds that the desk has played so far
   */
  constructor(stem, candidates, heard) {
    this.stem = stem;
    this.order = shuffled(candidates);
    this.begun = heard;
    /** Index that was preferred, null for no difference; undefined before the vote. */
    this.choice = undefined;
  }

  get revealed() {
    return this.choice !== undefined;
  }

  /** Votes, and returns what is saved of the vote. */
  vote(choice, heard) {
    this.choice = choice;
    const seconds = Math.round((heard - this.begun) * 10) / 10;
    return { stem: this.stem, candidates: this.order, choice, seconds };
  }
}

/**
 * Counts votes.
 * @param {object[]} votes as they were saved
 * @param {object[]} tracks of the piece
 * @returns {object[]} for each stem: stem, none (votes for no difference), counts ([model, votes] of each), chance
 */
function tally(votes, tracks) {
  const stems = new Map();
  for (const { stem, models, preferred } of votes.map((vote) => votedModels(vote, tracks)).filter(Boolean)) {
    const counted = stems.get(stem) || { stem, none: 0, counts: new Map() };
    stems.set(stem, counted);
    for (const model of [...models].sort()) {
      counted.counts.set(model, (counted.counts.get(model) || 0) + (model === preferred ? 1 : 0));
    }
    counted.none += preferred === null ? 1 : 0;
  }
  return [...stems.values()].map(({ stem, none, counts }) => {
    const chosen = [...counts.values()];
    const votes = chosen.reduce((sum, count) => sum + count, 0);
    const telling = chosen.length > 1 && votes >= FEWEST;
    return { stem, none, counts: [...counts], chance: telling ? byChance(chosen) : null };
  });
}

/** Returns the models that a vote was on, and the one that was preferred; null if it is not a vote on this piece. */
function votedModels({ stem, candidates, models, choice }, tracks) {
  if (!Array.isArray(candidates) || (choice !== null && !candidates.includes(choice))) {
    return null;
  }
  // The server's file names models itself; a vote of this page has indices of tracks.
  const trackOf = (index) => tracks.find((track) => track.index === index);
  const nameOf = (index) => trackOf(index)?.model || trackOf(index)?.name;
  const names = Array.isArray(models) ? models : candidates.map(nameOf);
  const whole = names.length === candidates.length && names.every((name) => typeof name === "string");
  return whole ? { stem, models: names, preferred: choice === null ? null : names[candidates.indexOf(choice)] } : null;
}

/** Votes that the server keeps beside the comparison. */
class ServedVotes {
  /**
   * @param {string} address of the piece, such as "songs/3"
   * @param {string=} version of the piece: the server refuses votes on another
   */
  constructor(address, version) {
    this.address = `${address}/votes`;
    this.version = version;
    this.unsaved = [];
  }

  /** Returns the votes so far. */
  async load() {
    const saved = await answerOf(await fetch(this.address, { cache: "no-store" }));
    return (Array.isArray(saved) ? saved : saved.votes) || [];
  }

  /** Saves a vote and returns the name of the file that it is in. */
  async save(vote) {
    try {
      const body = JSON.stringify({ ...vote, version: this.version });
      const headers = { "Content-Type": "application/json" };
      return (await answerOf(await fetch(this.address, { method: "POST", headers, body }))).saved;
    } catch (error) {
      this.unsaved.push(vote);
      throw error;
    }
  }
}

/** Votes of a page without a server: kept until the page is closed, to be downloaded. */
class KeptVotes {
  constructor() {
    this.unsaved = [];
    addEventListener("beforeunload", (event) => {
      if (this.unsaved.length) {
        event.preventDefault();
      }
    });
  }

  async load() {
    return [];
  }

  async save(vote) {
    this.unsaved.push(vote);
    return "";
  }
}

/** Returns the JSON of an answer; throws an error of the server in the server's own words. */
async function answerOf(response) {
  const text = await response.text();
  let answer = null;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new Error(`the server answered ${response.status}, and not in JSON`);
  }
  if (!response.ok) {
    throw new Error(answer && answer.error ? answer.error : `the server answered ${response.status}`);
  }
  return answer;
}
