// Two texts line by line: what went, what came, and within a changed line the part that differs.

function diffLines(before, after) {
  const [a, b] = [before.split("\n"), after.split("\n")];
  const longest = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1)); // common lines from here on
  for (let i = a.length - 1; i >= 0; i--)
    for (let j = b.length - 1; j >= 0; j--)
      longest[i][j] = a[i] === b[j] ? longest[i + 1][j + 1] + 1 : Math.max(longest[i + 1][j], longest[i][j + 1]);
  const lines = [];
  for (let i = 0, j = 0; i < a.length || j < b.length; ) {
    if (i < a.length && j < b.length && a[i] === b[j]) lines.push([" ", a[i++]]), j++;
    else if (i < a.length && (j === b.length || longest[i + 1][j] >= longest[i][j + 1])) lines.push(["-", a[i++]]);
    else lines.push(["+", b[j++]]);
  }
  return lines;
}

// Whether `after` is an edit of `before`: at least half of its lines are the same.
function isEdit(before, after) {
  if (!before || !after || before === after) return false;
  const lines = diffLines(before, after);
  const same = lines.filter(([sign]) => sign === " ").length;
  return 2 * same >= after.split("\n").length;
}

function renderDiff(before, after) {
  const lines = diffLines(before, after);
  const shown = lines.map(([sign, text], place) => {
    const other = sign === "-" ? lines[place + 1] : lines[place - 1];
    const alone = lines[place + (sign === "-" ? -1 : 1)]?.[0] !== sign;
    const paired = alone && sign !== " " && other?.[0] === (sign === "-" ? "+" : "-");
    return h("span", { class: { "-": "gone", "+": "came", " ": "same" }[sign] },
      `${sign} `, ...(paired ? emphasize(text, other[1]) : [text]));
  });
  return h("pre", { class: "diff", tabindex: 0, role: "group", "aria-label": "Changes" }, shown);
}

// `text` with the part that `other` does not have in its place marked.
function emphasize(text, other) {
  const most = Math.min(text.length, other.length);
  let [start, end] = [0, 0];
  while (start < most && text[start] === other[start]) start++;
  while (end < most - start && text.at(-1 - end) === other.at(-1 - end)) end++;
  return [text.slice(0, start), h("mark", null, text.slice(start, text.length - end)), text.slice(text.length - end)];
}
