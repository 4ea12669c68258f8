// expect: early exit|wrong answer|exception|compile error
return
const f = (x) => 0
