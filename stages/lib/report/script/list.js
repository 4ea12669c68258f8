// The list of rows, opened one at a time, and the line above it that counts them.

const PAGE = 50; // rows rendered at a time

function renderItem(row, shared) {
  const { mark } = marks.of(row);
  const item = h("li", { class: "row", "data-id": row.id },
    h("button", { type: "button", class: "line", "aria-expanded": "false" },
      h("span", { class: `verdict tag ${tone(row)}` }, row.outcome),
      h("span", { class: "title" }, row.title.slice(0, 200)),
      h("span", { class: "what" }, [row.run, row.task, languages(row)].filter(Boolean).join(" · ")),
      h("span", { class: "stopped verdict" }, words(row.then ?? row.stopped.join(", "))),
      h("span", { class: `mine ${mark ?? ""}` }, mark ? (mark === "right" ? "✓ right" : "✗ wrong") : "")));
  item.row = row;
  item.shared = shared;
  return item;
}

const tone = (row) => (row.outcome === "in the dataset" ? "passed" : row.outcome.startsWith("failed") ? "failed" : "");

function toggle(item, open) {
  if (!item) return;
  item.classList.toggle("open", open);
  item.querySelector(".line").setAttribute("aria-expanded", String(open));
  const chain = item.querySelector(".chain");
  if (open && !chain) item.append(renderChain(item.row, item.shared));
  if (!open) chain?.remove();
}

function renderTally(rows, total, outcomes) {
  const counts = countValues({ of: (row) => [row.outcome] }, rows);
  const parts = outcomes.filter((name) => counts.has(name)).map((name) => [name, counts.get(name)]);
  const kind = (name) => outcomes.indexOf(name);
  return [
    h("p", { class: "count" }, h("strong", null, number(rows.length)), ` of ${plural(total, "row")}`),
    h("div", { class: "split verdict", "aria-hidden": "true" },
      parts.map(([name, count]) => h("span", { class: `part part-${kind(name)}`, style: `flex-grow: ${count}` }))),
    h("p", { class: "legend meta verdict" },
      parts.map(([name, count]) => h("span", null, h("i", { class: `part-${kind(name)}` }), `${name} ${number(count)}`))),
  ];
}
