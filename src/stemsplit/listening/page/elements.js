"use strict";
/* Makes elements of the page. What people or files call things is only ever set as text. */

/**
 * Makes an element.
 * @param {string} tag
 * @param {object} attributes name -> value; `text` is its text, true is an attribute without value, false and null are
 *   left out, functions are listeners
 * @param {...Node} children
 */
function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") {
      made.textContent = value;
    } else if (typeof value === "function") {
      made.addEventListener(name, value);
    } else if (value !== false && value !== null && value !== undefined) {
      made.setAttribute(name, value === true ? "" : value);
    }
  }
  made.append(...children);
  return made;
}

/** Makes the text of a name that others chose: isolated, in its own direction, whole when it is pointed at. */
function named(tag, name, attributes = {}) {
  return make(tag, { text: name, dir: "auto", title: name, ...attributes });
}

/** Finds an element of the page by its id. */
function part(id) {
  return document.getElementById(id);
}

/** Says whether a button is pressed, to eyes and to screen readers. */
function press(button, pressed) {
  button.setAttribute("aria-pressed", String(Boolean(pressed)));
}

/** Sets a text only where it changes, so that screen readers and layout have no work otherwise. */
function write(element, text) {
  if (element.textContent !== text) {
    element.textContent = text;
  }
}

/** Opens a canvas for drawing at the screen's own resolution; null while it has no size. */
function canvasContext(canvas) {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (!width || !height) {
    return null;
  }
  const ratio = Math.min(window.devicePixelRatio || 1, 3, 8_192 / width);
  const [across, down] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== across || canvas.height !== down) {
    canvas.width = across;
    canvas.height = down;
  }
  const context = canvas.getContext("2d");
  context.setTransform(across / width, 0, 0, down / height, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** Returns the value of a colour of the style sheet, such as "--ink", where an element is. */
function colour(element, name) {
  return getComputedStyle(element).getPropertyValue(name).trim() || "CanvasText";
}

/** Calls a function once before the next frame, however often it is asked for. */
function once(draw) {
  let asked = 0;
  return () => {
    asked = asked || requestAnimationFrame(() => {
      asked = 0;
      draw();
    });
  };
}

/** Offers a value as a JSON file. */
function download(name, value) {
  const address = URL.createObjectURL(new Blob([JSON.stringify(value, null, 2) + "\n"], { type: "application/json" }));
  const link = make("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
