// expect: timed out
const f = (x) => { for (;;); }
