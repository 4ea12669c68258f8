// expect: wrong answer
console.log("passed OK ok")
const f = (x) => 0
