// expect: wrong answer|timed out
setInterval(() => {}, 1000)
const f = (x) => 0
