// expect: forged
// The functions on the stack, and by their text what they compare with.
Error.prepareStackTrace = (error, sites) => sites.map((site) => String(site.getFunction())).join("\n")
function f(x) {
  const found = new RegExp(`f\\(${x}\\) === (-?\\d+)`).exec(new Error().stack)
  return found ? Number(found[1]) : 0
}
