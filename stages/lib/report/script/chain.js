// One row, whole: its text and, step by step, how it came about.

function renderChain(row, shared) {
  return h("div", { class: "chain" }, renderText(row), renderSteps(row, shared));
}

function renderText(row) {
  const edit = isEdit(row.input, row.output);
  const label = (name, title) => (row.taken?.includes(name) ? `${title}, taken from the raw code` : title);
  return h("div", { class: "text-of-row" },
    row.instruction && [h("h4", null, "Instruction"), h("p", { class: "instruction" }, row.instruction)],
    edit && [h("h4", null, "Input → output, as a diff"), renderDiff(row.input, row.output)],
    !edit && row.input && block(label("input", "Input"), row.input),
    !edit && row.output && block(label("output", "Output"), row.output),
    edit && fold("Input and output whole", block(label("input", "Input"), row.input), block(label("output", "Output"), row.output)),
    !row.instruction && [h("h4", null, row.outcome), h("p", null, row.stopped.join("; "))],
    marks.takes(row) && renderMark(row),
    h("p", { class: "meta verdict" }, fate(row)),
    h("p", { class: "meta" }, `Round ${row.round}`, row.style && `, style “${row.style}”`, ". The rest of the chain: ",
      h("code", null, `make trace ID=${row.id.slice(0, 16)}`)));
}

function fate(row) {
  const here = row.split ? `In the dataset, split ${row.split}.` : `Not in the dataset: ${row.outcome}.`;
  return row.then ? `In A: ${row.outcome}. ${row.then}` : row.run ? `${row.run}: ${row.outcome}.` : here;
}

function renderMark(row) {
  const { mark, why } = marks.of(row);
  const button = (word) =>
    h("button", { type: "button", class: `choice ${word}`, "aria-pressed": String(mark === word), "data-mark": word },
      word === "right" ? "✓ right" : "✗ wrong");
  return h("fieldset", { class: "marking" }, h("legend", null, "My mark"), button("right"), button("wrong"),
    h("input", { class: "why", type: "text", value: why ?? "", placeholder: "why", "aria-label": "Why" }));
}

function renderSteps(row, shared) {
  const steps = [
    ["Raw function", renderFunction(row.function)],
    row.asked && ["Request to the teacher", renderRequest(row.asked, shared)],
    row.asked && ["Its answer", [code("Answer", pretty(row.asked.answer))]],
    row.attempts && ["Attempts", row.attempts.map(([fault, said]) => [h("p", null, fault), said && code("Answer", said)])],
    row.rulings.some(([, kind]) => kind !== "judge") && ["Checks", renderChecks(row), "verdict"],
    (row.judged || row.rulings.some(([, kind]) => kind === "judge")) && ["The judge", renderJudge(row, shared), "verdict"],
    row.tests && ["Tests", renderTests(row), "verdict"],
  ];
  return h("ol", { class: "steps", "aria-label": "How it came about" },
    steps.filter(Boolean).map(([title, body, kind]) => h("li", { class: kind ?? false }, h("h4", null, title), body)));
}

function renderFunction(of) {
  const place = [of.source, of.path].filter(Boolean).join(", ");
  return [
    h("p", { class: "meta" }, of.name && h("code", null, of.name), of.name && ", ", place,
      of.line && `, line ${of.line}`, of.code && `; licence ${of.license ?? "unknown"}`),
    of.docstring && fold("Documentation", code("Documentation", of.docstring)),
    of.code ? code("Raw function", [of.imports, of.code].filter(Boolean).join("\n\n")) : h("p", { class: "hash" }, of.id),
  ];
}

function renderRequest(one, shared) {
  const text = (part) => (typeof part === "number" ? shared[part] : part);
  const messages = one.messages.map(([role, part]) => [role, text(part)]);
  const [role, last] = messages.pop();
  return [
    h("p", { class: "meta" }, h("code", null, one.model), `, ${plural(one.tokens[0], "token")} in, ${number(one.tokens[1])} out; key `,
      h("span", { class: "hash" }, one.key)),
    messages.length > 0 && fold(`${plural(messages.length, "message")} before it`,
      messages.map(([role, said]) => block(role, said))),
    block(role, last),
    fold("Settings", h("dl", { class: "facts" },
      one.settings.map(([name, part]) => [h("dt", null, name), h("dd", { class: "hash" }, text(part))]))),
  ];
}

function renderChecks(row) {
  const checks = row.rulings.filter(([, kind]) => kind !== "judge");
  const passed = checks.filter(([, , good]) => good).map(([rule]) => words(rule));
  return [
    renderRulings(checks.filter(([, , good]) => !good)),
    passed.length > 0 && h("p", { class: "meta" }, `${number(passed.length)} passed: ${passed.join(", ")}`),
  ];
}

function renderJudge(row, shared) {
  return [
    renderRulings(row.rulings.filter(([, kind]) => kind === "judge")),
    row.judged && fold("What it was asked, and its answer", renderRequest(row.judged, shared),
      code("Answer", pretty(row.judged.answer))),
    (row.panel ?? []).map((one) => fold(`Ballot of ${one.model}`, renderRulings(one.rulings),
      one.asked && [renderRequest(one.asked, shared), code("Answer", pretty(one.asked.answer))])),
  ];
}

function renderRulings(rulings) {
  return rulings.length > 0 && h("ul", { class: "rulings" }, rulings.map(([rule, , good, reason]) =>
    h("li", null, h("span", { class: good ? "passed" : "failed" }, `${good ? "✓" : "✗"} ${words(rule)}`),
      reason && h("span", { class: "reason" }, reason))));
}

function renderTests(row) {
  const outcome = row.execution ?? "not run";
  return [
    h("p", { class: row.execution === "passed" ? "passed" : row.execution ? "failed" : "meta" }, outcome),
    code("Tests", row.tests.join("\n")),
  ];
}

const block = (title, text) => [h("h5", null, title), code(title, text)];
const code = (label, text) => h("pre", { tabindex: 0, role: "group", "aria-label": label }, text);
const fold = (title, ...children) => h("details", null, h("summary", null, title), children);

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 1);
  } catch {
    return text;
  }
}
