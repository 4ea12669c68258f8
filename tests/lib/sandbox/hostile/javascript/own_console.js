// expect: wrong answer
var console = { assert() {}, log() {} }
globalThis.console = console
const f = (x) => 0
