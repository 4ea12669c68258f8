// Wires the section "Rows": filters, list, marks, files, keys.

const byId = (id) => document.getElementById(id);

async function main() {
  const section = byId("rows");
  const data = await unpack(byId("data"));
  const { rows, shared, outcomes } = data;
  marks.open(data.dataset);
  const facets = buildFacets(rows, outcomes);
  let wanted = readAddress();
  let found = [];

  const selects = new Map(facets.map((facet) => [facet.name, renderFacet(facet)]));
  const order = h("select", { "aria-label": "Order" },
    Object.entries(ORDERS).map(([name, [label]]) => h("option", { value: name }, label)));
  byId("facets").append(...[...selects.values()].map((select) => select.parentElement), h("label", null, "Order", order));

  function renderFacet(facet) {
    const select = h("select", { "data-facet": facet.name }, h("option", { value: "" }, "all"),
      facet.values.map((value) => h("option", { value }, words(value))));
    h("label", { class: facet.hidden ? "verdict" : false }, facet.label, select);
    return select;
  }

  function apply() {
    const { found: now, counts } = select(rows, facets, wanted);
    found = now;
    for (const facet of facets) showCounts(selects.get(facet.name), counts.get(facet.name), wanted[facet.name] ?? "");
    order.value = wanted.order ?? "turns";
    if (byId("q").value !== (wanted.q ?? "")) byId("q").value = wanted.q ?? "";
    byId("tally").replaceChildren(...renderTally(found, rows.length, outcomes));
    byId("list").replaceChildren(...found.slice(0, PAGE).map((row) => renderItem(row, shared)));
    byId("clear").hidden = !Object.values(wanted).some(Boolean);
    showMore();
    showMarks();
  }

  function showCounts(select, counts, value) {
    if (value && ![...select.options].some((option) => option.value === value))
      select.append(h("option", { value }, words(value)));
    for (const option of [...select.options].slice(1)) {
      const count = counts.get(option.value) ?? 0;
      option.textContent = `${words(option.value).slice(0, 60)} (${number(count)})`;
      option.disabled = !count && option.value !== value;
    }
    select.value = value;
    select.parentElement.classList.toggle("chosen", Boolean(value));
  }

  function showMore() {
    const left = found.length - byId("list").children.length;
    byId("more").hidden = left <= 0;
    byId("more").textContent = `Show ${number(Math.min(PAGE, left))} more of ${number(left)}`;
  }

  function more() {
    const start = byId("list").children.length;
    byId("list").append(...found.slice(start, start + PAGE).map((row) => renderItem(row, shared)));
    showMore();
  }

  function showMarks() {
    const counts = `${number(marks.count("right"))} right, ${number(marks.count("wrong"))} wrong`;
    byId("marked").textContent = marks.lost ? `${counts}; this browser will not keep them, so export them` : counts;
  }

  function change(name, value) {
    wanted = { ...wanted, [name]: value };
    apply();
    writeAddress(wanted);
  }

  const current = () => section.querySelector(".row.open");

  function open(item) {
    if (!item) return;
    const before = current();
    if (before !== item) toggle(before, false);
    toggle(item, true);
    item.querySelector(".line").focus({ preventScroll: true });
    item.scrollIntoView();
  }

  function step(by) {
    const items = byId("list").children;
    const place = [...items].indexOf(current() ?? document.activeElement.closest?.(".row"));
    if (place + by >= items.length) more();
    open(items[Math.max(0, place + by)]);
  }

  function mark(item, word) {
    if (!item || !marks.takes(item.row)) return;
    const same = marks.of(item.row).mark === word;
    marks.set(item.row, { mark: same ? undefined : word, blind: section.classList.contains("blind") });
    refresh(item);
  }

  function refresh(item) {
    const word = marks.of(item.row).mark;
    for (const button of item.querySelectorAll(".choice"))
      button.setAttribute("aria-pressed", String(button.dataset.mark === word));
    item.querySelector(".mine").replaceWith(renderItem(item.row, shared).querySelector(".mine"));
    showMarks();
  }

  // #row/ID opens that row; #rows?… filters.
  function follow() {
    const [, id] = location.hash.match(/^#row\/([0-9a-f]+)/) ?? [];
    wanted = id ? {} : readAddress();
    apply();
    if (!id && !location.hash.startsWith("#rows?")) return;
    section.scrollIntoView();
    const place = found.findIndex((row) => id && row.id.startsWith(id));
    while (place >= byId("list").children.length) more();
    open(byId("list").children[place]);
  }

  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("q").addEventListener("input", (event) => change("q", event.target.value));
  order.addEventListener("change", () => change("order", order.value));
  for (const [name, select] of selects) select.addEventListener("change", () => change(name, select.value));
  byId("clear").addEventListener("click", () => ((wanted = {}), apply(), writeAddress(wanted)));
  byId("more").addEventListener("click", more);
  byId("blind").addEventListener("change", (event) => section.classList.toggle("blind", event.target.checked));
  byId("csv").addEventListener("click", () => save("rows.csv", "text/csv", toCsv(found)));
  byId("json").addEventListener("click", () => save("rows.json", "application/json", toJson(found, shared)));
  byId("export").addEventListener("click", () => save("marks.json", "application/json", marks.export()));
  byId("import").addEventListener("change", async (event) => {
    try {
      marks.import(await event.target.files[0].text());
      apply();
    } catch (error) {
      byId("marked").textContent = `That file holds no marks: ${error.message}`;
    }
    event.target.value = "";
  });

  byId("list").addEventListener("click", (event) => {
    const item = event.target.closest(".row");
    if (event.target.closest(".choice")) mark(item, event.target.dataset.mark);
    else if (event.target.closest(".line")) item.classList.contains("open") ? toggle(item, false) : open(item);
  });
  byId("list").addEventListener("input", (event) => {
    if (event.target.matches(".why")) marks.set(event.target.closest(".row").row, { why: event.target.value });
  });

  const keys = {
    "/": () => byId("q").focus(),
    j: () => step(1),
    k: () => step(-1),
    r: () => mark(current(), "right"),
    w: () => mark(current(), "wrong"),
    Escape: () => toggle(current(), false),
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    if (event.target.closest?.("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    event.preventDefault();
    keys[event.key]();
  });
  addEventListener("hashchange", follow);
  addEventListener("beforeprint", () => section.querySelectorAll(".row.open details").forEach((one) => (one.open = true)));

  follow();
  section.dataset.ready = "";
}

main().catch((error) => {
  byId("tally").textContent = `The rows could not be unpacked (${error.message}). A browser from 2023 or later can.`;
});
