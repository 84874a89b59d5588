"use strict";
/* Follows a training run: asks for its curves every two seconds, and draws them again when there is a new report. */

const EVERY_MS = 2_000;
const STOPPED = "The server has stopped: start it again, then open the address that it prints";

const part = (id) => document.getElementById(id);

/** Returns an element with this text. */
function textIn(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}

/** Returns a picture that the server drew. */
function pictureOf(text) {
  const parsed = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
  return document.importNode(parsed, true);
}

/** Returns a row of a table, whose first cell is its heading. */
function rowOf(cells, headings) {
  const row = document.createElement("tr");
  cells.forEach((text, index) => {
    const cell = textIn(headings || index === 0 ? "th" : "td", text);
    if (cell.tagName === "TH") {
      cell.scope = headings ? "col" : "row";
    }
    cell.className = "number";
    row.append(cell);
  });
  return row;
}

/** The page of a run. */
class Run {
  constructor() {
    this.seen = "";
    this.timer = 0;
    part("log").addEventListener("change", () => {
      this.seen = "";
      this.ask();
    });
    document.addEventListener("visibilitychange", () => document.hidden || this.ask());
    this.ask();
  }

  /** Asks once, and again later; at once if the file has more than the server read. */
  async ask() {
    clearTimeout(this.timer);
    let wait = EVERY_MS;
    try {
      const log = part("log").checked ? 1 : 0;
      const answer = await fetch(`run.json?log=${log}&seen=${this.seen}`);
      const data = await answer.json();
      if (data.error) {
        this.complain(data.error);
      } else {
        this.complain("");
        this.show(data);
        wait = data.more ? 0 : EVERY_MS;
      }
    } catch {
      this.complain(STOPPED);
    }
    clearTimeout(this.timer);
    this.timer = setTimeout(() => document.hidden || this.ask(), wait);
  }

  complain(text) {
    part("trouble").hidden = !text;
    if (part("trouble").textContent !== text) {
      part("trouble").textContent = text;
    }
  }

  /** Shows the curves, unless they are those that are shown. */
  show(data) {
    if (!data.charts) {
      return;
    }
    this.seen = String(data.version);
    document.title = `${data.title} – stemsplit`;
    part("title").textContent = data.title;
    part("state").textContent = data.state;
    part("notes").hidden = !data.notes.length;
    part("notes").replaceChildren(...data.notes.map((note) => textIn("li", note)));
    part("charts").replaceChildren(...data.charts.map((chart) => {
      const figure = document.createElement("figure");
      figure.append(textIn("figcaption", chart.name), pictureOf(chart.svg));
      return figure;
    }));
    const head = document.createElement("thead");
    head.append(rowOf(data.headings, true));
    const body = document.createElement("tbody");
    body.append(...data.rows.map((row) => rowOf(row, false)));
    part("table").replaceChildren(head, body);
  }
}

new Run();
