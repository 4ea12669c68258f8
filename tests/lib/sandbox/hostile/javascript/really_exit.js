// expect: early exit
const f = (x) => process.reallyExit(0)
