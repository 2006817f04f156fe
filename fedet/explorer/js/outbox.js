// What Python has not confirmed yet.

const STORED = "fedet.review.";

/** Edits that Python has not confirmed yet; they outlive the page in localStorage. */
class Outbox {
  constructor(key) {
    this.key = STORED + key;
    this.list = [];
  }

  static read(key) {
    try {
      return JSON.parse(localStorage.getItem(key)) ?? [];
    } catch {
      return []; // no storage, or not ours
    }
  }

  /** Ids of all edits that wait in this browser, of all reviews. */
  static waiting() {
    try {
      const keys = Object.keys(localStorage).filter((key) => key.startsWith(STORED));
      return keys.flatMap((key) => Outbox.read(key).map((command) => command.id));
    } catch {
      return [];
    }
  }

  put(command) {
    this.list.push({ command, since: Date.now() });
    this.save();
  }

  done(ids) {
    this.list = this.list.filter(({ command }) => !ids.includes(command.id));
    this.save();
  }

  save() {
    try {
      if (this.list.length) localStorage.setItem(this.key, JSON.stringify(this.list.map((x) => x.command)));
      else localStorage.removeItem(this.key);
    } catch {
      // Private windows have no storage; the edits are still in memory and sent.
    }
  }

  waitedMs() {
    return this.list.length ? Date.now() - this.list[0].since : 0;
  }
}

let commandCount = 0;
const commandPrefix = Math.floor(Math.random() * 2 ** 40).toString(36);
const newId = () => `${commandPrefix}-${++commandCount}`;
