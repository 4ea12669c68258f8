// expect: wrong answer
Error = function () {}
Object.is = () => true
const f = (x) => 0
