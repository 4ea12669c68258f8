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
const { compileFunction } = require("vm");
const check = (holds) => {
  if (!holds) throw new Error("Assertion failed");
};
compileFunction(source, ["require", "module", "exports", name], { filename: "p.js" })(require, { exports: {} }, {}, check);
writeSync(1, "\n" + buffer.toString("latin1"));
process.exit(0);
