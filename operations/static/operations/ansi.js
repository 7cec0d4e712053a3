// Terminal output as text and classes: colours and weights are shown, everything else is left out.
// Text becomes text nodes only, so nothing in a log can become markup.

const ESCAPE = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])/g;
// The beginning of a sequence that goes on in the next piece.
const BEGUN = /\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b]*\x1b?)?$/;
const CONTROL = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/g;
const LONGEST_BEGUN = 4096;
const LEVELS = [0, 95, 135, 175, 215, 255];
const PALETTE = [
  [0, 0, 0], [205, 49, 49], [13, 188, 121], [229, 229, 16],
  [36, 114, 200], [188, 63, 188], [17, 168, 205], [204, 204, 204],
  [102, 102, 102], [241, 76, 76], [35, 209, 139], [245, 245, 67],
  [59, 142, 234], [214, 112, 214], [41, 184, 219], [255, 255, 255],
];

export class Painter {
  constructor() {
    this.begun = "";
    this.reset();
  }

  reset() {
    this.style = { fg: null, bg: null, bold: false, dim: false, italic: false, underline: false, inverse: false };
  }

  // A fragment of text nodes and spans; colours go on from the piece before.
  paint(piece) {
    let text = this.begun + piece;
    const open = text.match(BEGUN);
    this.begun = open && open[0].length < LONGEST_BEGUN ? open[0] : "";
    text = text.slice(0, text.length - this.begun.length);
    const fragment = document.createDocumentFragment();
    let at = 0;
    for (const match of text.matchAll(ESCAPE)) {
      this.add(fragment, text.slice(at, match.index));
      if (match[2] === "m") {
        this.select(match[1]);
      }
      at = match.index + match[0].length;
    }
    this.add(fragment, text.slice(at));
    return fragment;
  }

  add(fragment, raw) {
    const text = raw.replace(/\r\n?/g, "\n").replace(CONTROL, "");
    if (!text) {
      return;
    }
    const classes = this.classes();
    if (!classes) {
      fragment.append(text);
      return;
    }
    const span = document.createElement("span");
    span.className = classes;
    span.textContent = text;
    fragment.append(span);
  }

  classes() {
    const { fg, bg, bold, dim, italic, underline, inverse } = this.style;
    const names = [];
    if (fg !== null) names.push(`fg-${fg}`);
    if (bg !== null) names.push(`bg-${bg}`);
    for (const [name, isOn] of Object.entries({ bold, dim, italic, underline, inverse })) {
      if (isOn) names.push(name);
    }
    return names.join(" ");
  }

  // SGR (ECMA-48, 8.3.117), with the 256 and the true colours brought to the sixteen.
  select(given) {
    const codes = given.split(/[;:]/).map((code) => Number(code || 0));
    while (codes.length) {
      const code = codes.shift();
      if (code === 0) this.reset();
      else if (code === 1) this.style.bold = true;
      else if (code === 2) this.style.dim = true;
      else if (code === 3) this.style.italic = true;
      else if (code === 4) this.style.underline = true;
      else if (code === 7) this.style.inverse = true;
      else if (code === 22) this.style.bold = this.style.dim = false;
      else if (code === 23) this.style.italic = false;
      else if (code === 24) this.style.underline = false;
      else if (code === 27) this.style.inverse = false;
      else if (code >= 30 && code <= 37) this.style.fg = code - 30;
      else if (code === 38) this.style.fg = further(codes);
      else if (code === 39) this.style.fg = null;
      else if (code >= 40 && code <= 47) this.style.bg = code - 40;
      else if (code === 48) this.style.bg = further(codes);
      else if (code === 49) this.style.bg = null;
      else if (code >= 90 && code <= 97) this.style.fg = code - 82;
      else if (code >= 100 && code <= 107) this.style.bg = code - 92;
    }
  }
}

function further(codes) {
  const way = codes.shift();
  if (way === 2) {
    return nearest(codes.splice(0, 3));
  }
  const index = way === 5 ? codes.shift() ?? 0 : 0;
  if (index < 16) {
    return index;
  }
  if (index >= 232) {
    const gray = 8 + 10 * (Math.min(index, 255) - 232);
    return nearest([gray, gray, gray]);
  }
  const cube = index - 16;
  return nearest([Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6].map((level) => LEVELS[level]));
}

function nearest([red = 0, green = 0, blue = 0]) {
  const distances = PALETTE.map(([r, g, b]) => (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2);
  return distances.indexOf(Math.min(...distances));
}
