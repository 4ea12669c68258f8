// expect: out of memory
const f = (x) => { const l = []; for (;;) l.push(new Array(100000).fill(0.5)) }
