"use strict";
/* The list of songs: search, pages, and which one is open. */

const PAGE_LENGTH = 50;

/** The list of all songs that the server has. */
class Songs {
  /**
   * @param {function(number): void} open opens a song by its id
   * @param {function(Error): void} fail takes what went wrong
   */
  constructor(open, fail) {
    Object.assign(this, { open, fail, from: 0, total: 0, current: null, asked: 0, timer: 0 });
    this.search = part("search");
    part("songs-open").open = matchMedia("(min-width: 70rem)").matches;
    this.search.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.show(0), 150);
    });
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && this.first !== null) {
        this.open(this.first);
      }
    });
    part("songs-earlier").addEventListener("click", () => this.show(this.from - PAGE_LENGTH));
    part("songs-later").addEventListener("click", () => this.show(this.from + PAGE_LENGTH));
  }

  /**
   * Asks for one page of the list and shows it; an answer that came too late is dropped.
   * @returns {Promise<object|null>} the first song of the page
   */
  async show(from = this.from) {
    const asked = (this.asked += 1);
    const query = encodeURIComponent(this.search.value);
    const start = Math.max(0, from);
    let answer = null;
    try {
      answer = await answerOf(await fetch(`songs.json?query=${query}&from=${start}&count=${PAGE_LENGTH}`));
    } catch (error) {
      this.fail(error);
      return null;
    }
    if (asked !== this.asked) {
      return null;
    }
    const { total, songs } = answer;
    this.from = start;
    this.first = songs.length ? songs[0].id : null;
    this.all = this.search.value ? this.all : total;
    part("songs").hidden = this.all < 2;
    const range = songs.length === total ? "" : `${start + 1}–${start + songs.length} of `;
    write(part("songs-count"), total ? range + counted(total, "song") : "No song has these words in its name");
    part("songs-pages").hidden = total <= PAGE_LENGTH;
    part("songs-earlier").disabled = start === 0;
    part("songs-later").disabled = start + songs.length >= total;
    part("songs-list").replaceChildren(...songs.map((song) => this.entry(song)));
    part("songs-list").start = start + 1;
    this.mark(this.current);
    return songs[0] || null;
  }

  entry({ id, title, kind }) {
    const button = make("button", { type: "button", class: "song", "data-id": id, click: () => this.open(id) },
      named("span", title));
    if (kind === "comparison") {
      button.append(make("span", { class: "quiet", text: "comparison" }));
    }
    return make("li", {}, button);
  }

  /** Marks the song that is open. */
  mark(id) {
    this.current = id;
    for (const button of part("songs-list").querySelectorAll("button")) {
      if (button.getAttribute("data-id") === String(id)) {
        button.setAttribute("aria-current", "true");
      } else {
        button.removeAttribute("aria-current");
      }
    }
  }
}
