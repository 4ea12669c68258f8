// expect: wrong answer
const f = (x) => 0
