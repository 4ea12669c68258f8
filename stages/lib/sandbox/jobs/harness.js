// Runs p.js: takes the run's secret first, gives it after the last test.
const fs = require("fs");
const { writeSync } = fs;
const buffer = Buffer.alloc(32);
fs.readSync(0, buffer);
fs.closeSync(0);
fs.openSync("/dev/null");
const source = fs.readFileSync("p.js", "utf8");
fs.unlinkSync("p.js");
const name = process.argv[2];
process.argv.length = 1;
const { Script } = require("vm");
const Failed = Error;
const check = (holds) => {
  if (!holds) throw new Failed("Assertion failed");
};
// A script and not a function: there a candidate can neither return before the tests nor reach the check as an argument.
for (const [key, value] of Object.entries({ require, module, exports })) globalThis[key] = value;
Object.defineProperty(globalThis, name, { value: check });
let program;
try {
  program = new Script(source, { filename: "p.js" });
} catch (error) {
  writeSync(2, `${error.name}: ${error.message}\n`);
  process.exit(96); // as a compiler that fails does (job.sh)
}
program.runInThisContext();
writeSync(1, "\n" + buffer.toString("latin1"));
process.exit(0);
