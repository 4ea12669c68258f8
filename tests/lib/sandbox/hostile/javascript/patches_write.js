// expect: forged
require("fs").writeSync = () => 0
process.binding = () => ({})
Array.prototype.every = () => true
Number.prototype.toString = () => "1"
const f = (x) => 0
