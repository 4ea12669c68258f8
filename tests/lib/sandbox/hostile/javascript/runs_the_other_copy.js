// expect: wrong answer
const f = (x) => { try { return require("fs").readFileSync("p1.js").length ? x + 1 : 0 } catch { return 0 } }
