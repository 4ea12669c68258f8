// Which rows are shown: a search and facets, each a select with the number of rows behind every value.

const BANDS = [[0, "under 250"], [250, "250 to 499"], [500, "500 to 999"], [1000, "1,000 to 1,999"], [2000, "2,000 and more"]];
const band = (length) => BANDS.findLast(([least]) => length >= least)[1];
const MOST_VALUES = 200; // of one facet; the search finds the rarer ones

const FACETS = [
  { name: "run", label: "Run", of: (row) => [row.run ?? ""] },
  { name: "outcome", label: "Verdict", of: (row) => [row.outcome], hidden: true },
  { name: "task", label: "Task", of: (row) => [row.task] },
  { name: "language", label: "Language", of: (row) => [row.language ?? ""] },
  { name: "rule", label: "Stopped by", of: (row) => row.stopped, hidden: true },
  { name: "source", label: "Source", of: (row) => [row.function.source ?? ""] },
  { name: "length", label: "Characters", of: (row) => [band(row.length)], order: BANDS.map(([, name]) => name) },
  { name: "mark", label: "My mark", of: (row) => [marks.of(row).mark ?? "none"], order: ["none", "right", "wrong"] },
];

const ORDERS = {
  turns: ["In turns", (a, b) => a.place - b.place],
  shortest: ["Shortest first", (a, b) => a.length - b.length || a.place - b.place],
  longest: ["Longest first", (a, b) => b.length - a.length || a.place - b.place],
};

function countValues(facet, rows) {
  const counts = new Map();
  for (const row of rows) for (const value of facet.of(row)) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

// The facets that tell rows apart, each with its values, the most frequent first.
function buildFacets(rows, outcomes) {
  const found = FACETS.map((facet) => {
    const counts = countValues(facet, rows);
    const order = facet.name === "outcome" ? outcomes : facet.order;
    const values = order?.filter((value) => counts.has(value) || facet.name === "mark")
      ?? [...counts.keys()].sort((a, b) => counts.get(b) - counts.get(a) || (a < b ? -1 : 1)).slice(0, MOST_VALUES);
    return { ...facet, values: values.filter(Boolean) };
  });
  return found.filter((facet) => facet.values.length > 1 || facet.name === "mark");
}

// The rows that fit `wanted` ({q, facet: value, …}), and for each facet the counts that another choice would give.
function select(rows, facets, wanted) {
  const needles = (wanted.q ?? "").toLowerCase().split(/\s+/).filter(Boolean);
  const counts = new Map(facets.map((facet) => [facet.name, new Map()]));
  const found = [];
  for (const row of rows) {
    if (!needles.every((needle) => row.haystack.includes(needle))) continue;
    const failed = facets.filter((facet) => wanted[facet.name] && !facet.of(row).includes(wanted[facet.name]));
    if (!failed.length) found.push(row);
    if (failed.length > 1) continue;
    for (const facet of failed.length ? failed : facets) {
      const own = counts.get(facet.name);
      for (const value of facet.of(row)) own.set(value, (own.get(value) ?? 0) + 1);
    }
  }
  return { found: found.sort(ORDERS[wanted.order ?? "turns"][1]), counts };
}

// Filters in the address: #rows?task=code+repair&q=list, so that a link opens them and a reload keeps them.
const readAddress = () => Object.fromEntries(new URLSearchParams(location.hash.split("?")[1] ?? ""));
const writeAddress = (wanted) => {
  const query = new URLSearchParams(Object.entries(wanted).filter(([, value]) => value)).toString();
  if (query || location.hash.includes("?")) history.replaceState(null, "", `#rows${query && `?${query}`}`);
};
