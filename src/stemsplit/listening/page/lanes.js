"use strict";
/* Lanes: stretches of the page that stand for time, with the playhead and the loop, to click and to drag. */

const DRAG_PIXELS = 4;

/** The playhead and the loop over a lane. */
class Marker {
  /**
   * @param {HTMLElement} lane
   * @param {Desk} desk
   * @param {boolean} whole whether the lane shows the whole song rather than the visible stretch
   */
  constructor(lane, desk, whole = false) {
    Object.assign(this, { lane, desk, whole });
    this.loop = make("div", { class: "loop", hidden: true });
    this.head = make("div", { class: "playhead" });
    lane.append(this.loop, this.head);
  }

  share(sample) {
    return this.whole ? sample / this.desk.view.frames : this.desk.view.shareOf(sample);
  }

  /** Moves the playhead. */
  move(position) {
    const share = this.share(position);
    this.head.hidden = share < 0 || share > 1;
    this.head.style.left = `${share * 100}%`;
  }

  /** Draws the loop. */
  mark({ start, end, on }) {
    this.loop.hidden = start === null;
    if (start !== null) {
      const [from, to] = [this.share(start), this.share(end === null ? start : end)];
      const [left, right] = [from, to].map((share) => Math.min(1, Math.max(0, share)));
      this.loop.style.left = `${left * 100}%`;
      this.loop.style.width = `${(right - left) * 100}%`;
      this.loop.classList.toggle("off", !on);
      this.loop.hidden = to < 0 || from > 1;
    }
  }
}

/** Lets people click a lane to go there, and drag across it to mark a loop. */
function dragging(lane, desk) {
  let begun = null;
  const sampleOf = (event) => {
    const box = lane.getBoundingClientRect();
    return desk.view.sampleAt((event.clientX - box.left) / box.width);
  };
  const ends = (event) => [begun.sample, sampleOf(event)].sort((a, b) => a - b);
  lane.addEventListener("pointerdown", (event) => {
    if (event.button === 0 && begun === null) {
      begun = { x: event.clientX, sample: sampleOf(event), far: false };
      lane.setPointerCapture(event.pointerId);
    }
  });
  lane.addEventListener("pointermove", (event) => {
    if (begun && (begun.far || Math.abs(event.clientX - begun.x) >= DRAG_PIXELS)) {
      begun.far = true;
      const [start, end] = ends(event);
      desk.tell("dragged", { start, end, on: true });
    }
  });
  lane.addEventListener("pointerup", (event) => {
    if (begun) {
      const [start, end] = ends(event);
      const { far, sample } = begun;
      begun = null;
      if (far) {
        desk.mark(start, end);
        desk.dispatchEvent(new Event("loop"));
      } else {
        desk.seek(sample);
      }
    }
  });
  lane.addEventListener("pointercancel", () => {
    begun = null;
    desk.dispatchEvent(new Event("loop"));
  });
  lane.addEventListener("wheel", (event) => wheeled(event, lane, desk), { passive: false });
}

/** Zooms with Ctrl and the wheel, scrolls sideways with Shift and the wheel or a sideways wheel. */
function wheeled(event, lane, desk) {
  const { view } = desk;
  const box = lane.getBoundingClientRect();
  const sideways = event.shiftKey && !event.deltaX ? event.deltaY : event.deltaX;
  if (event.ctrlKey || event.metaKey) {
    event.preventDefault();
    view.zoom(2 ** (-event.deltaY / 200), view.sampleAt((event.clientX - box.left) / box.width));
  } else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY) && !view.whole) {
    event.preventDefault();
    view.scroll((sideways / box.width) * view.length);
  }
}
