// expect: wrong answer
const f = (x) => {
  const fs = require("fs")
  for (let n = 0; n < 30; n++) {
    if (n === 1 || n === 2) continue
    try { if (fs.fstatSync(n).isFile() && fs.readSync(n, Buffer.alloc(99), 0, 99, 0) > 0) return x + 1 } catch { }
  }
  return 0
}
