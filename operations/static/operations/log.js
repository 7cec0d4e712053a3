// The log of an operation: its end first, then as it comes; what is earlier on request.
import { Painter } from "./ansi.js";

const TAIL_LINES = 2000;
const BLOCK_LINES = 200; // what is far from the visible part is not laid out, block by block
const MOST_LINES = 20000; // in the page, while it is followed
const POLL_MILLISECONDS = 2000;
const USER_MILLISECONDS = 800;

export class LogView {
  // `onEnd` is called when the log of a running operation has come to its end.
  constructor(root, onEnd) {
    this.root = root;
    this.onEnd = onEnd;
    this.box = root.querySelector("[data-log-box]");
    this.earlier = root.querySelector("[data-log-earlier]");
    this.state = root.querySelector("[data-log-state]");
    this.choice = root.querySelector("[data-log-stream]");
    this.follow = root.querySelector("[data-log-follow]");
    this.download = root.querySelector("[data-log-download]");
    this.plain = root.querySelector("[data-log-text]");
    this.text = document.createElement("div");
    this.text.className = "log-text";
    this.isFollowing = true;
    this.run = 0; // what an earlier choice of stream asked for is not shown any more
    this.userActedAt = 0;
    this.listen();
  }

  listen() {
    this.earlier.addEventListener("click", () => this.loadEarlier());
    this.choice.addEventListener("change", () => this.start());
    this.follow.addEventListener("click", () => this.setFollowing(!this.isFollowing));
    for (const name of ["wheel", "touchmove", "keydown", "pointerdown"]) {
      this.box.addEventListener(name, () => (this.userActedAt = performance.now()), { passive: true });
    }
    // Heights are known only when lines are laid out, which is later than they are added.
    new ResizeObserver(() => this.isFollowing && this.toEnd()).observe(this.text);
    // Scrolling up pauses, scrolling to the end goes on: only the person's own, not that of new lines.
    this.box.addEventListener("scroll", () => {
      if (performance.now() - this.userActedAt < USER_MILLISECONDS) {
        this.setFollowing(this.isAtEnd());
      }
    });
  }

  // Show the end of the chosen stream and follow it, from nothing.
  async start() {
    const run = ++this.run;
    this.stop();
    const stream = this.choice.value;
    this.download.href = `${this.root.dataset.downloadUrl}?stream=${stream}`;
    const piece = await this.fetchPiece({ tail: TAIL_LINES, stream });
    if (run !== this.run) {
      return;
    }
    if (!piece) {
      this.timer = setTimeout(() => this.start(), POLL_MILLISECONDS);
      return;
    }
    this.waiting = [];
    this.lines = 0;
    this.painter = new Painter();
    this.open = null;
    this.text.replaceChildren();
    if (this.plain.isConnected) {
      this.plain.replaceWith(this.text);
    }
    this.offset = piece.begin;
    this.begin = piece.begin;
    this.add(piece.text, piece.next);
    this.flush();
    this.showEarlier();
    if (piece.isComplete) {
      this.finish(false);
    } else {
      this.openStream(run, stream);
    }
  }

  stop() {
    this.source?.close();
    clearTimeout(this.timer);
  }

  openStream(run, stream) {
    this.say("following");
    const query = new URLSearchParams({ offset: this.offset, stream });
    const source = new EventSource(`${this.root.dataset.streamUrl}?${query}`);
    this.source = source;
    source.addEventListener("message", (event) => this.add(`${event.data}\n`, Number(event.lastEventId)));
    source.addEventListener("part", (event) => this.add(event.data, Number(event.lastEventId)));
    source.addEventListener("end", () => {
      source.close();
      this.finish(true);
    });
    source.addEventListener("error", () => {
      // It comes again by itself, unless it was refused: then every place is taken.
      if (source.readyState === EventSource.CLOSED && run === this.run) {
        this.poll(run, stream);
      }
    });
  }

