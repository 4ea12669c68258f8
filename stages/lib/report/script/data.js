// The rows, unpacked from the page's data element.

async function unpack(element) {
  const bytes = Uint8Array.from(atob(element.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const data = await new Response(stream).json();
  data.rows.forEach((row, place) => prepare(row, place));
  return data;
}

// What filters and lists need of a row, worked out once. A row holds no empty field.
function prepare(row, place) {
  row.place = place;
  row.task ??= "";
  row.stopped ??= [];
  row.rulings ??= [];
  row.title = row.instruction?.trim() || row.function.name || "unnamed";
  row.length = ["instruction", "input", "output"].reduce((sum, name) => sum + (row[name]?.length ?? 0), 0)
    || (row.function.code?.length ?? 0);
  const { code, name, docstring, source, path } = row.function;
  const reasons = row.rulings.map((ruling) => ruling[3]);
  row.haystack = [row.id, row.instruction, row.input, row.output, row.asked?.answer, code, name, docstring, source, path,
    ...row.stopped, ...reasons, ...(row.tests ?? [])].filter(Boolean).join("\n").toLowerCase();
}

const words = (name) => name.replaceAll("_", " ");
const number = (value) => value.toLocaleString("en");
const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
const languages = (row) =>
  row.target && row.target !== row.language ? `${row.language} → ${row.target}` : row.language ?? "";

// An element; attributes that are false or null are left out, those that begin with "on" are listeners.
function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== false && value != null) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child != null && child !== false));
  return element;
}
