// expect: passed
const f = (x) => x + 1
