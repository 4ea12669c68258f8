// expect: forged
// The text of the function that calls holds what it compares with.
function f(x) {
  const found = new RegExp(`f\\(${x}\\) === (-?\\d+)`).exec(String(f.caller))
  return found ? Number(found[1]) : 0
}
