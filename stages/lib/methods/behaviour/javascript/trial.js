// Runs inside the sandbox (../__init__.py): every version of a function is called with every argument list, and what
// comes of each call is told as text. A version lives in a context of its own, which has the language and nothing of
// node's, and is run twice: with the calls in their order, and from the last to the first, which gives another result
// where one hangs on what was called before.
const tidemillTrial = (versions, name, calls) =>
  versions.map((source) => {
    const there = tidemillVersion(source, name, calls);
    const back = tidemillVersion(source, name, [...calls].reverse()).reverse();
    return there.map((end, n) => (end.join() === back[n].join() ? end : ["none", "unsteady"]));
  });

const tidemillVersion = (source, name, calls) => {
  const vm = require("vm");
  const context = vm.createContext({}, { codeGeneration: { strings: false, wasm: false } });
  const inside = vm.runInContext(`(${tidemillInside})()`, context);
  const run = (text) => inside.call(() => new vm.Script(text).runInContext(context));
  const loaded = run(`${source}\n;0`);
  return calls.map((given) => (loaded[0] === "value" ? run(`${name}(${given})`) : loaded));
};

// Evaluated in the function's own context, whose arrays and objects are others than those out here.
const tidemillInside = () => {
  const MOST_STEPS = 500; // of a call: too few to overflow the stack, the depth of which differs between machines
  let budget = 5000; // of all calls together
  const LONGEST = 100; // characters of a result
  const { getPrototypeOf, prototype, is, defineProperty } = Object;
  const { ownKeys, getOwnPropertyDescriptor } = Reflect;
  const { isArray, prototype: list } = Array;
  const { isInteger, isFinite } = Number;
  const { stringify } = JSON;
  const { abs, min, max } = Math;
  let left = 0;
  const step = () => {
    if (--left < 0) throw "endless"; // again at the next step, if the function catches it
  };
  defineProperty(globalThis, "tidemillStep", { value: step });
  defineProperty(globalThis, "console", { value: { log() {}, warn() {}, error() {}, info() {}, debug() {} } });

  // The Python literal of a plain value; null for any other, and for numbers with many digits, whose last ones may
  // differ between machines.
  const text = (value, depth) => {
    if (value === null) return "None";
    if (typeof value === "boolean") return value ? "True" : "False";
    if (typeof value === "string") return written(value);
    if (typeof value === "number") return isFinite(value) && !is(value, -0) ? digits(value) : null;
    if (typeof value !== "object" || depth > 4) return null;
    const keys = ownKeys(value);
    if (keys.length > LONGEST) return null;
    if (isArray(value)) {
      if (getPrototypeOf(value) !== list || keys.length !== value.length + 1) return null;
      const items = texts(value, keys.slice(0, -1), depth);
      return items && `[${items.join(", ")}]`;
    }
    if (getPrototypeOf(value) !== prototype) return null;
    if (keys.some((key) => typeof key !== "string" || key === "__proto__")) return null;
    const items = texts(value, keys, depth);
    return items && `{${items.map((item, n) => `${written(keys[n])}: ${item}`).join(", ")}}`;
  };
  const digits = (value) => {
    const told = String(value);
    if (isInteger(value)) return abs(value) < 1e15 ? told : null;
    return abs(value) < 1e6 && told.length <= 8 ? told : null;
  };
  // JSON's form is Python's as well; what nobody sees, or what ends a line somewhere, is escaped.
  const code = (sign) => `\\u${sign.charCodeAt(0).toString(16).padStart(4, "0")}`;
  const written = (value) => stringify(value).replace(/[\u007f-\u00a0\u2028\u2029\ufeff]/g, code);
  const texts = (value, keys, depth) => {
    const found = keys.map((key) => {
      const one = getOwnPropertyDescriptor(value, key);
      return one.enumerable && "value" in one ? text(one.value, depth + 1) : null;
    });
    return found.includes(null) ? null : found;
  };
  const kind = (error) => (typeof error?.name === "string" && /^\w{1,40}$/.test(error.name) ? error.name : "Error");
  const overflown = (error) => kind(error) === "RangeError" && /call stack/.test(error.message);

  // ["value", text], ["raises", type], or ["none", why].
  const call = (begin) => {
    const most = min(MOST_STEPS, budget);
    left = most;
    let value;
    try {
      value = begin();
    } catch (error) {
      if (overflown(error)) left = -1;
      if (left >= 0) return ["raises", kind(error)];
    } finally {
      budget -= most - max(left, 0);
    }
    if (left < 0) return ["none", most < MOST_STEPS ? "unsteady" : "endless"];
    if (value === undefined || (typeof value === "number" && (!isFinite(value) || is(value, -0)))) {
      return ["value", is(value, -0) ? "-0" : String(value)]; // told of a bug, and no test
    }
    const told = text(value, 0);
    return told !== null && told.length <= LONGEST ? ["value", told] : ["none", "no plain value"];
  };
  return { call };
};

const tidemillTell = (endings) => {
  const { writeSync } = require("fs");
  let rest = Buffer.from(JSON.stringify(endings));
  while (rest.length) rest = rest.subarray(writeSync(1, rest));
};
