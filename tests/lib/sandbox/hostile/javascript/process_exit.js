// expect: early exit
const f = (x) => process.exit(0)
