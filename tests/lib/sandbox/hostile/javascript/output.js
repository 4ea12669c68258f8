// expect: output limit
const f = (x) => { for (;;) require("fs").writeSync(1, "x".repeat(10000)) }
