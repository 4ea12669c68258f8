// expect: wrong answer
process.on("exit", () => process.reallyExit(0))
process.on("uncaughtException", () => process.reallyExit(0))
const f = (x) => 0
