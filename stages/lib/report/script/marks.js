// The reader's marks, kept by this browser for this dataset: right or wrong, why, and whether the verdict was hidden.

const marks = {
  held: {},

  open(dataset) {
    this.dataset = dataset;
    try {
      this.held = JSON.parse(localStorage.getItem(this.key) ?? "{}");
    } catch {
      this.lost = true;
    }
  },

  get key() {
    return `tidemill marks ${this.dataset}`;
  },

  of(row) {
    return this.held[row.id] ?? {};
  },

  // Candidates can be marked; what the teacher never answered has no text to be right or wrong.
  takes: (row) => Boolean(row.fingerprint),

  set(row, change) {
    const mark = { ...this.of(row), ...change, task: row.task, fingerprint: row.fingerprint };
    if (mark.mark || mark.why) this.held[row.id] = mark;
    else delete this.held[row.id];
    this.save();
  },

  save() {
    try {
      localStorage.setItem(this.key, JSON.stringify(this.held));
    } catch {
      this.lost = true; // a private window, or no room: export before closing
    }
  },

  count: (word) => Object.values(marks.held).filter(({ mark }) => mark === word).length,

  export() {
    const found = Object.entries(this.held).map(([id, mark]) => ({ id, ...mark })).filter(({ mark }) => mark);
    found.sort((a, b) => (a.id < b.id ? -1 : 1));
    return JSON.stringify({ dataset: this.dataset, marks: found }, null, 1) + "\n";
  },

  // Adds the marks of an exported file; those made here stay.
  import(text) {
    const found = JSON.parse(text).marks;
    this.held = { ...Object.fromEntries(found.map(({ id, ...mark }) => [id, mark])), ...this.held };
    this.save();
    return found.length;
  },
};
