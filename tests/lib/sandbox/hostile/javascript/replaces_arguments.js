// expect: wrong answer
try { for (let n = 0; n < 9; n++) arguments[n] = () => {} } catch (e) {}
const f = (x) => 0
