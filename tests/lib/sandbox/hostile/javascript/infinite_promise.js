// expect: wrong answer
setInterval(() => {}, 1000)
const f = (x) => 0
