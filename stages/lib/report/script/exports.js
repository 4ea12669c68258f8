// The shown rows as files.

const COLUMNS = {
  id: (row) => row.id,
  run: (row) => row.run,
  outcome: (row) => row.outcome,
  split: (row) => row.split,
  task: (row) => row.task,
  language: (row) => row.language,
  target_language: (row) => row.target,
  round: (row) => row.round,
  instruction: (row) => row.instruction,
  input: (row) => row.input,
  output: (row) => row.output,
  stopped_by: (row) => row.stopped.join("; "),
  tests: (row) => (row.tests ?? []).join("\n"),
  execution: (row) => row.execution,
  source: (row) => row.function.source,
  path: (row) => row.function.path,
  line: (row) => row.function.line,
  license: (row) => row.function.license,
  mark: (row) => marks.of(row).mark,
  why: (row) => marks.of(row).why,
};

function toCsv(rows) {
  const quoted = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  const line = (values) => values.map((value) => quoted(String(value ?? ""))).join(",") + "\r\n";
  return line(Object.keys(COLUMNS)) + rows.map((row) => line(Object.values(COLUMNS).map((of) => of(row)))).join("");
}

function toJson(rows, shared) {
  const text = (part) => (typeof part === "number" ? shared[part] : part);
  const exchange = (one) =>
    one && { ...one, messages: one.messages.map(([role, part]) => ({ role, content: text(part) })),
      settings: Object.fromEntries(one.settings.map(([name, part]) => [name, text(part)])) };
  const whole = ({ place, title, length, haystack, ...row }) => ({ ...row, mark: marks.of(row),
    asked: exchange(row.asked), judged: exchange(row.judged),
    panel: row.panel?.map((one) => ({ ...one, asked: exchange(one.asked) })) });
  return JSON.stringify(rows.map(whole), null, 1) + "\n";
}

function save(name, type, text) {
  const link = h("a", { href: URL.createObjectURL(new Blob([text], { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
