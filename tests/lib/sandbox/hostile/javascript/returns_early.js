// expect: compile error
return
const f = (x) => 0
