// expect: out of memory|exception|crash|timed out
const f = (x) => { const l = []; for (;;) l.push(new Array(100000).fill(l.length)) }
