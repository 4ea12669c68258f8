// expect: early exit
process.exit(0)
const f = (x) => 0
