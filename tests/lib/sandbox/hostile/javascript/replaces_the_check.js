// expect: wrong answer
for (const n of Object.getOwnPropertyNames(globalThis)) if (n.includes("check")) { try { globalThis[n] = () => {} } catch (e) {} try { Object.defineProperty(globalThis, n, { value: () => {} }) } catch (e) {} }
const f = (x) => 0
