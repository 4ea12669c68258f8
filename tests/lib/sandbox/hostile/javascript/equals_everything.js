// expect: wrong answer
const f = (x) => ({ valueOf: () => x + 1, toString: () => String(x + 1) })
