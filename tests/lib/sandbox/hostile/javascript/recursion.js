// expect: exception
const f = (x) => f(x + 1) + 1
