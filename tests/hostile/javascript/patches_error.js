// expect: wrong answer|exception|early exit
Error = function () {}
Object.is = () => true
const f = (x) => 0
