"use strict";
/* Keys: what each does, and the list of them. */

const KEYS = [
  ["Space", "Play or pause"],
  ["← →", "5 seconds back or forward; with Shift, 1 second"],
  ["Home End", "To the beginning, to the end"],
  ["1 – 9", "Solo a stem; in a comparison, hear A, B, C"],
  ["Shift + 1 – 9", "Mute a stem"],
  ["0", "End all solos"],
  ["[ ]", "Loop from here, loop to here"],
  ["L", "Loop on or off"],
  ["Esc", "Clear the loop"],
  ["M", "Hear the song, or its stems"],
  ["D", "Hear the song minus its stems"],
  ["X", "Hear the next clip of a comparison"],
  ["N P", "Next song, previous song"],
  ["↑ ↓", "On a gain: louder, quieter; Backspace: 0 dB"],
  ["?", "These keys"],
];

/** Elements that use keys themselves: [selector, keys that are theirs; null for all]. */
const THEIRS = [
  ["input:not([type=range]), textarea, select, [contenteditable]", null],
  ["input[type=range]", ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "Home", "End", "PageUp", "PageDown"]],
  ["button, summary, a[href]", ["Space", "Enter", "NumpadEnter"]],
];

/** Returns whether a key belongs to the element that has the focus. */
function taken(element, code) {
  return THEIRS.some(([selector, codes]) => element.matches?.(selector) && (codes === null || codes.includes(code)));
}

/** Makes a key as it looks on a keyboard; signs between keys stay text. */
function keycap(key) {
  return make("+–".includes(key) ? "span" : "kbd", { text: key });
}

/** Listens to keys and acts on what is open. */
class Keys {
  /** @param {Page} page whose `desk`, `comparison` and `go` the keys use */
  constructor(page) {
    this.page = page;
    this.dialog = part("keys");
    part("keys-list").replaceChildren(...KEYS.map(([keys, does]) =>
      make("div", {}, make("dt", {}, ...keys.split(" ").map(keycap)), make("dd", { text: does }))));
    part("show-keys").addEventListener("click", () => this.dialog.showModal());
    part("keys-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) {
        this.dialog.close();
      }
    });
    addEventListener("keydown", (event) => this.pressed(event));
  }

  pressed(event) {
    // Many layouts have brackets only with AltGr, which some systems report as Ctrl and Alt.
    const written = event.getModifierState("AltGraph") || "[]".includes(event.key);
    if (event.defaultPrevented || this.dialog.open || event.isComposing || taken(event.target, event.code)) {
      return;
    }
    if (event.metaKey || (!written && (event.ctrlKey || event.altKey))) {
      return;
    }
    const act = this.action(event);
    if (act && !(event.repeat && !/^Arrow/.test(event.code))) {
      event.preventDefault();
      act();
    } else if (act) {
      event.preventDefault();
    }
  }

  /** Returns what a key does; null if nothing. Digits go by their place, letters and signs by what they write. */
  action(event) {
    if (event.key === "?") {
      return () => this.dialog.showModal();
    }
    const { desk, comparison } = this.page;
    if (!desk) {
      return { n: () => this.page.go("next"), p: () => this.page.go("previous") }[event.key.toLowerCase()] || null;
    }
    const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code);
    if (digit && !"[]".includes(event.key) && !(event.code.startsWith("Numpad") && event.key.length > 1)) {
      return this.digit(Number(digit[1]), event.shiftKey);
    }
    const seconds = event.shiftKey ? 1 : 5;
    const codes = {
      Space: () => desk.toggle(),
      ArrowLeft: () => desk.step(-seconds),
      ArrowRight: () => desk.step(seconds),
      Home: () => desk.seek(0),
      End: () => desk.seek(desk.frames),
      Escape: () => desk.clearLoop(),
    };
    const letters = {
      "[": () => desk.markStart(),
      "]": () => desk.markEnd(),
      l: () => desk.toggleLoop(),
      m: () => (comparison ? comparison.song() : desk.toggleSong()),
      d: () => desk.toggleRest(),
      x: comparison ? () => comparison.swap() : null,
      n: () => this.page.go("next"),
      p: () => this.page.go("previous"),
    };
    // Where brackets need AltGr, the keys in their place do the same.
    const places = { BracketLeft: letters["["], BracketRight: letters["]"] };
    return codes[event.code] || letters[event.key.toLowerCase()] || places[event.code] || null;
  }

  digit(number, shift) {
    const { desk, comparison } = this.page;
    if (comparison) {
      return number ? () => comparison.hear(number - 1) : null;
    }
    if (number === 0) {
      return () => desk.change((mix) => {
        mix.clear();
        mix.hearStems();
      });
    }
    const stem = desk.mix.stems[number - 1];
    return stem ? () => desk.change((mix) => (shift ? mix.mute(stem.index) : mix.solo(stem.index))) : null;
  }
}
