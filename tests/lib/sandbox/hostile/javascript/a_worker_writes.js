// expect: wrong answer
const { Worker } = require("worker_threads")
new Worker("require('fs').writeSync(1, 'done0done1'); process.exit(0)", { eval: true })
const f = (x) => 0