  async poll(run, stream) {
    const piece = await this.fetchPiece({ offset: this.offset, stream });
    if (run !== this.run) {
      return;
    }
    if (piece) {
      this.add(piece.text, piece.next);
      if (piece.isComplete) {
        this.finish(true);
        return;
      }
    }
    this.say("looking every 2 seconds");
    this.timer = setTimeout(() => this.poll(run, stream), POLL_MILLISECONDS);
  }

  // `{text, begin, next, isComplete}`, offsets in bytes; null when the server cannot be asked.
  async fetchPiece(parameters) {
    try {
      const response = await fetch(`${this.root.dataset.url}?${new URLSearchParams(parameters)}`);
      if (response.redirected) {
        location.reload(); // the session has ended: to the login
        return null;
      }
      if (!response.ok) {
        return null;
      }
      return {
        text: await response.text(),
        begin: Number(response.headers.get("X-Log-Offset")),
        next: Number(response.headers.get("X-Next-Offset")),
        isComplete: response.headers.get("X-Log-Complete") === "true",
      };
    } catch {
      return null;
    }
  }

  finish(wasFollowed) {
    this.flush();
    this.say(this.text.hasChildNodes() ? "complete" : "it said nothing");
    if (wasFollowed) {
      this.onEnd();
    }
  }

  // --- What is shown ---

  // Many pieces may come before the next frame: they are shown together.
  add(text, next) {
    if (text) {
      this.waiting.push([text, this.offset]);
      this.frame ??= requestAnimationFrame(() => this.flush());
    }
    this.offset = next;
  }

  flush() {
    cancelAnimationFrame(this.frame);
    this.frame = null;
    for (const [text, begin] of this.waiting.splice(0)) {
      this.append(text, begin);
    }
    this.trim();
  }

  append(text, begin) {
    if (!this.open || (this.open.lines >= BLOCK_LINES && this.endsLine)) {
      this.open = { element: this.newBlock(begin), lines: 0 };
      this.text.append(this.open.element);
    }
    const count = linesIn(text);
    this.open.element.append(this.painter.paint(text));
    this.open.lines += count;
    this.lines += count;
    this.open.element.dataset.lines = this.open.lines;
    this.endsLine = text.endsWith("\n");
  }

  newBlock(begin) {
    const block = document.createElement("div");
    block.className = "log-block";
    block.dataset.begin = begin;
    return block;
  }

  // Whoever follows does not read what is far above; it can be loaded again.
  trim() {
    while (this.isFollowing && this.lines > MOST_LINES && this.text.childElementCount > 1) {
      const first = this.text.firstElementChild;
      this.lines -= Number(first.dataset.lines);
      first.remove();
      this.begin = Number(this.text.firstElementChild.dataset.begin);
      this.showEarlier();
    }
  }

  async loadEarlier() {
    const run = this.run;
    this.setFollowing(false);
    this.earlier.disabled = true;
    const piece = await this.fetchPiece({ before: this.begin, stream: this.choice.value });
    this.earlier.disabled = false;
    if (!piece || run !== this.run) {
      return;
    }
    const block = this.newBlock(piece.begin);
    block.append(new Painter().paint(piece.text));
    block.dataset.lines = linesIn(piece.text);
    this.lines += linesIn(piece.text);
    const before = this.box.scrollHeight;
    this.text.prepend(block);
    this.begin = piece.begin;
    this.showEarlier();
    this.box.scrollTop += this.box.scrollHeight - before;
    if (this.earlier.hidden) {
      this.box.focus();
    }
  }

  showEarlier() {
    this.earlier.hidden = this.begin === 0;
  }

  setFollowing(isFollowing) {
    this.isFollowing = isFollowing;
    this.follow.setAttribute("aria-pressed", String(isFollowing));
    if (isFollowing) {
      this.toEnd();
    }
  }

  toEnd() {
    this.box.scrollTop = this.box.scrollHeight;
  }

  isAtEnd() {
    return this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight < 24;
  }

  say(words) {
    if (this.state.textContent !== words) {
      this.state.textContent = words;
    }
  }
}

function linesIn(text) {
  let count = 0;
  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) {
    count += 1;
  }
  return count;
}
