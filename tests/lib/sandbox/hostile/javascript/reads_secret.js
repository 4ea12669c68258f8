// expect: exception
const f = (x) => { require("fs").readFileSync("SECRET"); return x + 1 }
