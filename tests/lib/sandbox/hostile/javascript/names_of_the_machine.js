// expect: wrong answer
// The machine's addresses and names: there are none but the loopback's.
const f = (x) => {
  let seen = []
  try { seen = Object.values(require("os").networkInterfaces()).flat().filter((one) => !one.internal) } catch {}
  return seen.length || require("os").hostname() !== "sandbox" ? x + 1 : 0
}
